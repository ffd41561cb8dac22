"""The traffic of `serve --demo-traffic`: something of everything, and the same each time."""

from collections import Counter

import anyio
import pytest

from scheduler import Scheduler
from scheduler.cli.traffic import (
    ACCOUNTS,
    BURSTY,
    PAUSED,
    PAUSED_REPAYMENTS,
    SHARED,
    TRADERS,
    run_traffic,
)
from scheduler.simulator import Simulator

pytestmark = pytest.mark.anyio


async def seen_in(minutes: float, seed: int) -> Counter[str]:
    async with Simulator(port=None) as sim:
        accounts = [sim.account(name) for name in ("demo", *ACCOUNTS)]
        async with Scheduler(accounts, journal="memory:", transport=sim.transport) as scheduler:
            with anyio.move_on_after(minutes * 60):
                await run_traffic(scheduler, sim, seed)
            entries = await scheduler.list(limit=10**6)
            seen = Counter(f"{entry.account} {entry.state}" for entry in entries)
            seen.update(str(entry.code) for entry in entries if entry.code is not None)
            seen.update(sim.ledger.faults)
            seen.update(
                orders=sum(entry.attempts > 1 for entry in entries if entry.account == BURSTY)
            )
            return seen


async def test_it_has_something_of_everything_but_nothing_of_the_users_account() -> None:
    seen = await seen_in(10, seed=0)
    for account in TRADERS:
        assert seen[f"{account} CONFIRMED"] > 100
        assert seen[f"{account} REJECTED"]
    assert seen["-3006"]
    assert seen["lost_after"]
    assert seen["orders"]
    assert seen[f"{BURSTY} CONFIRMED"] > 100
    assert seen[f"{SHARED} UNRESOLVED"] == 1
    assert seen[f"{PAUSED} QUEUED"] == PAUSED_REPAYMENTS
    assert not [what for what in seen if what.startswith("demo")]


async def test_the_same_seed_is_the_same_traffic() -> None:
    assert await seen_in(2, seed=1) == await seen_in(2, seed=1)
    assert await seen_in(2, seed=1) != await seen_in(2, seed=2)


async def test_it_ends_with_the_scheduler() -> None:
    async with Simulator(port=None) as sim:
        accounts = [sim.account(name) for name in ACCOUNTS]
        scheduler = Scheduler(accounts, journal="memory:", transport=sim.transport)
        await scheduler.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_traffic, scheduler, sim)
            await anyio.sleep(5)
            await scheduler.aclose()
            await anyio.sleep(60)
            tasks.cancel_scope.cancel()
