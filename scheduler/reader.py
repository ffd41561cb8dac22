"""Reads from the exchange: within the address's weight, and never while it is banned."""

import logging
from collections.abc import Callable
from math import inf

from anyio import sleep

from . import binance
from .address import Address, Purpose
from .binance import BadReply, Endpoint
from .clock import Clock
from .errors import NoRoom
from .events import Accepted, Lost, Refused
from .transport import Transport
from .wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost

READ_ERRORS = (ConnectFailed, ReplyLost, BadReply)
"""What can become of a read that does not give what was asked for."""

BLOCKING = frozenset({403, 418, 429})

_log = logging.getLogger("margin_scheduler")


class Reader:
    """One a scheduler: all accounts share its address."""

    def __init__(self, transport: Transport, clock: Clock, address: Address) -> None:
        self._transport = transport
        self._clock = clock
        self._address = address

    async def read(
        self,
        endpoint: Endpoint,
        purpose: Purpose,
        build: Callable[[], HttpRequest],
        *,
        within_s: float = inf,
    ) -> HttpReply:
        """The reply to a request that is built, and so stamped, when its turn has come.

        Raises ConnectFailed or ReplyLost, and NoRoom as soon as its turn is certain to come later
        than `within_s` seconds from now.
        """
        until_ms = self._clock.steady_ms() + within_s * 1000
        while True:
            wait_ms = self._wait_ms(endpoint, purpose)
            if not wait_ms:
                break
            if self._clock.steady_ms() + wait_ms > until_ms:
                raise NoRoom(wait_ms / 1000)
            await sleep(wait_ms / 1000)
        if endpoint.counts_by != "UID":
            self._address.charge(endpoint.budget, endpoint.weight, self._clock.steady_ms())
        return await self._send(endpoint, build())

    async def read_now(self, endpoint: Endpoint, build: Callable[[], HttpRequest]) -> HttpReply:
        """The same, and raises ConnectFailed at once where it would have to wait."""
        why = self._why_not_now(endpoint)
        if why is not None:
            raise ConnectFailed(why)
        return await self._send(endpoint, build())

    def note(self, event: Accepted | Refused | Lost) -> None:
        """Hold against the address what a reply says of it."""
        steady_ms = self._clock.steady_ms()
        match event:
            case Refused(is_address_banned=True, retry_after_ms=retry_after_ms):
                self._address.ban(retry_after_ms, steady_ms)
            case Lost(is_firewalled=True):
                self._address.firewall(steady_ms)
            case Accepted() | Refused():
                self._address.went_through()

    def _why_not_now(self, endpoint: Endpoint) -> str | None:
        closed = self._address.closed(self._clock.steady_ms())
        if closed is not None:
            until_ms, cause = closed
            return f"the address is {cause} until {self._clock.at_ms(until_ms)}"
        if self._wait_ms(endpoint, Purpose.LOOK):
            return f"the minute's weight of {endpoint.path} is spent"
        return None

    def _wait_ms(self, endpoint: Endpoint, purpose: Purpose) -> int:
        steady_ms = self._clock.steady_ms()
        return self._address.wait_ms(steady_ms) or self._address.read_wait_ms(
            endpoint.budget, endpoint.weight, purpose, steady_ms
        )

    async def _send(self, endpoint: Endpoint, request: HttpRequest) -> HttpReply:
        try:
            reply = await self._transport.send(request)
        except (ConnectFailed, ReplyLost):
            raise
        except Exception as error:  # a transport of the caller's own
            _log.exception("the transport failed in a way of its own")
            raise ReplyLost(type(error).__name__) from None
        if reply.status in BLOCKING:
            self.note(binance.outcome(reply))
            retry_after_ms = binance.retry_after_ms(reply)
            self._address.exhaust(endpoint.budget, retry_after_ms, self._clock.steady_ms())
        return reply
