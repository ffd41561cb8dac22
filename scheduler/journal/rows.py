"""How an entry becomes the rows that a journal keeps beside it."""

from ..model import Entry, Priority, State
from .protocol import PastAttempt


def past_attempt(entry: Entry) -> PastAttempt:
    """The entry's latest attempt as a journal keeps it."""
    assert entry.attempt is not None
    return PastAttempt(
        entry.key,
        entry.account,
        entry.kind,
        entry.asset,
        entry.symbol,
        entry.priority is Priority.URGENT,
        entry.attempt,
    )


def minted_ms(sent: Entry) -> int:
    """When the attempt was minted, which is when it is written."""
    assert sent.attempt is not None
    return sent.attempt.timestamp_ms


def history_detail(entry: Entry) -> str:
    """What a history row says of a change besides its state."""
    if entry.state is State.QUEUED and entry.answer is not None:
        return f"{entry.answer.code} {entry.answer.message}"
    if entry.state is State.SENT and entry.attempt is not None:
        return f"attempt {entry.attempt.number}, amount {entry.attempt.amount:f}"
    return entry.evidence[-1].detail if entry.evidence else ""
