"""Campaigns about the pace: orders that occupy the account, and an exchange whose clock jumps."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from scheduler import State
from scheduler.simulator import Simulator
from scheduler.simulator.ledger import Arrival

from .world import DAY_S, World, attempts, final, live, most_in_a_minute, opened

MAIN = "main"
STEP_MS = 10.0
"""What a collision adds to the gap where the way is short."""
BLOCK_MS = 5_000.0
BLOCK_EVERY_S = 20.0
EVERY_S = 1.0
FREE_AGAIN_S, FREE_WITHIN = 0.05, 20
"""An order that meets a borrow tries again so long after, and so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Steady work on an account that auto-repay orders block again and again."""

    blocks: int
    submitted: int
    confirmed: int
    refused: int
    """Attempts that met -3007."""
    most_refused: int
    """In one block."""
    weight_refused: int
    longest_s: float
    """From the beginning of a block until the first attempt after it was taken on."""
    most: int


def blocked(minutes: float, **exchange: Any) -> Blocked:
    """A borrow a second, and every 20 s an order that blocks the account for 5 s."""
    sim = _exchange(**exchange)

    async def life() -> list[float]:
        async with sim, opened(sim, MAIN) as world:
            ordering = asyncio.create_task(_order(sim, minutes * 60))
            keys = await _steady(world, minutes * 60)
            entries = await final(world, keys)
            assert all(entry.state is State.CONFIRMED for entry in entries)
            return await ordering

    starts_s = live(sim, life)
    refused = [a for a in attempts(sim, MAIN) if a.code == -3007]
    booked = [t for t in sim.ledger.booked(MAIN) if t.origin == "request"]
    return Blocked(
        blocks=len(starts_s),
        submitted=round(minutes * 60 / EVERY_S),
        confirmed=len(booked),
        refused=len(refused),
        most_refused=max(
            sum(at_s <= a.loop_s < at_s + BLOCK_EVERY_S for a in refused) for at_s in starts_s
        ),
        weight_refused=sum(a.weight for a in refused),
        longest_s=max(
            min(t.started_s for t in booked if t.started_s > at_s) - at_s for at_s in starts_s
        ),
        most=most_in_a_minute(attempts(sim, MAIN)),
    )


async def _order(sim: Simulator, for_s: float) -> list[float]:
    """Begins each block between two borrows, where the account is free."""
    starts_s = []
    sim.set_debt(MAIN, "USDT", "1000000")
    await asyncio.sleep(10 + EVERY_S / 2)
    for _ in range(int((for_s - 20) / BLOCK_EVERY_S)):
        await _order_once_free(sim)
        starts_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(BLOCK_EVERY_S)
    return starts_s


async def _order_once_free(sim: Simulator) -> None:
    for _ in range(FREE_WITHIN):
        if sim.order(MAIN, "USDT", "1", kind="auto_repay", occupies_ms=BLOCK_MS) is not None:
            return
        await asyncio.sleep(FREE_AGAIN_S)
    raise AssertionError("the account was busy all the time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """The distance between arrivals in bursts: before collisions, after them, and much later."""

    before_ms: float
    after_ms: float
    later_ms: float
    later_after_min: float


def gaps(*, collisions: int, later_after_min: float = 10.0) -> Gaps:
    """Bursts of ten before, right after and long after collisions, each with one attempt."""
    sim = _exchange(processing_ms=20)
    shortest: list[float] = []

    async def burst(world: World) -> None:
        known = len(sim.ledger.arrivals)
        keys = [next(world.keys) for _ in range(10)]
        submit = world.scheduler.submit
        await asyncio.gather(*(submit(MAIN, "BORROW", "USDT", "1", key=key) for key in keys))
        await final(world, keys)
        loans = [a for a in sim.ledger.arrivals[known:] if a.method == "POST"]
        shortest.append(min(b.loop_s - a.loop_s for a, b in pairwise(loans)) * 1_000)

    async def life() -> None:
        async with sim, opened(sim, MAIN) as world:
            await burst(world)
            for _ in range(collisions):
                sim.fail_next(-3007)
                await world.scheduler.borrow(MAIN, "USDT", "1")
            await burst(world)
            await asyncio.sleep(later_after_min * 60)
            await burst(world)

    live(sim, life)
    before_ms, after_ms, later_ms = shortest
    return Gaps(
        before_ms=before_ms,
        after_ms=after_ms,
        later_ms=later_ms,
        later_after_min=later_after_min,
    )


JUMPS_MS = (20_000, -20_000, 1_500, -700, 3_000, -90_000, 90_000, -3_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jumps:
    """Steady work while the exchange's clock jumps."""

    jumps: int
    submitted: int
    confirmed: int
    refused: int
    """Attempts that met -1021."""
    most_refused: int
    """After one jump."""
    most_attempts: int
    """Of one submission."""
    samples: int
    """Requests for the exchange's time."""


def jumps(minutes: float, *, accounts: int = 1, **exchange: Any) -> Jumps:
    """A borrow a second, and a jump every 30 s."""
    sim = _exchange(**exchange)
    names = [f"a{number}" for number in range(accounts)]

    async def jump() -> list[float]:
        times_s = []
        await asyncio.sleep(15.0)
        for number in range(int(minutes * 2)):
            sim.jump_clock(JUMPS_MS[number % len(JUMPS_MS)])
            times_s.append(asyncio.get_running_loop().time())
            await asyncio.sleep(30)
        return times_s

    async def life() -> tuple[list[float], int]:
        async with sim, opened(sim, *names) as world:
            jumping = asyncio.create_task(jump())
            works = [_steady(world, minutes * 60, name) for name in names]
            keys = [key for keys in await asyncio.gather(*works) for key in keys]
            entries = await final(world, keys)
            return await jumping, max(entry.attempts for entry in entries)

    times_s, most_attempts = live(sim, life)
    refused = [arrival for arrival in attempts(sim) if arrival.code == -1021]
    return Jumps(
        jumps=len(times_s),
        submitted=round(minutes * 60 / EVERY_S) * accounts,
        confirmed=len(sim.ledger.booked()),
        refused=len(refused),
        most_refused=max(_within(refused, at_s, 30) for at_s in times_s),
        most_attempts=most_attempts,
        samples=sum(arrival.path == "/api/v3/time" for arrival in sim.ledger.arrivals),
    )


def _within(arrivals: list[Arrival], from_s: float, for_s: float) -> int:
    return sum(from_s <= arrival.loop_s < from_s + for_s for arrival in arrivals)


async def _steady(world: World, for_s: float, account: str = MAIN) -> list[str]:
    keys: list[str] = []
    while len(keys) * EVERY_S < for_s:
        keys.append(next(world.keys))
        await world.scheduler.submit(
            account, "BORROW", "USDT", "1", key=keys[-1], send_within=DAY_S
        )
        await asyncio.sleep(EVERY_S)
    return keys


def _exchange(**exchange: Any) -> Simulator:
    return Simulator(**{"port": None, **exchange})
