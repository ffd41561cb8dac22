"""What an account is doing now, for people and programs to read."""

from dataclasses import dataclass

from .account_queue import HoldState
from .model import Alarm, Entry, Priority, Quote
from .quotes import quote
from .worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """A snapshot of one account. Times are epoch milliseconds of the exchange."""

    account: str
    as_of_ms: int
    queued_urgent: int
    queued_normal: int
    in_air: tuple[Entry, ...]
    """SENT now; at most one, or one a pair where the lane is the pair."""
    undecided: tuple[Entry, ...]
    """ACCEPTED, UNKNOWN or UNRESOLVED."""
    weight_limit: int
    """Of one minute, as are the next four."""
    weight_used: int
    weight_foreign: int
    weight_reserved: int
    """Kept for urgent submissions."""
    weight_left: int
    """For normal submissions."""
    gap_ms: int
    """Between two starts at present."""
    holds: tuple[HoldState, ...]
    """Why it, or an asset of it, waits."""
    next_start: Quote
    """When a normal submission made now would start at the earliest."""
    stopped: str | None
    """The refusal of the key or the account that stopped it."""
    is_exclusive: bool
    record_delay_max_ms: int
    """The longest that a record was seen to take from its reply until it showed."""
    alarms: tuple[Alarm, ...]
    owner: str | None = None
    """Which scheduler runs the account, where several share a journal; None: nobody at present."""
    epoch: int | None = None
    """How often the account has changed hands; None where the journal is not shared."""


def account_status(
    worker: Worker,
    alarms: tuple[Alarm, ...],
    *,
    owner: str | None = None,
    epoch: int | None = None,
) -> AccountStatus:
    now_ms, steady_ms = worker.clock.now_ms(), worker.clock.steady_ms()
    ledger, limits = worker.budget.ledger, worker.limits
    used, foreign = ledger.own(steady_ms), ledger.foreign(steady_ms)
    reserved = limits.urgent_reserve * limits.request_weight
    return AccountStatus(
        account=worker.name,
        as_of_ms=now_ms,
        queued_urgent=worker.queue.count(Priority.URGENT),
        queued_normal=worker.queue.count(Priority.NORMAL),
        in_air=tuple(worker.in_air.values()),
        undecided=tuple(worker.settler.entries()),
        weight_limit=limits.uid_weight_per_minute,
        weight_used=used,
        weight_foreign=foreign,
        weight_reserved=reserved,
        weight_left=ledger.left(steady_ms),
        gap_ms=worker.budget.pace.gap_ms(steady_ms),
        holds=_holds(worker, now_ms),
        next_start=quote(worker, Priority.NORMAL),
        stopped=worker.standing.marks.stopped,
        is_exclusive=worker.standing.is_exclusive,
        record_delay_max_ms=worker.standing.marks.record_delay_max_ms,
        alarms=tuple(a for a in alarms if a.account in {None, worker.name}),
        owner=owner,
        epoch=epoch,
    )


def _holds(worker: Worker, now_ms: int) -> tuple[HoldState, ...]:
    closed = worker.shared.address.closed(now_ms)
    holds = worker.queue.holds(now_ms)
    if closed is not None:
        until_ms, cause = closed
        holds.append(HoldState(cause, None, until_ms))
    return tuple(holds)
