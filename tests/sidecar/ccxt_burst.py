"""A burst of borrows by ccxt through the gateway, in real time.

`python -m tests.sidecar.ccxt_burst --borrows 100` prints how long it took and how it ended. The
simulated exchange is a process of its own; ccxt and the sidecar share one, with HTTP between them.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt

from scheduler import Limits, Scheduler
from scheduler.sidecar import Client, Sidecar, SidecarOptions

from ..exchange_process import ExchangeProcess, exchange_process

REAL = "https://api.binance.com"


@dataclass(frozen=True, slots=True)
class Burst:
    """How a burst ended."""

    took_s: float
    told: Counter[str]
    """`confirmed`, or the name of the error that ccxt raised."""
    statistics: dict[str, Any]
    """What the exchange's own ledger says."""


@asynccontextmanager
async def bot(url: str, client: Client, **options: Any) -> AsyncIterator[Any]:
    """ccxt as it comes, pointed at the gateway with the key pair of a client."""
    keys = {"apiKey": client.api_key, "secret": client.secret}
    made = ccxt.binance({**keys, "options": {"fetchMarkets": {"types": ["spot"]}}, **options})
    urls = made.urls["api"]
    urls.update({name: at.replace(REAL, url) for name, at in urls.items()})
    made.exceptions["exact"].update(made.exceptions["spot"]["exact"])
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def sidecar(
    exchange: ExchangeProcess, journal: str, limits: Limits, *clients: Client
) -> AsyncIterator[str]:
    """A scheduler and its sidecar; gives the URL."""
    options = SidecarOptions(listen=("127.0.0.1:0",), clients=clients)
    async with Scheduler(
        exchange.accounts.values(), base_url=exchange.base_url, journal=journal, limits=limits
    ) as scheduler:
        running = Sidecar(scheduler, options)
        await running.start()
        try:
            yield running.addresses[0]
        finally:
            await running.aclose()


async def burst(
    borrows: int,
    *,
    processing_ms: float = 100,
    min_gap_ms: int = 100,
    patience_ms: int | None = 25_000,
    **options: Any,
) -> Burst:
    """So many equal borrows at once; `options` are ccxt's."""
    client = Client(
        name="ccxt", account="main", api_key="c" * 64, secret="s" * 64, patience_ms=patience_ms
    )
    with (
        tempfile.TemporaryDirectory() as directory,
        exchange_process("--processing-ms", str(processing_ms)) as exchange,
    ):
        journal = f"sqlite:///{Path(directory) / 'journal.db'}"
        limits = Limits(min_gap_ms=min_gap_ms)
        async with (
            sidecar(exchange, journal, limits, client) as url,
            bot(url, client, **options) as trader,
        ):
            began_s = time.monotonic()
            told = await asyncio.gather(*(_borrow(trader) for _ in range(borrows)))
            took_s = time.monotonic() - began_s
        return Burst(took_s, Counter(told), exchange.statistics())


async def _borrow(trader: Any) -> str:
    asked = {"asset": "USDT", "isIsolated": "FALSE", "amount": "10", "type": "BORROW"}
    try:
        await trader.sapiPostMarginBorrowRepay(asked)
    except ccxt.BaseError as error:
        return type(error).__name__
    return "confirmed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--borrows", type=int, default=100)
    parser.add_argument("--processing-ms", type=float, default=100)
    parser.add_argument("--patience-ms", type=int, default=25_000)
    parser.add_argument("--timeout-ms", type=int, default=30_000, help="ccxt's own")
    parser.add_argument("--limiter", action="store_true", help="leave ccxt's own limiter on")
    chosen = parser.parse_args()
    ended = asyncio.run(
        burst(
            chosen.borrows,
            processing_ms=chosen.processing_ms,
            patience_ms=chosen.patience_ms,
            timeout=chosen.timeout_ms,
            enableRateLimit=chosen.limiter,
        )
    )
    print(f"{chosen.borrows} borrows in {ended.took_s:.2f} s: {dict(ended.told)}")
    refusals = ended.statistics["refusals"]
    print(f"booked at the exchange: {ended.statistics['booked']}, refusals: {refusals}")


if __name__ == "__main__":
    main()
