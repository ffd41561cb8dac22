"""Campaigns about the minute's weight: how much of it is used, and that it is never overrun."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from scheduler import Limits
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator

from .world import (
    DAY_S,
    LIMIT,
    MINUTE_S,
    PATH,
    REQUEST,
    SLOTS,
    World,
    attempts,
    endless,
    final,
    killed_after,
    live,
    most_in_a_minute,
    opened,
    with_status,
)

MAIN = "main"
NEAR_MS = (1, 3)
FAR_MS = (5, 400)
OTHERS_WEIGHT = LIMIT // 5
"""What another program spends of every minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the exchange counted of one account in a campaign."""

    minutes: float
    attempts: int
    """Requests that arrived, refused ones too."""
    confirmed: int
    most: int
    """Weight in any 60 s, each attempt counted in full whatever the exchange charged."""
    most_charged: int
    """Weight in any 60 s as the exchange charged it."""
    collisions: int
    refused: int
    """Answered with 429."""
    most_refused: int
    """In any 60 s."""
    most_refused_by_clock: int
    """In any clock minute of the exchange."""
    banned: int
    """Answered with 418."""
    others: int = 0
    """Weight that another program spent."""
    warm_up: float = 0.0
    """Minutes that went before those counted: `attempts`, `confirmed` and `others` leave them
    out, everything else does not."""

    def used(self, reserve: int = 0) -> float:
        """The attempts' share of what others and the reserve leave of all the minutes."""
        return self.attempts * REQUEST / self._left(reserve)

    def useful(self, reserve: int = 0) -> float:
        """The same for what was confirmed."""
        return self.confirmed * REQUEST / self._left(reserve)

    def _left(self, reserve: int) -> float:
        return self.minutes * (LIMIT - reserve * REQUEST) - self.others


def figures(sim: Simulator, minutes: float, warm_up: float = 0.0, account: str = MAIN) -> Figures:
    """The figures of a life that has been lived."""
    arrived = attempts(sim, account)
    from_s, until_s = warm_up * MINUTE_S, (warm_up + minutes) * MINUTE_S
    spent = [s for s in sim.ledger.foreign_spending if from_s <= s.loop_s < until_s]
    booked, refused = sim.ledger.booked(account), with_status(arrived, 429)
    return Figures(
        minutes=minutes,
        attempts=sum(from_s <= a.loop_s < until_s for a in arrived),
        confirmed=sum(from_s <= t.started_s < until_s for t in booked),
        most=most_in_a_minute(arrived),
        most_charged=sim.ledger.most_weight_in_a_minute(account, PATH),
        collisions=sim.ledger.refusals(account)[-3007],
        refused=len(refused),
        most_refused=most_in_a_minute(refused) // REQUEST,
        most_refused_by_clock=max(Counter(a.at_ms // 60_000 for a in refused).values(), default=0),
        banned=len(with_status(sim.ledger.arrivals, 418)),
        others=sum(s.weight for s in spent if s.account == account),
        warm_up=warm_up,
    )


# Another program on the account

Spending = Callable[[Simulator], AsyncIterator[float]]
"""Spends when it is resumed, and yields how long until it wants to be resumed again."""


async def evenly(sim: Simulator) -> AsyncIterator[float]:
    """A request every 2.5 s."""
    while True:
        sim.spend_weight(MAIN, REQUEST)
        yield MINUTE_S * REQUEST / OTHERS_WEIGHT


async def on_the_minute(sim: Simulator) -> AsyncIterator[float]:
    """All of a minute's requests at once, every 60 s."""
    yield 7.0
    while True:
        sim.spend_weight(MAIN, OTHERS_WEIGHT)
        yield MINUTE_S


async def thrice_a_minute(sim: Simulator) -> AsyncIterator[float]:
    """A third of a minute's requests at once, every 20 s."""
    while True:
        sim.spend_weight(MAIN, OTHERS_WEIGHT // 3)
        yield MINUTE_S / 3


async def at_any_moment(sim: Simulator) -> AsyncIterator[float]:
    """All of a minute's requests at once, somewhere in each minute."""
    draw = random.Random(f"others {sim.options.seed}")
    while True:
        at_s = draw.uniform(0, MINUTE_S - 1)
        yield at_s
        sim.spend_weight(MAIN, OTHERS_WEIGHT)
        yield MINUTE_S - at_s


async def scattered(sim: Simulator) -> AsyncIterator[float]:
    """A minute's requests one by one, each somewhere in the minute."""
    draw = random.Random(f"others {sim.options.seed}")
    while True:
        passed_s = 0.0
        for at_s in sorted(draw.uniform(0, MINUTE_S) for _ in range(OTHERS_WEIGHT // REQUEST)):
            yield at_s - passed_s
            sim.spend_weight(MAIN, REQUEST)
            passed_s = at_s
        yield MINUTE_S - passed_s


async def _spend(sim: Simulator, spending: Spending) -> None:
    async for wait_s in spending(sim):
        await asyncio.sleep(wait_s)


# Campaigns


def busy(
    minutes: float,
    *,
    reserve: int = 0,
    spending: Spending | None = None,
    warm_up: float = 0.0,
    **exchange: Any,
) -> Figures:
    """Endless work at one account, alone or beside another program."""
    sim = _exchange(**exchange)

    async def life() -> None:
        async with sim, opened(sim, MAIN, limits=Limits(urgent_reserve=reserve)) as world:
            others = asyncio.create_task(_spend(sim, spending)) if spending is not None else None
            async with _working(world):
                await asyncio.sleep((warm_up + minutes) * MINUTE_S)
            if others is not None:
                others.cancel()

    live(sim, life)
    return figures(sim, minutes, warm_up)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """A burst at one account: how long it took, and how long it has to take."""

    size: int
    took_s: float
    ideal_s: float
    most: int
    refused: int


def burst(size: int, *, reserve: int = 0, **exchange: Any) -> Burst:
    """Many borrows submitted at once, until the last of them is booked."""
    sim = _exchange(**exchange)

    async def life() -> float:
        async with sim, opened(sim, MAIN, limits=Limits(urgent_reserve=reserve)) as world:
            began_s = world.now_s()
            keys = [next(world.keys) for _ in range(size)]
            submit = world.scheduler.submit
            await asyncio.gather(*(submit(MAIN, "BORROW", "USDT", "1", key=key) for key in keys))
            await final(world, keys)
            return began_s

    began_s = live(sim, life)
    booked = sim.ledger.booked(MAIN)
    assert len(booked) == size
    return Burst(
        size=size,
        took_s=max(t.finished_s for t in booked) - began_s,
        ideal_s=_ideal_s(size, SLOTS - reserve, sim),
        most=most_in_a_minute(attempts(sim, MAIN)),
        refused=len(with_status(attempts(sim, MAIN), 429)),
    )


def _ideal_s(size: int, slots: int, sim: Simulator) -> float:
    """A lower bound for anyone who never has more than `slots` arrivals in any 60 s.

    The first of each round arrives at least 60 s after the first of the round before. Within a
    round the exchange works one off after the other, and for each of them an answer has to come
    back and the next one has to go out.
    """
    rounds, rest = divmod(size, slots)
    if not rest:
        rounds, rest = rounds - 1, slots
    options = sim.options
    each_ms = options.processing_ms * (1 - options.jitter) + options.round_trip_ms[0]
    mean_ms = options.processing_ms + sum(options.round_trip_ms) / 2
    assert each_ms * slots <= MINUTE_S * 1_000, "then the rounds are longer than a minute"
    return rounds * MINUTE_S + rest * mean_ms / 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgency:
    """An urgent repayment in a queue whose normal share of the minute is spent."""

    waiting: int
    """Normal submissions before it."""
    spent: int
    """Attempts that had arrived in the 60 s before."""
    started_after_s: float
    """From its submission until it arrived at the exchange."""
    next_normal_after_s: float
    """The same for the next normal one."""
    most: int


def urgent(queue: int, *, count: int = 1, **exchange: Any) -> Urgency:
    """Urgent repayments submitted into a long queue once nothing normal can start."""
    sim = _exchange(**exchange)

    async def life() -> tuple[float, int]:
        async with sim, opened(sim, MAIN) as world:
            sim.set_debt(MAIN, "BTC", "1000")
            submit = world.scheduler.submit
            await asyncio.gather(
                *(
                    submit(MAIN, "BORROW", "USDT", "1", key=next(world.keys), send_within=DAY_S)
                    for _ in range(queue)
                )
            )
            # A minute's normal share has gone by then, and none of it has come back.
            await asyncio.sleep(MINUTE_S - 2)
            asked_s, spent = world.now_s(), len(attempts(sim))
            keys = [next(world.keys) for _ in range(count)]
            for key in keys:
                await submit(MAIN, "REPAY", "BTC", "1", key=key, priority="urgent")
            await final(world, keys)
            await asyncio.sleep(MINUTE_S)
            return asked_s, spent

    asked_s, spent = live(sim, life)
    repaid = [t for t in sim.ledger.booked(MAIN) if t.kind == "REPAY"]
    normal = [t for t in sim.ledger.booked(MAIN) if t.kind == "BORROW" and t.started_s > asked_s]
    return Urgency(
        waiting=queue - spent,
        spent=spent,
        started_after_s=max(t.started_s for t in repaid) - asked_s,
        next_normal_after_s=min(t.started_s for t in normal) - asked_s,
        most=most_in_a_minute(attempts(sim, MAIN)),
    )


def restarted(minutes: float, *, every_s: float, is_killed: bool, **exchange: Any) -> Figures:
    """Endless work at one account by one process after the other, on one journal."""
    sim, journal = _exchange(**exchange), MemoryJournal()

    async def process() -> None:
        limits = Limits(urgent_reserve=0)
        async with opened(sim, MAIN, limits=limits, journal=journal) as world, _working(world):
            await asyncio.sleep(every_s)

    async def life() -> None:
        async with sim:
            ends_s = asyncio.get_running_loop().time() + minutes * MINUTE_S
            while asyncio.get_running_loop().time() < ends_s:
                if is_killed:
                    await killed_after(process(), every_s - 0.001)
                else:
                    await process()

    live(sim, life)
    return figures(sim, minutes)


def _exchange(**exchange: Any) -> Simulator:
    return Simulator(**{"port": None, "round_trip_ms": FAR_MS, **exchange})


@asynccontextmanager
async def _working(world: World) -> AsyncIterator[None]:
    work = asyncio.create_task(endless(world, MAIN))
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
