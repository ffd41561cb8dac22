"""Debts that orders were to repay, seen through to their end.

`python -m tests.test_margin --orders N` lives through more of them than every change does.
"""

import argparse
import asyncio
import random
from collections import Counter

import anyio
import pytest

from scheduler import (
    InvalidRequest,
    LookFailed,
    Scheduler,
    Settlement,
    SettlementOutcome,
    State,
    UnknownAsset,
)
from scheduler.simulator import Simulator

from . import virtual_time

pytestmark = pytest.mark.anyio

CLEAR, REPAID, LEFT, PENDING = SettlementOutcome


async def orders(count: int, failing: int, seed: int = 0) -> tuple[list[Settlement], list[str]]:
    """Orders on two accounts that repay by themselves, some of which fail silently."""
    rng = random.Random(seed)
    fails = [number < failing for number in range(count)]
    rng.shuffle(fails)
    wrong: list[str] = []
    settled: list[Settlement] = []
    async with Simulator(port=None, interest="none") as sim:
        accounts = [sim.account(name) for name in ("a", "b")]
        async with Scheduler(accounts, journal="memory:", transport=sim.transport) as scheduler:
            for number, is_failing in enumerate(fails):
                name = accounts[number % 2].name
                booked = len(sim.ledger.booked())
                sim.set_debt(name, "USDT", "100")
                sim.order(
                    name,
                    "USDT",
                    "100",
                    "auto_repay",
                    occupies_ms=rng.choice((100, 500, 5_000)),
                    fails_silently=is_failing,
                )
                settlement = await scheduler.settle_debt(name, "USDT")
                settled.append(settlement)
                if sim.ledger.debt(name, "USDT"):
                    wrong.append(f"{number}: {sim.ledger.debt(name, 'USDT')} is owed")
                if len(sim.ledger.booked()) != booked + 1:
                    wrong.append(f"{number}: repaid {len(sim.ledger.booked()) - booked} times")
                expected = REPAID if is_failing else CLEAR
                if settlement.outcome is not expected:
                    wrong.append(f"{number}: {settlement.outcome} instead of {expected}")
                await anyio.sleep(6)
    return settled, wrong


async def test_of_a_hundred_orders_the_thirty_that_fail_silently_are_repaid_once() -> None:
    settled, wrong = await orders(100, 30)
    assert wrong == []
    assert Counter(s.outcome for s in settled) == {CLEAR: 70, REPAID: 30}
    assert all(not s.debt.total for s in settled)


async def test_a_debt_that_stayed_is_reported_where_that_is_all_that_is_wanted() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.order("main", "USDT", "100", "auto_repay", fails_silently=True)
        settlement = await scheduler.settle_debt("main", "USDT", report_only=True)
        assert (settlement.outcome, settlement.keys) == (LEFT, ())
        assert settlement.debt.total == 100
        assert sim.ledger.booked() == []


async def test_an_order_that_takes_five_seconds_is_not_reported_as_failed() -> None:
    async with (
        Simulator(port=None, processing_ms=4_900) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.order("main", "USDT", "100", "auto_repay")
        settlement = await scheduler.settle_debt("main", "USDT", report_only=True)
        assert settlement.outcome is CLEAR


async def test_whoever_settles_the_same_debt_at_once_shares_one_repayment() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        settled = await asyncio.gather(*(scheduler.settle_debt("main", "USDT") for _ in range(20)))
        assert {s.outcome for s in settled} == {REPAID}
        assert len({s.keys for s in settled}) == 1
        assert len(sim.ledger.booked()) == 1


async def test_a_repayment_that_is_queued_already_is_waited_for() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        await scheduler.pause("main")
        entry = await scheduler.submit("main", "REPAY", "USDT", "100")
        settling = asyncio.ensure_future(scheduler.settle_debt("main", "USDT"))
        await anyio.sleep(10)
        await scheduler.resume("main")
        settlement = await settling
        assert (settlement.outcome, settlement.keys) == (CLEAR, ())
        assert (await scheduler.get(entry.key)).state is State.CONFIRMED


async def test_while_a_record_is_pending_nothing_is_repaid() -> None:
    async with (
        Simulator(port=None, record_lag_ms=(0, 0), pending_ms=(9_000, 9_000)) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.order("main", "USDT", "60", "auto_repay")
        await anyio.sleep(0.2)
        early = await scheduler.settle_debt("main", "USDT", within=5)
        assert (early.outcome, early.keys) == (PENDING, ())
        assert early.debt.total == 40
        later = await scheduler.settle_debt("main", "USDT")
        assert later.outcome is REPAID
        assert len(sim.ledger.booked()) == 2


async def test_an_order_that_takes_long_is_waited_for_and_not_repaid_beside() -> None:
    async with (
        Simulator(port=None, processing_ms=30_000) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.order("main", "USDT", "100", "auto_repay")
        settlement = await scheduler.settle_debt("main", "USDT", within=10)
        assert settlement.outcome is PENDING
        await anyio.sleep(30)
        assert (await scheduler.settle_debt("main", "USDT")).outcome is CLEAR
        assert len(sim.ledger.booked()) == 1


async def test_what_cannot_be_repaid_stays_and_is_said_to() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "USDT", "100")
        sim.set_balance("main", "USDT", "1")
        settlement = await scheduler.settle_debt("main", "USDT")
        assert settlement.outcome is LEFT
        assert settlement.debt.total == 100
        assert (await scheduler.get(settlement.keys[0])).code == -3041


async def test_the_debt_of_a_pair_is_another() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.set_debt("main", "BTC", "1")
        sim.set_debt("main", "BTC", "2", symbol="BTCUSDT")
        settlement = await scheduler.settle_debt("main", "BTC", "BTCUSDT")
        assert settlement.outcome is REPAID
        assert sim.ledger.debt("main", "BTC") == 1
        assert sim.ledger.debt("main", "BTC", "BTCUSDT") == 0


async def test_a_debt_that_cannot_be_looked_at_is_an_error_once_the_time_is_over() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        sim.read_fault_rates = {"503_before": 1.0}
        with pytest.raises(LookFailed, match="debt of main in USDT: HTTP 503"):
            await scheduler.settle_debt("main", "USDT", within=5)


async def test_a_pair_that_is_not_there_is_an_error_at_once() -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        begun_s = anyio.current_time()
        for asset, symbol in (("USDT", "NOSUCH"), ("ETH", "BTCUSDT")):
            with pytest.raises(UnknownAsset):
                await scheduler.settle_debt("main", asset, symbol)
        assert anyio.current_time() - begun_s < 2


@pytest.mark.parametrize("within", [0, -1, 3_601, float("nan"), True, "60", None])
async def test_within_is_up_to_an_hour(within: object) -> None:
    async with (
        Simulator(port=None) as sim,
        Scheduler([sim.account("main")], journal="memory:", transport=sim.transport) as scheduler,
    ):
        with pytest.raises(InvalidRequest, match="within: must be over 0") as caught:
            await scheduler.settle_debt("main", "USDT", within=within)  # type: ignore[arg-type]
        assert caught.value.code == "within_invalid"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.test_margin")
    parser.add_argument("--orders", type=int, default=2_000)
    asked = parser.parse_args().orders
    lived, found = virtual_time.run(orders(asked, asked * 3 // 10))
    print(f"{asked} orders: {dict(Counter(s.outcome.value for s in lived))}, wrong: {found}")
