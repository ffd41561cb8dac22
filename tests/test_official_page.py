"""The advice on the official page of the borrow/repay call, done for the caller, over real HTTP.

One test for each paragraph of its list of errors, named after it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise

import pytest

from scheduler import Limits, Rejected, Scheduler, SettlementOutcome, State

from .exchange_process import ExchangeProcess, exchange_process

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

FAST = Limits(min_gap_ms=5)


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    """One for all paragraphs; each uses an asset of its own."""
    with exchange_process("--processing-ms", "5", accounts=("main", "other")) as running:
        yield running


@asynccontextmanager
async def serving(exchange: ExchangeProcess) -> AsyncIterator[Scheduler]:
    async with Scheduler(
        exchange.accounts.values(), base_url=exchange.base_url, journal="memory:", limits=FAST
    ) as scheduler:
        yield scheduler


async def test_insufficient_inventory_below_the_requested_amount(exchange: ExchangeProcess) -> None:
    """It waits with that asset alone, goes once there is enough, and takes less if told to."""
    exchange.control("set_inventory", asset="ADA", amount="10")
    async with serving(exchange) as scheduler:
        borrowing = asyncio.ensure_future(scheduler.borrow("main", "ADA", "50"))
        await scheduler.borrow("main", "LTC", "1", timeout=5)
        assert (await scheduler.inventory("ADA")).amount == 10
        less = await scheduler.borrow("other", "ADA", "20", at_most=True, timeout=5)
        assert less.amount == 10
        assert any("lowered from 20 to 10" in e.detail for e in less.evidence)
        exchange.control("refill", asset="ADA", amount="100")
        assert (await borrowing).state is State.CONFIRMED


async def test_insufficient_inventory_critically_low(exchange: ExchangeProcess) -> None:
    """With nothing to lend at all, whatever is asked: the caller is told what there is."""
    exchange.control("drain", asset="DOGE")
    async with serving(exchange) as scheduler:
        with pytest.raises(Rejected) as refused:
            await scheduler.borrow("main", "DOGE", "0.001", send_within=2)
        assert refused.value.code == -3045
        assert "0 DOGE can be lent" in (refused.value.advice or "")
        with pytest.raises(Rejected) as nothing:
            await scheduler.borrow("main", "DOGE", "max")
        assert (nothing.value.name, nothing.value.entry.attempts) == ("NOTHING_BORROWABLE", 0)


async def test_exceed_max_borrowable(exchange: ExchangeProcess) -> None:
    """The maximum comes with the refusal, or is what is asked for."""
    exchange.control("set_max_borrowable", account="main", asset="ETH", amount="2.5")
    async with serving(exchange) as scheduler:
        with pytest.raises(Rejected) as refused:
            await scheduler.borrow("main", "ETH", "3")
        assert refused.value.code == -3006
        assert "at most 2.5 ETH" in (refused.value.advice or "")
        assert (await scheduler.max_borrowable("main", "ETH")).amount == Decimal("2.5")
        assert (await scheduler.borrow("main", "ETH", "max")).amount == Decimal("2.5")


async def test_repay_exceed_liability(exchange: ExchangeProcess) -> None:
    """The debt comes with the refusal, or all of it is repaid without knowing it."""
    exchange.control("set_debt", account="main", asset="BNB", amount="10", interest="0.5")
    async with serving(exchange) as scheduler:
        with pytest.raises(Rejected) as refused:
            await scheduler.repay("main", "BNB", "11")
        assert (refused.value.code, refused.value.name) == (-3015, "REPAY_EXCEED_LIABILITY")
        assert "10.50000000 BNB is owed" in (refused.value.advice or "")
        entry = await scheduler.repay("main", "BNB", "all", priority="urgent")
        assert entry.amount == Decimal("10.5")
        assert (await scheduler.debt("main", "BNB")).total == 0


async def test_asset_admin_ban_borrow(exchange: ExchangeProcess) -> None:
    """The ban is told with the refusal, and before it costs anything if that is wanted."""
    exchange.control("set_banned_asset", asset="SOL")
    async with serving(exchange) as scheduler:
        with pytest.raises(Rejected) as refused:
            await scheduler.borrow("main", "SOL", "1")
        assert refused.value.code == -3012
        assert "SOL cannot be borrowed" in (refused.value.advice or "")
        with pytest.raises(Rejected) as checked:
            await scheduler.borrow("main", "SOL", "1", precheck=True)
        assert (checked.value.code, checked.value.entry.attempts) == (-3012, 0)
        assert "pre-check" in (checked.value.message or "")
        assert not (await scheduler.asset_status("SOL")).is_borrowable


async def test_few_liability_left(exchange: ExchangeProcess) -> None:
    """All of it is repaid whatever would be left, and at most an amount leaves the minimum."""
    exchange.control("set_minimums", asset="XRP", repay="1", debt="1")
    exchange.control("set_debt", account="main", asset="XRP", amount="10")
    async with serving(exchange) as scheduler:
        with pytest.raises(Rejected) as refused:
            await scheduler.repay("main", "XRP", "9.5")
        assert (refused.value.code, refused.value.name) == (-3015, "FEW_LIABILITY_LEFT")
        assert "be repaid is 1 XRP" in (refused.value.advice or "")
        assert (await scheduler.repay("main", "XRP", "9.5", at_most=True)).amount == 9
        assert (await scheduler.repay("main", "XRP", "all", priority="urgent")).amount == 1


async def test_has_pending_transaction_concurrent_transactions(exchange: ExchangeProcess) -> None:
    """Requests for different assets at once are sent one after the other."""
    before = exchange.statistics()["refusals"].get("-3007", 0)
    async with serving(exchange) as scheduler:
        entries = await asyncio.gather(
            *(scheduler.borrow("main", asset, "1") for asset in ("BTC", "USDC", "LTC") * 5)
        )
    assert {entry.attempts for entry in entries} == {1}
    assert exchange.statistics()["refusals"].get("-3007", 0) == before


async def test_has_pending_transaction_processing_time(exchange: ExchangeProcess) -> None:
    """Starts are 100 ms apart unless that is set otherwise, and what is under way is waited out."""
    async with Scheduler(
        exchange.accounts.values(), base_url=exchange.base_url, journal="memory:"
    ) as scheduler:
        exchange.control("order", account="main", asset="BTC", amount="1", occupies_ms=300)
        entries = await asyncio.gather(*(scheduler.borrow("main", "USDC", "1") for _ in range(4)))
        starts = [entry.sent_at_ms or 0 for entry in entries]
        assert entries[0].attempts > 1
        assert all(later - earlier >= 99 for earlier, later in pairwise(starts))


async def test_has_pending_transaction_auto_repayment(exchange: ExchangeProcess) -> None:
    """An auto-repay order that failed without a word is found out, and its debt repaid."""
    exchange.control("set_debt", account="main", asset="FDUSD", amount="10")
    order = {"account": "main", "asset": "FDUSD", "amount": "10", "kind": "auto_repay"}
    async with serving(exchange) as scheduler:
        exchange.control("order", **order, fails_silently=True, occupies_ms=200)
        reported = await scheduler.settle_debt("main", "FDUSD", within=1, report_only=True)
        assert (reported.outcome, reported.keys) == (SettlementOutcome.LEFT, ())
        settled = await scheduler.settle_debt("main", "FDUSD", within=10)
        assert settled.outcome is SettlementOutcome.REPAID
        assert settled.debt.total == 0
        assert (await scheduler.settle_debt("main", "FDUSD")).outcome is SettlementOutcome.CLEAR
