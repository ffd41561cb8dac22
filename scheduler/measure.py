"""Looks at the account just before an attempt whose amount depends on it.

The lane is held meanwhile, so nothing of ours can come between the look and the attempt; in return
the look never waits for weight, and is given up soon.
"""

from decimal import Decimal

import anyio

from . import amounts
from .address import Purpose
from .amounts import Measured
from .binance import BadReply
from .clock import Clock
from .errors import LookFailed, UnknownAsset
from .events import Precluded, Unmeasured
from .figures import Owed
from .inquiry import Inquiry
from .model import ALL, Entry, Kind
from .policy import Policy
from .reader import READ_ERRORS
from .survey import NEVER_ANSWERED, NO_SUCH_PAIR, Board, owed_in

BAN_FRESH_MS = 5_000
"""A borrow is not refused for what the exchange said longer ago."""
PERMIT_FRESH_MS = 60_000
"""That an asset may be borrowed is believed for this long; the exchange has the last word."""
MINIMUM_FRESH_MS = 60_000


class Measurer:
    """One account's."""

    def __init__(self, inquiry: Inquiry, board: Board, clock: Clock, policy: Policy) -> None:
        self._inquiry = inquiry
        self._board = board
        self._clock = clock
        self._policy = policy

    async def measure(self, entry: Entry) -> Measured | Precluded | Unmeasured:
        """How much the next attempt asks for; or that it need not be made; or that this could not
        be found out."""
        limit_s = self._policy.measure_max_ms / 1000
        try:
            with anyio.fail_after(limit_s):
                return await self._measured(entry)
        except TimeoutError:
            return Unmeasured(f"no answer within {limit_s:.0f} s")
        except UnknownAsset as error:
            return Precluded(amounts.unanswerable(NO_SUCH_PAIR, f"{error}."))
        except BadReply as error:
            if error.code in NEVER_ANSWERED:
                return Precluded(amounts.unanswerable(error.code, error.message))
            return Unmeasured(str(error))
        except (*READ_ERRORS, LookFailed) as error:
            return Unmeasured(str(error) or type(error).__name__)

    async def owed(self, entry: Entry) -> Owed | None:
        """What is owed of the entry's asset now; None if that could not be found out."""
        try:
            with anyio.fail_after(self._policy.measure_max_ms / 1000):
                return await self._owed(entry)
        except (*READ_ERRORS, LookFailed, TimeoutError):
            return None

    async def _measured(self, entry: Entry) -> Measured | Precluded:
        if entry.submission.precheck and entry.kind is Kind.BORROW and await self._is_banned(entry):
            return Precluded(amounts.banned())
        if not entry.submission.is_open:
            return Measured(Decimal(entry.requested))
        if entry.kind is Kind.REPAY:
            owed = await self._owed(entry)
            return amounts.repayment(entry, owed, await self._min_repay(entry, owed))
        ceiling = await self._inquiry.max_borrowable(
            entry.asset, entry.symbol, Purpose.MEASURE, self._clock.now_ms, hurried=True
        )
        return amounts.borrowing(entry, ceiling)

    async def _owed(self, entry: Entry) -> Owed:
        symbol = entry.symbol
        if symbol is None:
            book = await self._inquiry.cross(Purpose.MEASURE, self._clock.now_ms, hurried=True)
        else:
            book = await self._inquiry.isolated(
                lambda: [symbol], Purpose.MEASURE, self._clock.now_ms, hurried=True
            )
        return owed_in(book, entry.asset, symbol)

    async def _min_repay(self, entry: Entry, owed: Owed) -> Decimal:
        """Of no interest where everything is repaid."""
        if entry.requested == ALL or Decimal(entry.requested) >= owed.total:
            return Decimal(0)
        try:
            status = await self._board.asset(entry.asset, max_age_ms=MINIMUM_FRESH_MS)
        except LookFailed:
            return Decimal(0)
        return status.min_repay

    async def _is_banned(self, entry: Entry) -> bool:
        kept = self._board.asset_kept(entry.asset, PERMIT_FRESH_MS)
        if kept is not None and kept.is_borrowable:
            return False
        try:
            status = await self._board.asset(entry.asset, max_age_ms=BAN_FRESH_MS)
        except LookFailed:
            return False  # it costs the weight of one request, and the exchange knows for sure
        return not status.is_borrowable
