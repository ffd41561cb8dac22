"""python-binance's asynchronous client, as it comes."""

import asyncio
from collections.abc import MutableSequence, Sequence

import aiohttp
from binance import AsyncClient
from binance.exceptions import (
    BinanceAPIException,
    BinanceRequestException,
)

from ..told import UNKNOWN, Told, answered, refused
from ..venue import Venue
from ..work import Ask


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    clients = {}
    for name, keys in venue.accounts.items():
        client = AsyncClient(keys.api_key, keys.secret)
        client.MARGIN_API_URL = f"{venue.base_url}/sapi"
        clients[name] = client

    async def borrow(number: int) -> None:
        ask = asks[number]
        try:
            answer = await clients[ask.account].margin_borrow_repay(
                asset=ask.asset, isIsolated="FALSE", amount=ask.amount, type="BORROW"
            )
            told[number] = answered(answer)
        except BinanceAPIException as error:
            told[number] = refused(error.code)
        except (BinanceRequestException, aiohttp.ClientError, TimeoutError):
            told[number] = UNKNOWN

    try:
        await asyncio.gather(*(borrow(number) for number in range(len(asks))))
    finally:
        await asyncio.gather(*(client.close_connection() for client in clients.values()))
