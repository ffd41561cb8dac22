"""The client that most people write first.

It signs as it should, sends everything at once, and sends again when a call fails. It is written
plainly on purpose, and shares nothing with the scheduler.
"""

import asyncio
import hashlib
import hmac
import time
from urllib.parse import urlencode

import aiohttp

from .burst import Burst, Order
from .progress import Progress, Stage
from .stage import Venue
from .told import Told

TRIES = 3
"""Of a call that fails: its connection breaks, or what comes back is no JSON."""
PAUSE_S = 0.1
"""Before a refused request is sent again, where that is wanted."""


async def run(venue: Venue, burst: Burst, progress: Progress, again: int) -> dict[Order, Told]:
    """Everything at once; a refused request `again` so many times. Gives what it was told."""
    orders = [order for orders in burst.orders.values() for order in orders]
    async with aiohttp.ClientSession() as session:
        progress.start()
        told = await asyncio.gather(
            *(_carry_out(session, venue, order, progress, again) for order in orders)
        )
    return dict(zip(orders, told, strict=True))


async def _carry_out(
    session: aiohttp.ClientSession, venue: Venue, order: Order, progress: Progress, again: int
) -> Told:
    key = f"{order.kind} {order.amount} {order.asset} {order.account}"
    progress.move(order.account, key, Stage.IN_AIR)
    told = await _call(session, venue, order)
    for _ in range(again):
        if told.code is None:
            break
        await asyncio.sleep(PAUSE_S)
        told = await _call(session, venue, order)
    progress.move(order.account, key, told.stage)
    return told


async def _call(session: aiohttp.ClientSession, venue: Venue, order: Order) -> Told:
    account = venue.accounts[order.account]
    headers = {"X-MBX-APIKEY": account.api_key}
    for _ in range(TRIES):
        parameters = {
            "asset": order.asset,
            "isIsolated": "FALSE",
            "amount": f"{order.amount:f}",
            "type": order.kind,
            "timestamp": int(time.time() * 1000),
        }
        query = urlencode(parameters)
        signature = hmac.new(account.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{venue.base_url}/sapi/v1/margin/borrow-repay?{query}&signature={signature}"
        try:
            async with session.post(url, headers=headers) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError):
            continue
        return Told(tran_id=answer.get("tranId"), code=answer.get("code"))
    return Told()
