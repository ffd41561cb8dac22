"""The only place where actions are carried out: one account's sending task and settling task.

The sending task chooses and sends, one attempt at a time; the settling task looks at the records
for what was left undecided. Neither decides anything: the rules are in `lifecycle`, and each step
is durable before it is acted on.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

import anyio
from anyio.abc import TaskGroup

from . import lifecycle
from .account_queue import FREE, AccountQueue, Headroom
from .address import Address
from .amounts import Measured
from .budget import CHARGED_MAX_MS, Budget
from .clock import Clock
from .errors import JournalUnavailable
from .events import (
    Accepted,
    Action,
    CancelRequested,
    Chosen,
    DeadlinePassed,
    Event,
    Finish,
    Hold,
    Lost,
    NotSent,
    PutBack,
    Refused,
    Release,
    Remarked,
    Resolved,
    Send,
    Settle,
    Started,
    StopAccount,
    Unmeasured,
)
from .exchange import Exchange
from .figures import Owed
from .flights import Flights
from .inventory import InventoryGate
from .journal import Journal
from .journal.protocol import AlreadyInAir, PastAttempt, StaleVersion
from .journal.rows import past_attempt
from .ledger import Charge, limited_until_ms
from .marks import Marks
from .measure import Measurer
from .model import Attempt, Entry, Kind, Outcome, Priority, State
from .policy import Limits, Policy
from .recorder import JOURNAL_RETRY_S, Recorder
from .refusals import Disposition
from .remnant import is_remnant, leaves_remnants, submission_for
from .settler import Settler
from .standing import STOPPED, Standing
from .timekeeper import Timekeeper
from .watch import Watchers

CLOSE_UP_SINCE_MS = 120_000
"""How long ago a repayment of everything may have been confirmed by a process that ended since."""
RECENT_MAX = 20

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all accounts of one scheduler have in common."""

    journal: Journal
    clock: Clock
    timekeeper: Timekeeper
    address: Address
    gate: InventoryGate
    watchers: Watchers
    gate_changed: Callable[[], None]
    """To be called when a borrow of another account may have become free to go."""
    concluded_absent: Callable[[PastAttempt, int], None]
    """To be called when an attempt was said not to have happened, with the time of that."""
    confirmed: Callable[[Entry], None]
    """To be called when an entry was confirmed."""
    debt_changed: Callable[[str], None]
    """To be called when a transaction of this account was acknowledged."""
    ended: Callable[[Entry], None]
    """To be called when an entry ended otherwise than CONFIRMED."""
    suspect: Callable[[], None]
    """To be called when something failed at the exchange itself."""
    watch: Callable[[], None]
    """To be called when a borrow is checked beforehand."""
    came_late: Callable[[Entry, Event], None] = lambda sent, event: None
    """To be called with an answer to an entry that somebody else has moved on since."""


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
        self.in_air: dict[str, Entry] = {}
        self._measuring: dict[str, Entry] = {}
        self._closing_up: dict[str, asyncio.Event] = {}
        self.settler = Settler(self)
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
        self._wake = asyncio.Event()
        self._flights_over = asyncio.Event()
        self._flights_over.set()
        self._tasks: TaskGroup | None = None
        self._flights: Flights | None = None
        self._cut_off: list[Entry] = []
        self._is_recovered = False

    # Life

    def start(self, tasks: TaskGroup, unfinished: Iterable[Entry] = ()) -> None:
        """Begin to send and to settle, with what an earlier process left unfinished."""
        self._tasks = tasks
        self._flights = Flights(tasks)
        for entry in unfinished:
            self.adopt(entry)
            if entry.state is not State.QUEUED:
                self._cut_off.append(entry)
        tasks.start_soon(self._send, self._flights, name=f"send {self.name}")
        tasks.start_soon(self.settler.run, name=f"settle {self.name}")

    async def _recover(self) -> None:
        """Before anything is sent: charge what still weighs, and settle what was in the air."""
        now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
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
            await self._take_up_closing()

    async def _take_up_closing(self) -> None:
        """What an earlier process confirmed just before it ended may not have been looked at for
        what it left."""
        assert self._tasks is not None
        since_ms = self.clock.now_ms() - CLOSE_UP_SINCE_MS
        recent = await self.journal.find(account=self.name, state=State.CONFIRMED, limit=RECENT_MAX)
        for entry in recent:
            is_due = (entry.finished_at_ms or 0) >= since_ms and leaves_remnants(entry, self.policy)
            was_seen_to = entry.evidence[-1].source == "account" or entry.key in self._closing_up
            if is_due and not was_seen_to:
                self._closing_up[entry.key] = asyncio.Event()
                self._tasks.start_soon(self._close_up, entry, name=f"close up {entry.key}")

    async def landed(self) -> None:
        """Wait until nothing is in the air."""
        await self._flights_over.wait()

    def poke(self) -> None:
        """Something changed: choose again."""
        self._wake.set()

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

    def put(self, entry: Entry) -> None:
        """Queue a durable entry."""
        self.queue.add(entry)
        self.poke()

    async def closed_up(self, key: str) -> None:
        """Wait until a confirmed repayment of everything was looked at for what it left."""
        looked = self._closing_up.get(key)
        if looked is not None:
            await looked.wait()

    # What callers may do

    async def cancel(self, key: str) -> Entry | None:
        """Take a waiting submission back; None if it is not waiting."""
        entry = self.queue.remove(key)
        is_measured = entry is None and key in self._measuring
        if is_measured:
            entry = self._measuring[key]  # whoever writes first decides: this, or its attempt
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

    # Sending

    async def _send(self, flights: Flights) -> None:
        try:
            await self._send_loop()
        finally:
            await flights.end()

    async def _send_loop(self) -> None:
        while True:
            self._wake.clear()
            if self.clock.is_set and not self._is_recovered:
                self._is_recovered = True
                await self._recover()
            now_ms = self.clock.now_ms()
            overdue = self.queue.take_overdue(now_ms)
            if overdue:
                await self._expire(overdue)
                continue
            headroom = self._headroom() if self.queue else FREE
            choice = self.queue.take(now_ms, headroom, frozenset(self.in_air))
            if choice.entry is not None:
                await self._launch(choice.entry)
            else:
                await _wait(self._wake, choice.wait_ms)

    def _headroom(self) -> Headroom:
        steady_ms = self.clock.steady_ms()
        headroom = self.budget.headroom(steady_ms)
        closed_ms = self.shared.address.wait_ms(steady_ms)
        if not closed_ms:
            return headroom
        return Headroom(
            normal_ms=max(headroom.normal_ms, closed_ms),
            urgent_ms=max(headroom.urgent_ms, closed_ms),
        )

    async def _expire(self, overdue: list[Entry]) -> None:
        """All at once, so that the journal can write them together."""
        async with anyio.create_task_group() as expiring:
            for entry in overdue:
                expiring.start_soon(self._expire_one, entry)

    async def _expire_one(self, entry: Entry) -> None:
        try:
            await self.apply(entry, DeadlinePassed())
        except StaleVersion:
            await self.reread(entry.key)

    async def _launch(self, entry: Entry) -> None:
        """Charge an attempt and let it fly; the loop goes on to watch deadlines meanwhile."""
        assert self._flights is not None
        if entry.submission.takes_a_look:
            self._launch_measured(entry)
            return
        attempt = self.exchange.mint(entry, Decimal(entry.requested))
        is_urgent = entry.priority is Priority.URGENT
        charge = await self.budget.start(self.clock.steady_ms(), is_urgent=is_urgent)
        if entry.kind is Kind.BORROW:
            self.shared.gate.started(entry)
        self.in_air[attempt.exclusion] = entry
        self._flights_over.clear()
        self._flights.start(self._fly(entry, attempt, charge), name=f"attempt {entry.key}")

    def _launch_measured(self, entry: Entry) -> None:
        """The same for an entry that takes a look at the account first. From here until its answer
        nothing else goes in between."""
        if entry.submission.precheck:
            self.shared.watch()
        charge = self.budget.reserve(is_urgent=entry.priority is Priority.URGENT)
        if entry.kind is Kind.BORROW:
            self.shared.gate.started(entry)
        exclusion = self.exchange.exclusion(entry)
        self.in_air[exclusion] = self._measuring[entry.key] = entry
        self._flights_over.clear()
        flight = self._measure_and_fly(entry, exclusion, charge)
        assert self._flights is not None
        self._flights.start(flight, name=f"measure {entry.key}")

    async def _measure_and_fly(self, entry: Entry, exclusion: str, charge: Charge) -> None:
        found = await self.measurer.measure(entry)
        del self._measuring[entry.key]
        steady_ms = self.clock.steady_ms()
        if (gap_ms := self.budget.pace.wait_ms(steady_ms)) > 0:  # another pair's was in between
            await anyio.sleep(gap_ms / 1000)
        now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
        is_free = self.queue.may_start(entry, now_ms) and now_ms < entry.deadline_ms
        if isinstance(found, Measured) and is_free:
            await self.budget.start_reserved(steady_ms)
            attempt = self.exchange.mint(entry, found.amount)
            await self._fly(entry, attempt, charge, found.said)
            return
        self.budget.ledger.drop(charge)
        self._note_gate(entry, NotSent(""))
        if isinstance(found, Unmeasured):
            self.shared.suspect()
        try:
            if isinstance(found, Measured):
                self.adopt(await self._recorder.kept(entry.key), is_landing=True)
            else:
                await self.apply(entry, found)
        except StaleVersion:  # taken back meanwhile
            await self.reread(entry.key, is_landing=True)
        finally:
            self._landed(exclusion)

    async def _fly(
        self, entry: Entry, attempt: Attempt, charge: Charge, said: str | None = None
    ) -> None:
        was_moved = False
        try:
            now_ms = attempt.timestamp_ms
            sent, action = lifecycle.advance(entry, Chosen(attempt, said), self.policy, now_ms)
            assert isinstance(action, Send)
            self.in_air[attempt.exclusion] = sent
            if not await self._is_durable(entry, sent, charge):
                return
            self.shared.watchers.changed(sent, entry.state)
            answer = await self.exchange.send(attempt)
            now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
            self.budget.settle(charge, attempt, answer, now_ms=now_ms, steady_ms=steady_ms)
            self._note_gate(sent, answer.event)
            await self._note_limit(answer.event, is_counted=answer.used_weight is not None)
            if isinstance(answer.event, Lost) and answer.event.is_servers:
                self.shared.suspect()
            try:
                after = await self.apply(sent, answer.event)
            except StaleVersion:
                self.shared.came_late(sent, answer.event)
                raise
            if after.key in self._closing_up:  # nothing of ours may come between
                await self._close_up(after)
        except StaleVersion:
            was_moved = True
        finally:
            self._landed(attempt.exclusion)
        if was_moved:  # by somebody else; it is in hand no more, so it can be taken up
            await self.reread(entry.key)

    def _landed(self, exclusion: str) -> None:
        del self.in_air[exclusion]
        if not self.in_air:
            self._flights_over.set()
        self.poke()

    async def _is_durable(self, entry: Entry, sent: Entry, charge: Charge) -> bool:
        """Make the attempt durable. If that fails nothing is sent, and the lane waits for the
        journal; what it then holds of the attempt is corrected before anything else starts."""
        assert sent.attempt is not None
        try:
            await self.journal.update(sent, at_ms=sent.attempt.timestamp_ms)
        except (StaleVersion, AlreadyInAir, JournalUnavailable) as error:
            self.budget.ledger.drop(charge)
            self._note_gate(entry, NotSent(""))
            if isinstance(error, StaleVersion):
                raise
            if isinstance(error, AlreadyInAir):  # another process works on the account
                self.queue.hold(Disposition.BUSY, entry, self.clock.now_ms())
                self.queue.add(entry)
                return False
            self.standing.journal_failed(error)
            await anyio.sleep(JOURNAL_RETRY_S)
            kept = await self._recorder.kept(entry.key)
            if kept is not None and kept.version == sent.version:
                await self.apply(sent, NotSent("the journal failed"))
            else:
                self.adopt(kept, is_landing=True)
            return False
        return True

    async def _note_limit(self, event: Event, *, is_counted: bool) -> None:
        """After a refusal for weight: nothing of the account starts until the minute is over."""
        ledger = self.budget.ledger
        match event:
            case Refused(disposition=Disposition.LIMITED, is_address_banned=True):
                pass  # it is the address that waits
            case Refused(disposition=Disposition.LIMITED, retry_after_ms=retry_after_ms):
                now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
                room_ms = ledger.room_ms(steady_ms) if is_counted else None
                until_ms = limited_until_ms(retry_after_ms, now_ms, ledger.blocks_in_a_row, room_ms)
                ledger.block(steady_ms + until_ms - now_ms)
                await self.standing.limited(until_ms)
            case Accepted() | Refused():
                ledger.went_through()

    def _note_gate(self, entry: Entry, event: Event) -> None:
        if entry.kind is not Kind.BORROW:
            return
        if isinstance(event, Refused) and event.disposition is Disposition.STARVED:
            self.shared.gate.refused(entry, self.clock.now_ms())
        else:
            self.shared.gate.ended(entry, was_lent=isinstance(event, Accepted))
        self.shared.gate_changed()

    # Carrying out

    async def apply(self, entry: Entry, event: Event, *, is_patient: bool = True) -> Entry:
        """Let an event happen to an entry: decide, make it durable, act. Raises as `Recorder`."""
        steps = await self._recorder.record(entry, event, is_patient=is_patient)
        if _is_clock_refused(event):
            await self.shared.timekeeper.sample()
        for step in steps:
            self._carry_out(step.before, step.after, step.action)
            self._tell(step.before, step.after)
        return steps[-1].after

    def _carry_out(self, before: Entry, after: Entry, action: Action | None) -> None:
        match action:
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

    def _tell(self, before: Entry, after: Entry) -> None:
        """Those who check afterwards whether what is said here was right."""
        was_open = before.state in {State.UNKNOWN, State.UNRESOLVED}
        if was_open and after.state in {State.NOT_EXECUTED, State.QUEUED}:
            self.shared.concluded_absent(past_attempt(before), self.clock.now_ms())
        if after.state is before.state or after.state not in {State.CONFIRMED, State.ACCEPTED}:
            return
        self.shared.debt_changed(self.name)
        if before.state is State.SENT and after.state is State.CONFIRMED:
            self.shared.confirmed(after)
        elif after.key in self._closing_up:  # found by its record, while others may have gone
            assert self._tasks is not None
            self._tasks.start_soon(self._close_up, after, name=f"close up {after.key}")

    def _finished(self, before: Entry, after: Entry) -> None:
        if before.state is State.SENT:
            self.queue.went_through()
        self._decided(after)
        if after.state is State.CONFIRMED and leaves_remnants(after, self.policy):
            self._closing_up[after.key] = asyncio.Event()
        elif after.state is not State.CONFIRMED:
            self.shared.ended(after)

    async def _close_up(self, entry: Entry) -> None:
        """Repay what interest has left of a debt that was to be repaid whole."""
        try:
            left = await self._left_of(entry)
            if left is None or not left.total:
                return
            if not is_remnant(left, entry, self.policy):
                said = f"{left.total:f} is owed after it, which is no interest, and was left alone"
                await self.apply(entry, Remarked(said), is_patient=False)
                return
            following = submission_for(entry, left, self.clock.now_ms())
            kept = await self.journal.add(Entry(submission=following))
            if kept.submission is following:
                self.put(kept)
                self.shared.watchers.changed(kept)
            said = f"{left.total:f} was left by interest: {kept.key} repays it"
            await self.apply(entry, Remarked(said), is_patient=False)
        except (JournalUnavailable, StaleVersion) as error:
            _log.warning("what %s left was not seen to: %s", entry.key, error)
        finally:
            self._closing_up.pop(entry.key).set()

    async def _left_of(self, entry: Entry) -> Owed | None:
        """What is owed after a repayment, unless others of ours may have borrowed since."""
        assert entry.attempt is not None
        left = await self.measurer.owed(entry)
        if left is not None and left.total >= entry.attempt.amount:
            await anyio.sleep(self.policy.remnant_wait_ms / 1000)
            left = await self.measurer.owed(entry)
        since = await self.journal.attempts_since(self.name, entry.attempt.timestamp_ms)
        is_disturbed = any(
            past.kind is Kind.BORROW
            and (past.asset, past.symbol) == (entry.asset, entry.symbol)
            and past.attempt.outcome is not Outcome.NEVER_LEFT
            and past.attempt.timestamp_ms > entry.attempt.timestamp_ms
            for past in since
        )
        return None if is_disturbed else left

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


async def _wait(wake: asyncio.Event, wait_ms: int | None) -> None:
    if wait_ms is None:
        await wake.wait()
    else:
        handle = asyncio.get_running_loop().call_later(wait_ms / 1000, wake.set)
        try:
            await wake.wait()
        finally:
            handle.cancel()
