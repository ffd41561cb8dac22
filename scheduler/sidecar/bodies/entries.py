"""Submissions, as they are told."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from ...journal.protocol import HistoryRow
from ...model import Entry
from .fields import EpochMs, KindWord, PriorityWord, StateWord, TranId, TranIdText, plain


class EvidenceBody(Struct, frozen=True):
    """One observation that an outcome rests on."""

    at_ms: EpochMs
    source: str
    detail: str


class EntryBody(Struct, frozen=True):
    """A submission and what is known of it."""

    key: str
    account: str
    kind: KindWord
    asset: str
    requested: Annotated[str, Meta(description="what was asked")]
    amount: Annotated[
        str | None, Meta(description="what was sent, or before that what was asked, if a number")
    ]
    symbol: str | None
    priority: PriorityWord
    state: StateWord
    is_final: bool
    tran_id: TranId | None
    tran_id_text: TranIdText | None
    code: Annotated[int | None, Meta(description="of the latest refusal, as the exchange sent it")]
    name: str | None
    message: str | None
    advice: str | None
    attempts: int
    submitted_at_ms: EpochMs
    sent_at_ms: EpochMs | None
    ended_at_ms: Annotated[
        EpochMs | None,
        Meta(description="when the latest attempt was answered or given up; null in the air"),
    ]
    finished_at_ms: EpochMs | None
    deadline_ms: EpochMs
    version: Annotated[int, Meta(description="counts the changes; the highest is the latest")]
    evidence: tuple[EvidenceBody, ...]
    replayed: Annotated[
        bool | UnsetType, Meta(description="true: the key was there before, with the same request")
    ] = UNSET


class EntryList(Struct, frozen=True):
    """Entries, newest first."""

    submissions: list[EntryBody]
    next: Annotated[str | None, Meta(description="for `after`; null: these were the last")]


class ChangeBody(Struct, frozen=True):
    """One durable change of one submission."""

    version: int
    at_ms: EpochMs
    state: StateWord
    detail: str


class History(Struct, frozen=True):
    """Every change of one submission, oldest first."""

    key: str
    changes: list[ChangeBody]


def entry_body(entry: Entry, *, replayed: bool | UnsetType = UNSET) -> EntryBody:
    submission, amount, tran_id = entry.submission, entry.amount, entry.tran_id
    return EntryBody(
        submission.key,
        submission.account,
        submission.kind.value,
        submission.asset,
        submission.requested,
        None if amount is None else plain(amount),
        submission.symbol,
        submission.priority.value,
        entry.state.value,
        entry.is_final,
        tran_id,
        None if tran_id is None else str(tran_id),
        entry.code,
        entry.name,
        entry.message,
        entry.advice,
        entry.attempts,
        submission.submitted_at_ms,
        entry.sent_at_ms,
        None if entry.attempt is None else entry.attempt.ended_at_ms,
        entry.finished_at_ms,
        submission.deadline_ms,
        entry.version,
        tuple(EvidenceBody(e.at_ms, e.source, e.detail) for e in entry.evidence),
        replayed,
    )


def history_body(key: str, rows: Sequence[HistoryRow]) -> History:
    return History(
        key, [ChangeBody(row.version, row.at_ms, row.state.value, row.detail) for row in rows]
    )
