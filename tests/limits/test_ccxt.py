"""The simulator over HTTP is the exchange to a client that was written for the exchange."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import ccxt.async_support as ccxt
import pytest

from scheduler.simulator import Simulator

from .world import PATH

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

HOST = re.compile(r"https://\w+\.binance\.com")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    epoch_ms = round(time.time() * 1_000)  # ccxt goes by the machine's clock
    async with Simulator(epoch_ms=epoch_ms, interest="continuous", processing_ms=5) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[ccxt.binance]:
    """As it comes, with another base URL."""
    account = sim.account("main")
    client = ccxt.binance({"apiKey": account.api_key, "secret": account.secret})
    urls = client.urls["api"]
    urls.update({name: HOST.sub(sim.base_url, url) for name, url in urls.items()})
    yield client
    await client.close()


def ids(*replies: dict[str, object]) -> list[object]:
    """What the exchange said; ccxt's own `id` is rounded beyond 2^53."""
    return [reply["info"]["tranId"] for reply in replies]  # type: ignore[index]


async def test_cross_margin_is_borrowed_and_repaid(sim: Simulator, client: ccxt.binance) -> None:
    sim.set_debt("main", "USDT", "50")
    borrowed = await client.borrow_cross_margin("USDT", 100)
    little = await client.borrow_cross_margin("BTC", 0.0000001)
    repaid = await client.repay_cross_margin("USDT", 120)
    assert ids(borrowed, little, repaid) == [t.tran_id for t in sim.ledger.booked()]
    assert [(t.kind, t.asset, t.symbol, t.amount) for t in sim.ledger.booked()] == [
        ("BORROW", "USDT", None, 100),
        ("BORROW", "BTC", None, Decimal("0.0000001")),
        ("REPAY", "USDT", None, 120),
    ]
    assert sim.ledger.owed("main", "USDT").principal == pytest.approx(30)


async def test_isolated_margin_is_borrowed_and_repaid(sim: Simulator, client: ccxt.binance) -> None:
    borrowed = await client.borrow_isolated_margin("BTC/USDT", "USDT", 10)
    repaid = await client.repay_isolated_margin("BTC/USDT", "USDT", 4)
    assert ids(borrowed, repaid) == [t.tran_id for t in sim.ledger.booked()]
    assert {t.symbol for t in sim.ledger.booked()} == {"BTCUSDT"}


async def test_interest_is_read(sim: Simulator, client: ccxt.binance) -> None:
    sim.set_debt("main", "BTC", "1000000")
    await client.load_markets()
    await asyncio.sleep(0.05)
    before = sim.ledger.owed("main", "BTC").interest  # it is charged when it is looked at
    charged = await client.fetch_borrow_interest("BTC")
    after = sim.ledger.owed("main", "BTC").interest
    assert 0 < before <= sum(Decimal(row["info"]["interest"]) for row in charged) <= after
    assert {(row["currency"], row["marginMode"]) for row in charged} == {("BTC", "cross")}
    assert charged[0]["amountBorrowed"] == 1_000_000


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (-3045, ccxt.ExchangeError, "The system does not have enough asset now."),
        (-3007, ccxt.ExchangeError, "You have pending transaction, please try again later."),
        (-1021, ccxt.InvalidNonce, "outside of the recvWindow"),
        (-2015, ccxt.AuthenticationError, "Invalid API-key"),
        ("429", ccxt.DDoSProtection, "Too much request weight used"),
        ("418", ccxt.DDoSProtection, "IP banned until"),
        ("503_before", ccxt.ExchangeNotAvailable, "503"),
        ("lost_before", ccxt.NetworkError, PATH),
    ],
)
async def test_refusals_are_read_as_the_exchanges(
    sim: Simulator, client: ccxt.binance, fault: str | int, error: type[Exception], said: str
) -> None:
    await client.load_markets()
    sim.fail_next(fault)
    with pytest.raises(error) as caught:
        await client.borrow_cross_margin("USDT", 1)
    assert said in str(caught.value)
    assert sim.ledger.booked() == []


async def test_all_that_it_loads_first_is_there(sim: Simulator, client: ccxt.binance) -> None:
    markets = await client.load_markets()
    assert markets["BTC/USDT"]["margin"]
    assert client.currencies is not None
    assert "USDT" in client.currencies
    assert {arrival.status for arrival in sim.ledger.arrivals} == {200}
