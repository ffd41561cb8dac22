"""An entry as the columns of a SQLite journal, and back."""

from collections.abc import Sequence
from decimal import Decimal
from json import dumps, loads
from typing import Any

from ..model import (
    Answer,
    Attempt,
    Entry,
    Evidence,
    Kind,
    Outcome,
    Priority,
    State,
    Submission,
)
from .connection import Row, Value
from .protocol import HistoryRow, PastAttempt

SUBMISSION_COLUMNS = (
    "key, account, kind, asset, requested, symbol, priority, at_most, precheck,"
    " submitted_at_ms, deadline_ms"
)
CHANGING_COLUMNS = (
    "version, state, in_air, attempt, attempts, code, name, message, advice, tran_id,"
    " finished_at_ms, clock_refusals, was_absent, absent_at_ms, looks, searching_since_ms,"
    " look_not_before_ms, needs_person, evidence"
)
ATTEMPT_COLUMNS = (
    "number, timestamp_ms, recv_window_ms, amount, exclusion, body, ended_at_ms, outcome"
)

ENTRY_COLUMNS = (
    f"entries.seq, {SUBMISSION_COLUMNS.replace('account', 'entries.account')},"
    " version, state, attempts, code, name, message, advice, tran_id, finished_at_ms,"
    " clock_refusals, was_absent, absent_at_ms, looks, searching_since_ms, look_not_before_ms,"
    f" needs_person, evidence, {ATTEMPT_COLUMNS}"
)
FROM_ENTRIES = (
    "FROM entries LEFT JOIN attempts ON attempts.seq = entries.seq AND number = entries.attempt"
)
SELECT_ENTRY = f"SELECT {ENTRY_COLUMNS} {FROM_ENTRIES}"
SELECT_PAST_ATTEMPT = f"""
    SELECT key, entries.account, kind, asset, symbol, priority, {ATTEMPT_COLUMNS}
    FROM attempts JOIN entries ON entries.seq = attempts.seq
"""  # noqa: S608


def submission_values(submission: Submission) -> tuple[Value, ...]:
    """The values of SUBMISSION_COLUMNS."""
    return (
        submission.key,
        submission.account,
        submission.kind.value,
        submission.asset,
        submission.requested,
        submission.symbol,
        submission.priority.value,
        int(submission.at_most),
        int(submission.precheck),
        submission.submitted_at_ms,
        submission.deadline_ms,
    )


def changing_values(entry: Entry) -> tuple[Value, ...]:
    """The values of CHANGING_COLUMNS."""
    attempt, answer = entry.attempt, entry.answer
    return (
        entry.version,
        entry.state.value,
        attempt.exclusion if attempt is not None and entry.state is State.SENT else None,
        None if attempt is None else attempt.number,
        entry.attempts,
        None if answer is None else answer.code,
        None if answer is None else storable(answer.name),
        None if answer is None else storable(answer.message),
        None if entry.advice is None else storable(entry.advice),
        entry.tran_id,
        entry.finished_at_ms,
        entry.clock_refusals,
        int(entry.was_absent),
        entry.absent_at_ms,
        entry.looks,
        entry.searching_since_ms,
        entry.look_not_before_ms,
        int(entry.needs_person),
        evidence_text(entry.evidence),
    )


def attempt_values(attempt: Attempt) -> tuple[Value, ...]:
    """The values of ATTEMPT_COLUMNS."""
    return (
        attempt.number,
        attempt.timestamp_ms,
        attempt.recv_window_ms,
        f"{attempt.amount:f}",
        attempt.exclusion,
        attempt.body,
        attempt.ended_at_ms,
        attempt.outcome.value,
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry in a row of ENTRY_COLUMNS."""
    (
        seq,
        key,
        account,
        kind,
        asset,
        requested,
        symbol,
        priority,
        at_most,
        precheck,
        submitted_at_ms,
        deadline_ms,
        version,
        state,
        attempts,
        code,
        name,
        message,
        advice,
        tran_id,
        finished_at_ms,
        clock_refusals,
        was_absent,
        absent_at_ms,
        looks,
        searching_since_ms,
        look_not_before_ms,
        needs_person,
        evidence,
        *attempt,
    ) = row
    return Entry(
        submission=Submission(
            key=key,
            account=account,
            kind=Kind(kind),
            asset=asset,
            requested=requested,
            symbol=symbol,
            priority=Priority(priority),
            at_most=bool(at_most),
            precheck=bool(precheck),
            submitted_at_ms=submitted_at_ms,
            deadline_ms=deadline_ms,
        ),
        seq=seq,
        version=version,
        state=State(state),
        attempt=None if attempt[0] is None else _attempt_of(attempt),
        attempts=attempts,
        answer=None if code is None else Answer(code=code, name=name, message=message),
        advice=advice,
        tran_id=tran_id,
        finished_at_ms=finished_at_ms,
        clock_refusals=clock_refusals,
        was_absent=bool(was_absent),
        absent_at_ms=absent_at_ms,
        looks=looks,
        searching_since_ms=searching_since_ms,
        look_not_before_ms=look_not_before_ms,
        needs_person=bool(needs_person),
        evidence=_evidence_of(evidence),
    )


def past_attempt_of(row: Row) -> PastAttempt:
    """The attempt in a row of SELECT_PAST_ATTEMPT."""
    key, account, kind, asset, symbol, priority, *attempt = row
    is_urgent = priority == Priority.URGENT.value
    return PastAttempt(key, account, Kind(kind), asset, symbol, is_urgent, _attempt_of(attempt))


def history_row_of(row: Row) -> HistoryRow:
    key, version, at_ms, state, detail = row
    return HistoryRow(key, version, at_ms, State(state), detail)


# `dumps` writes ASCII only, so that any text gets through.
def evidence_text(evidence: tuple[Evidence, ...]) -> str:
    """The value of the column `evidence`."""
    if not evidence:  # as whenever an attempt is sent
        return "[]"
    return dumps([(each.at_ms, each.source, each.detail) for each in evidence])


def storable(text: str) -> str:
    """The text with what UTF-8 cannot say spelled out: JSON lets half a surrogate pair through, and
    an outcome must not be lost for the message that came with it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _attempt_of(columns: Sequence[Any]) -> Attempt:
    number, timestamp_ms, recv_window_ms, amount, exclusion, body, ended_at_ms, outcome = columns
    return Attempt(
        number=number,
        timestamp_ms=timestamp_ms,
        recv_window_ms=recv_window_ms,
        amount=Decimal(amount),
        exclusion=exclusion,
        body=body,
        ended_at_ms=ended_at_ms,
        outcome=Outcome(outcome),
    )


def _evidence_of(text: str) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(at_ms=at_ms, source=source, detail=detail) for at_ms, source, detail in loads(text)
    )
