"""What happens to a submission, and what is to be done about it, as values.

Events are past participles and come up from the world; actions are imperatives and go down to it.
`lifecycle.advance` turns one into the other.
"""

from dataclasses import dataclass

from .model import Answer, Attempt, State, Transaction
from .refusals import Disposition


@dataclass(frozen=True, slots=True)
class Chosen:
    """The queue chose the entry, and this attempt was minted for it."""

    attempt: Attempt
    said: str | None = None
    """What a look said of its amount, where one was needed."""


@dataclass(frozen=True, slots=True)
class Precluded:
    """A look before sending says that there is nothing to send, or what would be answered."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """The amount of the next attempt could not be looked up."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The exchange answered 200 with a transaction id."""

    tran_id: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The exchange answered with a code that says it was not executed, or with a rate limit."""

    answer: Answer
    disposition: Disposition
    retry_after_ms: int | None = None
    is_address_banned: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably, no byte of the attempt left this machine."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
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


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one attempt, and what its reply's header says is spent of the minute."""

    event: Accepted | Refused | NotSent | Lost
    used_weight: int | None


@dataclass(frozen=True, slots=True)
class Started:
    """The process started and found the entry in the journal."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A complete look at the records, every page of it."""

    records: tuple[Transaction, ...]
    claimed: frozenset[int]
    """Transaction ids among them that other submissions hold."""
    as_of_ms: int
    """A lower bound of the exchange's time when the look began, from a sample taken before it."""
    is_trusted: bool
    """Whether the clock allows to conclude anything from what is missing."""
    is_exclusive: bool
    """Whether nothing else borrows or repays by hand on the account."""


@dataclass(frozen=True, slots=True)
class LookUpFailed:
    """A look did not come back complete; it says nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The caller takes the submission back."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The submission's time ran out while it was queued."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A person decided it."""

    state: State
    tran_id: int | None
    because: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A record turned up that says otherwise than a final state does."""

    detail: str


@dataclass(frozen=True, slots=True)
class Advised:
    """What helps after its refusal was looked up."""

    advice: str


@dataclass(frozen=True, slots=True)
class Remarked:
    """Something about a confirmed transaction that its caller should know."""

    detail: str


@dataclass(frozen=True, slots=True)
class ClaimLost:
    """Another submission was answered with the transaction id that this one was matched to."""

    claimant: str


@dataclass(frozen=True, slots=True)
class ClaimRefused:
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


@dataclass(frozen=True, slots=True)
class Send:
    """Send the attempt, once, now that it is durable."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Back to its place at the head; the account pauses for `cause`."""

    cause: "Cause"


@dataclass(frozen=True, slots=True)
class Release:
    """Back to its place; others of the account may go."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """Back to its place, for another look at the account; others may go meanwhile."""


@dataclass(frozen=True, slots=True)
class Settle:
    """To the settling task, which looks at the records from `look_not_before_ms` on."""


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over: tell whoever waits."""


@dataclass(frozen=True, slots=True)
class StopAccount:
    """It is over, and so is everything else of the account until a person has looked at it."""


Cause = Disposition | type[NotSent]

Action = Send | Hold | Release | PutBack | Settle | Finish | StopAccount
