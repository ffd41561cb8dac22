"""This scheduler as a sidecar, from a program that only speaks HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp
import orjson

from benchmarks.sidecar.stand import stand

from ..told import UNKNOWN, Told, confirmed, refused
from ..venue import Venue
from ..work import Ask
from . import Borrow

TOKEN = "a token for this run only"
WAIT_S = 60
NOT_EXECUTED = {"REJECTED", "NOT_EXECUTED", "EXPIRED", "CANCELLED"}


@asynccontextmanager
async def ready(venue: Venue) -> AsyncIterator[Borrow]:
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
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    numbers = count()
    with stand("sidecar", **order) as running:
        # aiohttp's 100 connections: asking with ?wait= keeps one until the outcome is known, and a
        # sidecar takes only so many that wait.
        async with aiohttp.ClientSession(headers=headers) as session:
            url = f"{running.url}/v1/submissions"

            async def borrow(ask: Ask) -> Told:
                return _told(await _outcome(session, url, next(numbers), ask))

            yield borrow


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
