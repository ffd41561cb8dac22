"""Entries for the journal's tests, moved on as `lifecycle` moves them."""

from decimal import Decimal
from typing import Any

from scheduler.model import (
    Answer,
    Attempt,
    Entry,
    Evidence,
    Kind,
    Outcome,
    Priority,
    State,
    Submission,
    revised,
)

NOW_MS = 1_700_000_000_000


def new(key: str = "k", account: str = "main", **changes: Any) -> Entry:
    """A borrow of 1.50 USDT that was just submitted."""
    submission = Submission(
        key=key,
        account=account,
        kind=Kind.BORROW,
        asset="USDT",
        requested="1.50",
        submitted_at_ms=NOW_MS,
        deadline_ms=NOW_MS + 300_000,
    )
    return Entry(submission=revised(submission, **changes))


def sent(entry: Entry, *, at_ms: int = NOW_MS + 1, exclusion: str | None = None) -> Entry:
    """With its next attempt in the air."""
    number = entry.attempts + 1
    attempt = Attempt(
        number=number,
        timestamp_ms=at_ms,
        recv_window_ms=5_000,
        amount=Decimal("1.50"),
        exclusion=exclusion or entry.account,
        body=f"amount=1.50&timestamp={at_ms}",
    )
    return _next(entry, State.SENT, attempt=attempt, attempts=number)


def confirmed(entry: Entry, tran_id: int, *, at_ms: int = NOW_MS + 2) -> Entry:
    return _next(
        _ended(entry, Outcome.ANSWERED, at_ms),
        State.CONFIRMED,
        tran_id=tran_id,
        finished_at_ms=at_ms,
        evidence=_noted(entry, at_ms, "reply", f"tranId {tran_id}"),
    )


def refused(entry: Entry, *, at_ms: int = NOW_MS + 2) -> Entry:
    """Back in the queue after a refusal."""
    answer = Answer(code=-3007, name="HAS_PENDING_TRANSACTION", message="You have pending 交易.")
    return _next(_ended(entry, Outcome.ANSWERED, at_ms), State.QUEUED, answer=answer)


def never_left(entry: Entry, *, at_ms: int = NOW_MS + 2) -> Entry:
    """Back in the queue, because nothing was sent."""
    return _next(_ended(entry, Outcome.NEVER_LEFT, at_ms), State.QUEUED)


def unknown(entry: Entry, *, at_ms: int = NOW_MS + 2) -> Entry:
    return _next(
        _ended(entry, Outcome.LOST, at_ms),
        State.UNKNOWN,
        searching_since_ms=at_ms,
        look_not_before_ms=at_ms + 500,
        evidence=_noted(entry, at_ms, "reply", "lost: timeout"),
    )


def accepted(entry: Entry, tran_id: int, *, at_ms: int = NOW_MS + 2) -> Entry:
    return _next(
        _ended(entry, Outcome.ANSWERED, at_ms),
        State.ACCEPTED,
        tran_id=tran_id,
        searching_since_ms=at_ms,
        look_not_before_ms=at_ms + 500,
        evidence=_noted(entry, at_ms, "reply", f"tranId {tran_id}"),
    )


def unresolved(entry: Entry, *, at_ms: int = NOW_MS + 3) -> Entry:
    why = "several records fit: 1, 2"
    evidence = _noted(entry, at_ms, "look", why)
    return _next(entry, State.UNRESOLVED, needs_person=True, evidence=evidence)


def unclaimed(entry: Entry, *, at_ms: int = NOW_MS + 3) -> Entry:
    """A confirmed one whose transaction turned out to be another's."""
    evidence = _noted(entry, at_ms, "journal", "its transaction was answered to another")
    return _next(entry, State.UNKNOWN, tran_id=None, finished_at_ms=None, evidence=evidence)


def cancelled(entry: Entry, *, at_ms: int = NOW_MS + 1) -> Entry:
    evidence = _noted(entry, at_ms, "caller", "cancelled")
    return _next(entry, State.CANCELLED, finished_at_ms=at_ms, evidence=evidence)


def full(key: str = "full") -> Entry:
    """A new entry that says something in every field of its submission."""
    return new(
        key,
        kind=Kind.REPAY,
        asset="BTC",
        requested="all",
        symbol="BTCUSDT",
        priority=Priority.URGENT,
        at_most=True,
        precheck=True,
    )


def filled(entry: Entry, *, at_ms: int = NOW_MS + 3) -> Entry:
    """The next version of a sent one, with something in every field that changes."""
    assert entry.attempt is not None
    evidence = (
        Evidence(at_ms=at_ms, source="look", detail="no record"),
        Evidence(
            at_ms=at_ms + 1, source="look", detail="\"several\" — 二; \x00 'quoted' \U0001f4b6"
        ),
    )
    return _next(
        entry,
        State.UNRESOLVED,
        attempt=revised(entry.attempt, outcome=Outcome.LOST, ended_at_ms=at_ms),
        answer=Answer(
            code=-1007, name="TIMEOUT", message="Zeit überschritten; DROP TABLE\x00 — 超时"
        ),
        advice="see the records",
        tran_id=2**63 - 1,
        finished_at_ms=at_ms,
        clock_refusals=1,
        was_absent=True,
        absent_at_ms=at_ms - 1,
        looks=7,
        searching_since_ms=at_ms - 2,
        look_not_before_ms=at_ms + 3,
        needs_person=True,
        evidence=evidence,
    )


def _next(entry: Entry, state: State, **changes: Any) -> Entry:
    return revised(entry, state=state, version=entry.version + 1, **changes)


def _ended(entry: Entry, outcome: Outcome, at_ms: int) -> Entry:
    assert entry.attempt is not None
    return revised(entry, attempt=revised(entry.attempt, outcome=outcome, ended_at_ms=at_ms))


def _noted(entry: Entry, at_ms: int, source: str, detail: str) -> tuple[Evidence, ...]:
    return (*entry.evidence, Evidence(at_ms=at_ms, source=source, detail=detail))
