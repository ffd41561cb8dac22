"""pyrate-limiter with both of the page's rates, 10 a second and 120 a minute, an account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate

from ..told import Told
from ..venue import Venue
from ..work import Ask
from . import Borrow
from .signed_post import borrowed

RATES = [Rate(1, 100), Rate(120, Duration.MINUTE)]


@asynccontextmanager
async def ready(venue: Venue) -> AsyncIterator[Borrow]:
    limiters = {account: Limiter(InMemoryBucket(RATES)) for account in venue.accounts}

    async def borrow(ask: Ask) -> Told:
        await limiters[ask.account].try_acquire_async(ask.account)
        return await borrowed(session, venue, ask)

    async with aiohttp.ClientSession() as session:
        yield borrow
