"""What several clients share: one signed post with aiohttp, as in a hundred blog posts."""

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp

from ..told import UNKNOWN, Told, answered
from ..venue import Venue
from ..work import Ask

LOST = (aiohttp.ClientError, TimeoutError, ValueError)
"""What `signed_post` raises where it is not known whether it happened."""


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


async def borrowed(session: aiohttp.ClientSession, venue: Venue, ask: Ask) -> Told:
    """What a caller makes of one signed post."""
    try:
        return answered(await signed_post(session, venue, ask))
    except LOST:
        return UNKNOWN
