"""The records: what shows, when, and in which pages."""

import asyncio

import pytest

from scheduler.simulator import Simulator

from .client import LOANS, Client

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000


async def test_a_record_has_the_documented_fields(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "USDT", "100", interest="0.5")
    tran_id = (await client.repay("USDT", "14")).tran_id
    await asyncio.sleep(1)
    [row] = await client.records("REPAY")
    started_ms = sim.ledger.booked()[0].started_ms
    assert row == {
        "type": "MANUAL",
        "amount": "14.00000000",
        "asset": "USDT",
        "interest": "0.50000000",
        "principal": "13.50000000",
        "status": "CONFIRMED",
        "timestamp": started_ms,
        "txId": tran_id,
    }


async def test_an_isolated_record_names_its_pair_and_is_not_among_the_cross_ones(
    client: Client,
) -> None:
    await client.borrow("USDT", symbol="BTCUSDT")
    await asyncio.sleep(1)
    assert await client.records() == []
    [row] = await client.records(isolatedSymbol="BTCUSDT")
    assert row["isolatedSymbol"] == "BTCUSDT"


async def test_a_record_shows_some_time_after_booking() -> None:
    async with Simulator(port=None, record_lag_ms=(300, 300)) as sim:
        client = Client(sim)
        await client.borrow()
        assert sim.ledger.debt("main", "USDT") == 10
        assert await client.records() == []
        await asyncio.sleep(0.3)
        assert len(await client.records()) == 1


async def test_a_record_can_be_pending_at_first() -> None:
    async with Simulator(port=None, record_lag_ms=(0, 0), pending_ms=(1_000, 1_000)) as sim:
        client = Client(sim)
        await client.borrow()
        [row] = await client.records()
        assert row["status"] == "PENDING"
        await asyncio.sleep(1)
        [row] = await client.records()
        assert row["status"] == "CONFIRMED"


async def test_a_record_can_be_dated_by_the_end_of_processing() -> None:
    async with Simulator(port=None, record_timestamp="finished") as sim:
        client = Client(sim)
        await client.borrow()
        await asyncio.sleep(1)
        [row] = await client.records()
        assert row["timestamp"] == sim.ledger.booked()[0].finished_ms


async def test_rows_come_newest_first_in_pages_with_the_total(client: Client) -> None:
    ids = [(await client.borrow("USDT", str(n))).tran_id for n in range(1, 13)]
    await asyncio.sleep(1)
    first = (await client.get(LOANS, type="BORROW", startTime=0)).json
    assert [row["txId"] for row in first["rows"]] == ids[:1:-1]
    assert first["total"] == 12
    second = (await client.get(LOANS, type="BORROW", startTime=0, current=2)).json
    assert [row["txId"] for row in second["rows"]] == ids[1::-1]
    small = (await client.get(LOANS, type="BORROW", startTime=0, current=3, size=5)).json
    assert [row["txId"] for row in small["rows"]] == ids[1::-1]


async def test_a_page_holds_100_rows_at_most() -> None:
    async with Simulator(port=None, processing_ms=1, uid_weight_limit=10**9) as sim:
        client = Client(sim)
        for _ in range(101):
            await client.borrow()
        await asyncio.sleep(1)
        assert len(await client.records(size=1_000)) == 100


async def test_a_look_is_by_type_asset_time_and_id(sim: Simulator, client: Client) -> None:
    one = (await client.borrow("USDT", "5")).tran_id
    two = (await client.borrow("BTC", "5")).tran_id
    three = (await client.repay("USDT", "5")).tran_id
    await asyncio.sleep(1)
    started = {t.tran_id: t.started_ms for t in sim.ledger.booked()}

    async def ids(kind: str = "BORROW", **parameters: object) -> list[int]:
        return [row["txId"] for row in await client.records(kind, **parameters)]

    assert await ids("REPAY") == [three]
    assert await ids(asset="USDT") == [one]
    assert await ids(startTime=started[two]) == [two]
    assert await ids(startTime=started[two] + 1) == []
    assert await ids(endTime=started[one]) == [one]
    assert await ids(endTime=started[one] - 1) == []
    assert await ids(txId=two, asset="BTC") == [two]
    assert await ids(txId=two, startTime=sim.now_ms()) == [two]
    assert await ids(txId=three) == []


async def test_without_an_asset_a_look_goes_back_7_days_and_with_one_30(
    sim: Simulator, client: Client
) -> None:
    await client.borrow()
    await asyncio.sleep(8 * 86_400)
    start = sim.now_ms() - 20 * DAY_MS
    assert await client.records(startTime=start) == []
    assert len(await client.records(startTime=start, asset="USDT")) == 1
    await asyncio.sleep(23 * 86_400)
    assert await client.records(startTime=0, asset="USDT") == []


async def test_the_type_is_required_and_numbers_have_to_be_numbers(client: Client) -> None:
    assert (await client.get(LOANS, startTime=0)).code == -1102
    assert (await client.get(LOANS, type="LOAN")).code == -1130
    assert (await client.get(LOANS, type="BORROW", size="all")).code == -1100
    assert (await client.get(LOANS, type="BORROW", current=0)).code == -3026


async def test_accounts_see_only_their_own(sim: Simulator, client: Client) -> None:
    await client.borrow()
    await asyncio.sleep(1)
    assert await Client(sim, "other").records() == []


async def test_histories_are_bounded_and_the_ledger_is_not() -> None:
    async with Simulator(port=None, processing_ms=1, history_max=10) as sim:
        client = Client(sim)
        for _ in range(25):
            await client.borrow()
        await asyncio.sleep(1)
        assert 5 <= len(await client.records(size=100)) <= 10
        assert len(sim.ledger.booked()) == 25
