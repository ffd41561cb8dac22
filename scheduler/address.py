"""What the exchange holds against this machine's address, whichever account asks.

Bans (418), the firewall (403) and the weight of calls that count by address. One a scheduler: every
account of it shares the address.
"""

from collections import defaultdict
from collections.abc import Callable
from enum import Enum

from .policy import Limits
from .spending import MINUTE_MS, Spending

FIREWALL_WAIT_MS = 5 * 60_000
"""After a 403 without a code, doubling with each in a row."""
FIREWALL_WAIT_MAX_MS = 60 * 60_000
BAN_WAIT_MS = 2 * 60_000
"""After a 418 that does not say for how long: the shortest ban there is, and twice as long with
each in a row."""
BAN_WAIT_MAX_MS = 3 * 24 * 60 * 60_000
"""The longest ban there is."""
SAME_MS = 2_000
"""Closed for this much longer is no news; a ban is told in whole seconds."""
HALVED = frozenset({"/api"})
"""Budgets that are half as large as those of a call under /sapi."""


class Purpose(Enum):
    """Why something is read: the most of the minute's address weight it may leave spent.

    A look decides whether a loan happened, so a fifth is kept for looks alone.
    """

    LOOK = 1.0
    SWEEP = 0.8
    MEASURE = 0.75
    """The amount of an attempt that is about to start: its lane waits for the answer."""
    DEBT = 0.7
    PASS_THROUGH = 0.6
    AUDIT = 0.05


class Address:
    """Whether anything may go out, and whether a read still fits.

    Times are `Clock.steady_ms`: a ban lasts as long as it lasts, wherever clocks are set meanwhile.
    """

    def __init__(
        self, limits: Limits, on_close: Callable[[int, str], None] = lambda until_ms, cause: None
    ) -> None:
        """`on_close` is told until when, and why, whenever that changes."""
        self._on_close = on_close
        self._limit = limits.ip_weight_per_minute * limits.ip_weight_share
        self._spendings: defaultdict[str, Spending] = defaultdict(Spending)
        self._closed_until_ms = 0
        self._closed_for = ""
        self._told_until_ms = 0
        self._after_ban = _Quiet(BAN_WAIT_MS, BAN_WAIT_MAX_MS)
        self._after_firewall = _Quiet(FIREWALL_WAIT_MS, FIREWALL_WAIT_MAX_MS)

    # Bans

    def wait_ms(self, steady_ms: int) -> int:
        """Until anything may be sent; 0 is now."""
        return max(0, self._closed_until_ms - steady_ms)

    def closed(self, steady_ms: int) -> tuple[int, str] | None:
        """Until when the address is closed and what for; None while it is open."""
        if self._closed_until_ms <= steady_ms:
            return None
        return self._closed_until_ms, self._closed_for

    def ban(self, retry_after_ms: int | None, steady_ms: int) -> int:
        """The exchange answered 418; returns until when nothing is sent."""
        if retry_after_ms:
            return self.close(steady_ms + retry_after_ms, "banned")
        return self.close(self._after_ban.until_ms(steady_ms), "banned")

    def firewall(self, steady_ms: int) -> int:
        """The exchange's firewall answered 403; returns until when nothing is sent."""
        return self.close(self._after_firewall.until_ms(steady_ms), "firewalled")

    def close(self, until_ms: int, cause: str) -> int:
        """Nothing is sent before `until_ms`, or later if it was closed for longer already."""
        if until_ms > self._closed_until_ms:
            self._closed_until_ms, self._closed_for = until_ms, cause
            # Answers that were under way with the first one say the same ban, a moment later.
            if until_ms > self._told_until_ms + SAME_MS:
                self._told_until_ms = until_ms
                self._on_close(until_ms, cause)
        return self._closed_until_ms

    def went_through(self) -> None:
        """The exchange answered like an exchange."""
        self._after_ban.is_over()
        self._after_firewall.is_over()

    # Weight that counts by address

    def read_wait_ms(self, path: str, weight: int, purpose: Purpose, steady_ms: int) -> int:
        """Until a read of this weight fits its endpoint's minute; 0 is now."""
        most = self._limit_of(path) * purpose.value
        return self._spendings[path].wait_ms(weight, most, steady_ms)

    def read_load(self, path: str, purpose: Purpose, steady_ms: int) -> float:
        """How much is spent of what such reads may leave spent; 1 is all of it."""
        return self._spendings[path].spent(steady_ms) / (self._limit_of(path) * purpose.value)

    def charge(self, path: str, weight: int, steady_ms: int) -> None:
        """A read goes out."""
        self._spendings[path].spend(weight, steady_ms + MINUTE_MS)

    def exhaust(self, path: str, retry_after_ms: int | None, steady_ms: int) -> None:
        """The exchange refused a read of this endpoint for weight: none more before it says so."""
        until_ms = steady_ms + (retry_after_ms or MINUTE_MS)
        self._spendings[path].spend(int(self._limit_of(path)), until_ms)

    def _limit_of(self, path: str) -> float:
        return self._limit / 2 if path in HALVED else self._limit


class _Quiet:
    """How long to be quiet after a refusal that does not say: longer with each in a row."""

    def __init__(self, first_ms: int, longest_ms: int) -> None:
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._in_a_row = 0
        self._until_ms = 0

    def until_ms(self, steady_ms: int) -> int:
        """Until when, after a refusal now. One that comes while that lasts was under way when it
        began, and says nothing new."""
        if steady_ms >= self._until_ms:
            self._until_ms = steady_ms + min(
                self._first_ms << min(self._in_a_row, 16), self._longest_ms
            )
            self._in_a_row += 1
        return self._until_ms

    def is_over(self) -> None:
        self._in_a_row = self._until_ms = 0
