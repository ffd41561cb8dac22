"""Reads from the exchange: within the weight of address and account, and never while banned."""

import logging
from collections import defaultdict
from collections.abc import Callable
from math import inf

from anyio import sleep

from . import binance
from .address import Address, Purpose
from .binance import BadReply, Endpoint
from .clock import Clock
from .errors import NoRoom
from .events import Accepted, Lost, Refused
from .policy import Limits
from .spending import MINUTE_MS, Spending
from .transport import Transport
from .wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost

READ_ERRORS = (ConnectFailed, ReplyLost, BadReply)
"""What can become of a read that does not give what was asked for."""

BLOCKING = frozenset({403, 418, 429})

_log = logging.getLogger("margin_scheduler")


class Reader:
    """One a scheduler: all accounts share its address."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        address: Address,
        uid_weight_per_minute: int = Limits().uid_weight_per_minute,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._address = address
        self._uid_limit = uid_weight_per_minute
        self._accounts: defaultdict[tuple[str, str], Spending] = defaultdict(Spending)

    async def read(
        self,
        endpoint: Endpoint,
        purpose: Purpose,
        build: Callable[[], HttpRequest],
        *,
        payer: str = "",
        within_s: float = inf,
    ) -> HttpReply:
        """The reply to a request that is built, and so stamped, when its turn has come.

        `payer` is the account that a call counted by UID is charged to. Raises ConnectFailed or
        ReplyLost, and NoRoom as soon as its turn is certain to come later than `within_s` seconds
        from now.
        """
        until_ms = self._clock.steady_ms() + within_s * 1000
        while True:
            wait_ms = self.wait_ms(endpoint, purpose, payer=payer)
            if not wait_ms:
                break
            if self._clock.steady_ms() + wait_ms > until_ms:
                raise NoRoom(wait_ms / 1000)
            await sleep(wait_ms / 1000)
        self._charge(endpoint, payer)
        return await self._send(endpoint, build(), payer)

    async def read_now(
        self,
        endpoint: Endpoint,
        build: Callable[[], HttpRequest],
        purpose: Purpose = Purpose.LOOK,
        *,
        payer: str = "",
    ) -> HttpReply:
        """The same, and raises ConnectFailed at once where it would have to wait."""
        why = self._why_not_now(endpoint, purpose, payer)
        if why is not None:
            raise ConnectFailed(why)
        self._charge(endpoint, payer)
        return await self._send(endpoint, build(), payer)

    def note(self, event: Accepted | Refused | Lost) -> None:
        """Hold against the address what a reply says of it."""
        match event:
            case Accepted():
                self._address.went_through()
            case Refused(is_address_banned=True, retry_after_ms=retry_after_ms):
                self._address.ban(retry_after_ms, self._clock.steady_ms())
            case Lost(is_firewalled=True):
                self._address.firewall(self._clock.steady_ms())
            case Refused():
                self._address.went_through()

    def _why_not_now(self, endpoint: Endpoint, purpose: Purpose, payer: str) -> str | None:
        closed = self._address.closed(self._clock.steady_ms())
        if closed is not None:
            until_ms, cause = closed
            return f"the address is {cause} until {self._clock.at_ms(until_ms)}"
        if self.wait_ms(endpoint, purpose, payer=payer):
            return f"the minute's weight of {endpoint.path} is spent"
        return None

    def wait_ms(self, endpoint: Endpoint, purpose: Purpose, *, payer: str = "") -> int:
        """Until a read could go out, as far as is known now; 0 is at once."""
        steady_ms = self._clock.steady_ms()
        closed_ms = self._address.wait_ms(steady_ms)
        if closed_ms:
            return closed_ms
        if endpoint.counts_by != "UID":
            weight = endpoint.weight
            return self._address.read_wait_ms(endpoint.budget, weight, purpose, steady_ms)
        most = self._uid_limit * purpose.value
        return self._accounts[payer, endpoint.path].wait_ms(endpoint.weight, most, steady_ms)

    def load(self, endpoint: Endpoint, purpose: Purpose, *, payer: str = "") -> float:
        """How much is spent of what such reads may spend of their minute; 1 is all of it, or that
        nothing can be sent at all."""
        steady_ms = self._clock.steady_ms()
        if self._address.wait_ms(steady_ms):
            return 1.0
        if endpoint.counts_by != "UID":
            return self._address.read_load(endpoint.budget, purpose, steady_ms)
        spent = self._accounts[payer, endpoint.path].spent(steady_ms)
        return spent / (self._uid_limit * purpose.value)

    def _charge(self, endpoint: Endpoint, payer: str) -> None:
        steady_ms = self._clock.steady_ms()
        if endpoint.counts_by != "UID":
            self._address.charge(endpoint.budget, endpoint.weight, steady_ms)
        else:
            self._accounts[payer, endpoint.path].spend(endpoint.weight, steady_ms + MINUTE_MS)

    async def _send(self, endpoint: Endpoint, request: HttpRequest, payer: str) -> HttpReply:
        try:
            reply = await self._transport.send(request)
        except (ConnectFailed, ReplyLost):
            raise
        except Exception as error:  # a transport of the caller's own
            _log.exception("the transport failed in a way of its own")
            raise ReplyLost(type(error).__name__) from None
        if reply.status in BLOCKING:
            self.note(binance.outcome(reply))
            self._exhaust(endpoint, payer, binance.retry_after_ms(reply))
        return reply

    def _exhaust(self, endpoint: Endpoint, payer: str, retry_after_ms: int | None) -> None:
        steady_ms = self._clock.steady_ms()
        if endpoint.counts_by != "UID":
            self._address.exhaust(endpoint.budget, retry_after_ms, steady_ms)
        else:
            until_ms = steady_ms + (retry_after_ms or MINUTE_MS)
            self._accounts[payer, endpoint.path].spend(self._uid_limit, until_ms)
