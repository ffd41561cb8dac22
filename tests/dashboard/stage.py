"""A real sidecar over the simulated exchange, in a thread of its own: the browser is driven from
the test's."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scheduler import Limits, Scheduler
from scheduler.journal import Journal
from scheduler.sidecar import Sidecar, SidecarOptions
from scheduler.simulator import Simulator

TIMEOUT_S = 60
QUICK = Limits(min_gap_ms=0, processing_max_ms=1_000, visibility_max_ms=1_000)
"""What is lost can be decided after three seconds."""
Result = TypeVar("Result")


@dataclass(slots=True)
class Stage:
    """What the test can reach of the other thread."""

    sim: Simulator
    scheduler: Scheduler
    sidecar: Sidecar
    token: str | None
    loop: asyncio.AbstractEventLoop
    url: str
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs it over there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_S)

    def do(self, act: Callable[[], object]) -> None:
        """Calls it over there."""

        async def called() -> None:
            act()

        self.run(called())

    def submit(self, *asked: str, **options: Any) -> str:
        """Queues it; the key is answered."""
        return self.run(self.scheduler.submit(*asked, **options)).key

    def unresolved(self, account: str = "main") -> str:
        """A loan that cannot be told apart from another program's; its key."""
        self.do(lambda: self.sim.foreign(account, "BORROW", "BTC", "3"))

        async def lose() -> str:
            await asyncio.sleep(0.5)
            self.sim.fail_next("lost_after", account=account)
            entry = await self.scheduler.submit(account, "BORROW", "BTC", "3")
            entry = await self.scheduler.wait(entry.key)
            assert entry.state == "UNRESOLVED"
            return entry.key

        return self.run(lose())

    def stop(self) -> None:
        """Nobody listens any more."""
        self.run(self.sidecar.aclose())

    def start(self) -> None:
        """Listens again where it did."""
        self.sidecar = Sidecar(self.scheduler, _options(self.url, self.token))
        self.run(self.sidecar.start())


def _options(url: str, token: str | None) -> SidecarOptions:
    return SidecarOptions(listen=(url.removeprefix("http://"),), token=token)


@contextmanager
def staged(
    *accounts: str,
    token: str | None = None,
    journal: str | Journal = "memory:",
    limits: Limits = QUICK,
    processing_ms: int = 5,
) -> Iterator[Stage]:
    """A sidecar that answers until the block ends."""
    ready: list[Stage] = []
    failed: list[BaseException] = []
    is_ready = threading.Event()

    async def serve() -> None:
        try:
            epoch_ms = time.time_ns() // 1_000_000
            async with (
                Simulator(
                    port=None, processing_ms=processing_ms, epoch_ms=epoch_ms, record_lag_ms=(0, 50)
                ) as sim,
                Scheduler(
                    [sim.account(name) for name in accounts or ("main",)],
                    journal=journal,
                    transport=sim.transport,
                    limits=limits,
                    recv_window_ms=1_000,
                ) as scheduler,
            ):
                sidecar = Sidecar(scheduler, _options("http://127.0.0.1:0", token))
                await sidecar.start()
                loop = asyncio.get_running_loop()
                stage = Stage(sim, scheduler, sidecar, token, loop, sidecar.addresses[0])
                ready.append(stage)
                is_ready.set()
                await stage.is_over.wait()
                await stage.sidecar.aclose()
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
        ready[0].do(ready[0].is_over.set)
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
