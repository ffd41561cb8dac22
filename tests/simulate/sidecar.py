"""One life of a sidecar: its production server with bytes between it and its callers, and behind it
the whole stack: scheduler, SQLite, HTTP, exchange. Its process dies, is told to stop, and is
started again."""

import asyncio
import random
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import anyio

from scheduler import Scheduler
from scheduler.cli import serve
from scheduler.sidecar import Sidecar, SidecarOptions
from scheduler.simulator import Simulator

from ..journal.shelves import SqliteShelf
from ..pipes import Net, PipedTransport
from ..sidecar.house import TOKEN
from .callers import HOST, Callers, SidecarStory
from .crashes import Fate, MortalJournal, MortalTransport
from .life import PATIENCE_S, SETTLES_S, listen, until
from .sidecar_plan import SidecarPlan
from .stack import World, kept_in, live_through, with_stack
from .stack_plan import DrawnTroubles

TRAN_ID = re.compile(rb'"tranId":(\d+)')
DRAINS_S = SidecarOptions().drain_timeout_s


def live_sidecar(plan: SidecarPlan) -> tuple[SidecarStory, Simulator]:
    """Live it, on a loop of its own."""
    story = SidecarStory(plan)

    async def live(simulator: Simulator, shelf: SqliteShelf) -> None:
        await _live(plan, story, simulator, shelf)

    with _repeatable_keys(plan.seed):
        return story, with_stack(plan, live)


class _Premises(World):
    """The world, and the net between the sidecar and its callers."""

    def __init__(self, simulator: Simulator, net: Net, door: Net, story: SidecarStory) -> None:
        super().__init__(simulator, net)
        self.door = door
        self.stopping = asyncio.Event()
        self.is_over = False
        self._story = story

    def tell_to_stop(self) -> None:
        super().tell_to_stop()
        self._story.stops_s.append(self.door.loop.time())
        self.stopping.set()

    def ended(self) -> None:
        """The sidecar did, in good order or not."""
        self.door.stop_listening()
        self._story.deaths_s.append(self.door.loop.time())

    def died(self) -> None:
        super().died()
        self.door.reap()
        self.ended()

    def recovers(self) -> None:
        super().recovers()
        if not self.is_over:
            self.stopping.clear()


class _Listener:
    """What the sidecar closes when it stops listening."""

    def __init__(self, premises: _Premises) -> None:
        self._premises = premises

    def close(self) -> None:
        self._premises.ended()


async def _live(
    plan: SidecarPlan, story: SidecarStory, simulator: Simulator, shelf: SqliteShelf
) -> None:
    troubles = DrawnTroubles(plan), DrawnTroubles(_of_callers(plan), "callers")
    net = Net(seed=plan.seed, latency_ms=plan.latency_ms, troubles=troubles[0])
    door = Net(
        seed=f"door {plan.seed}",
        latency_ms=plan.caller_latency_ms,
        troubles=troubles[1],
        has_sockets=False,
    )
    door.overheard = lambda data: story.sent_ids.update(map(int, TRAN_ID.findall(data)))
    premises = _Premises(simulator, net, door, story)
    callers = Callers(plan, story, door, simulator)

    async def work(witness: Any, fate: Fate) -> None:
        callers.begin()
        await _serve(plan, story, premises, witness, fate)

    async with simulator:
        async with anyio.create_task_group() as others:
            others.start_soon(_calm, plan, premises, troubles)
            others.start_soon(_attend, story, premises, callers)
            await live_through(plan, story, premises, shelf, work)
            others.cancel_scope.cancel()
        await anyio.sleep(SETTLES_S)
    callers.close()
    story.virtual_s = net.loop.time()
    story.troubles = net.counts
    story.troubles.update({f"{name}, of a caller": n for name, n in door.counts.items()})
    story.kept = await kept_in(shelf)


async def _attend(story: SidecarStory, premises: _Premises, callers: Callers) -> None:
    """Callers and persons, until all is decided or patience ends; then the sidecar may stop."""
    with anyio.move_on_after(story.plan.quiet_at_s + PATIENCE_S):
        async with anyio.create_task_group() as persons:
            persons.start_soon(callers.resolve)
            await callers.attend()
            await until(story.plan.quiet_at_s)
            while not _all_final(story):  # noqa: ASYNC110  in virtual time it costs nothing
                await anyio.sleep(1)
            persons.cancel_scope.cancel()
    premises.is_over = True
    premises.stopping.set()


def _all_final(story: SidecarStory) -> bool:
    return all(entry.is_final for entry in story.latest.values())


async def _serve(
    plan: SidecarPlan, story: SidecarStory, premises: _Premises, witness: Any, fate: Fate
) -> None:
    """What `margin-scheduler serve` does, with a door in the place of a socket."""
    simulator = premises.simulator
    transport = PipedTransport(simulator.base_url)
    mortal: Any = MortalJournal(witness, fate)
    scheduler = Scheduler(
        [simulator.account(name, **options) for name, options in plan.accounts.items()],
        journal=mortal,
        transport=MortalTransport(transport, fate),
    )
    sidecar = Sidecar(scheduler, _options(plan))
    await scheduler.start()
    await sidecar.start()
    listener: Any = _Listener(premises)
    sidecar._servers.append(listener)
    premises.door.serve(sidecar.connections, fate.process)
    async with anyio.create_task_group() as listening:
        listening.start_soon(listen, scheduler, story)
        await premises.stopping.wait()
        await serve.end(scheduler, sidecar, DRAINS_S)
        listening.cancel_scope.cancel()
    await transport.aclose()


def _options(plan: SidecarPlan) -> SidecarOptions:
    return SidecarOptions(
        listen=(),
        hosts=(HOST,),
        token=TOKEN,
        clients=plan.clients,
        gateway_patience_ms=round(plan.patience_s * 1000),
        gateway_adopt_s=plan.adopt_s,
    )


async def _calm(
    plan: SidecarPlan, premises: _Premises, troubles: tuple[DrawnTroubles, DrawnTroubles]
) -> None:
    await until(plan.quiet_at_s)
    premises.simulator.clear_faults()
    for each, net in zip(troubles, (premises.net, premises.door), strict=True):
        each.is_over = True
        net.end_refusals()


def _of_callers(plan: SidecarPlan) -> SidecarPlan:
    """What befalls connections of callers, where those to the exchange are usually meant."""
    return replace(
        plan,
        troubles=plan.caller_troubles,
        loan_rate=plan.caller_rate,
        read_rate=plan.caller_rate,
        connect_rate=plan.caller_connect_rate,
    )


@contextmanager
def _repeatable_keys(seed: int) -> Iterator[None]:
    """The gateway makes keys up from the system's randomness; here the seed decides."""
    dice = random.Random(f"keys:{seed}")
    with patch.object(secrets, "token_hex", lambda size: dice.randbytes(size).hex()):
        yield
