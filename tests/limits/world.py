"""A scheduler and a simulated exchange in virtual time, and work for them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from scheduler import Alarm, Closed, Entry, Limits, Scheduler, SchedulerError, State, clock
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator
from scheduler.simulator.ledger import Arrival
from scheduler.transport import Transport

from .. import virtual_time
from ..key_questions import WithoutKeyQuestions

T = TypeVar("T")

PATH = "/sapi/v1/margin/borrow-repay"
REQUEST = 1_500
LIMIT = 180_000
SLOTS = LIMIT // REQUEST
"""Requests that a minute takes."""
MINUTE_S = 60.0
DAY_S = 86_400.0
AHEAD = 4
"""Submissions that endless work keeps waiting: more than can start before the next is made."""


@dataclass(slots=True)
class World:
    """Everything a campaign talks to."""

    sim: Simulator
    scheduler: Scheduler
    keys: Iterator[str]
    """Keys for submissions, the same in every run and others in every scheduler."""
    latest: dict[str, Entry] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    listeners: list[Callable[[Entry], None]] = field(default_factory=list)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


def live(
    sim: Simulator,
    life: Callable[[], Coroutine[Any, Any, T]],
    *,
    ahead_ms: Callable[[], float] = lambda: 0,
) -> T:
    """Run `life` on a loop of its own, on a machine whose wall clock is `ahead_ms` wrong."""

    def wall_ms() -> float:
        return sim.options.epoch_ms + asyncio.get_running_loop().time() * 1_000 + ahead_ms()

    before, clock.wall_ms = clock.wall_ms, wall_ms
    try:
        return virtual_time.run(life())
    finally:
        clock.wall_ms = before


@asynccontextmanager
async def opened(
    sim: Simulator,
    *names: str,
    limits: Limits | None = None,
    journal: str | MemoryJournal = "memory:",
    transport: Transport | None = None,
    **options: Any,
) -> AsyncIterator[World]:
    """A scheduler for accounts of these names, at an exchange that is entered already."""
    accounts = [sim.account(name) for name in names]
    world: World

    def note(entry: Entry) -> None:
        world.latest[entry.key] = entry
        for listen in world.listeners:
            listen(entry)

    scheduler = Scheduler(
        accounts,
        journal=journal,
        limits=limits,
        on_change=note,
        transport=WithoutKeyQuestions(transport or sim.transport, accounts),
        **options,
    )
    born_s = asyncio.get_running_loop().time()
    world = World(sim, scheduler, (f"{born_s:.3f}:{number}" for number in count(1)))
    async with scheduler:
        listening = asyncio.create_task(_listen(world))
        try:
            yield world
        finally:
            listening.cancel()


async def _listen(world: World) -> None:
    try:
        async for event in world.scheduler.events():
            if isinstance(event, Alarm):
                world.alarms.append(event)
    except Closed:
        pass


async def endless(world: World, account: str, kind: str = "BORROW", asset: str = "USDT") -> None:
    """Work that never runs out, until it is cancelled or the scheduler takes no more."""
    room = asyncio.Semaphore(AHEAD)
    mine: set[str] = set()

    def note(entry: Entry) -> None:
        if entry.is_final and entry.key in mine:
            mine.discard(entry.key)
            room.release()

    world.listeners.append(note)
    try:
        while True:
            await room.acquire()
            key = next(world.keys)
            mine.add(key)
            await world.scheduler.submit(account, kind, asset, "1", key=key, send_within=6 * DAY_S)
    except SchedulerError:
        pass
    finally:
        world.listeners.remove(note)


async def final(world: World, keys: list[str], *, within_s: float = DAY_S) -> list[Entry]:
    """The entries once all of them are final."""
    async with asyncio.timeout(within_s):
        return [await _final(world, key) for key in keys]


async def _final(world: World, key: str) -> Entry:
    while True:
        entry = await world.scheduler.wait(key)
        if entry.state is not State.UNRESOLVED:
            return entry
        await asyncio.sleep(1)


async def killed_after(work: Coroutine[Any, Any, object], after_s: float) -> None:
    """Run `work` as a process of its own and kill it, as by `kill -9`."""
    process = virtual_time.Process("scheduler")
    process.spawn(work)
    await asyncio.sleep(after_s)
    process.kill()


# What the ledger says


def attempts(sim: Simulator, account: str | None = None) -> list[Arrival]:
    """Every borrow or repayment that reached the exchange."""
    return [
        arrival
        for arrival in sim.ledger.arrivals
        if arrival.method == "POST" and account in (None, arrival.account)
    ]


def most_in_a_minute(arrivals: list[Arrival]) -> int:
    """The most of these arrivals in any 60 s, a minute's end excluded, as weight: each counts in
    full, whether or not the exchange charged it."""
    most = start = 0
    for end, arrival in enumerate(arrivals):
        while arrivals[start].loop_s <= arrival.loop_s - MINUTE_S:
            start += 1
        most = max(most, end - start + 1)
    return most * REQUEST


def with_status(arrivals: list[Arrival], status: int) -> list[Arrival]:
    return [arrival for arrival in arrivals if arrival.status == status]
