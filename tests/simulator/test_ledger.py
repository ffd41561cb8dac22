"""The judge: its sums are right, and it sees what the API hides."""

import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest

from scheduler.simulator import Simulator, Transaction
from scheduler.simulator.debts import Debts
from scheduler.simulator.ledger import Ledger

from .client import Client

pytestmark = pytest.mark.anyio


def transaction(tran_id: int, start_s: float, end_s: float, account: str = "main") -> Transaction:
    return Transaction(
        tran_id=tran_id,
        account=account,
        kind="BORROW",
        asset="USDT",
        symbol=None,
        amount=Decimal(1),
        origin="request",
        arrived_ms=0,
        started_ms=0,
        finished_ms=0,
        started_s=start_s,
        finished_s=end_s,
        processing_ms=(end_s - start_s) * 1_000,
    )


def ledger(arrivals_max: int = 100) -> Ledger:
    simulator = Simulator(port=None)
    debts: Debts = simulator.ledger._debts
    return Ledger(debts, arrivals_max)


def arrive(book: Ledger, loop_s: float, **more: Any) -> None:
    arrival = book.add_arrival(
        at_ms=0,
        loop_s=loop_s,
        account="main",
        address="127.0.0.1",
        method="POST",
        path="/sapi/v1/margin/borrow-repay",
        **more,
    )
    arrival.budget, arrival.weight = "uid", 1_500


@pytest.mark.parametrize(
    ("times_s", "most"),
    [
        ([], 0),
        ([0, 59.999], 3_000),
        ([0, 60], 1_500),
        ([0, 30, 61, 62], 4_500),
        ([0, 1, 2, 100], 4_500),
    ],
)
def test_the_most_weight_in_any_minute(times_s: list[float], most: int) -> None:
    book = ledger()
    for time_s in times_s:
        arrive(book, time_s)
    assert book.most_weight_in_a_minute("main") == most
    assert book.most_weight_in_a_minute("other") == 0


def test_overlaps_are_found_within_an_account_only() -> None:
    book = ledger()
    for row in (
        transaction(1, 0, 0.1),
        transaction(2, 0.1, 0.2),
        transaction(3, 0.15, 0.3),
        transaction(4, 0, 1, "other"),
    ):
        book.add(row)
    assert [(a.tran_id, b.tran_id) for a, b in book.overlaps()] == [(2, 3)]
    assert book.overlaps("other") == []


def test_a_transaction_settles_once() -> None:
    book = ledger()
    book.add(transaction(1, 0, 1))
    book.settle(transaction(1, 0, 1))
    found = book.find(1)
    assert found is not None
    assert book.find(2) is None


def test_old_arrivals_go_when_there_are_too_many() -> None:
    book = ledger(arrivals_max=10)
    for time_s in range(25):
        arrive(book, time_s)
    assert len(book.arrivals) <= 10
    assert book.arrivals[-1].number == 25
    assert book.statistics()["arrivals"] == 25


async def test_arrivals_tell_what_was_asked_and_what_went_back(
    sim: Simulator, client: Client
) -> None:
    tran_id = (await client.borrow()).tran_id
    await client.borrow("NOPE")
    sim.fail_next("lost_after")
    await asyncio.gather(client.borrow(), return_exceptions=True)
    first, second, third = sim.ledger.arrivals
    assert (first.number, first.status, first.code, first.tran_id) == (1, 200, None, tran_id)
    assert (first.account, first.weight, first.used) == ("main", 1_500, 1_500)
    assert first.request_timestamp_ms == sim.options.epoch_ms
    assert (second.status, second.code, second.tran_id) == (400, -3027, None)
    assert (third.status, third.code, third.fault) == (None, None, "lost_after")
    assert third.tran_id == sim.ledger.booked()[-1].tran_id


async def test_a_transaction_knows_the_request_behind_it(sim: Simulator, client: Client) -> None:
    await client.borrow(recvWindow="7000")
    [booked] = sim.ledger.booked()
    assert booked.request_timestamp_ms == sim.options.epoch_ms
    assert booked.recv_window_ms == 7_000
    assert booked.arrival == sim.ledger.arrivals[0].number
    assert booked.arrived_ms == sim.ledger.arrivals[0].at_ms


async def test_processing_time_is_that_of_requests(sim: Simulator, client: Client) -> None:
    sim.order("main", "USDT", "1")
    await asyncio.sleep(1)
    for _ in range(3):
        await client.borrow()
    drawn = sum(t.processing_ms for t in sim.ledger.booked()[1:])
    assert sim.ledger.processing_ms("main") == drawn
    assert sim.ledger.processing_ms("other") == 0


async def test_refusals_are_counted_by_code(sim: Simulator, client: Client) -> None:
    await client.borrow("NOPE")
    await client.borrow("NOPE")
    await client.repay()
    assert sim.ledger.refusals() == {-3027: 2, -3015: 1}
    assert sim.ledger.refusals("other") == {}


async def test_statistics_are_plain_json(sim: Simulator, client: Client) -> None:
    sim.fail_next("failed_record")
    await client.borrow()
    await client.borrow("USDT", "2.5")
    await client.borrow("BTC", "1", symbol="BTCUSDT")
    await client.borrow("NOPE")
    told = orjson.loads(orjson.dumps(sim.statistics()))
    assert told["transactions"] == 3
    assert told["booked"] == 2
    assert told["failed"] == 1
    assert told["refusals"] == {"-3027": 1}
    assert told["faults"] == {"failed_record": 1}
    assert told["overlaps"] == 0
    assert told["accounts"]["main"]["debts"] == {"USDT": "2.5", "BTC:BTCUSDT": "1"}
