"""Who runs which account, where several schedulers share one journal.

An account's lane has one owner at a time, and an epoch that changes whenever the owner does. A
journal puts an attempt into the air only at the epoch that its caller was given: that, and the
fence of each attempt, is what makes a takeover safe. The lease is for liveness alone. It says when
others may take over; it proves nothing, and no safety rests on it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from ..inventory import Refusal
from ..model import Entry, Outcome, State
from .protocol import Journal

SHORTAGE_MAX_S = 600.0
"""What was told longer ago than this tells nobody anything any more."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A scheduler whose lease runs."""

    id: int
    name: str
    accounts: frozenset[str]
    """Which it can run."""
    pinned: frozenset[str]
    """Which of them nobody else is to run while it lives."""


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One account's."""

    account: str
    epoch: int
    owner: int | None
    owner_name: str | None
    is_live: bool
    """Whether its owner's lease runs."""


@dataclass(frozen=True, slots=True)
class Board:
    """All lanes and all live schedulers, as they were at one moment."""

    lanes: dict[str, LaneRow]
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What an account's owner is told by another scheduler."""

    id: int
    account: str
    what: str
    """`run`, `reread`, `late`, `pause` or `resume`."""
    key: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class ToldRefusal:
    """What a scheduler was refused for want of inventory, as it told the others."""

    refusal: Refusal
    age_ms: int
    """By the database's clock."""
    told: int
    """Another one each time something is told of the pool."""
    by: int | None


class Hint(StrEnum):
    """What a hint is about."""

    CHANGE = "change"
    """Of an entry, or something was asked of an owner."""
    SHORTAGE = "shortage"
    """What can be borrowed, perhaps among other things."""
    LANE = "lane"
    """Anything; there is a lane to take."""


def is_the_owners(entry: Entry) -> bool:
    """Whether only the lane's owner may write an entry so: one whose attempt goes into the air, or
    never left.

    What was answered may be written by whoever sent it. But two hosts that take each other for gone
    can mint the very same attempt in one millisecond, and then nothing in the entry tells the one
    that was never sent from the one that was.
    """
    if entry.state is State.SENT:
        return True
    attempt = entry.attempt
    return (
        entry.state is State.QUEUED
        and attempt is not None
        and attempt.outcome is Outcome.NEVER_LEFT
    )


class Lanes(Protocol):
    """The lanes of a journal, as one process sees them.

    Every method raises `errors.JournalUnavailable` when the journal fails; then it may or may not
    have happened, and `board` tells.
    """

    epochs: dict[str, int]
    """The accounts that this process works on, each with the epoch at which it does: what the
    journal compares with the lane before it puts an attempt into the air. The caller's to keep."""

    @property
    def me(self) -> int | None:
        """This process's id among the schedulers, once it has joined."""

    async def join(
        self, name: str, accounts: Iterable[str], pinned: Iterable[str], lease_s: float
    ) -> None:
        """Be counted among the live schedulers for as long as the lease is renewed."""

    async def renew(self, lease_s: float) -> bool:
        """Run the lease anew from now. False: it was forgotten, and has to be joined again."""

    async def leave(self) -> None:
        """Give up every lane and the lease."""

    async def board(self) -> Board:
        """How things stand."""

    async def take(self, account: str) -> int | None:
        """Become the owner of a lane that nobody holds, whose owner's lease has run out, or that is
        one's own; gives its new epoch. None: somebody else has it.

        Waits for the end of every write that was begun at the epoch before.
        """

    async def give_up(self, account: str, epoch: int) -> None:
        """Leave a lane without an owner, unless it has another by now."""

    async def unfinished_of(self, account: str) -> list[Entry]:
        """The account's entries that are not final, in order of `seq`."""

    async def backlog(self, account: str) -> int:
        """How many of the account's submissions wait."""

    async def settled_among(self, keys: Iterable[str]) -> list[Entry]:
        """The entries that are final or UNRESOLVED."""

    async def tell(
        self, account: str, what: str, *, key: str | None = None, detail: str | None = None
    ) -> int:
        """Durably ask something of whoever owns the account, now or later; gives the request's
        id."""

    async def requests(self, accounts: Iterable[str]) -> Sequence[Request]:
        """What was asked of the owner of these accounts, in order."""

    async def is_open(self, request: int) -> bool:
        """Whether a request is still to be carried out."""

    async def done(self, requests: Iterable[int]) -> None:
        """Forget requests that were carried out, of lanes that are still one's own: what somebody
        did who was not the owner any more, the owner has yet to do."""

    async def keep_late(
        self, entry: Entry, *, at_ms: int, tran_id: int | None, detail: str
    ) -> None:
        """Keep an answer that came to one who is not the owner any more, and tell the owner."""

    async def tell_refusal(self, refusal: Refusal) -> None:
        """Let the others know what was refused; replaces what was told of the pool before."""

    async def shortages(self) -> Sequence[ToldRefusal]:
        """What was told of each pool last, if that was less than `SHORTAGE_MAX_S` ago."""

    async def notify(self, about: Hint = Hint.CHANGE) -> None:
        """Hint to all others that something changed. May be lost."""

    async def listen(self, wake: Callable[[Hint], None]) -> None:
        """Call `wake` at every hint, and once at the beginning, until hearing is lost: then raise
        JournalUnavailable."""


@runtime_checkable
class SharedJournal(Journal, Protocol):
    """A journal that several schedulers work on at once."""

    @property
    def lanes(self) -> Lanes:
        """Who runs which account."""
