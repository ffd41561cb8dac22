"""The gateway behind the sidecar's own server: real connections that are really closed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from scheduler import Entry, Scheduler, State
from scheduler.sidecar import Sidecar, SidecarOptions
from scheduler.simulator import Simulator

from .bots import BOT, PATH, Bot, wall_ms

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


class Outside:
    """A sidecar, and a bot that talks to it over TCP."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.url = ""
        self.seen: Counter[State] = Counter()
        self.changes = asyncio.Event()
        self._bot = Bot(None, BOT.api_key, BOT.secret or "")  # type: ignore[arg-type]

    def loan(self, amount: str) -> URL:
        """The signed URL of a borrow."""
        asked = {"asset": "USDT", "isIsolated": "FALSE", "amount": amount, "type": "BORROW"}
        query = self._bot.signed({**asked, "timestamp": str(self.sim.now_ms())})
        return URL(f"{self.url}{PATH}?{query}", encoded=True)

    async def borrow(self, amount: str = "10", timeout_s: float = 30.0) -> aiohttp.ClientResponse:
        """On a connection of its own, which ends with this."""
        headers, timeout = {"X-MBX-APIKEY": BOT.api_key}, aiohttp.ClientTimeout(total=timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.loan(amount), headers=headers) as reply,
        ):
            await reply.read()
            return reply

    async def until(self, state: State, count: int) -> None:
        """Until so many submissions have been in that state."""
        async with asyncio.timeout(20):
            while self.seen[state] < count:
                self.changes.clear()
                await self.changes.wait()

    def changed(self, entry: Entry) -> None:
        self.seen[entry.state] += 1
        self.changes.set()


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    options = SidecarOptions(listen=("127.0.0.1:0",), clients=(BOT,))
    async with Simulator(port=None, epoch_ms=wall_ms(), processing_ms=300) as sim:
        outside = Outside(sim)
        async with Scheduler(
            [sim.account("main")],
            journal="memory:",
            transport=sim.transport,
            on_change=outside.changed,
        ) as scheduler:
            sidecar = Sidecar(scheduler, options)
            await sidecar.start()
            outside.url = sidecar.addresses[0]
            try:
                yield outside
            finally:
                await sidecar.aclose()


async def test_an_answer_looks_like_the_exchanges(outside: Outside) -> None:
    reply = await outside.borrow()
    assert reply.status == 200
    assert await reply.json() == {"tranId": outside.sim.ledger.booked()[0].tran_id}
    assert reply.headers["X-Scheduler-Key"].startswith("gw-")
    assert reply.headers["Server"] == "margin-scheduler", "what it runs on is nobody's business"


async def test_a_closed_connection_takes_back_what_is_queued_at_once(outside: Outside) -> None:
    first = asyncio.create_task(outside.borrow("1"))
    await outside.until(State.SENT, 1)
    second = asyncio.create_task(outside.borrow("2"))
    await outside.until(State.QUEUED, 2)
    second.cancel()
    await outside.until(State.CANCELLED, 1)
    assert (await first).status == 200
    assert [t.amount for t in outside.sim.ledger.booked()] == [1]


async def test_a_client_that_gave_up_and_repeats_has_one_loan(outside: Outside) -> None:
    with pytest.raises(TimeoutError):
        await outside.borrow("10", timeout_s=0.15)
    reply = await outside.borrow("10.0")
    assert reply.status == 200
    assert reply.headers["X-Scheduler-Replayed"] == "true"
    assert len(outside.sim.ledger.booked()) == 1


@pytest.mark.parametrize("path", ["/sapi/v1/margin/transfer", "/api/v3/order", "/sapi", "/api/"])
async def test_what_does_not_exist_is_refused_in_the_exchanges_shape(
    outside: Outside, path: str
) -> None:
    async with aiohttp.ClientSession() as session, session.post(outside.url + path) as reply:
        assert reply.status == 404
        assert (await reply.json())["code"] == -1020
