"""This scheduler inside the program, with its journal on disk."""

import asyncio
from collections.abc import MutableSequence, Sequence

from scheduler import Account, NotConfirmed, Scheduler, State

from ..told import UNKNOWN, Told, confirmed, refused
from ..venue import Venue
from ..work import Ask


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    accounts = [
        Account(name, api_key=keys.api_key, secret=keys.secret)
        for name, keys in venue.accounts.items()
    ]
    journal = f"sqlite:///{venue.directory}/scheduler.db"

    async def borrow(number: int) -> None:
        ask = asks[number]
        try:
            entry = await scheduler.borrow(ask.account, ask.asset, ask.amount)
            told[number] = confirmed(entry.tran_id)
        except NotConfirmed as error:
            is_open = not error.entry.is_final or error.entry.state is State.CONFIRMED
            told[number] = UNKNOWN if is_open else refused(error.entry.code)

    async with Scheduler(accounts, base_url=venue.base_url, journal=journal) as scheduler:
        await asyncio.gather(*(borrow(number) for number in range(len(asks))))
