"""Everything at once, and tenacity's retries around each call: exponential, with jitter."""

import asyncio
from collections.abc import MutableSequence, Sequence

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
from .signed_post import signed_post

TRIES = 10
NOT_NOW = {-3007, -3045, -1003}
"""What a caller who has read the page sends again."""


class _Again(Exception):
    def __init__(self, answer: object) -> None:
        super().__init__("to be sent again")
        self.answer = answer


def _retrying() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type((_Again, aiohttp.ClientError, TimeoutError)),
        wait=wait_random_exponential(multiplier=0.1, max=10),
        stop=stop_after_attempt(TRIES),
        reraise=True,
    )


async def _borrow(session: aiohttp.ClientSession, venue: Venue, ask: Ask) -> object:
    answer = await signed_post(session, venue, ask)
    if isinstance(answer, dict) and answer.get("code") in NOT_NOW:
        raise _Again(answer)
    return answer


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    async def borrow(number: int) -> None:
        try:
            told[number] = answered(await _retrying()(_borrow, session, venue, asks[number]))
        except _Again as again:
            told[number] = answered(again.answer)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            told[number] = UNKNOWN

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(borrow(number) for number in range(len(asks))))
