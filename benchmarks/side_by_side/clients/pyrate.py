"""pyrate-limiter with both of the page's rates, 10 a second and 120 a minute, an account."""

import asyncio
from collections.abc import MutableSequence, Sequence

import aiohttp
from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate

from ..told import UNKNOWN, Told, answered
from ..venue import Venue
from ..work import Ask
from .signed_post import signed_post

RATES = [Rate(1, 100), Rate(120, Duration.MINUTE)]


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    limiters = {account: Limiter(InMemoryBucket(RATES)) for account in venue.accounts}

    async def borrow(number: int) -> None:
        ask = asks[number]
        await limiters[ask.account].try_acquire_async(ask.account)
        try:
            told[number] = answered(await signed_post(session, venue, ask))
        except (aiohttp.ClientError, TimeoutError, ValueError):
            told[number] = UNKNOWN

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(borrow(number) for number in range(len(asks))))
