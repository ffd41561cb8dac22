"""The rules: everything that moves a submission from one state to another is in this file.

`advance` is one `match` on (state, event), a line a rule. It decides and touches nothing: the time
is an argument, the answer is a new entry and what to do next. The diagram in the README is drawn
from the table `MOVES`, which a test holds against `advance`.
"""

from . import refusals
from .events import (
    Accepted,
    Action,
    Advised,
    CancelRequested,
    Chosen,
    ClaimLost,
    ClaimRefused,
    Contradicted,
    DeadlinePassed,
    Event,
    Finish,
    Hold,
    LookedUp,
    LookUpFailed,
    Lost,
    NotSent,
    Precluded,
    PutBack,
    Refused,
    Release,
    Remarked,
    Resolved,
    Send,
    Settle,
    Started,
    StopAccount,
    Unmeasured,
)
from .model import ALL, Answer, Attempt, Entry, Evidence, Kind, Outcome, State, Transaction, revised
from .policy import Policy
from .reconcile import candidates
from .refusals import Disposition

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset(
        {
            State.SENT,
            State.EXPIRED,
            State.CANCELLED,
            State.REJECTED,
            State.NOT_EXECUTED,
        }
    ),
    State.SENT: frozenset(
        {
            State.CONFIRMED,
            State.ACCEPTED,
            State.REJECTED,
            State.QUEUED,
            State.UNKNOWN,
            State.UNRESOLVED,
        }
    ),
    State.ACCEPTED: frozenset({State.CONFIRMED, State.REJECTED, State.UNRESOLVED}),
    State.UNKNOWN: frozenset({State.CONFIRMED, State.NOT_EXECUTED, State.QUEUED, State.UNRESOLVED}),
    State.UNRESOLVED: frozenset(
        {State.CONFIRMED, State.NOT_EXECUTED, State.QUEUED, State.REJECTED}
    ),
    # The one way out of a final state: it was matched to a record, and the exchange then gave that
    # transaction to another submission by name.
    State.CONFIRMED: frozenset({State.UNKNOWN}),
}
"""From each state, the states it can move to."""

UNDECIDED = frozenset({State.ACCEPTED, State.UNKNOWN, State.UNRESOLVED})
"""States that looks at the records can move on."""


def advance(entry: Entry, event: Event, policy: Policy, now_ms: int) -> tuple[Entry, Action | None]:
    """The entry after the event, with the next version, and what to do about it.

    An entry that comes back as it was needs no write. An event that cannot happen in the entry's
    state is a bug and raises AssertionError.
    """
    match entry.state, event:
        case State.QUEUED, Chosen(attempt, said):
            return _chosen(entry, attempt, said, now_ms), Send()
        case State.QUEUED, Precluded(answer):
            return _precluded(entry, answer, now_ms), Finish()
        case State.QUEUED, Unmeasured(reason):
            return _unmeasured(entry, reason, policy, now_ms), PutBack()
        case State.QUEUED, CancelRequested():
            return _final(entry, State.CANCELLED, now_ms, "caller", "cancelled"), Finish()
        case State.QUEUED, DeadlinePassed():
            return _out_of_time(entry, now_ms), Finish()

        case State.SENT, Accepted(tran_id) if policy.confirm == "record":
            return _accepted(entry, tran_id, policy, now_ms), Settle()
        case State.SENT, Accepted(tran_id):
            return _acknowledged(entry, tran_id, now_ms), Finish()
        case State.SENT, Refused(answer) if _is_outdated(entry, answer, policy):
            return _outdated(entry, answer, now_ms), PutBack()
        case State.SENT, Refused():
            return _refused(entry, event, policy, now_ms)
        case State.SENT, NotSent(reason):
            return _never_left(entry, reason, now_ms), Hold(NotSent)
        case State.SENT, Lost(reason):
            return _unknown(entry, event.answer, reason, policy, now_ms), Settle()
        case State.SENT, Started():  # the process died with an attempt in the air
            return _unknown(entry, None, "the process ended before it", policy, now_ms), Settle()
        case State.SENT, ClaimRefused(tran_id, holder):
            why = f"answered with tranId {tran_id}, which {holder} was answered with before"
            return _needs_person(_ended(entry, Outcome.ANSWERED, now_ms), why, now_ms), Settle()

        case State.ACCEPTED | State.UNKNOWN, Started():  # nobody looked in the meantime
            return _next(entry, entry.state, searching_since_ms=now_ms, looks=0), Settle()
        case State.UNRESOLVED, Started():
            return entry, Settle()
        case State.ACCEPTED | State.UNRESOLVED, LookedUp() if entry.tran_id is not None:
            return _look_for_acknowledged(entry, event, policy, now_ms)
        case State.UNKNOWN | State.UNRESOLVED, Accepted(tran_id) if policy.confirm == "record":
            return _told_late(entry, tran_id, policy, now_ms), Settle()
        case State.UNKNOWN | State.UNRESOLVED, Accepted(tran_id):  # it came to an earlier owner
            return _acknowledged(entry, tran_id, now_ms), Finish()
        case State.UNKNOWN | State.UNRESOLVED, ClaimRefused(tran_id, holder):
            why = f"answered late with tranId {tran_id}, which {holder} was answered with before"
            return _needs_person(entry, why, now_ms), Settle()
        case State.UNKNOWN | State.UNRESOLVED, LookedUp() if not entry.needs_person:
            return _look_for_lost(entry, event, policy, now_ms)
        case State.UNRESOLVED, LookUpFailed() if entry.needs_person:
            return entry, None
        case State.ACCEPTED | State.UNKNOWN | State.UNRESOLVED, LookUpFailed(reason):
            return _look_again(entry, policy, now_ms, reason, None), Settle()
        case State.UNKNOWN | State.UNRESOLVED, Resolved(State.CONFIRMED, int() as tran_id, why):
            entry = revised(_unrefused(entry), tran_id=tran_id)
            return _final(entry, State.CONFIRMED, now_ms, "operator", why), Finish()
        case State.UNKNOWN | State.UNRESOLVED, Resolved(State.NOT_EXECUTED, None, why):
            entry = revised(entry, tran_id=None)
            return _final(entry, State.NOT_EXECUTED, now_ms, "operator", why), Finish()

        case State.NOT_EXECUTED | State.CONFIRMED, Contradicted(detail):
            # The state stays what its caller was told; the evidence says that it was wrong.
            return _next(_noted(entry, now_ms, "record", detail), entry.state), None
        case State.REJECTED, Advised(advice):
            return _next(entry, State.REJECTED, advice=advice), None
        case State.CONFIRMED, Remarked(detail):
            return _next(_noted(entry, now_ms, "account", detail), State.CONFIRMED), None
        case State.CONFIRMED, ClaimLost(claimant):
            why = f"its transaction {entry.tran_id} was answered to {claimant}"
            entry = revised(entry, tran_id=None, finished_at_ms=None)
            return _search(_noted(entry, now_ms, "journal", why), policy, now_ms), Settle()
    raise AssertionError(f"{type(event).__name__} cannot happen in {entry.state}")


def conclusive_from_ms(entry: Entry, policy: Policy, known_since_ms: int) -> int:
    """After this exchange time what is missing is absent. Before it nobody knows, a person neither:
    the attempt may still be executed, or its record be about to show.

    An attempt of an earlier process may have been taken in just before the exchange's time jumped
    ahead, and its fence then tells nothing: what follows is counted from `known_since_ms` on.
    """
    assert entry.attempt is not None
    return max(entry.attempt.fence_ms, known_since_ms) + policy.conclusive_after_ms


def was_matched(entry: Entry) -> bool:
    """Whether its transaction id comes from a match or a person, not from a direct reply."""
    return entry.tran_id is not None and not any(e.source == "reply" for e in entry.evidence)


# Before sending


def _chosen(entry: Entry, attempt: Attempt, said: str | None, now_ms: int) -> Entry:
    if said is not None and not _was_said(entry, said):
        entry = _noted(entry, now_ms, "account", said)
    entry = revised(entry, looks=0, look_not_before_ms=None)
    return _next(entry, State.SENT, attempt=attempt, attempts=entry.attempts + 1)


def _precluded(entry: Entry, answer: Answer, now_ms: int) -> Entry:
    if entry.was_absent:
        # What is true of all its attempts is that none of them happened.
        entry = _unrefused(entry)
        return _final(entry, State.NOT_EXECUTED, now_ms, "account", answer.message)
    entry = revised(entry, answer=answer, advice=refusals.advice(answer))
    return _final(entry, State.REJECTED, now_ms, "account", answer.message)


def _unmeasured(entry: Entry, reason: str, policy: Policy, now_ms: int) -> Entry:
    said = f"the account could not be looked at: {reason}"
    if not _was_said(entry, said):
        entry = _noted(entry, now_ms, "account", said)
    wait_ms = min(policy.measure_wait_ms << min(entry.looks, 16), policy.measure_wait_max_ms)
    not_before_ms = now_ms + wait_ms
    return _next(entry, State.QUEUED, looks=entry.looks + 1, look_not_before_ms=not_before_ms)


def _was_said(entry: Entry, detail: str) -> bool:
    """Whether this is what the last look said too: an entry that waits for long does not grow."""
    said = (e.detail for e in reversed(entry.evidence) if e.source == "account")
    return next(said, None) == detail


def _is_outdated(entry: Entry, answer: Answer, policy: Policy) -> bool:
    """Whether the refusal is for an amount that was looked up, and may be right after another
    look: interest was added in between, or somebody else repaid or borrowed."""
    if not entry.submission.is_open or _OUTDATED.get(answer.code) is not entry.kind:
        return False
    if entry.requested != ALL and answer.name == "FEW_LIABILITY_LEFT":
        return False  # what is left is what was asked for
    looked_again = sum(e.source == "refusal" for e in entry.evidence)
    return looked_again < policy.remeasures_max


_OUTDATED = {-3015: Kind.REPAY, -3006: Kind.BORROW}


def _outdated(entry: Entry, answer: Answer, now_ms: int) -> Entry:
    entry = revised(_ended(entry, Outcome.ANSWERED, now_ms), answer=answer, advice=None)
    entry = _noted(entry, now_ms, "refusal", f"{answer.code} {answer.message}")
    return _next(entry, State.QUEUED)


# Answers


def _acknowledged(entry: Entry, tran_id: int, now_ms: int) -> Entry:
    entry = revised(_unrefused(_ended(entry, Outcome.ANSWERED, now_ms)), tran_id=tran_id)
    return _final(entry, State.CONFIRMED, now_ms, "reply", f"tranId {tran_id}")


def _accepted(entry: Entry, tran_id: int, policy: Policy, now_ms: int) -> Entry:
    entry = revised(_unrefused(_ended(entry, Outcome.ANSWERED, now_ms)), tran_id=tran_id)
    entry = _noted(entry, now_ms, "reply", f"tranId {tran_id}")
    return _next(
        entry,
        State.ACCEPTED,
        searching_since_ms=now_ms,
        looks=0,
        look_not_before_ms=now_ms + policy.look_wait_ms,
    )


def _refused(entry: Entry, event: Refused, policy: Policy, now_ms: int) -> tuple[Entry, Action]:
    entry = _ended(entry, Outcome.ANSWERED, now_ms)
    entry = revised(entry, answer=event.answer, advice=refusals.advice(event.answer))
    said = f"{event.answer.code} {event.answer.message}"
    match event.disposition:
        case Disposition.TERMINAL:
            return _final(entry, State.REJECTED, now_ms, "reply", said), Finish()
        case Disposition.STOPS_ACCOUNT:
            return _final(entry, State.REJECTED, now_ms, "reply", said), StopAccount()
        case Disposition.STARVED:
            return _next(entry, State.QUEUED), Release()
        case Disposition.CLOCK if entry.clock_refusals + 1 >= policy.clock_refusals_max:
            return _final(entry, State.REJECTED, now_ms, "reply", said), Finish()
        case Disposition.CLOCK:
            count = entry.clock_refusals + 1
            return _next(entry, State.QUEUED, clock_refusals=count), Hold(Disposition.CLOCK)
        case Disposition.BUSY | Disposition.LIMITED:
            return _next(entry, State.QUEUED), Hold(event.disposition)
    raise AssertionError(f"{event.disposition} is no refusal")


def _never_left(entry: Entry, reason: str, now_ms: int) -> Entry:
    entry = _ended(entry, Outcome.NEVER_LEFT, now_ms)
    return _next(entry, State.QUEUED, attempts=entry.attempts - 1)


def _out_of_time(entry: Entry, now_ms: int) -> Entry:
    if entry.answer is not None:
        said = f"time ran out after {entry.answer.code} {entry.answer.message}"
        return _final(entry, State.REJECTED, now_ms, "deadline", said)
    if entry.was_absent:
        said = "time ran out after an attempt that is proven absent"
        return _final(entry, State.NOT_EXECUTED, now_ms, "deadline", said)
    return _final(entry, State.EXPIRED, now_ms, "deadline", "never sent")


# Looks


def _unknown(
    entry: Entry, answer: Answer | None, reason: str, policy: Policy, now_ms: int
) -> Entry:
    # A refusal of an earlier attempt says nothing of this one.
    entry = revised(_ended(entry, Outcome.LOST, now_ms), answer=answer, advice=None)
    entry = _noted(entry, now_ms, "lost", f"no answer: {reason}")
    return _search(entry, policy, now_ms)


def _told_late(entry: Entry, tran_id: int, policy: Policy, now_ms: int) -> Entry:
    """An earlier owner's answer, where only the record confirms: one more reason to look."""
    look_ms = None if entry.needs_person else now_ms + policy.look_wait_ms
    entry = _noted(entry, now_ms, "reply", f"tranId {tran_id}, answered to an earlier owner")
    return _next(entry, entry.state, look_not_before_ms=look_ms)


def _search(entry: Entry, policy: Policy, now_ms: int) -> Entry:
    return _next(
        entry,
        State.UNKNOWN,
        looks=0,
        absent_at_ms=None,
        searching_since_ms=now_ms,
        look_not_before_ms=now_ms + policy.look_wait_ms,
    )


def _look_for_lost(
    entry: Entry, look: LookedUp, policy: Policy, now_ms: int
) -> tuple[Entry, Action]:
    found = candidates(entry, look.records, look.claimed, policy)
    if len(found) > 1:
        ids = ", ".join(str(record.tran_id) for record in found)
        return _needs_person(entry, f"several records fit: {ids}", now_ms), Settle()
    if found and not look.is_exclusive:
        why = f"record {found[0].tran_id} fits, but others use the account"
        return _needs_person(entry, why, now_ms), Settle()
    match found:
        case [Transaction(status="CONFIRMED") as record]:
            entry = revised(_unrefused(entry), tran_id=record.tran_id)
            said = f"txId {record.tran_id} CONFIRMED at {record.timestamp_ms}"
            return _final(entry, State.CONFIRMED, now_ms, "record", said), Finish()
        case [Transaction(status="FAILED") as record]:
            return _absent(entry, look, policy, now_ms, failed=record)
        case [record]:
            entry = revised(entry, absent_at_ms=None)
            said = f"txId {record.tran_id} pending"
            return _look_again(entry, policy, now_ms, said, look), Settle()
    return _absent(entry, look, policy, now_ms)


def _absent(
    entry: Entry,
    look: LookedUp,
    policy: Policy,
    now_ms: int,
    *,
    failed: Transaction | None = None,
) -> tuple[Entry, Action]:
    """What a look without a live record means: nothing before the bounds, absence after two."""
    what = "no record" if failed is None else f"txId {failed.tran_id} FAILED"
    conclusive_ms = conclusive_from_ms(entry, policy, look.known_since_ms)
    if not look.is_trusted or look.as_of_ms <= conclusive_ms:
        return _look_again(entry, policy, now_ms, what, look), Settle()
    if entry.absent_at_ms is None:
        first = _noted(entry, look.as_of_ms, "look", what)
        again_ms = now_ms + policy.look_apart_ms
        first = revised(first, absent_at_ms=look.as_of_ms, look_not_before_ms=again_ms)
        return _next(first, entry.state), Settle()
    if look.as_of_ms < entry.absent_at_ms + policy.look_apart_ms:
        return _look_again(entry, policy, now_ms, what, look), Settle()
    entry = _noted(entry, look.as_of_ms, "look", what)
    # What the exchange tried and failed at is its answer; only what never arrived goes again.
    if failed is None and entry.kind in policy.resends and now_ms < entry.deadline_ms:
        # Its latest answer belongs to an attempt that is over; running out of time now means
        # NOT_EXECUTED, not that refusal.
        entry = revised(_unrefused(_settled(entry)), was_absent=True)
        return _next(entry, State.QUEUED), Release()
    entry = revised(_settled(entry), was_absent=True)
    return _next(entry, State.NOT_EXECUTED, finished_at_ms=now_ms), Finish()


def _look_for_acknowledged(
    entry: Entry, look: LookedUp, policy: Policy, now_ms: int
) -> tuple[Entry, Action]:
    for record in look.records:
        if record.tran_id != entry.tran_id:
            continue
        said = f"txId {record.tran_id} {record.status} at {record.timestamp_ms}"
        if record.status == "CONFIRMED":
            return _final(entry, State.CONFIRMED, now_ms, "record", said), Finish()
        if record.status == "FAILED":
            return _final(entry, State.REJECTED, now_ms, "record", said), Finish()
    return _look_again(entry, policy, now_ms, "no settled record", look), Settle()


def _look_again(
    entry: Entry, policy: Policy, now_ms: int, why: str, look: LookedUp | None
) -> Entry:
    """The same entry with its next look set, or UNRESOLVED once that has gone on for too long.
    `look`: what decided nothing; None if it failed."""
    entry = revised(entry, look_not_before_ms=_next_look_ms(entry, policy, now_ms, look))
    since_ms = entry.searching_since_ms
    assert since_ms is not None
    is_acknowledged = entry.tran_id is not None and look is not None
    patience_ms = policy.record_wait_max_ms if is_acknowledged else policy.unresolved_after_ms
    if entry.state is not State.UNRESOLVED and now_ms >= since_ms + patience_ms:
        entry = _noted(entry, now_ms, "look", f"undecided for {patience_ms // 1000} s: {why}")
        return _next(entry, State.UNRESOLVED, looks=entry.looks + 1)
    return _next(entry, entry.state, looks=entry.looks + 1)


def _next_look_ms(entry: Entry, policy: Policy, now_ms: int, look: LookedUp | None) -> int:
    first_ms = policy.failed_look_wait_ms if look is None else policy.look_wait_ms
    known_since_ms = 0 if look is None else look.known_since_ms
    conclusive_ms = conclusive_from_ms(entry, policy, known_since_ms) + 1
    if entry.tran_id is None and now_ms >= conclusive_ms:
        # The looks before the bound do not count: from here on each may decide.
        return now_ms + _doubled(first_ms, entry.looks - _LOOKS_BEFORE_THE_BOUND, policy)
    next_ms = now_ms + _doubled(first_ms, entry.looks, policy)
    return next_ms if entry.tran_id is not None else min(next_ms, conclusive_ms)


_LOOKS_BEFORE_THE_BOUND = 7
"""About as many as fit before the bound, at distances that double from half a second."""


def _doubled(first_ms: int, times: int, policy: Policy) -> int:
    return min(first_ms << min(max(times, 0), 16), policy.look_wait_max_ms)


def _needs_person(entry: Entry, why: str, now_ms: int) -> Entry:
    entry = _noted(entry, now_ms, "look", why)
    return _next(entry, State.UNRESOLVED, needs_person=True, look_not_before_ms=None)


# Entries


def _next(entry: Entry, state: State, **changes: object) -> Entry:
    assert state is entry.state or state in MOVES[entry.state], f"{entry.state} to {state}"
    return revised(entry, state=state, version=entry.version + 1, **changes)


def _final(entry: Entry, state: State, now_ms: int, source: str, detail: str) -> Entry:
    entry = _noted(_settled(entry), now_ms, source, detail)
    return _next(entry, state, finished_at_ms=now_ms)


def _unrefused(entry: Entry) -> Entry:
    return revised(entry, answer=None, advice=None)


def _settled(entry: Entry) -> Entry:
    return revised(
        entry,
        looks=0,
        absent_at_ms=None,
        searching_since_ms=None,
        look_not_before_ms=None,
        needs_person=False,
    )


def _noted(entry: Entry, at_ms: int, source: str, detail: str) -> Entry:
    return revised(
        entry, evidence=(*entry.evidence, Evidence(at_ms=at_ms, source=source, detail=detail))
    )


def _ended(entry: Entry, outcome: Outcome, now_ms: int) -> Entry:
    attempt: Attempt | None = entry.attempt
    assert attempt is not None
    return revised(entry, attempt=revised(attempt, outcome=outcome, ended_at_ms=now_ms))
