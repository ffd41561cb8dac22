"""What becomes of a submission, in the words a bot written for the exchange understands.

Pure. One rule stands above all others here: "not executed" is said only where that is certain, and
everything that may have been executed is a 504 with -1007, the exchange's own word for it.
"""

from ...model import Answer, Entry, State
from ...refusals import Disposition, refusal
from . import replies
from .replies import Reply

PASSING = frozenset({Disposition.BUSY, Disposition.STARVED})
"""Refusals that the scheduler waits behind, and that a bot is told once its patience is over."""


def is_void(entry: Entry) -> bool:
    """Whether it came to nothing that its client would want to hear: nothing was executed, and the
    exchange did not refuse the request itself. An equal request is then a new one."""
    if entry.state is State.REJECTED:
        return not _is_refused_for_good(entry.answer)
    return entry.state in {State.NOT_EXECUTED, State.EXPIRED, State.CANCELLED}


def reply(entry: Entry, retry_after_s: float) -> Reply:
    """The answer to the client that waited for it; `retry_after_s` is for where that may help."""
    match entry.state:
        case State.CONFIRMED:
            return replies.answer(200, {"tranId": entry.tran_id})
        case State.REJECTED if _is_refused_for_good(entry.answer):
            return _word_for_word(entry.answer)
        case State.REJECTED | State.CANCELLED | State.EXPIRED if _is_passing(entry.answer):
            return _word_for_word(entry.answer)
        case State.NOT_EXECUTED:
            return replies.not_now(
                "The answer was lost, and it is proven that nothing was executed.", retry_after_s
            )
        case State.REJECTED if entry.answer is None:
            said = "The exchange's record says that it failed: nothing was executed."
            return replies.not_now(said, retry_after_s)
        case State.CANCELLED | State.EXPIRED | State.REJECTED:
            said = "Its turn did not come in time; it was taken back, and nothing was executed."
            return replies.not_now(said, retry_after_s)
        case State.UNRESOLVED:
            return replies.not_known("Whether it was executed has to be looked up by a person.")
    return replies.not_known("Timeout waiting for the exchange's answer.")


def _is_refused_for_good(answer: Answer | None) -> bool:
    return answer is not None and _disposition(answer) in {
        Disposition.TERMINAL,
        Disposition.STOPS_ACCOUNT,
    }


def _is_passing(answer: Answer | None) -> bool:
    return answer is not None and _disposition(answer) in PASSING


def _disposition(answer: Answer) -> Disposition:
    return refusal(answer.code, 400).disposition


def _word_for_word(answer: Answer | None) -> Reply:
    assert answer is not None
    return replies.refusal(400, answer.code, answer.message)
