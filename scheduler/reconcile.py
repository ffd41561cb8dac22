"""Which of the exchange's records, if any, is an attempt's."""

from collections.abc import Iterable
from dataclasses import dataclass

from .model import Asked, Attempt, Entry, Transaction
from .policy import Policy

OURS = "MANUAL"
"""The record type of the borrow/repay call; orders that borrow or repay leave others."""


@dataclass(frozen=True, slots=True)
class Window:
    """The times, both inclusive, that a record of one attempt may carry."""

    from_ms: int
    until_ms: int


def window(attempt: Attempt, policy: Policy) -> Window:
    return Window(
        attempt.timestamp_ms - policy.match_before_ms,
        attempt.fence_ms + policy.processing_max_ms,
    )


def fits(asked: Asked, attempt: Attempt, record: Transaction, policy: Policy) -> bool:
    """Whether the record is what an attempt of this request would have left behind."""
    times = window(attempt, policy)
    return (
        record.origin == OURS
        and record.kind is asked.kind
        and record.asset == asked.asset
        and record.symbol == asked.symbol
        and record.amount == attempt.amount
        and times.from_ms <= record.timestamp_ms <= times.until_ms
    )


def candidates(
    entry: Entry, records: Iterable[Transaction], claimed: frozenset[int], policy: Policy
) -> list[Transaction]:
    """The records that could be the latest attempt's: same request, in its window, not
    another's."""
    attempt = entry.attempt
    if attempt is None:
        return []
    return [
        record
        for record in records
        if record.tran_id not in claimed and fits(entry, attempt, record, policy)
    ]
