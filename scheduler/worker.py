"""The only place where actions are carried out: one account's sending task and settling task.

The sending task chooses and sends, one attempt at a time; the settling task looks at the records
for what was left undecided. Neither decides anything: the rules are in `lifecycle`, and each step
is durable before it is acted on.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import anyio
from anyio.abc import TaskGroup

from . import lifecycle
from .account_queue import AccountQueue, Headroom
from .address import Address
from .budget import Budget
from .clock import Clock
from .errors import JournalUnavailable
from .events import (
    Accepted,
    Action,
    CancelRequested,
    Chosen,
    ClaimLost,
    ClaimRefused,
    DeadlinePassed,
    Event,
    Finish,
    Hold,
    LookUpFailed,
    Lost,
    NotSent,
    Refused,
    Release,
    Resolved,
    Send,
    Settle,
    Started,
    StopAccount,
)
from .exchange import Exchange, Sent
from .inventory import InventoryGate
from .journal import Journal
from .journal.protocol import StaleVersion, TranIdClaimed
from .ledger import MINUTE_MS, UNANSWERED_MS, Charge, limited_until_ms
from .marks import Marks
from .model import Alarm, Attempt, Entry, Kind, Outcome, Priority, Quote, State
from .policy import Limits, Policy
from .refusals import Disposition
from .settler import Settler
from .watch import Watchers

JOURNAL_RETRY_S = 1.0
"""Between two tries to write an outcome that the journal did not take."""

PAUSED_BY_CALLER = "paused"
STOPPED = "stopped"
NO_CLOCK = "clock"
NO_JOURNAL = "journal"
CLOSING = "closing"

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all accounts of one scheduler have in common."""

    journal: Journal
    clock: Clock
    address: Address
    gate: InventoryGate
    watchers: Watchers
    gate_changed: Callable[[], None]
    """To be called when a borrow of another account may have become free to go."""


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
        shared: Shared,
    ) -> None:
        self.name = name
        self.declared_exclusive = declared_exclusive
        self.exchange = exchange
        self.queue = queue
        self.budget = budget
        self.limits = limits
        self.policy = policy
        self.marks = marks
        self.shared = shared
        self.in_air: dict[str, Entry] = {}
        self.settler = Settler(self)
        self.journal = shared.journal
        self.clock = shared.clock
        self._wake = asyncio.Event()
        self._flights_over = asyncio.Event()
        self._flights_over.set()
        self._tasks: TaskGroup | None = None
        self._cut_off: list[Entry] = []
        if marks.stopped is not None:
            queue.pause(STOPPED)
        if marks.is_paused:
            queue.pause(PAUSED_BY_CALLER)
        if not self.clock.is_set:
            queue.pause(NO_CLOCK)

    @property
    def is_exclusive(self) -> bool:
        """Whether a record that fits an attempt can only be its own."""
        return self.declared_exclusive and not self.marks.is_shared

    # Life

    def start(self, tasks: TaskGroup, unfinished: Iterable[Entry] = ()) -> None:
        """Begin to send and to settle, with what an earlier process left unfinished."""
        self._tasks = tasks
        for entry in unfinished:
            if entry.state is State.QUEUED:
                self.queue.add(entry)
            elif entry.state is State.SENT:
                self._cut_off.append(entry)
            else:
                self._carry_out(entry, *lifecycle.advance(entry, Started(), self.policy, 0))
        tasks.start_soon(self._send_loop, name=f"send {self.name}")
        tasks.start_soon(self.settler.run, name=f"settle {self.name}")

    async def _recover(self) -> None:
        """Before anything is sent: settle what was in the air, and charge what still weighs."""
        while True:
            try:
                await self._restore_ledger()
                break
            except JournalUnavailable as error:
                self._journal_failed(error)
                await anyio.sleep(JOURNAL_RETRY_S)
        self._journal_works()
        for entry in self._cut_off:
            await self.apply(entry, Started())
        self._cut_off.clear()

    async def _restore_ledger(self) -> None:
        ledger = self.budget.ledger
        now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
        since_ms = now_ms - 2 * MINUTE_MS - UNANSWERED_MS - self.policy.recv_window_ms
        for past in await self.journal.attempts_since(self.name, since_ms):
            until_ms = _charged_until_ms(past.attempt)
            if until_ms is not None and until_ms > now_ms:
                ledger.restore(steady_ms + until_ms - now_ms, is_urgent=past.is_urgent)
        if self.marks.limited_until_ms > now_ms:
            ledger.block(steady_ms + self.marks.limited_until_ms - now_ms)

    def close(self) -> None:
        """Start nothing more."""
        self.queue.pause(CLOSING)

    async def landed(self) -> None:
        """Wait until nothing is in the air."""
        await self._flights_over.wait()

    def clock_is_set(self) -> None:
        """The exchange's time is known: sending may begin."""
        self.queue.resume(NO_CLOCK)
        self.poke()

    def quote(self, priority: Priority) -> Quote:
        """When a submission of this priority would start, as far as that is certain."""
        now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
        is_urgent = priority is Priority.URGENT
        ahead = self.queue.count(Priority.URGENT) if is_urgent else len(self.queue)
        ahead += len(self.in_air)
        gap_ms = self.budget.pace.gap_ms(steady_ms)
        start_ms = self.budget.ledger.starts_at_ms(steady_ms, ahead, gap_ms, is_urgent=is_urgent)
        start_ms = now_ms + max(
            start_ms - steady_ms,
            self.budget.pace.wait_ms(steady_ms),
            self.shared.address.wait_ms(now_ms),
        )
        return Quote(starts_at_ms=start_ms, ahead=ahead, causes=self._causes())

    def starts_surely_before(self, deadline_ms: int) -> bool:
        """A quick answer to whether a quote is worth making: True only if no certain wait can take
        as long as `deadline_ms`."""
        now_ms = self.clock.now_ms()
        if self.shared.address.wait_ms(now_ms) > 0 or self.budget.ledger.blocked_until_ms() > 0:
            return False
        slots = self.limits.uid_weight_per_minute // self.limits.request_weight
        gap_ms = max(self.limits.min_gap_ms * 5, 2 * MINUTE_MS // max(1, slots))
        return deadline_ms - now_ms > 3 * MINUTE_MS + (len(self.queue) + 1) * gap_ms

    def _causes(self) -> tuple[str, ...]:
        now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
        ledger = self.budget.ledger
        causes = {
            "gap": self.budget.pace.wait_ms(steady_ms) > 0 or len(self.queue) > 0,
            "weight": ledger.wait_ms(steady_ms, is_urgent=False) > 0,
            "limit": ledger.blocked_until_ms() > steady_ms,
            "ban": self.shared.address.wait_ms(now_ms) > 0,
            "pause": bool(self.queue.pauses),
        }
        return tuple(cause for cause, holds in causes.items() if holds)

    def poke(self) -> None:
        """Something changed: choose again."""
        self._wake.set()

    def put(self, entry: Entry) -> None:
        """Queue a durable entry."""
        self.queue.add(entry)
        self.poke()

    # What callers may do

    async def cancel(self, key: str) -> Entry | None:
        """Take a waiting submission back; None if it is not waiting."""
        entry = self.queue.remove(key)
        if entry is None:
            return None
        try:
            return await self.apply(entry, CancelRequested(), is_patient=False)
        except JournalUnavailable:
            self.put(entry)
            raise

    async def resolve(self, entry: Entry, event: Resolved) -> Entry:
        """Let a person decide. Raises StaleVersion where evidence came first."""
        return await self.apply(entry, event, is_patient=False)

    # Sending

    async def _send_loop(self) -> None:
        await self._recover()
        while True:
            await self._expire()
            self._wake.clear()
            choice = self.queue.take(self.clock.now_ms(), self._headroom(), frozenset(self.in_air))
            if choice.entry is not None:
                await self._launch(choice.entry)
            else:
                await _wait(self._wake, choice.wait_ms)

    def _headroom(self) -> Headroom:
        headroom = self.budget.headroom(self.clock.steady_ms())
        closed_ms = self.shared.address.wait_ms(self.clock.now_ms())
        return Headroom(
            normal_ms=max(headroom.normal_ms, closed_ms),
            urgent_ms=max(headroom.urgent_ms, closed_ms),
        )

    async def _expire(self) -> None:
        overdue = self.queue.take_overdue(self.clock.now_ms())
        if len(overdue) == 1:
            await self.apply(overdue[0], DeadlinePassed())
        elif overdue:  # all at once, so that the journal can write them together
            async with anyio.create_task_group() as expiring:
                for entry in overdue:
                    expiring.start_soon(self.apply, entry, DeadlinePassed())

    async def _launch(self, entry: Entry) -> None:
        """Charge an attempt and let it fly; the loop goes on to watch deadlines meanwhile."""
        assert self._tasks is not None
        attempt = self.exchange.mint(entry, _amount(entry))
        is_urgent = entry.priority is Priority.URGENT
        charge = await self.budget.start(self.clock.steady_ms(), is_urgent=is_urgent)
        if entry.kind is Kind.BORROW:
            self.shared.gate.started(entry)
        self.in_air[attempt.exclusion] = entry
        self._flights_over.clear()
        self._tasks.start_soon(self._fly, entry, attempt, charge, name=f"attempt {entry.key}")

    async def _fly(self, entry: Entry, attempt: Attempt, charge: Charge) -> None:
        try:
            now_ms = attempt.timestamp_ms
            sent, action = lifecycle.advance(entry, Chosen(attempt), self.policy, now_ms)
            assert isinstance(action, Send)
            self.in_air[attempt.exclusion] = sent
            if not await self._is_durable(entry, sent, charge):
                return
            self.shared.watchers.changed(sent)
            answer = await self.exchange.send(attempt)
            self._account_for(charge, attempt, answer)
            self._note_gate(sent, answer.event)
            await self._note_limit(answer.event)
            if _is_clock_refused(answer.event):
                await self.exchange.sample_clock()
            await self.apply(sent, answer.event)
        except StaleVersion:
            _log.warning("%s was moved on by another process while in the air", entry.key)
        finally:
            del self.in_air[attempt.exclusion]
            if not self.in_air:
                self._flights_over.set()
            self.poke()

    async def _is_durable(self, entry: Entry, sent: Entry, charge: Charge) -> bool:
        """Make the attempt durable. If that fails nothing is sent, and the lane waits for the
        journal; what it then holds of the attempt is corrected before anything else starts."""
        try:
            await self.journal.update(sent, at_ms=sent.attempt.timestamp_ms if sent.attempt else 0)
        except StaleVersion:
            _log.warning("%s was changed by another process", entry.key)
        except JournalUnavailable as error:
            self.budget.ledger.drop(charge)
            self._journal_failed(error)
            await self._reread(sent)
            self._journal_works()
            return False
        else:
            return True
        self.budget.ledger.drop(charge)
        return False

    async def _reread(self, sent: Entry) -> None:
        """After a failed write of an attempt that was therefore never sent."""
        while True:
            await anyio.sleep(JOURNAL_RETRY_S)
            try:
                kept = await self.journal.get(sent.key)
            except JournalUnavailable as error:
                self._journal_failed(error)
                continue
            if kept is None:
                return
            if kept.version == sent.version:
                await self.apply(sent, NotSent("the journal failed"))
            elif kept.state is State.QUEUED:
                self.put(kept)
            return

    def _account_for(self, charge: Charge, attempt: Attempt, answer: Sent) -> None:
        """Book what the attempt costs of the minute, and what its answer says of pace."""
        ledger, pace, steady_ms = self.budget.ledger, self.budget.pace, self.clock.steady_ms()
        match answer.event:
            case NotSent():
                ledger.drop(charge)
            case Lost():
                fence_in_ms = attempt.fence_ms - self.clock.now_ms()
                ledger.lose(charge, steady_ms, steady_ms + fence_in_ms)
            case Refused(disposition=Disposition.BUSY):
                ledger.end(charge, steady_ms)
                pace.collided(steady_ms)
            case _:
                ledger.end(charge, steady_ms)
                pace.went_through()
        if answer.used_weight is not None:
            ledger.observe(answer.used_weight, steady_ms)

    async def _note_limit(self, event: Event) -> None:
        """After a refusal for weight: nothing of the account starts until the minute is over."""
        ledger = self.budget.ledger
        match event:
            case Refused(disposition=Disposition.LIMITED, is_address_banned=True):
                closed = self.shared.address.closed(self.clock.now_ms())
                if closed is not None:
                    self._alarm("address_banned", None, f"the address is {closed[1]}")
            case Refused(disposition=Disposition.LIMITED, retry_after_ms=retry_after_ms):
                now_ms, steady_ms = self.clock.now_ms(), self.clock.steady_ms()
                until_ms = limited_until_ms(retry_after_ms, now_ms, ledger.blocks_in_a_row)
                ledger.block(steady_ms + until_ms - now_ms)
                await self._keep_marks(replace(self.marks, limited_until_ms=until_ms))
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
        """Let an event happen to an entry: decide, make it durable, act.

        A patient call tries until the journal takes it, with the lane closed meanwhile; the other
        raises JournalUnavailable. StaleVersion is raised where somebody else moved the entry first.
        """
        while True:
            now_ms = self.clock.now_ms()
            after, action = lifecycle.advance(entry, event, self.policy, now_ms)
            if after is entry:
                break
            try:
                await self._write(after, now_ms, is_patient=is_patient)
                break
            except TranIdClaimed as claim:
                holder = await self.journal.get(claim.holder)
                assert holder is not None
                if not isinstance(event, Accepted):
                    event = LookUpFailed(f"tranId {claim.tran_id} was claimed meanwhile")
                elif lifecycle.was_matched(holder):
                    await self._take_claim(after, holder, now_ms)
                    break
                else:
                    event = ClaimRefused(claim.tran_id, holder.key)
        self._carry_out(entry, after, action)
        return after

    async def _write(self, after: Entry, now_ms: int, *, is_patient: bool) -> None:
        while True:
            try:
                await self.journal.update(after, at_ms=now_ms)
                self._journal_works()
                return
            except JournalUnavailable as error:
                if not is_patient:
                    raise
                self._journal_failed(error)
            await anyio.sleep(JOURNAL_RETRY_S)
            if await self._was_written(after):
                self._journal_works()
                return

    async def _was_written(self, after: Entry) -> bool:
        """Whether a write that seemed to fail did not."""
        try:
            return await self.journal.get(after.key) == after
        except JournalUnavailable:
            return False

    async def _take_claim(self, after: Entry, holder: Entry, now_ms: int) -> None:
        """A direct reply outranks a match: who was matched is looked for again, and both change at
        once, so that the transaction is never held twice nor by nobody."""
        lost, action = lifecycle.advance(holder, ClaimLost(after.key), self.policy, now_ms)
        await self.journal.update(lost, after, at_ms=now_ms)
        self._alarm(
            "claim_conflict",
            holder.key,
            f"{holder.key} had been matched to transaction {after.tran_id}, "
            f"which the exchange now gave to {after.key}",
        )
        self._carry_out(holder, lost, action)

    def _carry_out(self, before: Entry, after: Entry, action: Action | None) -> None:
        match action:
            case Hold(cause):
                self.queue.hold(cause, after, self.clock.now_ms())
                self.queue.add(after)
            case Release():
                self.queue.went_through()
                self._decided(after)
                self.queue.add(after)
            case Settle():
                self._undecided(before, after)
            case Finish():
                self._finished(before, after)
            case StopAccount():
                self._finished(before, after)
                self._stop(after)
        if after is not before:
            self.shared.watchers.changed(after)
        self.poke()

    def _finished(self, before: Entry, after: Entry) -> None:
        if before.state is State.SENT:
            self.queue.went_through()
        self._decided(after)

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
            self._alarm("unresolved", after.key, f"{after.key} is UNRESOLVED: {why}")

    # Marks and alarms

    def _stop(self, entry: Entry) -> None:
        """The exchange refused the key or the account: whatever came next would be refused too."""
        why = f"{entry.code} {entry.message}"
        self.queue.pause(STOPPED)
        self._later(self._keep_marks, replace(self.marks, stopped=why))
        self._alarm("account_stopped", entry.key, f"account {self.name} is stopped: {why}")

    async def pause(self) -> None:
        """Send nothing until `resume`; submissions are still taken."""
        self.queue.pause(PAUSED_BY_CALLER)
        await self.journal.set_mark(*replace(self.marks, is_paused=True).row())
        self.marks = replace(self.marks, is_paused=True)

    async def resume(self) -> None:
        """Take back a pause, a stop, and what was found of others using the account."""
        marks = replace(self.marks, is_paused=False, stopped=None, is_shared=False)
        await self.journal.set_mark(*marks.row())
        self.marks = marks
        self.queue.resume(PAUSED_BY_CALLER)
        self.queue.resume(STOPPED)
        self.poke()

    async def found_shared(self, tran_id: int) -> None:
        """A record turned up that nobody here caused: from now on a match proves nothing."""
        if self.marks.is_shared:
            return
        await self._keep_marks(replace(self.marks, is_shared=True))
        self._alarm(
            "shared_account",
            None,
            f"account {self.name} is used by others: transaction {tran_id} is not ours",
        )

    async def _keep_marks(self, marks: Marks) -> None:
        self.marks = marks
        try:
            await self.journal.set_mark(*marks.row())
        except JournalUnavailable as error:
            self._alarm("journal", None, f"journal: {error}")

    def _later(self, call: Callable[[Marks], Coroutine[Any, Any, None]], marks: Marks) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(call, marks)

    def _journal_failed(self, error: JournalUnavailable) -> None:
        if NO_JOURNAL not in self.queue.pauses:
            self._alarm("journal", None, f"account {self.name} waits for the journal: {error}")
        self.queue.pause(NO_JOURNAL)

    def _journal_works(self) -> None:
        if NO_JOURNAL in self.queue.pauses:
            self.queue.resume(NO_JOURNAL)
            self.poke()

    def _alarm(self, cause: str, key: str | None, message: str) -> None:
        at_ms = self.clock.now_ms()
        alarm = Alarm(at_ms=at_ms, account=self.name, key=key, cause=cause, message=message)
        self.shared.watchers.alarmed(alarm)


def _is_clock_refused(event: Event) -> bool:
    return isinstance(event, Refused) and event.disposition is Disposition.CLOCK


def _amount(entry: Entry) -> Decimal:
    return Decimal(entry.requested)


def _charged_until_ms(attempt: Attempt) -> int | None:
    """Until when an earlier process's attempt weighs, in exchange time; None if it never left."""
    match attempt.outcome:
        case Outcome.NEVER_LEFT:
            return None
        case Outcome.ANSWERED:
            assert attempt.ended_at_ms is not None
            return attempt.ended_at_ms + MINUTE_MS + _RESTART_MARGIN_MS
    closed_ms = attempt.ended_at_ms or attempt.fence_ms
    return max(closed_ms, attempt.fence_ms) + UNANSWERED_MS + MINUTE_MS + _RESTART_MARGIN_MS


_RESTART_MARGIN_MS = 1_000
"""Two processes may read the exchange's clock up to a round trip apart."""


async def _wait(wake: asyncio.Event, wait_ms: int | None) -> None:
    if wait_ms is None:
        await wake.wait()
    else:
        handle = asyncio.get_running_loop().call_later(wait_ms / 1000, wake.set)
        try:
            await wake.wait()
        finally:
            handle.cancel()
