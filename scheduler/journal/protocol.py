"""What every journal does, whatever it is kept in. One test suite holds all of them to this.

A journal keeps each submission as one `Entry` row with a version, every attempt, and an append-only
history. It decides nothing: it refuses what contradicts what it holds.
"""

from dataclasses import dataclass
from typing import Protocol

from ..model import Attempt, Entry, Kind, State


class StaleVersion(Exception):
    """The entry was changed since it was read, or was never added: nothing was written."""


class TranIdClaimed(Exception):
    """Another submission holds that transaction id: nothing was written."""

    def __init__(self, tran_id: int, holder: str) -> None:
        super().__init__(f"transaction {tran_id} belongs to submission {holder}")
        self.tran_id = tran_id
        self.holder = holder


class AlreadyInAir(Exception):
    """Another attempt under the same exclusion is in the air: nothing was written."""


class LaneLost(AlreadyInAir):
    """The account has another owner now: nothing was written, and nothing of it may be sent."""

    def __init__(self, account: str) -> None:
        super().__init__(f"account {account} is run by another scheduler now")
        self.account = account


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt as the journal kept it, with the submission it belongs to."""

    key: str
    account: str
    kind: Kind
    asset: str
    symbol: str | None
    is_urgent: bool
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change of one entry, as it was when it became durable."""

    key: str
    version: int
    at_ms: int
    state: State
    detail: str
    """What was noted with the change: the latest evidence or answer, in words."""


class Journal(Protocol):
    """The durable memory of submissions.

    Every method raises `errors.JournalUnavailable` when the journal itself fails; then nothing of
    the call was written, or it cannot be known and the caller has to read again. A method that
    returns has made its change durable.

    A write that was called is carried out, even if its caller is cancelled while it waits: whoever
    needs to know its end shields the call. Writes take effect in the order of their calls.
    """

    async def open(self) -> None:
        """Open it, taking whatever lock makes this process its only writer.

        Raises ConfigurationError where the journal is in use, newer, foreign or unsafe.
        """

    async def aclose(self) -> None:
        """Finish what was begun and release it; harmless if it was never opened."""

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        """Keep a new entry and return it with its `seq`, later than every entry before it.

        New means that it holds nothing but its submission. Where the key exists already, nothing
        is written and the kept entry is returned: the caller compares the two.

        `sent` is its next version, with its first attempt. A journal that can keeps both in this
        one write, and returns it; where it cannot, or another attempt is in the air, it keeps the
        entry alone.
        """

    async def update(self, *entries: Entry, at_ms: int) -> None:
        """Write changed entries, all of them or none.

        Each must be one version after the one that is kept (`StaleVersion`), hold a transaction id
        that no other of its account and kind holds (`TranIdClaimed`), and be the only SENT one
        under its attempt's `exclusion` (`AlreadyInAir`). What one of the entries gives up, another
        of them may take. An attempt is kept under its number: a later write with the same number
        replaces it.
        """

    async def get(self, key: str) -> Entry | None:
        """The entry, archived ones included."""

    async def find(
        self,
        *,
        account: str | None = None,
        state: State | None = None,
        asset: str | None = None,
        limit: int = 100,
        before_seq: int | None = None,
    ) -> list[Entry]:
        """Entries that match, newest first, older than `before_seq`."""

    async def unfinished(self) -> list[Entry]:
        """Every entry that is not final, in order of `seq`."""

    async def history(self, key: str) -> list[HistoryRow]:
        """Every change of one entry, oldest first."""

    async def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        """The account's attempts that were minted at or after `since_ms`, or are not ended, or
        ended at or after it; oldest first."""

    async def lost_since(self, since_ms: int) -> list[PastAttempt]:
        """All accounts' attempts minted at or after `since_ms` whose answer was lost, oldest
        first."""

    async def claimed(self, account: str, kind: Kind, tran_ids: frozenset[int]) -> dict[int, str]:
        """Which of the transaction ids are held, and by which key."""

    async def set_mark(self, scope: str, name: str, value: str | None) -> None:
        """Keep a fact that must outlive the process under (scope, name); None forgets it.

        Scope is `account:NAME`, `address` or `asset:NAME`; value is text of the caller's own form.
        """

    async def marks(self) -> dict[tuple[str, str], str]:
        """All marks, by (scope, name)."""
