"""ccxt, which was written for the exchange, through the gateway."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import ccxt.async_support as ccxt
import pytest

from scheduler import Limits, Scheduler
from scheduler.sidecar import Client, Sidecar, SidecarOptions
from scheduler.simulator import Simulator

from ..state_diagram import README
from .bots import BOT, wall_ms
from .ccxt_burst import bot, burst

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

LOAN = {"asset": "USDT", "isIsolated": "FALSE", "amount": "10", "type": "BORROW"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(
        port=None, epoch_ms=wall_ms(), processing_ms=20, slow_ms=(700, 700)
    ) as simulator:
        yield simulator


@pytest.fixture
async def url(sim: Simulator) -> AsyncIterator[str]:
    impatient = Client(
        name="bot-b", account="main", api_key="bot-b-key", secret="bot-b-secret", patience_ms=100
    )
    options = SidecarOptions(listen=("127.0.0.1:0",), clients=(BOT, impatient))
    async with Scheduler(
        [sim.account("main")],
        journal="memory:",
        transport=sim.transport,
        limits=Limits(min_gap_ms=20),
    ) as scheduler:
        sidecar = Sidecar(scheduler, options)
        await sidecar.start()
        yield sidecar.addresses[0]
        await sidecar.aclose()


@pytest.fixture
async def client(url: str) -> AsyncIterator[Any]:
    async with bot(url, BOT) as trader:
        yield trader


async def test_a_burst_is_confirmed() -> None:
    ended = await burst(30, processing_ms=5, min_gap_ms=5, timeout=30_000, enableRateLimit=False)
    assert ended.told == {"confirmed": 30}
    assert ended.statistics["booked"] == 30
    assert ended.statistics["refusals"] == {}


async def test_raw_calls_are_answered_with_the_exchanges_id(sim: Simulator, client: Any) -> None:
    reply = await client.sapiPostMarginBorrowRepay(LOAN)
    assert reply["tranId"] == sim.ledger.booked()[0].tran_id


async def test_unified_calls_work_with_all_they_load_first(sim: Simulator, client: Any) -> None:
    borrowed = await client.borrow_cross_margin("USDT", 100)
    repaid = await client.repay_cross_margin("USDT", 40)
    isolated = await client.borrow_isolated_margin("BTC/USDT", "USDT", 10)
    told = [reply["info"]["tranId"] for reply in (borrowed, repaid, isolated)]
    assert told == [t.tran_id for t in sim.ledger.booked()]
    assert [(str(t.kind), t.symbol, int(t.amount)) for t in sim.ledger.booked()] == [
        ("BORROW", None, 100),
        ("REPAY", None, 40),
        ("BORROW", "BTCUSDT", 10),
    ]


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (-3006, ccxt.BadRequest, '"code":-3006'),
        (-3012, ccxt.ExchangeError, "Borrow is banned for this asset."),
        (-2015, ccxt.AuthenticationError, "Invalid API-key"),
    ],
)
async def test_refusals_arrive_as_the_exchange_sent_them(
    sim: Simulator, client: Any, fault: int, error: type[Exception], said: str
) -> None:
    sim.fail_next(fault)
    with pytest.raises(error) as caught:
        await client.sapiPostMarginBorrowRepay(LOAN)
    assert said in str(caught.value)


async def test_what_is_not_known_is_a_timeout_to_ccxt(sim: Simulator, url: str) -> None:
    sim.fail_next("slow")
    impatient = Client(name="bot-b", account="main", api_key="bot-b-key", secret="bot-b-secret")
    async with bot(url, impatient) as trader:
        with pytest.raises(ccxt.RequestTimeout, match="execution status unknown"):
            await trader.sapiPostMarginBorrowRepay(LOAN)


async def test_what_was_not_sent_is_a_rate_limit_to_ccxt(sim: Simulator, url: str) -> None:
    sim.drain("BTC")
    impatient = Client(name="bot-b", account="main", api_key="bot-b-key", secret="bot-b-secret")
    sim.fail_next("slow")
    async with bot(url, impatient, enableRateLimit=False) as trader:
        told = await asyncio.gather(
            *(trader.sapiPostMarginBorrowRepay(LOAN) for _ in range(2)), return_exceptions=True
        )
    assert {type(error) for error in told} == {ccxt.RequestTimeout, ccxt.DDoSProtection}


async def test_a_wrong_clock_is_known_to_ccxt_as_one(client: Any) -> None:
    client.nonce = lambda: round(time.time() * 1_000) - 20_000
    with pytest.raises(ccxt.InvalidNonce):
        await client.sapiPostMarginBorrowRepay(LOAN)


async def test_the_readme_says_how(sim: Simulator, url: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "import ccxt" in block)
    names: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:8900", url), names)
    exchange = names["exchange"]
    try:
        await exchange.borrow_cross_margin("USDT", 100)
        sim.fail_next(-3006)
        with pytest.raises(ccxt.BadRequest):
            await exchange.borrow_cross_margin("USDT", 100)
    finally:
        await exchange.close()
    assert len(sim.ledger.booked()) == 1


async def test_its_own_time_difference_is_loaded_through_the_gateway(client: Any) -> None:
    assert abs(await client.load_time_difference()) < 5_000
