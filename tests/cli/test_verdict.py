"""The demo's judge: it counts what the ledger holds, and believes no client."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from scheduler.cli.demo import naive
from scheduler.cli.demo.burst import OWED, Burst, Order, make_burst
from scheduler.cli.demo.progress import Progress
from scheduler.cli.demo.stage import Venue
from scheduler.cli.demo.told import Told
from scheduler.cli.demo.verdict import Verdict, judge
from scheduler.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

BURST = make_burst(seed=1, accounts=1, requests=3)
ORDERS = BURST.orders["account-1"]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    now_ms = time.time_ns() // 1_000_000
    async with Simulator(processing_ms=5, interest="none", epoch_ms=now_ms) as simulator:
        yield simulator


def furnish(sim: Simulator, burst: Burst) -> Venue:
    accounts = {name: sim.account(name) for name in burst.accounts}
    for name in accounts:
        for asset, amount in OWED.items():
            sim.set_debt(name, asset, amount)
    return Venue(sim.base_url, accounts)


async def book(sim: Simulator, orders: list[Order]) -> list[int]:
    """Carried out at the exchange, one after the other."""
    ids = []
    for order in orders:
        booked = sim.foreign(order.account, order.kind, order.asset, order.amount)
        assert booked is not None
        ids.append(booked.tran_id)
        await asyncio.sleep(0.01)
    return ids


async def judged(sim: Simulator, venue: Venue, told: list[Told]) -> Verdict:
    progress = Progress("somebody", BURST)
    progress.start()
    for order, answer in zip(ORDERS, told, strict=True):
        progress.move(order.account, str(order), answer.stage)
    return await judge(venue, BURST, dict(zip(ORDERS, told, strict=True)), progress)


async def test_each_once_under_the_id_that_was_told_is_right(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    told = [Told(tran_id) for tran_id in await book(sim, ORDERS)]
    verdict = await judged(sim, venue, told)
    assert verdict.problems == ()
    assert (verdict.confirmed, verdict.booked, verdict.repeated, verdict.unknown) == (3, 3, 0, 0)


async def test_what_was_booked_twice_is_found(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    *ids, again = await book(sim, [*ORDERS, ORDERS[0]])
    verdict = await judged(sim, venue, [Told(tran_id) for tran_id in ids])
    assert (verdict.repeated, verdict.unknown) == (1, 1)
    assert f"booked [{ids[0]}, {again}]" in verdict.problems[0]
    assert "should owe" in verdict.problems[1]


async def test_what_was_never_booked_is_found(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    ids = await book(sim, ORDERS[:2])
    verdict = await judged(sim, venue, [*(Told(tran_id) for tran_id in ids), Told(77)])
    assert "told 77, booked []" in verdict.problems[0]
    assert verdict.confirmed == 3, "as the client has it"


async def test_a_refusal_of_what_was_booked_is_found(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    *ids, last = await book(sim, ORDERS)
    verdict = await judged(sim, venue, [*(Told(tran_id) for tran_id in ids), Told(code=-1007)])
    assert verdict.refused == {"-1007": 1}
    assert verdict.unknown == 1
    assert [f"told -1007, booked [{last}]" in problem for problem in verdict.problems] == [True]


async def test_no_answer_is_counted_and_found(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    ids = await book(sim, ORDERS[:2])
    verdict = await judged(sim, venue, [*(Told(tran_id) for tran_id in ids), Told()])
    assert verdict.unanswered == 1
    assert "told nothing, booked []" in verdict.problems[0]


async def test_what_nobody_asked_for_is_found(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    strange = replace(ORDERS[0], amount=Decimal("0.5"))
    *ids, _ = await book(sim, [*ORDERS, strange])
    verdict = await judged(sim, venue, [Told(tran_id) for tran_id in ids])
    assert verdict.problems[0].startswith("nobody asked for")
    assert (verdict.booked, verdict.unknown) == (4, 1)


async def test_a_debt_that_does_not_agree_is_found(sim: Simulator) -> None:
    venue = furnish(sim, BURST)
    told = [Told(tran_id) for tran_id in await book(sim, ORDERS)]
    sim.set_debt("account-1", ORDERS[0].asset, "5")
    verdict = await judged(sim, venue, told)
    assert len(verdict.problems) == 1
    assert verdict.problems[0].endswith(f"{ORDERS[0].asset} and owes 5")


async def test_what_the_naive_client_did_is_what_the_exchange_saw(sim: Simulator) -> None:
    burst = make_burst(seed=1, accounts=2, requests=10)
    venue = furnish(sim, burst)
    sim.fail_next("lost_after", account="account-1")
    progress = Progress("naive client", burst)
    told = await naive.run(venue, burst, progress, again=0)
    verdict = await judge(venue, burst, told, progress)

    ledger = sim.ledger
    calls = [arrival for arrival in ledger.arrivals if arrival.method == "POST"]
    assert verdict.sent == len(calls) == 21
    assert verdict.busy == ledger.refusals()[-3007] == verdict.refused["-3007"]
    assert verdict.booked == len(ledger.booked()) == verdict.confirmed + 1
    assert (verdict.repeated, verdict.unknown) == (1, 1)
    assert verdict.weight == sum(arrival.weight for arrival in calls)
    assert verdict.lanes["account-1"].ideal_s == pytest.approx(
        ledger.processing_ms("account-1") / 1000, abs=1e-6
    )
    assert set(told.values()) >= {Told(booked.tran_id) for booked in ledger.booked("account-2")}
