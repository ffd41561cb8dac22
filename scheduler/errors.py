"""What a caller may catch. One sentence each; the exchange's own refusals are data, not bugs."""

from .model import Entry, Quote, State


class SchedulerError(Exception):
    """The root of everything this package raises on purpose."""


class InvalidRequest(SchedulerError, ValueError):
    """The request cannot be accepted as it stands; nothing was kept and nothing was sent."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class ConfigurationError(SchedulerError):
    """A setting is missing, unsafe or of the wrong form; the message names it."""


class UnknownAccount(SchedulerError, LookupError):
    """No account of that name is configured."""


class UnknownKey(SchedulerError, LookupError):
    """No submission has that key."""


class KeyReused(SchedulerError):
    """The key belongs to another request."""

    def __init__(self, message: str, entry: Entry) -> None:
        super().__init__(message)
        self.entry = entry


class NotCancellable(SchedulerError):
    """The submission is in the air, undecided or finished: there is nothing left to take back."""

    def __init__(self, message: str, entry: Entry) -> None:
        super().__init__(message)
        self.entry = entry


class NotResolvable(SchedulerError):
    """The evidence does not yet allow this to be declared; `code` says what stands in the way.

    `fence_not_passed`, `tran_id_claimed` or `not_undecided`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class QueueFull(SchedulerError):
    """The account's queue is at its bound; nothing was kept."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CannotStartInTime(SchedulerError):
    """Even without any trouble it could not start before its deadline; nothing was kept."""

    def __init__(self, message: str, quote: Quote, retry_after_s: float) -> None:
        super().__init__(message)
        self.quote = quote
        self.retry_after_s = retry_after_s


class NoRoom(SchedulerError):
    """A call that is passed on would have to wait too long: the minute's weight is spent, or the
    address is banned. It was not sent."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"nothing more of this kind may be sent for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class AccountStopped(SchedulerError):
    """The exchange refused the account's key or the account itself; a person has to look at it."""


class Closed(SchedulerError):
    """The scheduler takes nothing new; what was accepted stays in the journal."""


class WrongLoop(SchedulerError):
    """The scheduler was started on another event loop."""


class JournalUnavailable(SchedulerError):
    """The journal could not be read or written; nothing that is not durable was sent."""


class LookFailed(SchedulerError):
    """What was asked of the exchange could not be looked up; nothing was changed by asking."""


class UnknownAsset(LookFailed, LookupError):
    """The exchange lists no such asset, or the pair does not have it."""


class EventsLost(SchedulerError):
    """The reader was slower than the changes; what it missed is in the journal."""


class NotConfirmed(SchedulerError):
    """A waited-for submission did not end CONFIRMED, or not in time."""

    def __init__(self, message: str, entry: Entry) -> None:
        super().__init__(message)
        self.entry = entry


class Rejected(NotConfirmed):
    """The exchange refused it: `code`, `name` and `message` are its own words."""

    @property
    def code(self) -> int | None:
        return self.entry.code

    @property
    def name(self) -> str | None:
        return self.entry.name

    @property
    def message(self) -> str | None:
        return self.entry.message

    @property
    def advice(self) -> str | None:
        """What helps next, with figures that were looked up after the refusal where there are
        some."""
        return self.entry.advice


class Expired(NotConfirmed):
    """Its time ran out before it was ever sent."""


class SubmissionCancelled(NotConfirmed):
    """It was cancelled before it was executed."""


class NotExecuted(NotConfirmed):
    """Its answer was lost, and it is proven that it did not happen."""


class Unresolved(NotConfirmed):
    """Whether it happened is not decided; it must not be sent again by hand before it is."""


class StillPending(NotConfirmed):
    """The caller's timeout ran out; the submission lives on."""


def not_confirmed(entry: Entry) -> NotConfirmed:
    """What a caller who waited for CONFIRMED is told instead."""
    match entry.state:
        case State.REJECTED:
            return Rejected(f"{entry.key}: {entry.code} {entry.name}: {entry.message}", entry)
        case State.EXPIRED:
            return Expired(f"{entry.key}: its time ran out before it was sent", entry)
        case State.CANCELLED:
            return SubmissionCancelled(f"{entry.key}: cancelled", entry)
        case State.NOT_EXECUTED:
            return NotExecuted(f"{entry.key}: proven not to have happened", entry)
        case State.UNRESOLVED:
            why = entry.evidence[-1].detail if entry.evidence else ""
            return Unresolved(f"{entry.key}: not decided: {why}", entry)
    return StillPending(f"{entry.key}: still {entry.state}", entry)
