"""Each fault: what the caller sees, and what really happened."""

import asyncio
from collections.abc import Awaitable

import pytest

from scheduler.simulator import Fault, Simulator
from scheduler.simulator.faults import read_fault
from scheduler.wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost
from tests.virtual_time import run

from .client import LOANS, Client

pytestmark = pytest.mark.anyio

LOST, FAILED = "reply lost", "connect failed"

# What the caller sees, and whether the loan is booked in the end.
FAULTS: list[tuple[str | int, str | int, bool]] = [
    ("never_left", FAILED, False),
    ("lost_before", LOST, False),
    ("lost_after", LOST, True),
    ("lost_during", LOST, True),
    ("503_before", 503, False),
    ("503_after", 503, True),
    ("503_during", 503, True),
    ("1007_before", 504, False),
    ("1007_after", 504, True),
    ("429", 429, False),
    ("418", 418, False),
    ("403", 403, False),
    ("redirect", 302, False),
    ("html_200", 200, True),
    ("empty_200", 200, True),
    ("truncated", LOST, True),
    ("oversized", 200, True),
    ("text_tran_id", 200, True),
    ("null_tran_id", 200, True),
    ("float_tran_id", 200, True),
    ("no_tran_id", 200, True),
    ("late", 200, True),
    ("duplicated", 200, True),
    ("slow", 200, True),
    ("failed_record", 200, False),
    ("lost_failed", LOST, False),
    ("pending_record", 200, True),
    ("hidden_record", 200, True),
    ("last_moment", LOST, True),
    (-3045, 400, False),
    (-1003, 429, False),
    (-1001, 503, False),
    (-1007, 504, False),
    (-2015, 401, False),
    (-9999, 400, False),
]


async def see(sending: Awaitable[HttpReply]) -> str | int:
    try:
        return (await sending).status
    except ConnectFailed:
        return FAILED
    except ReplyLost:
        return LOST


@pytest.mark.parametrize(("fault", "seen", "is_booked"), FAULTS)
async def test_a_fault_shows_as_and_ends_as(
    sim: Simulator, client: Client, fault: str | int, seen: str | int, is_booked: bool
) -> None:
    sim.fail_next(fault)
    assert await see(sim.transport.send(client.loan("BORROW", "USDT", "10"))) == seen
    await asyncio.sleep(60)
    assert len(sim.ledger.booked()) == is_booked
    assert sim.ledger.debt("main", "USDT") == (10 if is_booked else 0)
    assert sim.ledger.faults == {str(fault): 1}


def test_every_fault_but_three_of_their_own_kind_is_in_the_table_above() -> None:
    assert {f for f, _, _ in FAULTS if isinstance(f, str)} == set(Fault) - {
        Fault.LATE_EXECUTION,
        Fault.RESET_LOOK,
        Fault.STALE_LOOK,
    }


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ("text_tran_id", b'{"tranId":"'),
        ("null_tran_id", b'{"tranId":null'),
        ("float_tran_id", b'{"tranId":1e'),
        ("no_tran_id", b"{}"),
        ("html_200", b"<html>"),
        ("empty_200", b""),
    ],
)
async def test_an_unreadable_200(sim: Simulator, client: Client, fault: str, body: bytes) -> None:
    sim.fail_next(fault)
    reply = await sim.transport.send(client.loan("BORROW", "USDT", "10"))
    assert reply.body.startswith(body)


async def test_an_oversized_reply_is_over_1_mib(sim: Simulator, client: Client) -> None:
    sim.fail_next("oversized")
    reply = await sim.transport.send(client.loan("BORROW", "USDT", "10"))
    assert len(reply.body) > 1 << 20


async def test_an_answer_given_during_processing_comes_before_the_booking(
    sim: Simulator, client: Client
) -> None:
    for fault in ("lost_during", "503_during"):
        sim.fail_next(fault)
        await see(sim.transport.send(client.loan("BORROW", "USDT", "10")))
        booked = len(sim.ledger.booked())
        assert (await client.borrow()).code == -3007
        await asyncio.sleep(0.2)
        assert len(sim.ledger.booked()) == booked + 1


async def test_a_late_reply_comes_12_s_later(sim: Simulator, client: Client) -> None:
    loop = asyncio.get_running_loop()
    sim.fail_next("late")
    assert (await client.borrow()).status == 200
    assert loop.time() > 12
    assert sim.ledger.booked()[0].finished_s < 1


async def test_a_client_gives_up_after_its_timeout_and_the_loan_goes_on() -> None:
    async with Simulator(port=None, timeout_s=0.05) as sim:
        client = Client(sim)
        assert await see(sim.transport.send(client.loan("BORROW", "USDT", "10"))) == LOST
        assert sim.ledger.transactions[0].status == "PENDING"
        await asyncio.sleep(0.2)
        assert sim.ledger.debt("main", "USDT") == 10


async def test_recv_window_decides_over_a_request_that_was_held_up() -> None:
    outcomes = set()
    async with Simulator(port=None, late_execution_ms=(0, 10_000)) as sim:
        client = Client(sim)
        for _ in range(30):
            sim.fail_next("late_execution")
            await see(sim.transport.send(client.loan("BORROW", "USDT", "10", recvWindow="5000")))
            await asyncio.sleep(100)
        late = [a for a in sim.ledger.arrivals if a.fault == "late_execution"]
        assert len(late) == 30
        for arrival in late:
            assert arrival.request_timestamp_ms is not None
            age_ms = arrival.at_ms - arrival.request_timestamp_ms
            assert (arrival.tran_id is not None) == (age_ms <= 5_000)
            outcomes.add((arrival.tran_id is not None, 4_900 < age_ms < 5_100))
    # Executed and refused, near the end of the window and far from it.
    assert outcomes == {(True, True), (True, False), (False, True), (False, False)}


async def test_last_moment_stretches_every_bound_and_breaks_none() -> None:
    async with Simulator(port=None) as sim:
        client = Client(sim)
        sim.fail_next("last_moment")
        await see(sim.transport.send(client.loan("BORROW", "USDT", "10")))
        await asyncio.sleep(60)
        [transaction] = sim.ledger.booked()
        assert transaction.request_timestamp_ms is not None
        assert 4_900 <= transaction.arrived_ms - transaction.request_timestamp_ms <= 5_000
        assert transaction.processing_ms == 9_900


async def test_a_failed_record_says_so_and_the_stock_is_back(
    sim: Simulator, client: Client
) -> None:
    sim.set_inventory("BTC", "1")
    sim.fail_next("failed_record")
    tran_id = (await client.borrow("BTC", "1")).tran_id
    await asyncio.sleep(1)
    [row] = await client.records()
    assert (row["txId"], row["status"]) == (tran_id, "FAILED")
    assert (await client.borrow("BTC", "1")).status == 200


async def test_a_pending_record_stays_pending_for_long(sim: Simulator, client: Client) -> None:
    sim.fail_next("pending_record")
    await client.borrow()
    await asyncio.sleep(29)
    [row] = await client.records()
    assert row["status"] == "PENDING"
    await asyncio.sleep(32)
    [row] = await client.records()
    assert row["status"] == "CONFIRMED"


async def test_a_hidden_record_shows_late(sim: Simulator, client: Client) -> None:
    sim.fail_next("hidden_record")
    await client.borrow()
    await asyncio.sleep(4)
    assert await client.records() == []
    await asyncio.sleep(12)
    assert len(await client.records()) == 1


async def test_a_reset_look_hits_the_next_query_for_records_and_nothing_before_it(
    sim: Simulator, client: Client
) -> None:
    sim.fail_next("reset_look")
    assert (await client.borrow()).status == 200
    assert (await client.get("/api/v3/time")).status == 200
    with pytest.raises(ReplyLost):
        await client.records()
    assert await client.records() == []


async def test_a_plan_can_be_for_an_account_a_path_and_several_times(
    sim: Simulator, client: Client
) -> None:
    sim.fail_next(-3037, account="other", times=2)
    sim.fail_next("503_before", path="GET /api/v3/time")
    assert (await client.borrow()).status == 200
    other = Client(sim, "other")
    assert [(await other.borrow()).status for _ in range(3)] == [400, 400, 200]
    request = HttpRequest(method="GET", path="/api/v3/time")
    assert (await sim.transport.send(request)).status == 503
    assert (await sim.transport.send(request)).status == 200


async def test_the_status_of_a_code_can_be_chosen(sim: Simulator, client: Client) -> None:
    sim.fail_next(-1003, status=400)
    said = await client.borrow()
    assert (said.status, said.code) == (400, -1003)


async def test_a_fault_weighs_like_any_other_arrival(sim: Simulator, client: Client) -> None:
    sim.fail_next("lost_before")
    await see(sim.transport.send(client.loan("BORROW", "USDT", "10")))
    said = await client.borrow()
    assert said.headers["x-sapi-used-uid-weight-1m"] == "3000"


async def test_what_never_left_never_arrived(sim: Simulator, client: Client) -> None:
    sim.fail_next("never_left")
    await see(sim.transport.send(client.loan("BORROW", "USDT", "10")))
    assert sim.ledger.arrivals == []


async def test_down_means_that_nobody_can_connect(sim: Simulator, client: Client) -> None:
    sim.set_down(True)
    with pytest.raises(ConnectFailed):
        await client.get("/api/v3/time")
    sim.set_down(False)
    assert (await client.get("/api/v3/time")).status == 200


async def test_rates_are_drawn_for_loans_and_for_reads_apart(
    sim: Simulator, client: Client
) -> None:
    sim.fault_rates = {"503_before": 0.5, -3045: 0.25}
    sim.read_fault_rates = {"lost_before": 1.0}
    for _ in range(100):
        await see(sim.transport.send(client.loan("BORROW", "USDT", "10")))
        await asyncio.sleep(1)
    assert 35 <= sim.ledger.faults["503_before"] <= 65
    assert 12 <= sim.ledger.faults["-3045"] <= 38
    assert await see(sim.transport.send(client.signed("GET", LOANS, type="BORROW"))) == LOST
    sim.clear_faults()
    assert (await client.borrow()).status == 200
    assert await client.records() != []


def test_a_life_with_faults_repeats_exactly() -> None:
    async def live(seed: int) -> object:
        async with Simulator(port=None, seed=seed) as sim:
            client = Client(sim)
            sim.fault_rates = {fault: 0.02 for fault in Fault if fault != "418"}
            for _ in range(60):
                await see(sim.transport.send(client.loan("BORROW", "USDT", "10")))
                await asyncio.sleep(2)
            return sim.ledger.transactions, sim.ledger.arrivals, sim.ledger.faults

    assert run(live(3)) == run(live(3))
    assert run(live(3)) != run(live(4))


@pytest.mark.parametrize("name", ["lost", "", "LOST_AFTER"])
def test_an_unknown_fault_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a valid Fault"):
        Simulator(port=None).fail_next(name)


def test_a_code_may_be_text() -> None:
    assert read_fault("-3045") == -3045


async def test_a_stale_look_sees_nothing_and_the_next_one_is_true(
    sim: Simulator, client: Client
) -> None:
    await client.borrow()
    await asyncio.sleep(5)
    sim.fail_next("stale_look", times=2)
    seen = [len(await client.records()) for _ in range(2)]
    assert seen == [0, 1]


async def test_no_question_is_answered_stale_twice_whatever_is_asked_in_between(
    sim: Simulator, client: Client
) -> None:
    await client.borrow()
    await asyncio.sleep(5)
    sim.fail_next("stale_look", times=3)
    first = len(await client.records())
    await client.records("REPAY")
    assert (first, len(await client.records())) == (0, 1)
