"""Waits and bounds, as frozen numbers with their reasons. Times are milliseconds."""

from dataclasses import dataclass, field
from decimal import Decimal

from .errors import ConfigurationError
from .model import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a user may set; every number has a default that is safe at the exchange."""

    uid_weight_per_minute: int = 180_000
    """The exchange's budget of the borrow/repay call for one account."""
    request_weight: int = 1500
    """What one call costs, whatever its answer. It was 3000 until 2025, so it is data."""
    burst_weight: int | None = None
    """The most weight that may go at once; None is the whole minute's."""
    min_gap_ms: int = 100
    """The official page advises at least 100 ms between requests."""
    urgent_reserve: int = 6
    """Requests of every minute that only urgent submissions may use."""
    queue_max: int = 10_000
    """Submissions an account may have waiting."""
    borrow_send_within_s: float = 300
    repay_send_within_s: float = 86_400
    processing_max_ms: int = 10_000
    """How long after its fence the exchange may still be at an attempt; see `Policy`."""
    visibility_max_ms: int = 15_000
    """How long a record may take to show. Less makes proof quicker and less certain."""
    ip_weight_per_minute: int = 12_000
    ip_weight_share: float = 1.0
    """The part of the address's weight that this process may use."""

    def __post_init__(self) -> None:
        """Raises ConfigurationError for numbers with which nothing would ever be sent."""
        slots = self.uid_weight_per_minute // max(1, self.request_weight)
        burst = self.burst_weight
        for name, is_right, rule in (
            ("request_weight", self.request_weight >= 1, "at least 1"),
            ("uid_weight_per_minute", slots >= 1, "at least one request's weight"),
            ("burst_weight", burst is None or burst >= self.request_weight, "at least a request"),
            ("min_gap_ms", self.min_gap_ms >= 0, "at least 0"),
            ("urgent_reserve", 0 <= self.urgent_reserve < slots, "less than the whole minute"),
            ("queue_max", self.queue_max >= 1, "at least 1"),
            ("borrow_send_within_s", 0 < self.borrow_send_within_s <= _WEEK_S, "within a week"),
            ("repay_send_within_s", 0 < self.repay_send_within_s <= _WEEK_S, "within a week"),
            ("processing_max_ms", self.processing_max_ms >= 1_000, "at least 1000"),
            ("visibility_max_ms", self.visibility_max_ms >= 1_000, "at least 1000"),
            ("ip_weight_per_minute", self.ip_weight_per_minute >= 100, "at least 100"),
            ("ip_weight_share", 0 < self.ip_weight_share <= 1, "over 0 and at most 1"),
        ):
            if not is_right:
                value = getattr(self, name)
                raise ConfigurationError(f"limits.{name}: must be {rule}, not {value}")


RECV_WINDOW_MAX_MS = 60_000
"""The exchange takes no wider one."""

_WEEK_S = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the rules are computed from."""

    recv_window_ms: int = 5_000
    """How long the exchange takes an attempt after its timestamp; then it refuses it for good."""

    # The exchange gives up on its own backend after 10 s and answers -1007. That a loan cannot
    # still happen after that is our assumption, not its promise.
    processing_max_ms: int = 10_000

    # How long a record may take to show is written nowhere. This too is an assumption; the auditor
    # goes back to what was concluded from it.
    visibility_max_ms: int = 15_000

    match_before_ms: int = 1_000
    """A record may be stamped this much before the attempt's timestamp: the exchange takes
    timestamps up to a second ahead of its own clock."""
    equal_gap_ms: int = 1_000
    """Added to the fence before an equal attempt may follow, so that no record fits both."""

    look_wait_ms: int = 500
    """Before the first look, doubling with every look that decides nothing."""
    look_wait_max_ms: int = 60_000
    look_apart_ms: int = 2_000
    """Between the two looks that prove absence."""
    failed_look_wait_ms: int = 1_000
    """After a look that failed, doubling up to `look_wait_max_ms`."""
    unresolved_after_ms: int = 15 * 60_000
    """An entry that cannot be decided for this long stands as UNRESOLVED."""
    record_wait_max_ms: int = 10 * 60_000
    """An acknowledged transaction without a record for this long stands as UNRESOLVED."""

    confirm: str = "reply"
    """`reply`: the exchange's acknowledgement confirms. `record`: only its record does."""
    resends: frozenset[Kind] = field(default=frozenset({Kind.REPAY}))
    """Kinds that are sent again once an attempt is proven absent. A borrow that is late is often no
    longer wanted; a repayment always is."""
    clock_refusals_max: int = 5

    busy_wait_ms: int = 100
    """After -3007 or -3037, doubling up to `busy_wait_max_ms`: a transaction takes about 100 ms,
    one behind an auto-repay order has been seen to take 5 s."""
    busy_wait_max_ms: int = 5_000
    unreachable_wait_ms: int = 250
    """After an attempt that never left, doubling up to `unreachable_wait_max_ms`."""
    unreachable_wait_max_ms: int = 5_000
    starved_wait_ms: int = 1_000
    """After -3045, doubling up to `starved_wait_max_ms`, before 1500 of weight are paid again."""
    starved_wait_max_ms: int = 300_000
    inventory_ask_wait_ms: int = 1_000
    """Between two inventory calls (50 of weight each, on a budget of their own), doubling up to
    `inventory_ask_max_ms`: a refill is noticed that soon."""
    inventory_ask_max_ms: int = 15_000
    inventory_fresh_ms: int = 5_000
    """How long an answer of the inventory call may send borrows off."""
    shortage_quiet_ms: int = 60_000
    """A shortage that nobody waits for is forgotten after this."""

    measure_max_ms: int = 3_000
    """The longest that a lane is held for a look at the account before an attempt."""
    measure_wait_ms: int = 500
    """After such a look that failed, doubling up to `measure_wait_max_ms`."""
    measure_wait_max_ms: int = 30_000
    remeasures_max: int = 3
    """How often an amount that was looked up, and refused because it is so no longer, is looked up
    again. Interest is added once an hour, so that more than once is others' doing."""

    # Interest is added on the hour. A debt that is looked up before and repaid after it leaves what
    # was added, and may be refused for leaving so little. The look, the way to the exchange and the
    # 100 ms it takes fit many times into the two seconds; how soon after the hour interest is
    # booked is written nowhere. Repaying everything waits for five seconds an hour at most.
    interest_before_ms: int = 2_000
    interest_after_ms: int = 3_000

    remnant_share_max: Decimal = Decimal("0.01")
    """What is left after everything was repaid counts as interest up to this part of it: an hour's
    interest is less than a hundredth of that, and more is a new debt that somebody wanted."""
    remnant_rounds_max: int = 3
    """How often in a row what was left is repaid."""
    remnant_wait_ms: int = 300
    """Before a second look where the whole debt still shows: an acknowledged repayment is booked
    within 100 ms or so, and until then another request would be refused anyway."""

    @property
    def conclusive_after_ms(self) -> int:
        """From an attempt's fence until a missing record means something."""
        return self.processing_max_ms + self.visibility_max_ms
