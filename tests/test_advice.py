"""What a caller is told to do after a refusal."""

import asyncio
from decimal import Decimal

import anyio
import pytest

from scheduler import Entry, Rejected, Scheduler, State
from scheduler.simulator import Simulator

from .test_scheduler import running

pytestmark = pytest.mark.anyio


async def refused(scheduler: Scheduler, kind: str, asset: str, amount: str) -> Rejected:
    call = scheduler.borrow if kind == "BORROW" else scheduler.repay
    with pytest.raises(Rejected) as caught:
        await call("main", asset, amount, send_within=5)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "asset", "amount", "code", "said"),
    [
        pytest.param("BORROW", "USDT", "6", -3006, "at most 5 USDT", id="over the maximum"),
        pytest.param("BORROW", "SOL", "1", -3012, "SOL cannot be borrowed", id="banned"),
        pytest.param("BORROW", "USDT", "0.5", -3013, "be borrowed is 1 USDT", id="too little"),
        pytest.param("REPAY", "USDT", "20", -3015, "10.5", id="more than is owed"),
        pytest.param("REPAY", "USDT", "9.5", -3015, "be repaid is 2 USDT", id="leaving dust"),
        pytest.param("REPAY", "USDT", "0.5", -3016, "be repaid is 2 USDT", id="too small"),
        pytest.param("REPAY", "BTC", "3", -3015, "no BTC is owed", id="nothing owed"),
        pytest.param("BORROW", "ETH", "7", -3045, "4 ETH can be lent", id="no inventory"),
    ],
)
async def test_a_refusal_comes_with_the_figures_that_help(
    kind: str, asset: str, amount: str, code: int, said: str
) -> None:
    async with Simulator(port=None, debt_min="0") as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10", interest="0.5")
        sim.set_max_borrowable("main", "USDT", "5")
        sim.set_minimums("USDT", borrow="1", repay="2", debt="2")
        sim.set_banned_asset("SOL")
        sim.set_inventory("ETH", "4")
        refusal = await refused(scheduler, kind, asset, amount)
        assert refusal.code == code
        assert refusal.advice is not None
        assert said in refusal.advice
        assert "looked up at" in refusal.advice
        kept = await scheduler.get(refusal.entry.key)
        assert kept.advice == refusal.advice


async def test_the_end_is_durable_and_told_before_the_advice_is_looked_up() -> None:
    seen: list[tuple[State, bool]] = []

    def note(entry: Entry) -> None:
        if entry.is_final:
            seen.append((entry.state, "looked up" in (entry.advice or "")))

    async with (
        Simulator(port=None, round_trip_ms=(200, 200)) as sim,
        running(sim, on_change=note) as scheduler,
    ):
        sim.set_max_borrowable("main", "USDT", "5")
        await refused(scheduler, "BORROW", "USDT", "6")
    assert seen == [(State.REJECTED, False), (State.REJECTED, True)]


async def test_the_lane_does_not_wait_for_advice() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_max_borrowable("main", "USDT", "5")
        sim.fail_next("late", path="GET /sapi/v1/margin/maxBorrowable")
        borrowing = asyncio.ensure_future(refused(scheduler, "BORROW", "USDT", "6"))
        await anyio.sleep(0.01)
        await scheduler.borrow("main", "BTC", "1", timeout=1)
        refusal = await borrowing
        assert refusal.advice is not None
        assert "looked up" not in refusal.advice


async def test_advice_that_cannot_be_had_soon_holds_nobody_for_more_than_a_second() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_max_borrowable("main", "USDT", "5")
        sim.fail_next("late", path="GET /sapi/v1/margin/maxBorrowable", times=9)
        begun_s = anyio.current_time()
        refusal = await refused(scheduler, "BORROW", "USDT", "6")
        assert anyio.current_time() - begun_s < 1.5
        assert refusal.advice == "ask for no more than the account's maximum borrowable amount"


async def test_another_refusal_costs_no_look() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        sim.set_debt("main", "USDT", "10")
        sim.set_balance("main", "USDT", "1")
        await anyio.sleep(1)
        asked = {a.path for a in sim.ledger.arrivals if a.method == "GET"}  # at the start
        assert (await refused(scheduler, "REPAY", "USDT", "10")).code == -3041
        await anyio.sleep(2)
        looked = {a.path for a in sim.ledger.arrivals if a.method == "GET"} - asked
        assert looked <= {"/api/v3/time"}


async def test_a_refusal_for_a_ban_makes_the_next_pre_check_look() -> None:
    async with Simulator(port=None) as sim, running(sim) as scheduler:
        await scheduler.borrow("main", "SOL", "1", precheck=True)
        sim.set_banned_asset("SOL")
        await refused(scheduler, "BORROW", "SOL", "1")
        with pytest.raises(Rejected) as caught:
            await scheduler.borrow("main", "SOL", "1", precheck=True)
        assert caught.value.entry.attempts == 0
        sim.set_banned_asset("SOL", False)
        await anyio.sleep(6)
        entry = await scheduler.borrow("main", "SOL", "1", precheck=True)
        assert entry.amount == Decimal(1)
