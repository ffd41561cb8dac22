"""What happens to a submission, and what is to be done about it, as values.

Events are past participles and come up from the world; actions are imperatives and go down to it.
`lifecycle.advance` turns one into the other.
"""

from msgspec import Struct

from .model import Answer, Attempt, State, Transaction
from .refusals import Disposition


class Chosen(Struct, frozen=True):
    """The queue chose the entry, and this attempt was minted for it."""

    attempt: Attempt
    said: str | None = None
    """What a look said of its amount, where one was needed."""


class Precluded(Struct, frozen=True):
    """A look before sending says that there is nothing to send, or what would be answered."""

    answer: Answer


class Unmeasured(Struct, frozen=True):
    """The amount of the next attempt could not be looked up."""

    reason: str


class Accepted(Struct, frozen=True):
    """The exchange answered 200 with a transaction id."""

    tran_id: int


class Refused(Struct, frozen=True):
    """The exchange answered with a code that says it was not executed, or with a rate limit."""

    answer: Answer
    disposition: Disposition
    retry_after_ms: int | None = None
    is_address_banned: bool = False


class NotSent(Struct, frozen=True):
    """Provably, no byte of the attempt left this machine."""

    reason: str


class Lost(Struct, frozen=True):
    """The attempt may have been executed, and its answer will never be known."""

    reason: str
    answer: Answer | None = None
    """A code that itself says the outcome is unknown."""
    is_firewalled: bool = False
    """403 without a code: the address should be quiet for a while."""

    @property
    def is_servers(self) -> bool:
        """Whether the exchange itself answered that something is wrong with it."""
        return self.answer is not None or self.reason.startswith("HTTP 5")


class Sent(Struct, frozen=True):
    """What became of one attempt, and what its reply's header says is spent of the minute."""

    event: Accepted | Refused | NotSent | Lost
    used_weight: int | None


class Started(Struct, frozen=True):
    """The process started and found the entry in the journal."""


class LookedUp(Struct, frozen=True):
    """A complete look at the records, every page of it."""

    records: tuple[Transaction, ...]
    claimed: frozenset[int]
    """Transaction ids among them that other submissions hold."""
    as_of_ms: int
    """A lower bound of the exchange's time when the look began, from a sample taken before it."""
    is_trusted: bool
    """Whether the clock allows to conclude anything from what is missing."""
    known_since_ms: int
    """Since when this process would have noticed a jump of the exchange's time."""
    is_exclusive: bool
    """Whether nothing else borrows or repays by hand on the account."""


class LookUpFailed(Struct, frozen=True):
    """A look did not come back complete; it says nothing."""

    reason: str


class CancelRequested(Struct, frozen=True):
    """The caller takes the submission back."""


class DeadlinePassed(Struct, frozen=True):
    """The submission's time ran out while it was queued."""


class Resolved(Struct, frozen=True):
    """A person decided it."""

    state: State
    tran_id: int | None
    because: str


class Contradicted(Struct, frozen=True):
    """A record turned up that says otherwise than a final state does."""

    detail: str


class Advised(Struct, frozen=True):
    """What helps after its refusal was looked up."""

    advice: str


class Remarked(Struct, frozen=True):
    """Something about a confirmed transaction that its caller should know."""

    detail: str


class ClaimLost(Struct, frozen=True):
    """Another submission was answered with the transaction id that this one was matched to."""

    claimant: str


class ClaimRefused(Struct, frozen=True):
    """The exchange answered with a transaction id that it had already given to another
    submission."""

    tran_id: int
    holder: str


Event = (
    Chosen
    | Precluded
    | Unmeasured
    | Accepted
    | Refused
    | NotSent
    | Lost
    | Started
    | LookedUp
    | LookUpFailed
    | CancelRequested
    | DeadlinePassed
    | Resolved
    | ClaimLost
    | Contradicted
    | Advised
    | Remarked
    | ClaimRefused
)


class Send(Struct, frozen=True):
    """Send the attempt, once, now that it is durable."""


class Hold(Struct, frozen=True):
    """Back to its place at the head; the account pauses for `cause`."""

    cause: "Cause"


class Release(Struct, frozen=True):
    """Back to its place; others of the account may go."""


class PutBack(Struct, frozen=True):
    """Back to its place, for another look at the account; others may go meanwhile."""


class Settle(Struct, frozen=True):
    """To the settling task, which looks at the records from `look_not_before_ms` on."""


class Finish(Struct, frozen=True):
    """It is over: tell whoever waits."""


class StopAccount(Struct, frozen=True):
    """It is over, and so is everything else of the account until a person has looked at it."""


Cause = Disposition | type[NotSent]

Action = Send | Hold | Release | PutBack | Settle | Finish | StopAccount
