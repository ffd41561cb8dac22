"""ccxt's raw call, as it comes: its limiter on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import ccxt.async_support as ccxt

from ..told import UNKNOWN, Told, answered, refused
from ..venue import Venue
from ..work import Ask
from . import Borrow

REAL = "https://api.binance.com"


def ready_ccxt(venue: Venue) -> AbstractAsyncContextManager[Borrow]:
    return _ready(venue, {})


def ready_ccxt_retries(venue: Venue) -> AbstractAsyncContextManager[Borrow]:
    return _ready(venue, {"maxRetriesOnFailure": 3})


@asynccontextmanager
async def _ready(venue: Venue, options: dict[str, Any]) -> AsyncIterator[Borrow]:
    clients = {name: _client(venue, name, options) for name in venue.accounts}

    async def borrow(ask: Ask) -> Told:
        call = {"asset": ask.asset, "isIsolated": "FALSE", "amount": ask.amount, "type": "BORROW"}
        client = clients[ask.account]
        try:
            return answered(await client.sapiPostMarginBorrowRepay(call))
        except ccxt.ExchangeError as error:
            return refused(_code(client, error))
        except ccxt.RateLimitExceeded:
            return refused(-1003)
        except ccxt.NetworkError:
            return UNKNOWN

    try:
        yield borrow
    finally:
        await asyncio.gather(*(client.close() for client in clients.values()))


def _client(venue: Venue, account: str, options: dict[str, Any]) -> Any:
    keys = venue.accounts[account]
    client = ccxt.binance({"apiKey": keys.api_key, "secret": keys.secret, "options": options})
    urls = client.urls["api"]
    urls.update({name: url.replace(REAL, venue.base_url) for name, url in urls.items()})
    return client


def _code(client: Any, error: Exception) -> int | None:
    _, _, body = str(error).partition("{")
    try:
        return int(client.parse_json("{" + body)["code"])
    except (TypeError, KeyError, ValueError):
        return None
