"""One account's settling task: looks at the exchange's records until nothing is undecided."""

import asyncio
from contextlib import suppress
from typing import Protocol

import anyio

from .address import Purpose
from .clock import Clock
from .errors import JournalUnavailable
from .events import Contradicted, Event, LookedUp, LookUpFailed
from .exchange import Exchange, Look
from .journal import Journal
from .journal.protocol import StaleVersion
from .model import Entry, State, Transaction
from .policy import Policy
from .reconcile import OURS, Window, fits, window
from .recorder import JOURNAL_RETRY_S
from .standing import Standing

SWEEP_MIN_MS = 2_000
"""Between two sweeps for acknowledged transactions: one serves all that are due by then."""


class Lane(Protocol):
    """What the settler needs of the account it settles for."""

    exchange: Exchange
    policy: Policy
    journal: Journal
    clock: Clock

    @property
    def name(self) -> str: ...

    @property
    def standing(self) -> Standing: ...

    async def apply(self, entry: Entry, event: Event) -> Entry: ...

    async def reread(self, key: str) -> None: ...


class Settler:
    """Holds the undecided entries and looks for each when its time has come."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._entries: dict[str, Entry] = {}
        self._wake = asyncio.Event()
        self._swept_at_ms = 0

    def put(self, entry: Entry) -> None:
        """An undecided entry, new or in a new version."""
        self._entries[entry.key] = entry
        self._wake.set()

    def remove(self, key: str) -> None:
        self._entries.pop(key, None)

    def entries(self) -> list[Entry]:
        """What is undecided now."""
        return list(self._entries.values())

    async def run(self) -> None:
        """Look for whatever is due, for ever."""
        while True:
            self._wake.clear()
            entry = self._earliest()
            if entry is None:
                await self._wake.wait()
                continue
            wait_ms = self._due_ms(entry) - self._lane.clock.now_ms()
            if wait_ms > 0:
                with anyio.move_on_after(wait_ms / 1000):
                    await self._wake.wait()
                continue
            await self._settle(entry)

    def _earliest(self) -> Entry | None:
        due = (e for e in self._entries.values() if e.look_not_before_ms is not None)
        return min(due, key=self._due_ms, default=None)

    def _due_ms(self, entry: Entry) -> int:
        assert entry.look_not_before_ms is not None
        if entry.tran_id is None:
            return entry.look_not_before_ms
        return max(entry.look_not_before_ms, self._swept_at_ms + SWEEP_MIN_MS)

    async def _settle(self, entry: Entry) -> None:
        if entry.tran_id is None:
            times = self._window(entry)
            await self._look_for([entry], times, Purpose.LOOK)
        else:
            self._swept_at_ms = self._lane.clock.now_ms()
            group = [other for other in self._entries.values() if _share_a_sweep(entry, other)]
            windows = [self._window(other) for other in group]
            times = Window(min(w.from_ms for w in windows), max(w.until_ms for w in windows))
            await self._look_for(group, times, Purpose.SWEEP)

    def _window(self, entry: Entry) -> Window:
        assert entry.attempt is not None
        return window(entry.attempt, self._lane.policy)

    async def _look_for(self, group: list[Entry], times: Window, purpose: Purpose) -> None:
        lane = self._lane
        look = await lane.exchange.look(
            group[0], times, purpose, any_asset=purpose is Purpose.SWEEP
        )
        try:
            event = await self._judged(group[0], look) if isinstance(look, Look) else look
        except JournalUnavailable:
            await anyio.sleep(JOURNAL_RETRY_S)
            return
        for entry in group:
            if self._entries.get(entry.key) is not entry:
                continue  # decided by somebody else while we looked
            try:
                await lane.apply(entry, self._own(entry, event))
            except StaleVersion:
                await self._reread(entry)

    async def _judged(self, entry: Entry, look: Look) -> tuple[Look, dict[int, str], bool]:
        """Who holds the records that were seen, and whether all of them can be ours."""
        lane = self._lane
        ids = frozenset(record.tran_id for record in look.records)
        holders = await lane.journal.claimed(lane.name, entry.kind, ids) if ids else {}
        for record in look.records:
            if record.status == "FAILED" and record.tran_id in holders:
                await self._contradict(holders[record.tran_id], record)
        stranger = await self._stranger(look, holders)
        if stranger is not None:
            await lane.standing.found_shared(stranger.tran_id)
        return look, holders, lane.standing.is_exclusive

    async def _contradict(self, key: str, record: Transaction) -> None:
        """The exchange acknowledged a transaction, and its record says that it failed."""
        kept = await self._lane.journal.get(key)
        said = f"txId {record.tran_id} FAILED"
        if kept is None or kept.state is not State.CONFIRMED or _has_noted(kept, said):
            return
        self._lane.standing.alarm("failed_record", f"{key} is CONFIRMED, and {said}", key=key)
        with suppress(StaleVersion):
            await self._lane.apply(kept, Contradicted(said))

    async def _stranger(self, look: Look, holders: dict[int, str]) -> Transaction | None:
        """A record by hand that nobody holds and that no attempt of ours would have left."""
        lane = self._lane
        loose = [r for r in look.records if r.origin == OURS and r.tran_id not in holders]
        if not loose:
            return None
        longest_ms = 60_000 + lane.policy.processing_max_ms
        since_ms = min(record.timestamp_ms for record in loose) - longest_ms
        past = await lane.journal.attempts_since(lane.name, since_ms)
        for record in loose:
            if not any(fits(p, p.attempt, record, lane.policy) for p in past):
                return record
        return None

    def _own(self, entry: Entry, event: tuple[Look, dict[int, str], bool] | LookUpFailed) -> Event:
        if isinstance(event, LookUpFailed):
            return event
        look, holders, is_exclusive = event
        return LookedUp(
            records=look.records,
            claimed=frozenset(i for i, holder in holders.items() if holder != entry.key),
            as_of_ms=look.as_of_ms,
            is_trusted=look.is_trusted,
            known_since_ms=look.known_since_ms,
            is_exclusive=is_exclusive,
        )

    async def _reread(self, entry: Entry) -> None:
        self.remove(entry.key)
        await self._lane.reread(entry.key)


def _has_noted(entry: Entry, said: str) -> bool:
    return any(evidence.detail == said for evidence in entry.evidence)


def _share_a_sweep(entry: Entry, other: Entry) -> bool:
    return (
        other.tran_id is not None
        and other.look_not_before_ms is not None
        and (other.kind, other.symbol) == (entry.kind, entry.symbol)
    )
