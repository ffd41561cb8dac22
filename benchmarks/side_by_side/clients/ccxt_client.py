"""ccxt's raw call, as it comes: its limiter on."""

import asyncio
from collections.abc import MutableSequence, Sequence
from typing import Any

import ccxt.async_support as ccxt

from ..told import UNKNOWN, Told, answered, refused
from ..venue import Venue
from ..work import Ask

REAL = "https://api.binance.com"


async def run_ccxt(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    await _run(venue, asks, told, {})


async def run_ccxt_retries(
    venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]
) -> None:
    await _run(venue, asks, told, {"maxRetriesOnFailure": 3})


async def _run(
    venue: Venue,
    asks: Sequence[Ask],
    told: MutableSequence[Told | None],
    options: dict[str, Any],
) -> None:
    clients = {name: _client(venue, name, options) for name in venue.accounts}

    async def borrow(number: int) -> None:
        ask = asks[number]
        call = {"asset": ask.asset, "isIsolated": "FALSE", "amount": ask.amount, "type": "BORROW"}
        client = clients[ask.account]
        try:
            told[number] = answered(await client.sapiPostMarginBorrowRepay(call))
        except ccxt.ExchangeError as error:
            told[number] = refused(_code(client, error))
        except ccxt.RateLimitExceeded:
            told[number] = refused(-1003)
        except ccxt.NetworkError:
            told[number] = UNKNOWN

    try:
        await asyncio.gather(*(borrow(number) for number in range(len(asks))))
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
