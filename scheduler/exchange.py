"""One account's conversation with the exchange: attempts are sent, records are looked up.

Every reply becomes an event here. What the reply says of the address (bans, the firewall) is noted
where every account sees it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from . import binance
from .address import Purpose
from .binance import Credentials
from .clock import JUMP_MAX_MS, Clock
from .events import LookUpFailed, Lost, NotSent, Sent
from .model import Asked, Attempt, Entry, Transaction
from .policy import Policy
from .reader import READ_ERRORS, Reader
from .reconcile import Window
from .timekeeper import Timekeeper
from .transport import Transport
from .wire import ConnectFailed, ReplyLost

PAGES_MAX = 50
"""Of records in one look; more than 5,000 in one attempt's window is no honest answer."""

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True)
class Look:
    """Every record of a window, and how far the clock allows to conclude from what is missing."""

    records: tuple[Transaction, ...]
    as_of_ms: int
    is_trusted: bool
    known_since_ms: int


class Exchange:
    """Speaks for one account."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        transport: Transport,
        reader: Reader,
        timekeeper: Timekeeper,
        clock: Clock,
        policy: Policy,
        exclusion: Callable[[Entry], str],
        account: str = "",
    ) -> None:
        self._account = account
        self._credentials = credentials
        self._transport = transport
        self._reader = reader
        self._timekeeper = timekeeper
        self._clock = clock
        self._policy = policy
        self.exclusion = exclusion
        self._last_timestamp_ms = 0

    def mint(self, entry: Entry, amount: Decimal) -> Attempt:
        """The entry's next attempt, stamped now.

        From here on nothing changes its bytes: however long it takes to become durable and to get
        out, the exchange measures it against this timestamp.
        """
        timestamp_ms, recv_window_ms = self._next_timestamp_ms(), self._policy.recv_window_ms
        return Attempt(
            number=entry.attempts + 1,
            timestamp_ms=timestamp_ms,
            recv_window_ms=recv_window_ms,
            amount=amount,
            exclusion=self.exclusion(entry),
            body=binance.borrow_repay_body(entry, amount, timestamp_ms, recv_window_ms),
        )

    def _next_timestamp_ms(self) -> int:
        """Now, and later than the attempt before, so that each of an account has its own.

        A new sample may set the clock back a little. The last timestamp was a lower bound of its
        time, so one more than it still is one; after a real step back at the exchange it is not.
        """
        now_ms = self._clock.now_ms()
        if now_ms <= self._last_timestamp_ms <= now_ms + JUMP_MAX_MS:
            now_ms = self._last_timestamp_ms + 1
        self._last_timestamp_ms = now_ms
        return now_ms

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
        self._reader.note(event)
        return Sent(event, binance.used_uid_weight(reply))

    async def look(
        self, asked: Asked, times: Window, purpose: Purpose, *, any_asset: bool = False
    ) -> Look | LookUpFailed:
        """All records of the request's kind and pair in a window; of its asset unless
        `any_asset`."""
        # The clock is read before the records: only then does its time bound what they can miss.
        try:
            await self._timekeeper.read()
        except READ_ERRORS as error:
            return LookUpFailed(f"no exchange time: {str(error) or type(error).__name__}")
        as_of_ms, is_trusted = self._clock.now_ms(), self._clock.is_trusted
        known_since_ms = self._clock.known_since_ms
        found: dict[int, Transaction] = {}
        try:
            for page in range(1, PAGES_MAX + 1):
                rows, total = await self._page(asked, times, purpose, page, any_asset)
                found.update((row.tran_id, row) for row in rows)
                if len(rows) < binance.PAGE_SIZE:
                    if len(found) < total:
                        return LookUpFailed(f"{len(found)} of {total} records")
                    return Look(tuple(found.values()), as_of_ms, is_trusted, known_since_ms)
        except READ_ERRORS as error:
            return LookUpFailed(str(error) or type(error).__name__)
        return LookUpFailed(f"more than {PAGES_MAX} pages")

    async def inventory(self, asset: str, *, is_isolated: bool) -> Decimal | None:
        """What can be lent of the asset now; None if the exchange does not say."""
        try:
            reply = await self._reader.read(
                binance.INVENTORY,
                Purpose.SWEEP,
                lambda: binance.inventory_request(
                    is_isolated=is_isolated,
                    timestamp_ms=self._clock.now_ms(),
                    credentials=self._credentials,
                ),
                payer=self._account,
            )
            return binance.inventory(reply).get(asset, Decimal(0))
        except READ_ERRORS as error:
            _log.warning("inventory of %s is not known: %s", asset, error)
            return None

    async def _page(
        self, asked: Asked, times: Window, purpose: Purpose, page: int, any_asset: bool
    ) -> tuple[list[Transaction], int]:
        reply = await self._reader.read(
            binance.RECORDS,
            purpose,
            lambda: binance.records_request(
                asked,
                any_asset=any_asset,
                from_ms=times.from_ms,
                until_ms=times.until_ms,
                page=page,
                timestamp_ms=self._clock.now_ms(),
                credentials=self._credentials,
            ),
        )
        return binance.records(reply, asked.kind)
