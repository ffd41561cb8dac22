"""Goes back to what was concluded from a missing record, and shouts if one has turned up.

That a request did not happen rests on two bounds that the exchange never promised: how long it may
work on one, and how long a record may take to show. So every window in which an attempt was proven
absent is read again, after a minute, ten minutes, an hour and a day.
"""

import heapq
import logging
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from .address import Purpose
from .clock import Clock
from .errors import JournalUnavailable
from .events import Contradicted
from .exchange import Look
from .journal import Journal
from .journal.protocol import PastAttempt, StaleVersion
from .model import Entry, State, Transaction
from .reconcile import Window, fits, window
from .worker import Worker

AFTER_MS = (60_000, 600_000, 3_600_000, 86_400_000)
"""When a window is read again, counted from its conclusion."""
LATEST_MS = AFTER_MS[-1] + 3_600_000
"""An attempt older than this is not audited any more."""
RETRY_MS = 60_000
"""After a look that failed."""
MERGED_MAX_MS = 600_000
"""Windows this close, and as often read before, are read in one look."""

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True)
class Audit:
    """One conclusion that is to be looked at again."""

    past: PastAttempt
    concluded_at_ms: int
    nth: int = 0

    @property
    def due_ms(self) -> int:
        return self.concluded_at_ms + AFTER_MS[self.nth]


class Auditor:
    """One a scheduler. What it still has to do it reads back from the journal after a restart."""

    def __init__(
        self, journal: Journal, clock: Clock, worker_of: Callable[[str], Worker | None]
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._worker_of = worker_of
        self._due: list[tuple[int, int, Audit]] = []
        self._count = 0
        self._wake = anyio.Event()

    def concluded(self, past: PastAttempt, at_ms: int) -> None:
        """An attempt was said not to have happened."""
        now_ms = self._clock.now_ms()
        for nth, after_ms in enumerate(AFTER_MS):
            if at_ms + after_ms > now_ms or nth == len(AFTER_MS) - 1:
                self._put(Audit(past, at_ms, nth), max(at_ms + after_ms, now_ms))
                break

    async def run(self) -> None:
        """Take up what an earlier process left, and look whenever something is due, for ever."""
        await self.resume()
        while True:
            self._wake = anyio.Event()
            wait_ms = self._due[0][0] - self._clock.now_ms() if self._due else None
            if wait_ms is None or wait_ms > 0:
                with anyio.move_on_after(None if wait_ms is None else wait_ms / 1000):
                    await self._wake.wait()
                continue
            batch = self._take_batch()
            try:
                await self._audit(batch)
            except JournalUnavailable:
                self._again(batch)

    async def resume(self, account: str | None = None) -> None:
        """Take up what is to be audited of one account, or of all that are run here."""
        while True:
            try:
                since_ms = self._clock.now_ms() - LATEST_MS
                for past in await self._journal.lost_since(since_ms):
                    if account in {None, past.account}:
                        await self._resume_one(past)
            except JournalUnavailable:
                await anyio.sleep(RETRY_MS / 1000)
            else:
                break

    async def _resume_one(self, past: PastAttempt) -> None:
        worker = self._worker_of(past.account)
        if worker is None:
            return  # whoever runs the account audits it
        entry = await self._journal.get(past.key)
        if entry is not None and _was_concluded(entry, past):
            after_ms = worker.policy.conclusive_after_ms
            self.concluded(past, past.attempt.fence_ms + after_ms)

    async def _audit(self, batch: list[Audit]) -> None:
        past = batch[0].past
        worker = self._worker_of(past.account)
        if worker is None:
            return
        windows = [window(audit.past.attempt, worker.policy) for audit in batch]
        times = Window(min(w.from_ms for w in windows), max(w.until_ms for w in windows))
        look = await worker.exchange.look(past, times, Purpose.AUDIT)
        if not isinstance(look, Look):
            self._again(batch)
            return
        holders = await self._holders(past, look)
        for audit in batch:
            late = [r for r in look.records if _is_late(audit, r, holders, worker)]
            for record in late:
                await self._shout(worker, audit.past, record)
            if not late and audit.nth + 1 < len(AFTER_MS):
                following = Audit(audit.past, audit.concluded_at_ms, audit.nth + 1)
                self._put(following, following.due_ms)

    async def _holders(self, past: PastAttempt, look: Look) -> dict[int, str]:
        ids = frozenset(record.tran_id for record in look.records)
        return await self._journal.claimed(past.account, past.kind, ids) if ids else {}

    async def _shout(self, worker: Worker, past: PastAttempt, record: Transaction) -> None:
        said = f"late record: txId {record.tran_id} {record.status} at {record.timestamp_ms}"
        worker.standing.alarm(
            "late_record",
            f"{past.key} was said not to have happened; {said}",
            key=past.key,
        )
        entry = await self._journal.get(past.key)
        if entry is not None and entry.state is State.NOT_EXECUTED:
            try:
                await worker.apply(entry, Contradicted(said))
            except StaleVersion:
                _log.warning("%s changed while it was audited", past.key)

    def _take_batch(self) -> list[Audit]:
        """The next audit, and what can be read with it."""
        first = heapq.heappop(self._due)[2]
        merged = [item for item in self._due if _can_be_merged(first, item[2])]
        self._due = [item for item in self._due if not _can_be_merged(first, item[2])]
        heapq.heapify(self._due)
        return [first, *(audit for _, _, audit in merged)]

    def _again(self, batch: list[Audit]) -> None:
        for audit in batch:
            self._put(audit, self._clock.now_ms() + RETRY_MS)

    def _put(self, audit: Audit, due_ms: int) -> None:
        self._count += 1
        heapq.heappush(self._due, (due_ms, self._count, audit))
        self._wake.set()


def _was_concluded(entry: Entry, past: PastAttempt) -> bool:
    """Whether the attempt was said not to have happened."""
    if entry.attempt is None or (not entry.was_absent and entry.state is not State.NOT_EXECUTED):
        return False
    is_latest = entry.attempt.number == past.attempt.number
    return not is_latest or entry.state in {State.NOT_EXECUTED, State.QUEUED}


def _is_late(audit: Audit, record: Transaction, holders: dict[int, str], worker: Worker) -> bool:
    return (
        record.status != "FAILED"
        and record.tran_id not in holders
        and fits(audit.past, audit.past.attempt, record, worker.policy)
    )


def _can_be_merged(one: Audit, other: Audit) -> bool:
    a, b = one.past, other.past
    apart_ms = abs(a.attempt.timestamp_ms - b.attempt.timestamp_ms)
    return (
        (a.account, a.kind, a.asset, a.symbol) == (b.account, b.kind, b.asset, b.symbol)
        and apart_ms <= MERGED_MAX_MS
        and one.nth == other.nth
    )
