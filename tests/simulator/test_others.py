"""What other parties do on an account, and that nobody's death undoes what the exchange does."""

import asyncio
import gc
from decimal import Decimal

import pytest

from scheduler.simulator import Simulator
from tests.virtual_time import Process

from .client import Client

pytestmark = pytest.mark.anyio


async def test_an_order_blocks_the_account_and_books_auto(sim: Simulator, client: Client) -> None:
    order = sim.order("main", "USDT", "20", occupies_ms=5_000)
    assert order is not None
    assert (await client.borrow()).code == -3007
    await asyncio.sleep(4.5)
    assert (await client.borrow()).code == -3007
    await asyncio.sleep(0.6)
    assert (await client.borrow()).status == 200
    await asyncio.sleep(1)
    [_, row] = await client.records()
    assert (row["type"], row["amount"]) == ("AUTO", "20.00000000")
    assert [t.origin for t in sim.ledger.booked()] == ["order", "request"]


async def test_an_order_that_fails_silently_blocks_and_books_nothing(
    sim: Simulator, client: Client
) -> None:
    sim.set_debt("main", "USDT", "50")
    assert sim.order("main", "USDT", "50", "auto_repay", fails_silently=True) is None
    assert (await client.borrow()).code == -3007
    await asyncio.sleep(1)
    assert sim.ledger.debt("main", "USDT") == 50
    assert sim.ledger.silent_failures == 1


async def test_an_auto_repay_order_fails_silently_while_a_transaction_runs(
    sim: Simulator, client: Client
) -> None:
    sim.set_debt("main", "USDT", "50")
    borrowing = asyncio.create_task(client.borrow("BTC", "1"))
    await asyncio.sleep(0.05)
    assert sim.order("main", "USDT", "50", "auto_repay") is None
    await borrowing
    assert sim.ledger.debt("main", "USDT") == 50


async def test_an_auto_repay_order_repays_no_more_than_is_owed(sim: Simulator) -> None:
    sim.set_debt("main", "USDT", "50")
    sim.order("main", "USDT", "80", "auto_repay")
    await asyncio.sleep(1)
    assert sim.ledger.debt("main", "USDT") == 0


async def test_somebody_else_books_manual_under_the_same_exclusion(
    sim: Simulator, client: Client
) -> None:
    assert sim.foreign("main", "BORROW", "USDT", "30") is not None
    assert sim.foreign("main", "BORROW", "USDT", "30") is None
    assert (await client.borrow()).code == -3007
    await asyncio.sleep(1)
    [row] = await client.records()
    assert row["type"] == "MANUAL"
    assert sim.ledger.booked()[0].origin == "foreign"


async def test_stock_can_be_drained_and_refilled_later(sim: Simulator, client: Client) -> None:
    sim.drain("BTC")
    sim.refill("BTC", "2", after_ms=1_000)
    sim.refill("BTC", "3", at_ms=sim.now_ms() + 2_000)
    sim.set_inventory("BTC", "9", isolated=True)
    assert (await client.borrow("BTC", "1")).code == -3045
    await asyncio.sleep(1)
    assert (await client.borrow("BTC", "2")).status == 200
    await asyncio.sleep(1)
    assert (await client.borrow("BTC", "3")).status == 200
    assert (await client.borrow("BTC", "9", symbol="BTCUSDT")).status == 200


async def test_maintenance_shows_in_the_status_and_stops_loans(
    sim: Simulator, client: Client
) -> None:
    sim.set_maintenance(True)
    assert (await client.get("/sapi/v1/system/status")).json["status"] == 1
    said = await client.borrow()
    assert (said.status, said.code) == (503, -1001)
    assert sim.ledger.transactions == []
    sim.set_maintenance(False)
    assert (await client.get("/sapi/v1/system/status")).json == {"status": 0, "msg": "normal"}
    assert (await client.borrow()).status == 200


async def test_cancelling_the_client_does_not_stop_a_loan(sim: Simulator, client: Client) -> None:
    sending = asyncio.create_task(client.borrow())
    await asyncio.sleep(0.05)
    sending.cancel()
    await asyncio.sleep(0.2)
    assert sending.cancelled()
    assert sim.ledger.debt("main", "USDT") == 10


@pytest.mark.parametrize("after_s", [0.0001, 0.05])
async def test_killing_the_client_does_not_stop_a_loan(
    sim: Simulator, client: Client, after_s: float
) -> None:
    process = Process("client")
    process.spawn(client.borrow())
    await asyncio.sleep(after_s)
    process.kill()
    await asyncio.sleep(1)
    assert sim.ledger.debt("main", "USDT") == Decimal(10)


async def test_a_lost_reply_to_a_dead_client_is_nobodys_error(
    sim: Simulator, client: Client
) -> None:
    process = Process("client")
    sim.fail_next("lost_after")
    process.spawn(client.borrow())
    await asyncio.sleep(0.05)
    process.kill()
    await asyncio.sleep(1)
    assert len(sim.ledger.booked()) == 1
    process.bury()
    gc.collect()
    assert process.loop.unhandled == []


async def test_leaving_the_simulator_cuts_off_whoever_still_waits() -> None:
    async with Simulator(port=None) as sim:
        sending = asyncio.create_task(Client(sim).borrow())
        await asyncio.sleep(0.05)
    [outcome] = await asyncio.gather(sending, return_exceptions=True)
    assert type(outcome).__name__ == "ReplyLost"
    await asyncio.sleep(1)
    assert sim.ledger.booked() == []
