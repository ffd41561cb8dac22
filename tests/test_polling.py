"""Fifty accounts whose debts are polled on one host, while outcomes have to be found out.

`python -m tests.test_polling --minutes 60` polls for longer than every change does.
"""

import argparse
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import pytest

from scheduler import LookFailed, Scheduler, State
from scheduler.simulator import Simulator

from . import virtual_time

pytestmark = pytest.mark.anyio

ACCOUNTS = 50
SHARE = 0.8
LIMIT = 12_000
RECORDS = "/sapi/v1/margin/borrow-repay"
STALE_MAX_MS = 30_000
ANSWER_MAX_MS = 30_000


@dataclass
class Tale:
    """What the polling saw."""

    answers: int = 0
    failures: int = 0
    oldest_ms: int = 0
    slowest_look_s: float = 0.0
    outcomes: list[State] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)
    """The most of any minute, by call that counts by address."""
    refused: int = 0


async def live(minutes: float) -> Tale:
    tale = Tale()
    names = [f"a{number:02}" for number in range(ACCOUNTS)]
    async with Simulator(port=None) as sim:
        accounts = [sim.account(name) for name in names]
        async with Scheduler(accounts, journal="memory:", transport=sim.transport) as scheduler:
            with anyio.move_on_after(minutes * 60):
                async with anyio.create_task_group() as tasks:
                    for name in names:
                        tasks.start_soon(_poll, scheduler, sim, name, tale)
                    tasks.start_soon(_settle, scheduler, names)
                    tasks.start_soon(_lose, scheduler, sim, names, tale)
        arrivals = [a for a in sim.ledger.arrivals if a.budget == "ip"]
        tale.weights = _most_in_a_minute([(a.path, a.loop_s, a.weight) for a in arrivals])
        tale.refused = sum(a.status in {418, 429} for a in sim.ledger.arrivals)
    return tale


async def _poll(scheduler: Scheduler, sim: Simulator, name: str, tale: Tale) -> None:
    number = 0
    while True:
        number += 1
        is_fresh = number % 10 == 0
        try:
            debt = await scheduler.debt(name, "USDT", fresh=is_fresh)
            tale.answers += 1
            tale.oldest_ms = max(tale.oldest_ms, sim.now_ms() - debt.as_of_ms)
        except LookFailed:
            tale.failures += 1
        await anyio.sleep(0.5)


async def _settle(scheduler: Scheduler, names: list[str]) -> None:
    """Looks at records too, as many at once as there are accounts."""
    while True:
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(_settle_one, scheduler, name)
        await anyio.sleep(1)


async def _settle_one(scheduler: Scheduler, name: str) -> None:
    with suppress(LookFailed):
        await scheduler.settle_debt(name, "BTC", within=5, report_only=True)


async def _lose(scheduler: Scheduler, sim: Simulator, names: list[str], tale: Tale) -> None:
    """A borrow whose answer is lost, every other second, on one account after the other."""
    number = 0
    while True:
        name = names[number % len(names)]
        number += 1
        sim.fail_next("lost_after", account=name)
        begun_s = anyio.current_time()
        entry = await scheduler.borrow(name, "BTC", "1")
        tale.outcomes.append(entry.state)
        tale.slowest_look_s = max(tale.slowest_look_s, anyio.current_time() - begun_s)
        await anyio.sleep(2)


def _most_in_a_minute(spent: list[tuple[str, float, int]]) -> dict[str, int]:
    most: dict[str, int] = defaultdict(int)
    by_path: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for path, at_s, weight in spent:
        by_path[path].append((at_s, weight))
    for path, rows in by_path.items():
        first = total = 0
        for at_s, weight in rows:
            total += weight
            while rows[first][0] <= at_s - 60:
                total -= rows[first][1]
                first += 1
            most[path] = max(most[path], total)
    return most


def judge(tale: Tale) -> None:
    assert tale.refused == 0
    assert max(tale.weights.values()) <= SHARE * LIMIT, tale.weights
    assert max(tale.weights.values()) > 0.6 * LIMIT, "there was to be more asked than fits"
    assert set(tale.outcomes) == {State.CONFIRMED}
    assert tale.slowest_look_s < 3
    assert tale.oldest_ms <= STALE_MAX_MS + ANSWER_MAX_MS
    assert tale.failures < tale.answers / 100


async def test_polling_fifty_accounts_leaves_a_fifth_and_starves_no_look() -> None:
    tale = await live(3)
    judge(tale)
    assert len(tale.outcomes) > 30


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.test_polling")
    parser.add_argument("--minutes", type=float, default=60)
    told = virtual_time.run(live(parser.parse_args().minutes))
    judge(told)
    print(
        f"{told.answers} answers, {told.failures} failures, the oldest {told.oldest_ms} ms old; "
        f"{len(told.outcomes)} lost answers, the slowest found after {told.slowest_look_s:.1f} s; "
        f"most weight of a minute: {told.weights}"
    )
