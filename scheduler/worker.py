"""The only place where actions are carried out: everything that one account consists of.

Its sender sends, its settler looks at the records for what was left undecided, and both bring here
what happened. Nothing is decided here: the rules are in `lifecycle`, and each step is durable
before it is acted on.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .account_queue import AccountQueue
from .budget import CHARGED_MAX_MS, Budget
from .errors import JournalUnavailable
from .events import (
    Action,
    CancelRequested,
    Event,
    Finish,
    Hold,
    PutBack,
    Refused,
    Release,
    Resolved,
    Send,
    Settle,
    Started,
    StopAccount,
)
from .exchange import Exchange
from .flights import Flights
from .journal.protocol import StaleVersion
from .journal.rows import past_attempt
from .leftovers import Leftovers
from .marks import Marks
from .measure import Measurer
from .model import Entry, Kind, State, Submission
from .policy import Limits, Policy
from .recorder import JOURNAL_RETRY_S, Recorder, Step
from .refusals import Disposition
from .sender import Sender
from .settler import Settler
from .shared import Shared
from .standing import STOPPED, Standing

_IN_DOUBT = frozenset({State.UNKNOWN, State.UNRESOLVED})
_ABSENT = frozenset({State.NOT_EXECUTED, State.QUEUED})
_ACKNOWLEDGED = frozenset({State.CONFIRMED, State.ACCEPTED})

_log = logging.getLogger("margin_scheduler")


class Worker:
    """Runs one account."""

    def __init__(
        self,
        name: str,
        *,
        exchange: Exchange,
        queue: AccountQueue,
        budget: Budget,
        limits: Limits,
        policy: Policy,
        marks: Marks,
        declared_exclusive: bool,
        measurer: Measurer,
        shared: Shared,
    ) -> None:
        self.name = name
        self.exchange = exchange
        self.measurer = measurer
        self.queue = queue
        self.budget = budget
        self.limits = limits
        self.policy = policy
        self.shared = shared
        self.settler = Settler(self)
        self.leftovers = Leftovers(self)
        self._sender = Sender(self)
        self.in_air = self._sender.in_air
        self.journal = shared.journal
        self.clock = shared.clock
        self.standing = Standing(
            marks,
            declared_exclusive=declared_exclusive,
            queue=queue,
            journal=shared.journal,
            clock=shared.clock,
            watchers=shared.watchers,
        )
        self._recorder = Recorder(policy, shared.journal, shared.clock, self.standing)
        self._tasks: TaskGroup | None = None
        self._cut_off: list[Entry] = []
        self._cancelling: dict[str, asyncio.Future[Entry | None]] = {}

    # Life

    def start(self, tasks: TaskGroup, unfinished: Iterable[Entry] = ()) -> None:
        """Begin to send and to settle, with what an earlier process left unfinished."""
        self._tasks = tasks
        for entry in unfinished:
            self.adopt(entry)
            if entry.state is not State.QUEUED:
                self._cut_off.append(entry)
        self._sender.start(Flights(tasks))
        tasks.start_soon(self._run, name=f"account {self.name}")

    async def _run(self) -> None:
        try:
            await self.settler.run()
        finally:
            await self._sender.end()

    async def recover(self) -> None:
        """Before anything is sent: charge what still weighs, and settle what was in the air."""
        now_ms, steady_ms = self.clock.both_ms()
        since_ms = now_ms - CHARGED_MAX_MS - self.policy.recv_window_ms
        while True:
            try:
                past = await self.journal.attempts_since(self.name, since_ms)
                break
            except JournalUnavailable as error:
                self.standing.journal_failed(error)
                await anyio.sleep(JOURNAL_RETRY_S)
        self.standing.journal_works()
        charges = ((p.attempt, p.is_urgent) for p in past)
        self.budget.restore(charges, now_ms=now_ms, steady_ms=steady_ms)
        limited_ms = self.standing.marks.limited_until_ms - now_ms
        if limited_ms > 0:
            self.budget.ledger.block(steady_ms + limited_ms)
        for entry in self._cut_off:
            try:
                await self.apply(entry, Started())
            except StaleVersion:  # moved meanwhile: by a look, a person, or the owner before
                await self.reread(entry.key)
        self._cut_off.clear()
        with suppress(JournalUnavailable):
            assert self._tasks is not None
            for entry in await self.leftovers.recent():
                self._tasks.start_soon(self.leftovers.see_to, entry, name=f"close up {entry.key}")

    async def landed(self) -> None:
        """Wait until nothing is in the air."""
        await self._sender.landed()

    def poke(self) -> None:
        """Something changed: choose again."""
        self._sender.poke()

    async def kept(self, key: str) -> Entry | None:
        """The entry as the journal holds it, however long it takes to get an answer."""
        return await self._recorder.kept(key)

    async def reread(self, key: str, *, is_landing: bool = False) -> None:
        """Go by what the journal holds of a submission, after it and we have come apart: a write
        failed and may have been made, or somebody else moved the entry. `is_landing` as in
        `adopt`."""
        _log.warning("%s is read again from the journal", key)
        self.follow(await self._recorder.kept(key), is_landing=is_landing)

    def adopt(self, kept: Entry | None, *, is_landing: bool = False) -> None:
        """Take an entry up where the journal has it, unless it is in hand already. The flight that
        is just ending has it in hand no longer: `is_landing`."""
        if kept is None or self.has_in_hand(kept.key, is_landing=is_landing):
            return
        if kept.is_final:
            self.shared.watchers.changed(kept)
        elif kept.state is State.QUEUED:
            self.queue.add(kept)
        elif kept.state is not State.SENT:
            self._undecided(kept, kept)
        self.poke()

    def follow(self, kept: Entry | None, *, is_landing: bool = False) -> None:
        """Take up what somebody else added or moved, where the journal has it."""
        if kept is None:
            return
        self.queue.remove(kept.key)
        if kept.is_final or kept.state is State.QUEUED:
            self._decided(kept)  # by somebody else
        self.adopt(kept, is_landing=is_landing)

    def abandon(self) -> None:
        """Let go of everything, before the tasks are cancelled: another scheduler goes on with the
        account from what the journal holds."""
        for flying in self.in_air.values():
            if flying.kind is Kind.BORROW:
                self.shared.gate.ended(flying, was_lent=False)
        for waiting in list(self.queue.entries()):
            self.queue.remove(waiting.key)
        self.shared.gate_changed()

    def has_in_hand(self, key: str, *, is_landing: bool = False) -> bool:
        """Whether it waits, flies or is being settled here."""
        flying = {entry.key for entry in self.in_air.values()}
        settling = {entry.key for entry in self.settler.entries()}
        return key in self.queue or key in settling or (key in flying and not is_landing)

    def start_new(self, asked: Submission) -> "asyncio.Future[Entry] | None":
        """Keep a new submission together with its first attempt, if that may start at once; as
        `Sender.start_new`."""
        return self._sender.start_new(asked)

    def put(self, entry: Entry) -> None:
        """Queue a durable entry, and let it start at once if it may."""
        self.queue.add(entry)
        self._sender.turn()

    # What callers may do

    def cancel(self, key: str) -> "asyncio.Future[Entry | None]":
        """Take a waiting submission back: out of the queue at once, and for good when this was
        awaited. None if it is not waiting. Whoever else asks meanwhile gets the same answer."""
        cancelling = self._cancelling.get(key)
        if cancelling is None:
            cancelling = asyncio.ensure_future(self._begin_to_cancel(key))
            self._cancelling[key] = cancelling
            cancelling.add_done_callback(lambda _: self._cancelling.pop(key))
        return cancelling

    def _begin_to_cancel(self, key: str) -> Coroutine[Any, Any, Entry | None]:
        entry = self.queue.remove(key)
        is_measured = entry is None and key in self._sender.measuring
        if is_measured:
            # Whoever writes first decides: this, or its attempt.
            entry = self._sender.measuring[key]
        return self._cancel(key, entry, is_measured)

    async def _cancel(self, key: str, entry: Entry | None, is_measured: bool) -> Entry | None:
        if entry is None:
            return None
        try:
            return await self.apply(entry, CancelRequested(), is_patient=False)
        except JournalUnavailable:
            if not is_measured:
                self.put(entry)
            raise
        except StaleVersion:  # cancelled before, by a write that seemed to fail
            await self.reread(key)
            return None

    async def resolve(self, entry: Entry, event: Resolved) -> Entry:
        """Let a person decide. Raises StaleVersion where evidence came first."""
        return await self.apply(entry, event, is_patient=False)

    # Carrying out

    async def apply(self, entry: Entry, event: Event, *, is_patient: bool = True) -> Entry:
        """Let an event happen to an entry: decide, make it durable, act. Raises as `Recorder`."""
        steps = await self._recorder.record(entry, event, is_patient=is_patient)
        if _is_clock_refused(event):
            await self.shared.timekeeper.sample()
        for step in steps:
            self._carry_out(step.before, step.after, step.action)
        return steps[-1].after

    async def apply_with(self, entry: Entry, event: Event, following: Step) -> bool:
        """The same together with another entry's step, in one write if the journal takes both;
        whether it did. Raises StaleVersion; then that step was not made either."""
        steps = await self._recorder.record(entry, event, is_patient=True, following=following)
        for step in steps:
            self._carry_out(step.before, step.after, step.action)
        return steps[-1] is following

    def _carry_out(self, before: Entry, after: Entry, action: Action | None) -> None:
        match action:
            case Send():
                pass  # its flight goes on
            case Hold(cause):
                self.queue.hold(cause, after, self.clock.now_ms())
                self.queue.add(after)
            case Release():
                self.queue.went_through()
                self._decided(after)
                self.queue.add(after)
            case PutBack():
                if before.state is State.SENT:
                    self.queue.went_through()
                self.queue.add(after)
            case Settle():
                self._undecided(before, after)
            case Finish():
                self._finished(before, after)
            case StopAccount():
                self._finished(before, after)
                self.queue.pause(STOPPED)
                assert self._tasks is not None
                self._tasks.start_soon(self.standing.stop, after)
        if after is not before:
            self.shared.watchers.changed(after, before.state)
        self.poke()
        self._tell(before, after)

    def _tell(self, before: Entry, after: Entry) -> None:
        """Those who check afterwards whether what is said here was right."""
        if before.state in _IN_DOUBT and after.state in _ABSENT:
            self.shared.concluded_absent(past_attempt(before), self.clock.now_ms())
        if after.state is before.state or after.state not in _ACKNOWLEDGED:
            return
        self.shared.debt_changed(self.name)
        if before.state is State.SENT and after.state is State.CONFIRMED:
            self.shared.confirmed(after)
        elif after.key in self.leftovers:  # found by its record, while others may have gone
            assert self._tasks is not None
            self._tasks.start_soon(self.leftovers.see_to, after, name=f"close up {after.key}")

    def _finished(self, before: Entry, after: Entry) -> None:
        if before.state is State.SENT:
            self.queue.went_through()
        self._decided(after)
        if after.state is State.CONFIRMED:
            self.leftovers.expect(after)
        else:
            self.shared.ended(after)

    def _decided(self, after: Entry) -> None:
        self.queue.decided(after.key)
        self.settler.remove(after.key)

    def _undecided(self, before: Entry, after: Entry) -> None:
        if after.state is not State.ACCEPTED:
            self.queue.undecided(after)
        elif before.state is State.SENT:
            self.queue.went_through()
        self.settler.put(after)
        if after.state is State.UNRESOLVED and before.state is not State.UNRESOLVED:
            why = after.evidence[-1].detail
            self.standing.alarm("unresolved", f"{after.key} is UNRESOLVED: {why}", key=after.key)


def _is_clock_refused(event: Event) -> bool:
    return isinstance(event, Refused) and event.disposition is Disposition.CLOCK
