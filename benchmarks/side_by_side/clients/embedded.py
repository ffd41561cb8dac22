"""This scheduler inside the program, with its journal on disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scheduler import Account, NotConfirmed, Scheduler, State

from ..told import UNKNOWN, Told, confirmed, refused
from ..venue import Venue
from ..work import Ask
from . import Borrow


@asynccontextmanager
async def ready(venue: Venue) -> AsyncIterator[Borrow]:
    accounts = [
        Account(name, api_key=keys.api_key, secret=keys.secret)
        for name, keys in venue.accounts.items()
    ]
    journal = f"sqlite:///{venue.directory}/scheduler.db"

    async def borrow(ask: Ask) -> Told:
        try:
            entry = await scheduler.borrow(ask.account, ask.asset, ask.amount)
            return confirmed(entry.tran_id)
        except NotConfirmed as error:
            is_open = not error.entry.is_final or error.entry.state is State.CONFIRMED
            return UNKNOWN if is_open else refused(error.entry.code)

    async with Scheduler(accounts, base_url=venue.base_url, journal=journal) as scheduler:
        yield borrow
