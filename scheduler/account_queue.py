"""Which submission of one account goes next, and when.

Submissions stand in rows: one row for each (priority, kind, asset, symbol), first in, first out.
The next to go is the earliest head of a row that nothing holds; urgent rows come before normal
ones.
"""

import heapq
import zlib
from bisect import insort
from collections import deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from msgspec import Struct

from .amounts import not_before_ms
from .events import Cause, NotSent
from .inventory import InventoryGate
from .model import Entry, Kind, Priority, State
from .policy import Policy
from .refusals import Disposition

Row = deque[Entry]


class Headroom(Struct, frozen=True):
    """How long the minute's weight and the pace keep each priority waiting; 0 is not at all."""

    normal_ms: int
    urgent_ms: int


class Choice(Struct, frozen=True):
    """The entry to send now, taken out of the queue; or how long to wait before asking again.

    Neither: nothing can start until something changes.
    """

    entry: Entry | None = None
    wait_ms: int | None = None


FREE = Headroom(0, 0)
NOTHING = Choice()


@dataclass(frozen=True, slots=True)
class HoldState:
    """Why the account, or an asset of it, waits; `until_ms` is None where no time ends it."""

    cause: str
    asset: str | None
    until_ms: int | None


class AccountQueue:
    """One account's waiting submissions and everything that holds them."""

    def __init__(
        self,
        policy: Policy,
        gate: InventoryGate,
        exclusion: Callable[[Entry], str] = lambda entry: entry.account,
    ) -> None:
        self._policy = policy
        self._gate = gate
        self._exclusion = exclusion
        self._rows: dict[tuple[Priority, Kind, str, str | None], Row] = {}
        self._queued: dict[str, Entry] = {}
        self._counts = dict.fromkeys(Priority, 0)
        self._deadlines: list[tuple[int, int, str]] = []
        self._timed: set[str] = set()  # keys in `_deadlines`, each once
        self._dead = 0  # removed entries that still stand in a row
        self._at_gate: list[Entry] = []
        self._undecided: dict[str, Entry] = {}
        self._paused_for: set[str] = set()
        self._held_until_ms = 0
        self._held_for: Cause | None = None
        self._refusals_in_a_row = 0

    def __len__(self) -> int:
        return len(self._queued)

    def __contains__(self, key: str) -> bool:
        return key in self._queued

    def count(self, priority: Priority) -> int:
        """How many of this priority wait."""
        return self._counts[priority]

    def oldest(self) -> Entry | None:
        """The earliest submission that waits."""
        heads = (head for priority in Priority for head in self._heads(priority))
        return min(heads, key=_seq, default=None)

    def entries(self) -> Iterator[Entry]:
        """The waiting submissions, in no particular order."""
        return iter(self._queued.values())

    def add(self, entry: Entry) -> None:
        """Put a QUEUED entry in its place by `seq`: at the end, or where it was taken from."""
        assert entry.state is State.QUEUED
        self._queued[entry.key] = entry
        self._counts[entry.priority] += 1
        if entry.key not in self._timed:
            self._timed.add(entry.key)
            heapq.heappush(self._deadlines, (entry.deadline_ms, entry.seq, entry.key))
        row = self._rows.setdefault(_row_of(entry), deque())
        if not row or entry.seq > row[-1].seq:
            row.append(entry)
        elif entry.seq < row[0].seq:
            row.appendleft(entry)
        else:
            insort(row, entry, key=_seq)

    def remove(self, key: str) -> Entry | None:
        """Take a submission out, wherever it stands; None if it is not waiting."""
        entry = self._queued.pop(key, None)
        if entry is not None:
            self._counts[entry.priority] -= 1
            self._dead += 1
            self._gate.withdrawn(entry)
            self._drop_the_dead()
        return entry

    def take_overdue(self, now_ms: int) -> list[Entry]:
        """Take out every submission whose deadline has come."""
        overdue: list[Entry] = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            entry = self.remove(self._pop_deadline())
            if entry is not None:
                overdue.append(entry)
        return overdue

    def take(self, now_ms: int, headroom: Headroom, in_air: Container[str] = ()) -> Choice:
        """The entry that may start now, or how long until that should be asked again.

        `in_air` are the exclusions under which an attempt is in the air. Nothing is handed out
        while a deadline has come: that is for `take_overdue`.
        """
        if self._at_gate:
            self._leave_gate()
        if not self._queued:
            return NOTHING
        waits = self._deadline_waits(now_ms)
        if 0 in waits:
            return Choice(wait_ms=0)
        if not self._paused_for:
            held_ms = self._held_until_ms - now_ms
            if held_ms > 0:
                waits.append(held_ms)
            else:
                entry = self._first_startable(now_ms, headroom, in_air, waits)
                if entry is not None:
                    return Choice(self._take_out(entry))
        return Choice(wait_ms=min(waits) if waits else None)

    def may_start_new(self, entry: Entry, now_ms: int, headroom: Headroom) -> bool:
        """Whether an entry that is not here yet would be handed out at once: with nothing before
        it, nothing to look at first, and nothing known to hold it."""
        is_urgent = entry.priority is Priority.URGENT
        weight_wait_ms = headroom.urgent_ms if is_urgent else headroom.normal_ms
        return (
            not self._queued
            and weight_wait_ms <= 0
            and now_ms < entry.deadline_ms
            and not entry.submission.takes_a_look
            and not self._gate.is_short(entry)
            and self.may_start(entry, now_ms)
        )

    def may_start(self, entry: Entry, now_ms: int) -> bool:
        """Whether nothing has come up that holds an entry which was handed out a moment ago."""
        is_held = self._paused_for or self._held_until_ms > now_ms
        return not is_held and not self._is_held(entry, now_ms, [])

    def ahead(self, priority: Priority) -> int:
        """How many would go before a new submission of this priority, if nothing more happened:
        those that are held for as long as nobody can tell do not count."""
        return sum(
            len(row)
            for place, row in self._rows.items()
            if place[0] is Priority.URGENT or priority is Priority.NORMAL
            if row and not self._is_stuck(row[0])
        )

    # Holds

    def hold(self, cause: Cause, entry: Entry, now_ms: int) -> None:
        """Back off after an attempt that the account was not ready for."""
        if cause is Disposition.LIMITED:
            return  # the weight has a wait of its own
        first_ms, max_ms = self._back_off(cause, entry)
        wait_ms = min(first_ms << min(self._refusals_in_a_row, 16), max_ms)
        self._refusals_in_a_row += 1
        self._held_for = cause
        until_ms = now_ms + wait_ms + _jitter_ms(entry, wait_ms)
        self._held_until_ms = max(self._held_until_ms, until_ms)

    def went_through(self) -> None:
        """An attempt was neither refused for a moment nor kept from leaving: back-offs start
        over."""
        self._refusals_in_a_row = 0
        self._held_for = None

    def pause(self, why: str) -> None:
        """Nothing starts until every `why` is resumed."""
        self._paused_for.add(why)

    def resume(self, why: str) -> None:
        self._paused_for.discard(why)

    @property
    def pauses(self) -> frozenset[str]:
        """Everything the account is paused for."""
        return frozenset(self._paused_for)

    def undecided(self, entry: Entry) -> None:
        """An UNKNOWN or UNRESOLVED entry: until it is decided it holds what the rules say."""
        self._undecided[entry.key] = entry

    def decided(self, key: str) -> None:
        self._undecided.pop(key, None)

    def holds(self, now_ms: int) -> list[HoldState]:
        """What holds the account now, for a person to read."""
        states = [HoldState(why, None, None) for why in sorted(self._paused_for)]
        if self._held_until_ms > now_ms and self._held_for is not None:
            cause = "unreachable" if self._held_for is NotSent else _name(self._held_for)
            states.append(HoldState(cause, None, self._held_until_ms))
        states += [
            HoldState(entry.state.lower(), entry.asset, None) for entry in self._undecided.values()
        ]
        return states

    def _back_off(self, cause: Cause, entry: Entry) -> tuple[int, int]:
        policy = self._policy
        if cause is NotSent:
            return policy.unreachable_wait_ms, policy.unreachable_wait_max_ms
        if cause is Disposition.CLOCK and entry.clock_refusals == 1:
            return 0, 0  # the clock is read anew, and that alone may help
        return policy.busy_wait_ms, policy.busy_wait_max_ms

    # Choosing

    def _first_startable(
        self, now_ms: int, headroom: Headroom, in_air: Container[str], waits: list[int]
    ) -> Entry | None:
        for priority, weight_wait_ms in (
            (Priority.URGENT, headroom.urgent_ms),
            (Priority.NORMAL, headroom.normal_ms),
        ):
            if not self._counts[priority]:
                continue
            for entry in self._heads(priority):
                if self._exclusion(entry) in in_air or self._is_held(entry, now_ms, waits):
                    continue
                if entry.submission.takes_a_look:
                    look_wait_ms = not_before_ms(entry, self._policy, now_ms) - now_ms
                    if look_wait_ms > 0:
                        waits.append(look_wait_ms)
                        continue
                if weight_wait_ms > 0:
                    waits.append(weight_wait_ms)
                elif self._gate.may_start(entry, now_ms):
                    return entry
                else:
                    self._at_gate.append(entry)
        return None

    def _leave_gate(self) -> None:
        """The gate is to know only borrows that it alone keeps from starting; they come back to it
        at once if that is still so."""
        for entry in self._at_gate:
            self._gate.withdrawn(entry)
        self._at_gate.clear()

    def _is_stuck(self, entry: Entry) -> bool:
        passes = entry.priority is Priority.URGENT and entry.kind is Kind.REPAY
        return self._gate.is_short(entry) or (
            not passes and any(o.asset == entry.asset for o in self._undecided.values())
        )

    def _heads(self, priority: Priority) -> list[Entry]:
        """The first of every row, earliest first."""
        heads: list[Entry] = []
        emptied = []
        for place, row in self._rows.items():
            while row and self._queued.get(row[0].key) is not row[0]:
                row.popleft()
                self._dead -= 1
            if not row:
                emptied.append(place)
            elif place[0] is priority:
                heads.append(row[0])
        for place in emptied:
            del self._rows[place]
        heads.sort(key=_seq)
        return heads

    def _is_held(self, entry: Entry, now_ms: int, waits: list[int]) -> bool:
        """Whether an undecided attempt holds the entry; notes when that ends if a time ends it."""
        until_ms: int | None = now_ms
        for other in self._undecided.values():
            until_ms = self._held_by(other, entry, until_ms)
            if until_ms is None:
                return True
        assert until_ms is not None
        if until_ms > now_ms:
            waits.append(until_ms - now_ms)
        return until_ms > now_ms

    def _held_by(self, other: Entry, entry: Entry, until_ms: int | None) -> int | None:
        """Until when `other` holds `entry`, at least `until_ms`; None: until it is decided."""
        attempt = other.attempt
        if until_ms is None or attempt is None:
            return until_ms
        # Nothing of it can start after its fence, so until then the account is not free.
        if attempt.exclusion == self._exclusion(entry):
            until_ms = max(until_ms, attempt.fence_ms + 1)
        # An equal attempt must not follow so soon that one record could be either's.
        if _asks_equal(other, entry):
            policy = self._policy
            until_ms = max(
                until_ms,
                attempt.fence_ms + policy.processing_max_ms + policy.equal_gap_ms + 1,
            )
        passes = entry.priority is Priority.URGENT and entry.kind is Kind.REPAY
        return None if other.asset == entry.asset and not passes else until_ms

    def _take_out(self, entry: Entry) -> Entry:
        row = self._rows[_row_of(entry)]
        assert row[0] is entry
        row.popleft()
        del self._queued[entry.key]
        self._counts[entry.priority] -= 1
        self._drop_the_dead()
        return entry

    def _pop_deadline(self) -> str:
        key = heapq.heappop(self._deadlines)[2]
        self._timed.discard(key)
        return key

    def _deadline_waits(self, now_ms: int) -> list[int]:
        """The time until the next deadline of an entry that still waits."""
        while self._deadlines and self._deadlines[0][2] not in self._queued:
            self._pop_deadline()
        return [max(0, self._deadlines[0][0] - now_ms)] if self._deadlines else []

    def _drop_the_dead(self) -> None:
        """Keep what was removed from outgrowing what waits."""
        living = self._queued
        if self._dead > len(living) + 64:
            self._dead = 0
            for place, row in list(self._rows.items()):
                self._rows[place] = deque(e for e in row if living.get(e.key) is e)
        if len(self._deadlines) > 2 * len(living) + 64:
            self._deadlines = [item for item in self._deadlines if item[2] in living]
            heapq.heapify(self._deadlines)
            self._timed = {item[2] for item in self._deadlines}


def _seq(entry: Entry) -> int:
    return entry.seq


def _row_of(entry: Entry) -> tuple[Priority, Kind, str, str | None]:
    return entry.priority, entry.kind, entry.asset, entry.symbol


def _asks_equal(other: Entry, entry: Entry) -> bool:
    """Whether both could leave the same record; an amount not yet known could be any."""
    assert other.attempt is not None
    if (other.kind, other.asset, other.symbol) != (entry.kind, entry.asset, entry.symbol):
        return False
    amount = entry.fixed_amount
    return amount is None or amount == other.attempt.amount


def _jitter_ms(entry: Entry, wait_ms: int) -> int:
    """Up to a quarter of the wait, the same for the same entry and attempt in every run."""
    share = zlib.crc32(f"{entry.key}:{entry.attempts}".encode()) / 0xFFFFFFFF
    return int(wait_ms * share / 4)


def _name(cause: Cause) -> str:
    return cause.name.lower() if isinstance(cause, Disposition) else cause.__name__
