"""What happens while the exchange is being worked on."""

import asyncio

import anyio
import pytest

from scheduler import State
from scheduler.simulator import Simulator

from .test_scheduler import loans, running

pytestmark = pytest.mark.anyio

STATUS = "/sapi/v1/system/status"


def asked(sim: Simulator) -> int:
    return sum(a.path == STATUS for a in sim.ledger.arrivals)


async def test_maintenance_pauses_every_account_says_so_and_goes_on_by_itself() -> None:
    async with Simulator(port=None) as sim, running(sim, ("main", "other")) as scheduler:
        sim.set_maintenance(True)
        first = await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        waiting = [
            asyncio.ensure_future(scheduler.borrow(name, "BTC", "1")) for name in ("main", "other")
        ]
        await anyio.sleep(60)
        assert loans(sim) == 1
        for name in ("main", "other"):
            status = await scheduler.status(name)
            assert "maintenance" in {hold.cause for hold in status.holds}
            assert "maintenance" in {alarm.cause for alarm in status.alarms}
        sim.set_maintenance(False)
        await asyncio.gather(*waiting)
        assert (await scheduler.wait(first.key)).state is State.NOT_EXECUTED
        status = await scheduler.status("main")
        assert "maintenance" not in {hold.cause for hold in status.holds}
        assert asked(sim) <= 8


async def test_an_account_that_is_started_during_maintenance_is_paused_too() -> None:
    async with Simulator(port=None) as sim, running(sim, ("main", "other")) as scheduler:
        sim.set_maintenance(True)
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        await scheduler.submit("other", "BORROW", "USDT", "1")
        await anyio.sleep(5)
        assert loans(sim) == 1


async def test_nobody_is_asked_without_a_reason() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await scheduler.borrow("main", "USDT", "1")
        await anyio.sleep(3_600)
        assert asked(sim) == 0


async def test_while_borrows_are_checked_beforehand_it_is_asked_each_minute_or_so() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await scheduler.borrow("main", "USDT", "1", precheck=True)
        await anyio.sleep(600)
        assert 9 <= asked(sim) <= 13
        await anyio.sleep(3_600)
        assert asked(sim) <= 14


async def test_a_maintenance_that_is_seen_in_time_costs_not_one_unknown_outcome() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await scheduler.borrow("main", "USDT", "1", precheck=True)
        sim.set_maintenance(True)
        await anyio.sleep(70)
        entry = await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(30)
        assert (await scheduler.get(entry.key)).state is State.QUEUED
        sim.set_maintenance(False)
        assert (await scheduler.wait(entry.key)).state is State.CONFIRMED
        assert sim.ledger.refusals() == {}


async def test_one_failure_of_the_exchange_is_no_maintenance() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.fail_next("503_before")
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        assert asked(sim) == 1
        await scheduler.borrow("main", "BTC", "1", timeout=10)
        assert asked(sim) == 1


async def test_where_the_exchange_no_longer_says_anything_sending_goes_on_after_a_while() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_maintenance(True)
        await scheduler.submit("main", "BORROW", "USDT", "1")
        await anyio.sleep(1)
        sim.set_maintenance(False)
        sim.fail_next("503_before", path=f"GET {STATUS}", times=1_000)
        entry = await scheduler.submit("main", "BORROW", "BTC", "1", send_within=3_600)
        await anyio.sleep(240)
        assert (await scheduler.get(entry.key)).state is State.QUEUED
        await anyio.sleep(120)
        assert (await scheduler.get(entry.key)).state is State.CONFIRMED
