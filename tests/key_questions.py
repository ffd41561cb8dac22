"""Keeps the questions of the start off the wire, for runs whose timing is the subject."""

from collections.abc import Iterable

from scheduler import binance
from scheduler.simulator import SimulatedAccount
from scheduler.transport import Transport
from scheduler.wire import HttpReply, HttpRequest

PERMITTED = b'{"enableMargin":true,"enableWithdrawals":false,"ipRestrict":true}'


class WithoutKeyQuestions:
    """The way to the exchange, but for whose keys these are and what they may do.

    That is answered here, rightly and at once: on the wire it would move every draw after it, and
    seeds and starts would no longer mean what their tests say.
    """

    def __init__(self, transport: Transport, accounts: Iterable[SimulatedAccount]) -> None:
        self._transport = transport
        self._uids = {account.api_key: account.uid for account in accounts}

    async def send(self, request: HttpRequest) -> HttpReply:
        if request.path == binance.ACCOUNT.path:
            uid = self._uids[request.headers["X-MBX-APIKEY"]]
            return HttpReply(status=200, body=b'{"uid":%d}' % uid)
        if request.path == binance.RESTRICTIONS.path:
            return HttpReply(status=200, body=PERMITTED)
        return await self._transport.send(request)

    async def aclose(self) -> None:
        await self._transport.aclose()
