"""Takes submissions: refuses what cannot be done, makes the rest durable, and hands it on."""

import asyncio
from collections import defaultdict

from .engine import Engine
from .errors import AccountStopped, CannotStartInTime, JournalUnavailable, KeyReused, QueueFull
from .journal import Journal
from .model import Entry, Submission
from .policy import Limits
from .quotes import is_surely_in_time, quote
from .remote import Remote
from .watch import Watchers
from .worker import Worker


class Intake:
    """Where a checked submission becomes an entry."""

    def __init__(
        self,
        engine: Engine,
        *,
        journal: Journal,
        limits: Limits,
        watchers: Watchers,
        remote: Remote | None = None,
    ) -> None:
        self._engine = engine
        self._remote = remote
        self._journal = journal
        self._limits = limits
        self._watchers = watchers
        self._adding: defaultdict[str, int] = defaultdict(int)
        self._accepting: set[asyncio.Task[tuple[Entry, bool]]] = set()

    async def accept(self, asked: Submission) -> tuple[Entry, bool]:
        """Keep a submission; the second value tells whether its key was there before.

        Cancelling this changes nothing once the journal has it. Raises KeyReused, QueueFull,
        CannotStartInTime, AccountStopped, JournalUnavailable; then nothing was kept, except that
        after the last it may have been.
        """
        accepting = asyncio.ensure_future(self._accept(asked))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        return await asyncio.shield(accepting)

    async def settle(self) -> None:
        """Wait for what is being taken."""
        if self._accepting:
            await asyncio.wait(self._accepting)

    async def _accept(self, asked: Submission) -> tuple[Entry, bool]:
        worker = self._engine.owned(asked.account)
        if worker is None:
            return await self._pass_on(asked)
        refusal = self._refusal(worker, asked)
        if refusal is not None:
            # A repeated key is answered even where a new one would be refused.
            kept = await self._journal.get(asked.key)
            if kept is None:
                raise refusal
            return _same(kept, asked), True
        self._adding[asked.account] += 1
        try:
            kept = await self._journal.add(Entry(submission=asked))
        except JournalUnavailable:
            # It may have been kept all the same; then it is the caller's, and has to run.
            self._engine.tasks.start_soon(worker.reread, asked.key)
            raise
        finally:
            self._adding[asked.account] -= 1
        if kept.submission is not asked:
            return _same(kept, asked), True
        worker.put(kept)
        self._watchers.changed(kept)
        return kept, False

    async def _pass_on(self, asked: Submission) -> tuple[Entry, bool]:
        """Keep it for the scheduler that runs the account; the journal tells that one."""
        assert self._remote is not None
        kept = await self._journal.get(asked.key)
        if kept is not None:
            return _same(kept, asked), True
        await self._remote.check(asked.account)
        kept = await self._journal.add(Entry(submission=asked))
        self._remote.added()
        return (_same(kept, asked), True) if kept.submission is not asked else (kept, False)

    def _refusal(
        self, worker: Worker, asked: Submission
    ) -> AccountStopped | QueueFull | CannotStartInTime | None:
        stopped = worker.standing.marks.stopped
        if stopped is not None:
            return AccountStopped(f"account: {asked.account} is stopped: {stopped}")
        waiting = len(worker.queue) + self._adding[asked.account]
        if waiting >= self._limits.queue_max:
            return QueueFull(
                f"account: {asked.account} has {waiting} submissions waiting, the most it may have",
                retry_after_s=60 * self._limits.request_weight / self._limits.uid_weight_per_minute,
            )
        if is_surely_in_time(worker, asked.deadline_ms):
            return None
        first = quote(worker, asked.priority)
        late_s = (first.starts_at_ms - asked.deadline_ms) / 1000
        if late_s < 0:
            return None
        return CannotStartInTime(
            f"send_within: {asked.account} has {first.ahead} submissions ahead and could start "
            f"this one {late_s:.1f} s after its time at the earliest",
            first,
            retry_after_s=max(1.0, late_s),
        )


def _same(kept: Entry, asked: Submission) -> Entry:
    if not kept.submission.asks_the_same(asked):
        raise KeyReused(f"key: {asked.key} belongs to another request", kept)
    return kept
