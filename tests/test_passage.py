"""Calls of other programs, carried to the exchange in an account's name."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import pytest

from scheduler import InvalidRequest, Scheduler, UnknownAccount, binance
from scheduler.errors import NoRoom
from scheduler.passage import REPLY_MAX_BYTES
from scheduler.simulator import Simulator
from scheduler.wire import HttpReply, HttpRequest

pytestmark = pytest.mark.anyio

ACCOUNT = "/sapi/v1/margin/account"
ORDER = "/sapi/v1/margin/order"


class Recording:
    """The way to the simulated exchange, and what went over it."""

    def __init__(self, sim: Simulator) -> None:
        self._way = sim.transport
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpReply:
        self.sent.append(request)
        return await self._way.send(request)

    async def aclose(self) -> None:
        await self._way.aclose()

    def last(self, path: str) -> HttpRequest:
        return [request for request in self.sent if request.path == path][-1]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(port=None) as simulator:
        yield simulator


@pytest.fixture
async def way(sim: Simulator) -> Recording:
    return Recording(sim)


@pytest.fixture
async def scheduler(sim: Simulator, way: Recording) -> AsyncIterator[Scheduler]:
    accounts = [sim.account("main"), sim.account("other")]
    async with Scheduler(accounts, journal="memory:", transport=way) as opened:
        yield opened


async def test_a_signed_call_is_stamped_and_signed_anew(
    sim: Simulator, scheduler: Scheduler, way: Recording
) -> None:
    old = {"timestamp": "1", "recvWindow": "60000", "signature": "00", "note": "a b&c=d"}
    reply = await scheduler.pass_through("other", "GET", ACCOUNT, old, is_signed=True, within=1)
    assert reply.status == 200
    request = way.last(ACCOUNT)
    given = parse_qs(request.query, strict_parsing=True)
    assert given.keys() == {"timestamp", "signature", "note"}
    assert given["note"] == ["a b&c=d"]
    assert len(given["timestamp"]) == len(given["signature"]) == 1
    assert abs(int(given["timestamp"][0]) - sim.now_ms()) < 1_000
    assert request.headers == {"X-MBX-APIKEY": sim.account("other").api_key}
    assert request.reply_max_bytes == REPLY_MAX_BYTES


async def test_what_changes_something_travels_in_the_body(
    scheduler: Scheduler, way: Recording
) -> None:
    await scheduler.pass_through(
        "main", "POST", ORDER, {"symbol": "BTCUSDT"}, is_signed=True, within=1
    )
    request = way.last(ORDER)
    assert request.query == ""
    assert request.body.startswith(b"symbol=BTCUSDT&timestamp=")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_an_unsigned_call_has_no_more_than_the_key(
    scheduler: Scheduler, way: Recording
) -> None:
    path = "/sapi/v1/margin/allAssets"
    await scheduler.pass_through("main", "GET", path, {}, is_signed=False, within=1)
    assert way.last(path).query == ""
    assert "X-MBX-APIKEY" in way.last(path).headers
    ping = "/api/v3/ping"
    await scheduler.pass_through(None, "GET", ping, {}, is_signed=False, within=1)
    assert way.last(ping).headers == {}


async def test_the_call_that_is_scheduled_is_not_passed_on(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidRequest):
        await scheduler.pass_through(
            "main", "POST", binance.BORROW_REPAY.path, {}, is_signed=True, within=1
        )
    with pytest.raises(UnknownAccount):
        await scheduler.pass_through("none", "GET", ACCOUNT, {}, is_signed=True, within=1)


async def test_accounts_do_not_spend_each_others_weight(scheduler: Scheduler) -> None:
    path, asked = "/sapi/v1/margin/maxBorrowable", {"asset": "USDT"}
    for _ in range(144):
        await scheduler.pass_through("main", "GET", path, asked, is_signed=True, within=1)
    with pytest.raises(NoRoom) as caught:
        await scheduler.pass_through("main", "GET", path, asked, is_signed=True, within=1)
    assert 50 < caught.value.retry_after_s <= 60
    reply = await scheduler.pass_through("other", "GET", path, asked, is_signed=True, within=1)
    assert reply.status == 200


async def test_it_waits_for_room_as_long_as_it_may(scheduler: Scheduler) -> None:
    path, asked = "/sapi/v1/margin/maxBorrowable", {"asset": "USDT"}
    began_s = asyncio.get_running_loop().time()
    for _ in range(145):
        await scheduler.pass_through("main", "GET", path, asked, is_signed=True, within=61)
    assert 59 < asyncio.get_running_loop().time() - began_s < 61


@pytest.mark.parametrize(
    ("path", "weight", "counts_by"),
    [
        ("/sapi/v1/margin/borrow-repay", 10, "IP"),
        ("/sapi/v1/margin/maxBorrowable", 750, "UID"),
        ("/sapi/v1/margin/available-inventory", 50, "UID"),
        ("/sapi/v1/margin/allAssets", 1, "IP"),
        ("/sapi/v1/margin/allPairs", 1, "IP"),
        ("/sapi/v1/margin/isolated/allPairs", 1, "IP"),
        ("/sapi/v1/margin/account", 10, "IP"),
        ("/sapi/v1/margin/isolated/account", 10, "IP"),
        ("/sapi/v1/capital/config/getall", 10, "IP"),
        ("/sapi/v1/system/status", 1, "IP"),
        ("/api/v3/time", 1, "API"),
        ("/api/v3/ping", 1, "API"),
        ("/api/v3/exchangeInfo", 20, "API"),
    ],
)
def test_what_each_read_weighs(path: str, weight: int, counts_by: str) -> None:
    endpoint, _ = binance.PASSED["GET", path]
    assert (endpoint.weight, endpoint.counts_by) == (weight, counts_by)
    assert endpoint.budget == ("/api" if counts_by == "API" else path)
    assert len(binance.PASSED) == 13
