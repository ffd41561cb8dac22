"""One account's conversation with the exchange: attempts are sent, records are looked up.

Every reply becomes an event here. What the reply says of the address (bans, the firewall) is noted
where every account sees it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from anyio import sleep

from . import binance
from .address import Address, Purpose
from .binance import BadReply, Credentials, Endpoint
from .clock import Clock, loop_s
from .events import Accepted, LookUpFailed, Lost, NotSent, Refused, Sent
from .model import Attempt, Entry, Transaction
from .policy import Policy
from .reconcile import Window, window
from .transport import Transport
from .wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost

PAGES_MAX = 50
"""Of records in one look; more than 5,000 in one attempt's window is no sign of an honest
answer."""

CLOCK_PERIOD_S = 30.0
"""Between two samples of the exchange's time."""
CLOCK_RETRY_S = 1.0

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True)
class Look:
    """Every record of a window, and how far the clock allows to conclude from what is missing."""

    records: tuple[Transaction, ...]
    as_of_ms: int
    is_trusted: bool


class Exchange:
    """Speaks for one account."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        transport: Transport,
        clock: Clock,
        address: Address,
        policy: Policy,
        exclusion: Callable[[Entry], str],
    ) -> None:
        self._credentials = credentials
        self._transport = transport
        self._clock = clock
        self._address = address
        self._policy = policy
        self._exclusion = exclusion

    def mint(self, entry: Entry, amount: Decimal) -> Attempt:
        """The entry's next attempt, stamped now.

        From here on nothing changes its bytes: however long it takes to become durable and to get
        out, the exchange measures it against this timestamp.
        """
        now_ms, recv_window_ms = self._clock.now_ms(), self._policy.recv_window_ms
        return Attempt(
            number=entry.attempts + 1,
            timestamp_ms=now_ms,
            recv_window_ms=recv_window_ms,
            amount=amount,
            exclusion=self._exclusion(entry),
            body=binance.borrow_repay_body(entry, amount, now_ms, recv_window_ms),
        )

    async def send(self, attempt: Attempt) -> Sent:
        """Send a durable attempt: at most one HTTP request."""
        request = binance.borrow_repay_request(attempt, self._credentials)
        try:
            reply = await self._transport.send(request)
        except ConnectFailed as error:
            return Sent(NotSent(str(error)), None)
        except ReplyLost as error:
            return Sent(Lost(str(error)), None)
        except Exception as error:  # a transport of the caller's own
            _log.exception("the transport failed in a way of its own")
            return Sent(Lost(type(error).__name__), None)
        event = binance.outcome(reply)
        self._note_address(event)
        return Sent(event, binance.used_uid_weight(reply))

    async def sample_clock(self) -> bool:
        """Set the clock by the exchange's; False if no usable answer came."""
        return await sample_clock(self._transport, self._clock)

    async def look(
        self, entry: Entry, times: Window, purpose: Purpose, *, any_asset: bool = False
    ) -> Look | LookUpFailed:
        """All records of the entry's kind and pair in a window; of its asset unless `any_asset`."""
        # The clock is read before the records: only then does its time bound what they can miss.
        if not await self.sample_clock():
            return LookUpFailed("no exchange time")
        as_of_ms, is_trusted = self._clock.now_ms(), self._clock.is_trusted
        found: dict[int, Transaction] = {}
        try:
            for page in range(1, PAGES_MAX + 1):
                request = binance.records_request(
                    entry,
                    any_asset=any_asset,
                    from_ms=times.from_ms,
                    until_ms=times.until_ms,
                    page=page,
                    timestamp_ms=self._clock.now_ms(),
                    credentials=self._credentials,
                )
                reply = await self._read(binance.RECORDS, request, purpose)
                rows, total = binance.records(reply, entry.kind)
                found.update((row.tran_id, row) for row in rows)
                if len(rows) < binance.PAGE_SIZE:
                    if len(found) < total:
                        return LookUpFailed(f"{len(found)} of {total} records")
                    return Look(tuple(found.values()), as_of_ms, is_trusted)
        except _READ_ERRORS as error:
            return LookUpFailed(str(error) or type(error).__name__)
        return LookUpFailed(f"more than {PAGES_MAX} pages")

    def window_of(self, entry: Entry) -> Window:
        """The times that a record of the entry's latest attempt may carry."""
        assert entry.attempt is not None
        return window(entry.attempt, self._policy)

    async def inventory(self, asset: str, *, is_isolated: bool) -> Decimal | None:
        """What can be lent of the asset now; None if the exchange does not say."""
        request = binance.inventory_request(
            is_isolated=is_isolated,
            timestamp_ms=self._clock.now_ms(),
            credentials=self._credentials,
        )
        try:
            reply = await self._read(binance.INVENTORY, request, Purpose.SWEEP)
            return binance.inventory(reply).get(asset, Decimal(0))
        except _READ_ERRORS as error:
            _log.warning("inventory of %s is not known: %s", asset, error)
            return None

    async def _read(self, endpoint: Endpoint, request: HttpRequest, purpose: Purpose) -> HttpReply:
        while True:
            steady_ms = self._clock.steady_ms()
            wait_ms = self._address.wait_ms(self._clock.now_ms()) or self._address.read_wait_ms(
                endpoint.path, endpoint.weight, purpose, steady_ms
            )
            if not wait_ms:
                break
            await sleep(wait_ms / 1000)
        if endpoint.counts_by == "IP":
            self._address.charge(endpoint.path, endpoint.weight, steady_ms)
        reply = await self._transport.send(request)
        if reply.status in {418, 429, 403}:
            self._note_address(binance.outcome(reply))
            self._address.exhaust(
                endpoint.path, binance.retry_after_ms(reply), self._clock.steady_ms()
            )
        return reply

    def _note_address(self, event: Accepted | Refused | Lost) -> None:
        now_ms = self._clock.now_ms()
        match event:
            case Refused(is_address_banned=True, retry_after_ms=retry_after_ms):
                self._address.ban(retry_after_ms, now_ms)
            case Lost(is_firewalled=True):
                self._address.firewall(now_ms)
            case Accepted() | Refused():
                self._address.went_through()


async def sample_clock(transport: Transport, clock: Clock) -> bool:
    """Ask the exchange for its time once; False if no usable answer came."""
    asked_at_s = loop_s()
    try:
        reply = await transport.send(binance.time_request())
        clock.sample(binance.server_time_ms(reply), asked_at_s)
    except _READ_ERRORS as error:
        _log.debug("no exchange time: %s", error)
        return False
    return True


async def keep_clock(transport: Transport, clock: Clock, is_set: Callable[[], None]) -> None:
    """Set the clock again and again; `is_set` is called once it is for the first time."""
    is_told = False
    while True:
        is_sampled = await sample_clock(transport, clock)
        if clock.is_set and not is_told:  # by this sample, or by one that a look took
            is_told = True
            is_set()
        await sleep(CLOCK_PERIOD_S if is_sampled else CLOCK_RETRY_S)


_READ_ERRORS = (ConnectFailed, ReplyLost, BadReply)
