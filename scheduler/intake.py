"""Takes submissions: refuses what cannot be done, makes the rest durable, and hands it on."""

import asyncio
from collections import Counter
from functools import partial

from .engine import Engine
from .errors import AccountStopped, CannotStartInTime, JournalUnavailable, KeyReused, QueueFull
from .journal import Journal
from .model import Entry, Submission
from .policy import Limits
from .quotes import is_surely_in_time, quote
from .remote import Remote
from .watch import Watchers
from .worker import Worker

Refusal = AccountStopped | QueueFull | CannotStartInTime


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
        self._adding: Counter[str] = Counter()
        self._queueing: Counter[str] = Counter()
        """How many of an account are on their way into its queue."""
        self._accepting: set[asyncio.Task[tuple[Entry, bool]]] = set()

    async def accept(self, asked: Submission) -> tuple[Entry, bool]:
        """Keep a submission; the second value tells whether its key was there before.

        Cancelling this changes nothing once the journal has it. Raises KeyReused, QueueFull,
        CannotStartInTime, AccountStopped, JournalUnavailable; then nothing was kept, except that
        after the last it may have been.
        """
        starting = self._start(asked)
        if starting is not None:
            kept = await starting
            return (kept, False) if kept.submission is asked else (_same(kept, asked), True)
        # A task, so that a caller that is cancelled while the journal writes loses its submission
        # neither the run nor its place before those that come later.
        account = asked.account
        self._queueing[account] += 1
        accepting = asyncio.ensure_future(self._accept(asked))
        self._accepting.add(accepting)
        accepting.add_done_callback(partial(self._over, account))
        return await asyncio.shield(accepting)

    def _start(self, asked: Submission) -> "asyncio.Future[Entry] | None":
        """Have its first attempt begin with it, if it may and nothing is before it."""
        if self._remote is not None or self._queueing[asked.account]:
            return None
        return self._engine.worker(asked.account).start_new(asked)

    async def settle(self) -> None:
        """Wait for what is being taken."""
        if self._accepting:
            await asyncio.wait(self._accepting)

    def _over(self, account: str, accepting: asyncio.Task[tuple[Entry, bool]]) -> None:
        self._queueing[account] -= 1
        self._accepting.discard(accepting)
        if not accepting.cancelled():
            accepting.exception()  # whoever asked may be gone, and a refusal is no defect

    async def _accept(self, asked: Submission) -> tuple[Entry, bool]:
        if self._remote is not None:
            return await self._accept_for_all(self._remote, asked)
        worker = self._engine.worker(asked.account)
        refusal = self._refusal(worker, asked)
        if refusal is not None:
            # A repeated key is answered even where a new one would be refused.
            kept = await self._journal.get(asked.key)
            if kept is None:
                raise refusal
            return _same(kept, asked), True
        kept = await self._add(asked)
        if kept.submission is not asked:
            return _same(kept, asked), True
        worker.put(kept)
        self._watchers.changed(kept)
        return kept, False

    async def _accept_for_all(self, remote: Remote, asked: Submission) -> tuple[Entry, bool]:
        """The same where the account may be another scheduler's, or become so at any time: whoever
        runs it when the journal has the entry is told by the journal, if it is not run here."""
        worker = self._engine.owned(asked.account)
        refusal: Refusal | None
        if worker is None:
            refusal = await remote.refusal(asked.account)
        else:
            refusal = self._refusal(worker, asked)
        if refusal is not None:
            kept_before = await self._journal.get(asked.key)
            if kept_before is None:
                raise refusal
            return _same(kept_before, asked), True
        kept = await self._add(asked)
        if kept.submission is not asked:
            return _same(kept, asked), True
        # Not the worker from before: the account may have changed hands meanwhile.
        worker = self._engine.owned(asked.account)
        if worker is None:
            remote.added()
        else:
            worker.adopt(kept)
            self._watchers.changed(kept)
        return kept, False

    async def _add(self, asked: Submission) -> Entry:
        """Write it down. What may have been written although that failed is the caller's, and has
        to run."""
        self._adding[asked.account] += 1
        try:
            return await self._journal.add(Entry(submission=asked))
        except JournalUnavailable:
            self._look_for(asked)
            raise
        finally:
            self._adding[asked.account] -= 1

    def _look_for(self, asked: Submission) -> None:
        if (worker := self._engine.owned(asked.account)) is not None:
            self._engine.tasks.start_soon(worker.reread, asked.key)

    def _refusal(self, worker: Worker, asked: Submission) -> Refusal | None:
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
