"""What an account is doing now, for people and programs to read."""

from collections.abc import Iterable
from dataclasses import dataclass

from .account_queue import HoldState
from .engine import Engine
from .lanes import LaneStatus
from .model import Alarm, Entry, Priority, Quote
from .quotes import quote
from .standing import NO_JOURNAL
from .worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """A snapshot of one account. Times are epoch milliseconds of the exchange."""

    account: str
    as_of_ms: int
    queued_urgent: int
    queued_normal: int
    oldest_queued_at_ms: int | None
    """When what has waited longest was submitted."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A snapshot of the whole scheduler."""

    accounts: tuple[AccountStatus, ...]
    """In the order of the configuration; those that another scheduler runs are not among them."""
    clock_offset_s: float | None
    """How far this machine's clock is behind the exchange's; None before the first sample."""
    address_closed_until_ms: int | None
    """Until when the exchange takes nothing from this address; None while it does."""
    is_journal_up: bool
    """Whether the latest write was made, and no account waits for the journal."""
    lanes: tuple[LaneStatus, ...] = ()
    """Who runs which account, those of others included; empty where the journal is not shared."""
    schedulers: int | None = None
    """How many share the journal, this one included; None where it is not shared."""


def overview(
    engine: Engine, accounts: Iterable[str], alarms: tuple[Alarm, ...], *, is_written: bool
) -> Overview:
    workers = [worker for name in accounts if (worker := engine.owned(name)) is not None]
    clock = engine.clock
    closed = engine.address.closed(clock.steady_ms())
    keeper = engine.keeper
    return Overview(
        accounts=tuple(account_status(worker, alarms) for worker in workers),
        clock_offset_s=clock.offset_s if clock.is_set else None,
        address_closed_until_ms=None if closed is None else clock.at_ms(closed[0]),
        is_journal_up=is_written and is_journal_trusted(engine, accounts),
        lanes=() if keeper is None else keeper.status(),
        schedulers=None if keeper is None else len(keeper.board.peers),
    )


def is_journal_trusted(engine: Engine, accounts: Iterable[str]) -> bool:
    """Whether no account waits for the journal to work again."""
    workers = (engine.owned(name) for name in accounts)
    return not any(w is not None and NO_JOURNAL in w.queue.pauses for w in workers)


def account_status(
    worker: Worker,
    alarms: tuple[Alarm, ...],
    *,
    owner: str | None = None,
    epoch: int | None = None,
) -> AccountStatus:
    now_ms, steady_ms = worker.clock.both_ms()
    oldest = worker.queue.oldest()
    ledger, limits = worker.budget.ledger, worker.limits
    used, foreign = ledger.own(steady_ms), ledger.foreign(steady_ms)
    reserved = limits.urgent_reserve * limits.request_weight
    return AccountStatus(
        account=worker.name,
        as_of_ms=now_ms,
        queued_urgent=worker.queue.count(Priority.URGENT),
        queued_normal=worker.queue.count(Priority.NORMAL),
        oldest_queued_at_ms=None if oldest is None else oldest.submitted_at_ms,
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
    holds = worker.queue.holds(now_ms)
    for (asset, _), shortage in worker.shared.gate.shortages().items():
        if any(entry.account == worker.name for entry in shortage.waiting.values()):
            holds.append(HoldState("starved", asset, max(now_ms, shortage.retry_at_ms)))
    limited_ms = worker.budget.ledger.blocked_until_ms() - worker.clock.steady_ms()
    if limited_ms > 0:
        holds.append(HoldState("limited", None, now_ms + limited_ms))
    closed = worker.shared.address.closed(worker.clock.steady_ms())
    if closed is not None:
        until_ms, cause = closed
        holds.append(HoldState(cause, None, worker.clock.at_ms(until_ms)))
    return tuple(holds)
