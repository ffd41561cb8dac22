"""One request after the other and nothing else: as fast as a client that cannot do more gets."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from ..told import Told
from ..venue import Venue
from ..work import Ask
from . import Borrow
from .signed_post import borrowed


@asynccontextmanager
async def ready(venue: Venue) -> AsyncIterator[Borrow]:
    # A lock wakes its waiters in order, so that this is a loop over each account's borrows.
    locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def borrow(ask: Ask) -> Told:
        async with locks[ask.account]:
            return await borrowed(session, venue, ask)

    async with aiohttp.ClientSession() as session:
        yield borrow
