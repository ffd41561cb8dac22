"""This scheduler as a sidecar, from a program that only speaks HTTP."""

import asyncio
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from benchmarks.sidecar.stand import stand

from ..told import UNKNOWN, Told, confirmed, refused
from ..venue import Venue
from ..work import Ask

TOKEN = "a token for this run only"
WAIT_S = 60
NOT_EXECUTED = {"REJECTED", "NOT_EXECUTED", "EXPIRED", "CANCELLED"}


@contextmanager
def prepared(venue: Venue) -> Iterator[Venue]:
    """The sidecar runs before anything is asked of it."""
    order = {
        "base_url": venue.base_url,
        "accounts": {
            name: {"api_key": keys.api_key, "secret": keys.secret}
            for name, keys in venue.accounts.items()
        },
        "journal": f"sqlite:///{venue.directory}/scheduler.db",
        "token": TOKEN,
        "is_lifted": False,
    }
    with stand("sidecar", **order) as running:
        yield replace(venue, base_url=running.url)


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        url = f"{venue.base_url}/v1/submissions"

        async def borrow(number: int) -> None:
            told[number] = _told(await _outcome(session, url, number, asks[number]))

        await asyncio.gather(*(borrow(number) for number in range(len(asks))))


async def _outcome(
    session: aiohttp.ClientSession, url: str, number: int, ask: Ask
) -> dict[str, Any]:
    body = {
        "key": f"borrow-{number}",
        "account": ask.account,
        "kind": "BORROW",
        "asset": ask.asset,
        "amount": ask.amount,
    }
    wait = {"wait": str(WAIT_S)}
    async with session.post(url, params=wait, data=orjson.dumps(body)) as response:
        entry: dict[str, Any] = orjson.loads(await response.read())
    while entry.get("is_final") is False and entry["state"] != "UNRESOLVED":
        async with session.get(f"{url}/{body['key']}", params=wait) as response:
            entry = orjson.loads(await response.read())
    return entry


def _told(entry: dict[str, Any]) -> Told:
    if entry.get("state") == "CONFIRMED":
        return confirmed(entry["tran_id"])
    return refused(entry["code"]) if entry.get("state") in NOT_EXECUTED else UNKNOWN
