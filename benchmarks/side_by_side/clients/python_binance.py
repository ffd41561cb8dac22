"""python-binance's asynchronous client, as it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from binance import AsyncClient
from binance.exceptions import (
    BinanceAPIException,
    BinanceRequestException,
)

from ..told import UNKNOWN, Told, answered, refused
from ..venue import Venue
from ..work import Ask
from . import Borrow


@asynccontextmanager
async def ready(venue: Venue) -> AsyncIterator[Borrow]:
    clients = {}
    for name, keys in venue.accounts.items():
        client = AsyncClient(keys.api_key, keys.secret)
        client.MARGIN_API_URL = f"{venue.base_url}/sapi"
        clients[name] = client

    async def borrow(ask: Ask) -> Told:
        try:
            return answered(
                await clients[ask.account].margin_borrow_repay(
                    asset=ask.asset, isIsolated="FALSE", amount=ask.amount, type="BORROW"
                )
            )
        except BinanceAPIException as error:
            return refused(error.code)
        except (BinanceRequestException, aiohttp.ClientError, TimeoutError):
            return UNKNOWN

    try:
        yield borrow
    finally:
        await asyncio.gather(*(client.close_connection() for client in clients.values()))
