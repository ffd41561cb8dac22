"""What is known of an account's margin, how old it may be, and what asking costs."""

import asyncio
from decimal import Decimal

import anyio
import pytest

from scheduler import (
    Closed,
    InvalidRequest,
    LookFailed,
    Scheduler,
    UnknownAccount,
    UnknownAsset,
)
from scheduler.simulator import Simulator

from .test_scheduler import running

pytestmark = pytest.mark.anyio

CROSS = "/sapi/v1/margin/account"
ISOLATED = "/sapi/v1/margin/isolated/account"
MAXIMUM = "/sapi/v1/margin/maxBorrowable"
RULES = "/sapi/v1/margin/allAssets"


def asked(sim: Simulator, path: str) -> int:
    return sum(a.path == path for a in sim.ledger.arrivals)


# What is said


async def test_a_debt_is_principal_and_interest_with_its_time() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10", interest="0.5")
        before_ms = sim.now_ms()
        debt = await scheduler.debt("main", "USDT")
        assert (debt.principal, debt.interest) == (Decimal(10), Decimal("0.5"))
        assert debt.total == Decimal("10.5")
        assert before_ms - 5 <= debt.as_of_ms <= sim.now_ms()


async def test_the_debt_of_a_pair_is_that_side_of_it() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "BTC", "1")
        sim.set_debt("main", "BTC", "2", symbol="BTCUSDT")
        sim.set_debt("main", "USDT", "3", symbol="BTCUSDT")
        assert (await scheduler.debt("main", "BTC")).total == 1
        assert (await scheduler.debt("main", "BTC", "BTCUSDT")).total == 2
        assert (await scheduler.debt("main", "USDT", "BTCUSDT")).total == 3
        with pytest.raises(LookFailed, match="BTCUSDT has no ETH"):
            await scheduler.debt("main", "ETH", "BTCUSDT")


async def test_all_debts_of_a_place_come_by_one_look_without_what_is_not_owed() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10", interest="0.5")
        sim.set_debt("main", "BTC", "1")
        sim.set_debt("main", "USDT", "3", symbol="BTCUSDT")
        cross, pair = await scheduler.debts("main"), await scheduler.debts("main", "BTCUSDT")
        assert [(debt.asset, debt.total) for debt in cross.debts] == [
            ("BTC", Decimal(1)),
            ("USDT", Decimal("10.5")),
        ]
        assert [(debt.asset, debt.symbol) for debt in pair.debts] == [("USDT", "BTCUSDT")]
        assert {debt.as_of_ms for debt in cross.debts} == {cross.as_of_ms}
        assert (await scheduler.debt("main", "BTC")).as_of_ms == cross.as_of_ms
        assert asked(sim, CROSS) == 1
        sim.set_debt("main", "BTC", "0")
        assert len((await scheduler.debts("main", fresh=True)).debts) == 1
        with pytest.raises(InvalidRequest, match="symbol: "):
            await scheduler.debts("main", "BTC/USDT")
        with pytest.raises(UnknownAccount):
            await scheduler.debts("nobody")


async def test_what_the_exchange_says_is_not_there_is_told_from_a_look_that_failed() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        for look in (
            scheduler.debt("main", "USDT", "NOSUCH"),
            scheduler.debts("main", "NOSUCH"),
            scheduler.max_borrowable("main", "NOSUCH"),
        ):
            with pytest.raises(UnknownAsset, match=r"^asset: .* NOSUCH: "):
                await look


async def test_the_maximum_is_what_credit_and_inventory_allow() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_max_borrowable("main", "BTC", "5")
        found = await scheduler.max_borrowable("main", "BTC")
        assert found.amount == 5
        assert found.limit is not None
        sim.drain("BTC")
        found = await scheduler.max_borrowable("main", "BTC", fresh=True)
        assert (found.amount, found.limit) == (Decimal(0), None)


async def test_an_assets_status_and_inventory() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_minimums("SOL", borrow="1", repay="2")
        sim.set_banned_asset("SOL")
        sim.set_inventory("SOL", "7")
        sim.set_inventory("SOL", "8", isolated=True)
        status = await scheduler.asset_status("SOL")
        assert not status.is_borrowable
        assert (status.min_borrow, status.min_repay) == (Decimal(1), Decimal(2))
        assert (await scheduler.inventory("SOL")).amount == 7
        assert (await scheduler.inventory("SOL", isolated=True)).amount == 8
        with pytest.raises(UnknownAsset):
            await scheduler.asset_status("NOSUCH")


async def test_what_is_asked_wrongly_is_refused_by_name() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        with pytest.raises(InvalidRequest, match="asset: "):
            await scheduler.debt("main", "usdt")
        with pytest.raises(InvalidRequest, match="symbol: "):
            await scheduler.max_borrowable("main", "BTC", "BTC/USDT")
        with pytest.raises(UnknownAccount):
            await scheduler.debt("nobody", "USDT")
        assert asked(sim, CROSS) == 0


# How old it may be


async def test_one_answer_serves_all_assets_for_two_seconds() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await asyncio.gather(*(scheduler.debt("main", asset) for asset in ("USDT", "BTC", "ETH")))
        await anyio.sleep(1.9)
        await scheduler.debt("main", "SOL")
        assert asked(sim, CROSS) == 1
        await anyio.sleep(0.2)
        await scheduler.debt("main", "SOL")
        assert asked(sim, CROSS) == 2


async def test_fresh_is_asked_for_after_the_call_and_shared_by_those_who_call_at_once() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await scheduler.debt("main", "USDT")
        sim.set_debt("main", "USDT", "5")
        assert (await scheduler.debt("main", "USDT")).total == 0
        fresh = await asyncio.gather(
            *(scheduler.debt("main", "USDT", fresh=True) for _ in range(50))
        )
        assert {debt.total for debt in fresh} == {Decimal(5)}
        assert asked(sim, CROSS) == 2


async def test_who_asks_for_fresh_while_a_look_is_out_does_not_get_that_one() -> None:
    async with Simulator(port=None, round_trip_ms=(100, 100)) as sim, running(sim) as scheduler:
        first = asyncio.ensure_future(scheduler.debt("main", "USDT"))
        await anyio.sleep(0.099)
        sim.set_debt("main", "USDT", "5")
        second = asyncio.ensure_future(scheduler.debt("main", "USDT", fresh=True))
        assert (await first).total == 0
        assert (await second).total == 5


async def test_after_a_transaction_of_ours_it_is_asked_anew() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        assert (await scheduler.debt("main", "USDT")).total == 0
        await scheduler.borrow("main", "USDT", "7")
        assert (await scheduler.debt("main", "USDT")).total == 7


async def test_a_look_that_was_out_when_a_transaction_went_through_is_not_kept() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.fail_next("late", path=f"GET {CROSS}")
        borrowing = asyncio.ensure_future(scheduler.borrow("main", "USDT", "7"))
        looking = asyncio.ensure_future(scheduler.debt("main", "USDT"))
        await borrowing
        assert (await scheduler.debt("main", "USDT")).total == 7
        await looking
        assert (await scheduler.debt("main", "USDT")).total == 7


# What it costs


async def test_five_pairs_are_one_question() -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "4", symbol="SOLUSDT")
        debts = await asyncio.gather(*(scheduler.debt("main", "USDT", s) for s in symbols))
        assert [debt.total for debt in debts] == [0, 0, 0, 4, 0, 0]
        assert asked(sim, ISOLATED) == 2


async def test_a_pair_that_does_not_exist_spoils_only_its_own_answer() -> None:
    symbols = ("BTCUSDT", "NOSUCH", "SOLUSDT")
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        found = await asyncio.gather(
            *(scheduler.debt("main", "USDT", s) for s in symbols), return_exceptions=True
        )
        assert [isinstance(f, LookFailed) for f in found] == [False, True, False]


async def test_maxima_stay_inside_their_minute_and_none_is_refused() -> None:
    async with Simulator(port=None, round_trip_ms=(1, 1)) as sim, running(sim) as scheduler:
        for number in range(400):
            await scheduler.max_borrowable("main", "BTC", fresh=number % 2 == 0)
            await anyio.sleep(0.1)
        used = [a for a in sim.ledger.arrivals if a.path == MAXIMUM]
        assert {a.status for a in used} == {200}
        assert max(a.used for a in used if a.used is not None) <= 126_000


# What can go wrong


@pytest.mark.parametrize("fault", ["503_before", "html_200", "truncated", "lost_before"])
async def test_a_look_that_fails_is_one_typed_error_and_the_next_is_made_anew(fault: str) -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.fail_next(fault, path=f"GET {CROSS}")
        with pytest.raises(LookFailed, match="debt of main in USDT: "):
            await scheduler.debt("main", "USDT")
        assert (await scheduler.debt("main", "USDT")).total == 0


async def test_during_a_ban_nobody_waits_for_longer_than_half_a_minute() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.ban(ban_ms=600_000)
        with pytest.raises(LookFailed):
            await scheduler.debt("main", "USDT")
        begun_s = anyio.current_time()
        with pytest.raises(LookFailed, match="no answer within 30 s"):
            await scheduler.debt("main", "USDT")
        assert anyio.current_time() - begun_s < 31


async def test_closing_wakes_whoever_waits_for_an_answer() -> None:
    async with Simulator(port=None, round_trip_ms=(900, 900)) as sim:
        scheduler = Scheduler([sim.account("main")], journal="memory:", transport=sim.transport)
        await scheduler.start()
        looking = asyncio.ensure_future(scheduler.debt("main", "USDT"))
        await anyio.sleep(0.1)
        await scheduler.aclose()
        with pytest.raises(Closed):
            await looking


async def test_whoever_gives_up_leaves_the_answer_to_the_others() -> None:
    async with Simulator(port=None, round_trip_ms=(900, 900)) as sim, running(sim) as scheduler:
        first = asyncio.ensure_future(scheduler.debt("main", "USDT"))
        second = asyncio.ensure_future(scheduler.debt("main", "USDT"))
        await anyio.sleep(0.1)
        first.cancel()
        assert (await second).total == 0
        assert first.cancelled()
        assert asked(sim, CROSS) == 1


async def test_what_holds_for_assets_is_asked_for_twice_a_minute_at_most() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        for _ in range(60):
            await scheduler.asset_status("BTC")
            await anyio.sleep(1)
        assert asked(sim, RULES) <= 3
