"""The four ways a borrow is asked for, as a program would."""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from urllib.parse import urlencode

import aiohttp
import orjson

Ask = Callable[[], Awaitable[None]]


class AskFailed(Exception):
    """An answer that is not the confirmation of a borrow."""


def signed(
    session: aiohttp.ClientSession, base_url: str, accounts: Mapping[str, Mapping[str, str]]
) -> Ask:
    """The exchange's own call: at the exchange, at the forwarder, at the sidecar's gateway."""
    names, numbers = list(accounts), count()
    url = f"{base_url}/sapi/v1/margin/borrow-repay"

    async def ask() -> None:
        number = next(numbers)
        keys = accounts[names[number % len(names)]]
        parameters = {
            "asset": "USDT",
            "isIsolated": "FALSE",
            "amount": f"{1 + number / 1000:.3f}",
            "type": "BORROW",
            "recvWindow": 60_000,
            "timestamp": time.time_ns() // 1_000_000,
        }
        body = urlencode(parameters)
        signature = hmac.new(keys["secret"].encode(), body.encode(), hashlib.sha256).hexdigest()
        headers = {
            "X-MBX-APIKEY": keys["api_key"],
            "Content-Type": "application/x-www-form-urlencoded",
        }
        data = f"{body}&signature={signature}"
        async with session.post(url, data=data, headers=headers) as response:
            answer = orjson.loads(await response.read())
        if "tranId" not in answer:
            raise AskFailed(str(answer))

    return ask


def native(
    session: aiohttp.ClientSession, base_url: str, accounts: Mapping[str, object], token: str
) -> Ask:
    """The sidecar's own call, waiting for the outcome."""
    names, numbers = list(accounts), count()
    url, run = f"{base_url}/v1/submissions?wait=30", time.time_ns()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def ask() -> None:
        number = next(numbers)
        body = {
            "key": f"bench-{run}-{number}",
            "account": names[number % len(names)],
            "kind": "BORROW",
            "asset": "USDT",
            "amount": f"{1 + number / 1000:.3f}",
        }
        async with session.post(url, data=orjson.dumps(body), headers=headers) as response:
            answer = orjson.loads(await response.read())
        if answer.get("state") != "CONFIRMED":
            raise AskFailed(str(answer))

    return ask
