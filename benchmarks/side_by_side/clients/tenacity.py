"""tenacity's retries around each call, exponential with jitter: all at once, or with a lock."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import aiohttp
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from ..told import UNKNOWN, Told, answered
from ..venue import Venue
from ..work import Ask
from . import Borrow
from .signed_post import LOST, signed_post

TRIES = 10
NOT_NOW = {-3007, -3045, -1003}
"""What a caller who has read the page sends again."""


class _Again(Exception):
    def __init__(self, answer: object) -> None:
        super().__init__("to be sent again")
        self.answer = answer


@asynccontextmanager
async def ready_tenacity(venue: Venue) -> AsyncIterator[Borrow]:
    async with aiohttp.ClientSession() as session:
        yield _borrow(session, venue, lambda _: nullcontext())


@asynccontextmanager
async def ready_tenacity_lock(venue: Venue) -> AsyncIterator[Borrow]:
    locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    async with aiohttp.ClientSession() as session:
        # Around each try, not around all of them: who waits to try again holds nobody up.
        yield _borrow(session, venue, lambda account: locks[account])


def _borrow(
    session: aiohttp.ClientSession,
    venue: Venue,
    turn: Callable[[str], AbstractAsyncContextManager[object]],
) -> Borrow:
    async def attempt(ask: Ask) -> object:
        async with turn(ask.account):
            answer = await signed_post(session, venue, ask)
        if isinstance(answer, dict) and answer.get("code") in NOT_NOW:
            raise _Again(answer)
        return answer

    async def borrow(ask: Ask) -> Told:
        try:
            return answered(await _retrying()(attempt, ask))
        except _Again as again:
            return answered(again.answer)
        except LOST:
            return UNKNOWN

    return borrow


def _retrying() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type((_Again, aiohttp.ClientError, TimeoutError)),
        wait=wait_random_exponential(multiplier=0.1, max=10),
        stop=stop_after_attempt(TRIES),
        reraise=True,
    )
