"""One request after the other and nothing else: as fast as a client that cannot do more gets."""

import asyncio
from collections import defaultdict
from collections.abc import MutableSequence, Sequence

import aiohttp

from ..told import UNKNOWN, Told, answered
from ..venue import Venue
from ..work import Ask
from .signed_post import signed_post


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    lanes: dict[str, list[int]] = defaultdict(list)
    for number, ask in enumerate(asks):
        lanes[ask.account].append(number)

    async def lane(numbers: list[int]) -> None:
        for number in numbers:
            try:
                told[number] = answered(await signed_post(session, venue, asks[number]))
            except (aiohttp.ClientError, TimeoutError, ValueError):
                told[number] = UNKNOWN

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(lane(numbers) for numbers in lanes.values()))
