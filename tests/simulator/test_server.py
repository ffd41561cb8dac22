"""The simulator over HTTP: the same exchange, with faults that are real on the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from scheduler.simulator import Simulator

from .client import LOANS, Client, sign

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(processing_ms=5, record_lag_ms=(0, 0), late_ms=(50, 50)) as simulator:
        yield simulator


@pytest.fixture
async def session(sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sim.base_url, raise_for_status=False) as opened:
        yield opened


async def borrow(session: aiohttp.ClientSession, client: Client) -> aiohttp.ClientResponse:
    signed = client.loan("BORROW", "USDT", "10")
    headers = {**signed.headers, "content-type": "application/x-www-form-urlencoded"}
    async with session.post(
        LOANS, data=signed.body, headers=headers, allow_redirects=False
    ) as response:
        await response.read()
        return response


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that within 10 s")


def is_quiet(sim: Simulator) -> bool:
    return all(transaction.status != "PENDING" for transaction in sim.ledger.transactions)


async def test_a_free_port_is_found_and_served(
    sim: Simulator, client: Client, session: aiohttp.ClientSession
) -> None:
    assert sim.base_url.startswith("http://127.0.0.1:")
    response = await borrow(session, client)
    assert response.status == 200
    assert (await response.json())["tranId"] == sim.ledger.booked()[0].tran_id
    assert response.headers["X-SAPI-USED-UID-WEIGHT-1M"] == "1500"


async def test_the_query_string_is_verified_as_it_was_sent(
    sim: Simulator, client: Client, session: aiohttp.ClientSession
) -> None:
    # %2D and %31 need no encoding: whoever decodes and encodes again gets other bytes.
    signed = client.signed("GET", LOANS, type="BORROW", startTime=0)
    query = signed.query.replace("BORROW", "BORR%4FW")
    payload = query.partition("&signature=")[0]
    raw = f"{sim.base_url}{LOANS}?{payload}&signature={sign(client.account.secret, payload)}"
    async with session.get(URL(raw, encoded=True), headers=signed.headers) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("lost_before", aiohttp.ServerDisconnectedError | aiohttp.ClientOSError),
        ("never_left", aiohttp.ServerDisconnectedError | aiohttp.ClientOSError),
        ("lost_after", aiohttp.ServerDisconnectedError | aiohttp.ClientOSError),
        ("truncated", aiohttp.ClientPayloadError),
    ],
)
async def test_a_broken_connection_is_a_broken_connection(
    sim: Simulator, client: Client, session: aiohttp.ClientSession, fault: str, error: Any
) -> None:
    sim.fail_next(fault)
    with pytest.raises(error.__args__ if hasattr(error, "__args__") else error):
        await borrow(session, client)
    await until(lambda: is_quiet(sim))
    assert len(sim.ledger.booked()) == (fault in ("lost_after", "truncated"))


@pytest.mark.parametrize(
    ("fault", "status", "is_booked"),
    [
        ("503_before", 503, False),
        ("503_after", 503, True),
        ("1007_after", 504, True),
        ("redirect", 302, False),
        ("403", 403, False),
        ("html_200", 200, True),
        ("empty_200", 200, True),
        ("late", 200, True),
        (-3045, 400, False),
    ],
)
async def test_a_spoilt_answer_arrives_as_such(
    sim: Simulator,
    client: Client,
    session: aiohttp.ClientSession,
    fault: str | int,
    status: int,
    is_booked: bool,
) -> None:
    sim.fail_next(fault)
    response = await borrow(session, client)
    assert response.status == status
    await until(lambda: is_quiet(sim))
    assert len(sim.ledger.booked()) == is_booked


async def test_a_duplicated_reply_puts_bytes_nobody_asked_for_on_the_wire(
    sim: Simulator, client: Client
) -> None:
    sim.fail_next("duplicated")
    url = URL(sim.base_url)
    assert url.host is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    signed = client.loan("BORROW", "USDT", "10")
    head = f"POST {LOANS} HTTP/1.1\r\nhost: {url.host}\r\ncontent-length: {len(signed.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    writer.write(head.encode() + b"\r\n" + signed.body)
    received = await reader.read()
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert len(sim.ledger.booked()) == 1
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_hangs_up_does_not_stop_a_loan(
    sim: Simulator, client: Client, session: aiohttp.ClientSession
) -> None:
    sim.fail_next("late")
    sending = asyncio.create_task(borrow(session, client))
    await until(lambda: bool(sim.ledger.transactions))
    sending.cancel()
    await until(lambda: is_quiet(sim))
    assert len(sim.ledger.booked()) == 1


async def test_another_process_can_read_the_ledger(
    client: Client, session: aiohttp.ClientSession
) -> None:
    await borrow(session, client)
    async with session.get("/simulator/ledger") as response:
        told = await response.json()
    assert told["statistics"]["booked"] == 1
    [transaction] = told["transactions"]
    assert transaction["amount"] == "10"
    assert transaction["origin"] == "request"
    async with session.get("/simulator/ledger?arrivals=1") as response:
        [arrival] = (await response.json())["arrivals"]
    assert arrival["tran_id"] == transaction["tran_id"]


async def test_another_process_can_use_the_handles(
    sim: Simulator, client: Client, session: aiohttp.ClientSession
) -> None:
    async def control(**call: Any) -> Any:
        async with session.post("/simulator/control", json=call) as response:
            assert response.status == 200, await response.text()
            return (await response.json())["result"]

    told = await control(call="account", name="elsewhere")
    assert told["api_key"] == sim.account("elsewhere").api_key
    await control(call="fail_next", fault=-3045)
    assert (await borrow(session, client)).status == 400
    order = await control(call="order", account="main", asset="USDT", amount="3")
    assert order["origin"] == "order"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"call":"__init__"}',
        b'{"call":"ledger"}',
        b'{"call":7}',
        b'{"call":"drain"}',
        b'{"call":"fail_next","fault":"nonsense"}',
        b'{"call":"set_inventory","asset":"BTC","amount":"lots"}',
    ],
)
async def test_a_call_that_is_none_is_refused_with_a_reason(
    session: aiohttp.ClientSession, body: bytes
) -> None:
    async with session.post("/simulator/control", data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]


async def test_leaving_does_not_wait_for_those_who_still_wait() -> None:
    loop = asyncio.get_running_loop()
    async with Simulator(processing_ms=60_000) as sim:
        session = aiohttp.ClientSession(sim.base_url)
        sending = asyncio.create_task(borrow(session, Client(sim)))
        await until(lambda: bool(sim.ledger.transactions))
        leaving_s = loop.time()
    assert loop.time() - leaving_s < 1
    async with session:
        with pytest.raises(aiohttp.ClientError):
            await sending
