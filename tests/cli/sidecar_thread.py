"""A real sidecar over the simulated exchange, beside the test: commands run a loop of their own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scheduler import Scheduler
from scheduler.journal import Journal
from scheduler.sidecar import Sidecar, SidecarOptions
from scheduler.simulator import Simulator

TIMEOUT_S = 30
Result = TypeVar("Result")


@dataclass(slots=True)
class Stage:
    """What the test can reach of the other thread."""

    sim: Simulator
    scheduler: Scheduler
    sidecar: Sidecar
    loop: asyncio.AbstractEventLoop
    url: str = ""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs it over there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    def do(self, act: Callable[[], object]) -> None:
        """Calls it over there."""

        async def called() -> None:
            act()

        self.run(called())


@contextmanager
def staged(
    *,
    accounts: tuple[str, ...] = ("main",),
    listen: str = "127.0.0.1:0",
    token: str | None = None,
    journal: str | Journal = "memory:",
    processing_ms: int = 5,
) -> Iterator[Stage]:
    """A sidecar that answers until the block ends."""
    ready: list[Stage] = []
    failed: list[BaseException] = []
    is_ready = threading.Event()

    async def serve() -> None:
        try:
            async with (
                Simulator(port=None, processing_ms=processing_ms) as sim,
                Scheduler(
                    [sim.account(name) for name in accounts],
                    journal=journal,
                    transport=sim.transport,
                ) as scheduler,
            ):
                options = SidecarOptions(listen=(listen,), token=token)
                sidecar = Sidecar(scheduler, options)
                await sidecar.start()
                stage = Stage(sim, scheduler, sidecar, asyncio.get_running_loop())
                stage.url = sidecar.addresses[0]
                ready.append(stage)
                is_ready.set()
                await stage.stopped.wait()
                await sidecar.aclose()
        except BaseException as error:
            failed.append(error)
            is_ready.set()
            raise

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert is_ready.wait(TIMEOUT_S)
    if failed:
        raise failed[0]
    try:
        yield ready[0]
    finally:
        ready[0].do(ready[0].stopped.set)
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
