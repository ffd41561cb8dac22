"""Campaigns about being told to stop, by accounts at steady work."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from msgspec import structs

from scheduler import AccountStatus, Alarm, Entry
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator
from scheduler.simulator.ledger import Arrival
from scheduler.wire import HttpReply, HttpRequest

from .world import DAY_S, World, attempts, final, killed_after, live, opened

ACCOUNTS = ("a", "b", "c")
EVERY_S = 1.0
"""Between two submissions of one account: half of what its budget would take."""
STARTED_S = 20.0
"""When the trouble begins."""

Script = Callable[[World], Awaitable[None]]


@dataclass(slots=True)
class Life:
    """What is left of a life to be judged."""

    sim: Simulator
    entries: list[Entry] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    statuses: dict[str, AccountStatus] = field(default_factory=dict)
    """Of each account, two seconds after the trouble began."""
    told_ms: int = 0
    """When that was."""

    def arrivals(self, after_s: float, before_s: float) -> list[Arrival]:
        """Requests of every kind that reached the exchange in between."""
        return [a for a in self.sim.ledger.arrivals if after_s < a.loop_s < before_s]

    def silences(self, longer_than_s: float) -> list[tuple[float, float]]:
        """The times in which no request of any kind reached the exchange: from, and how long."""
        times = [arrival.loop_s for arrival in self.sim.ledger.arrivals]
        return [(a, b - a) for a, b in pairwise(times) if b - a > longer_than_s]

    def longest_wait_s(self, account: str) -> float:
        """The longest time in which no borrow or repayment of the account arrived."""
        times = [arrival.loop_s for arrival in attempts(self.sim, account)]
        return max(b - a for a, b in pairwise(times))


def told_to_stop(
    script: Script,
    *,
    lasts_s: float = 600.0,
    kind: str = "BORROW",
    accounts: tuple[str, ...] = ACCOUNTS,
    transport: Callable[[Simulator], Any] = lambda sim: sim.transport,
    **exchange: Any,
) -> Life:
    """Every account submits steadily for `lasts_s`; `script` runs from `STARTED_S` on."""
    sim = Simulator(**{"port": None, **exchange})
    life = Life(sim)

    async def main() -> None:
        async with sim, opened(sim, *accounts, transport=transport(sim)) as world:
            for account in accounts:
                sim.set_debt(account, "USDT", "1000000")
            working = [asyncio.create_task(_steady(world, a, kind, lasts_s)) for a in accounts]
            await asyncio.sleep(STARTED_S)
            await script(world)
            await asyncio.sleep(2)
            life.told_ms = sim.now_ms()
            for account in accounts:
                life.statuses[account] = await world.scheduler.status(account)
            keys = [key for work in working for key in await work]
            life.entries = await final(world, keys)
            life.alarms = world.alarms

    live(sim, main)
    return life


async def _steady(world: World, account: str, kind: str, lasts_s: float) -> list[str]:
    keys: list[str] = []
    while len(keys) * EVERY_S < lasts_s:
        keys.append(next(world.keys))
        await world.scheduler.submit(
            account, kind, "USDT", str(len(keys)), key=keys[-1], send_within=DAY_S
        )
        await asyncio.sleep(EVERY_S)
    return keys


def stopped_then_restarted(
    fault: str, *, is_killed: bool, ahead_s: tuple[float, float] = (0, 0), **exchange: Any
) -> Life:
    """One account is refused; a second later its process ends, and another goes on.

    `ahead_s` is how far the machine's clock is ahead in either process.
    """
    sim, journal = Simulator(**{"port": None, **exchange}), MemoryJournal()
    life = Life(sim)
    is_restarted = False

    async def first() -> None:
        async with opened(sim, *ACCOUNTS, journal=journal) as world:
            keys = await _steady(world, ACCOUNTS[0], "BORROW", 3.0)
            await final(world, keys)
            sim.fail_next(fault, account=ACCOUNTS[0])
            for account in ACCOUNTS:
                await _steady(world, account, "BORROW", 1.0)

    async def main() -> None:
        nonlocal is_restarted
        async with sim:
            if is_killed:
                await killed_after(first(), 6.5)
            else:
                await first()
            is_restarted = True
            left = [entry.key for entry in await journal.unfinished()]
            async with opened(sim, *ACCOUNTS, journal=journal) as world:
                life.told_ms = sim.now_ms()
                for account in ACCOUNTS:
                    life.statuses[account] = await world.scheduler.status(account)
                keys = await _steady(world, ACCOUNTS[0], "BORROW", 3.0)
                life.entries = await final(world, keys)
                await final(world, left)

    live(sim, main, ahead_ms=lambda: ahead_s[is_restarted] * 1_000)
    return life


class Garbled:
    """A way to the exchange on which refusals for weight come as a web page, as from a proxy."""

    def __init__(self, sim: Simulator) -> None:
        self._inner = sim.transport

    async def send(self, request: HttpRequest) -> HttpReply:
        reply = await self._inner.send(request)
        if reply.status not in {418, 429}:
            return reply
        return structs.replace(reply, body=b"<html><body>slow down</body></html>")

    async def aclose(self) -> None:
        await self._inner.aclose()


def fail_next(fault: str | int, **options: Any) -> Script:
    """The next borrow or repayment that fits suffers this."""

    async def script(world: World) -> None:
        world.sim.fail_next(fault, **options)

    return script


def both(*scripts: Script) -> Script:
    """One after the other."""

    async def script(world: World) -> None:
        for each in scripts:
            await each(world)

    return script
