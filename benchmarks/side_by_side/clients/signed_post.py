"""What several clients share: one signed post with aiohttp, as in a hundred blog posts."""

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp

from ..venue import Venue
from ..work import Ask


async def signed_post(session: aiohttp.ClientSession, venue: Venue, ask: Ask) -> Any:
    """The answer's JSON. Raises whatever aiohttp raises, and on an answer that is no JSON."""
    keys = venue.accounts[ask.account]
    body = urlencode(
        {
            "asset": ask.asset,
            "isIsolated": "FALSE",
            "amount": ask.amount,
            "type": "BORROW",
            "timestamp": int(time.time() * 1000),
        }
    )
    signature = hmac.new(keys.secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    async with session.post(
        f"{venue.base_url}/sapi/v1/margin/borrow-repay",
        data=f"{body}&signature={signature}",
        headers={
            "X-MBX-APIKEY": keys.api_key,
            "Content-Type": "application/x-www-form-urlencoded",
        },
    ) as response:
        return await response.json()
