"""One account's sending: carries attempts out.

A flight makes one attempt durable, together with its submission where that is new and nothing is
before it, sends it, has its outcome made durable, and goes on with the attempt that may follow at
once. Nothing is decided here: what may go is for the queue and the budget, asked in `turns`, and
what an answer means for `lifecycle`.
"""

import asyncio
from decimal import Decimal
from typing import Protocol

import anyio
from msgspec import Struct

from . import lifecycle, turns
from .amounts import Measured
from .errors import JournalUnavailable
from .events import (
    Accepted,
    Chosen,
    Event,
    Lost,
    NotSent,
    Precluded,
    Refused,
    Send,
    Unmeasured,
)
from .exchange import Exchange
from .flights import Flights
from .journal import Journal
from .journal.protocol import AlreadyInAir, StaleVersion
from .ledger import Charge, limited_until_ms
from .leftovers import Leftovers
from .measure import Measurer
from .model import Attempt, Entry, Kind, Priority, Submission, revised
from .policy import Policy
from .recorder import JOURNAL_RETRY_S, Step
from .refusals import Disposition
from .remnant import leaves_remnants
from .standing import Standing


class Lane(turns.Lane, Protocol):
    """What the sender needs of the account it sends for, besides what its turns do."""

    exchange: Exchange
    measurer: Measurer
    policy: Policy
    journal: Journal
    standing: Standing

    async def apply_with(self, entry: Entry, event: Event, following: Step) -> bool:
        """The same together with the step that follows; whether that one was made durable too."""

    async def kept(self, key: str) -> Entry | None:
        """The entry as the journal holds it."""

    def adopt(self, kept: Entry | None, *, is_landing: bool = False) -> None:
        """Take an entry up where the journal has it."""

    async def reread(self, key: str, *, is_landing: bool = False) -> None:
        """Go by what the journal holds of an entry."""

    @property
    def leftovers(self) -> Leftovers: ...


class Flight(Struct, frozen=True):
    """An attempt that is minted and charged."""

    entry: Entry
    """As it was queued."""
    sent: Entry
    attempt: Attempt
    charge: Charge

    @property
    def step(self) -> Step:
        return Step(self.entry, self.sent, Send())


class Sender:
    """Sends for one account."""

    def __init__(self, lane: Lane) -> None:
        self.in_air: dict[str, Entry] = {}
        """What is on its way, by what it excludes others from."""
        self.measuring: dict[str, Entry] = {}
        """What takes a look at the account first, by key."""
        self._lane = lane
        self._turns = turns.Turns(lane, self.in_air, self._launch)
        self._flights_over = asyncio.Event()
        self._flights_over.set()

    # Life

    def start(self, flights: Flights) -> None:
        """Begin to take turns; nothing is sent before the account has recovered."""
        self._turns.start(flights)

    async def end(self) -> None:
        """Take no more turns, cancel what is in the air and wait until it is over."""
        await self._turns.end()

    async def landed(self) -> None:
        """Wait until nothing is in the air."""
        await self._flights_over.wait()

    def poke(self) -> None:
        """Something changed: choose again."""
        self._turns.poke()

    def turn(self) -> None:
        """Choose now. Whatever starts begins to run in the next turn of the loop."""
        self._turns.turn()

    # Attempts

    def _launch(self, entry: Entry, flights: Flights) -> None:
        if entry.submission.takes_a_look:
            flight = self._measure_and_fly(entry, *self._hold_for_measuring(entry))
            flights.start(flight, name=f"measure {entry.key}")
        else:
            flights.start(self._fly(self._minted(entry)), name=f"attempt {entry.key}")

    def _minted(self, entry: Entry) -> Flight:
        """The entry's next attempt, charged, and from now on in the air."""
        lane = self._lane
        is_urgent = entry.priority is Priority.URGENT
        charge = lane.budget.start(lane.clock.steady_ms(), is_urgent=is_urgent)
        if entry.kind is Kind.BORROW:
            lane.shared.gate.started(entry)
        return self._stamped(entry, Decimal(entry.requested), charge)

    def _stamped(
        self, entry: Entry, amount: Decimal, charge: Charge, said: str | None = None
    ) -> Flight:
        lane = self._lane
        attempt = lane.exchange.mint(entry, amount)
        sent, action = lifecycle.advance(
            entry, Chosen(attempt, said), lane.policy, attempt.timestamp_ms
        )
        assert isinstance(action, Send)
        self.in_air[attempt.exclusion] = sent
        self._flights_over.clear()
        return Flight(entry, sent, attempt, charge)

    def _hold_for_measuring(self, entry: Entry) -> tuple[str, Charge]:
        """The same for an entry that takes a look at the account first. From here until its answer
        nothing else goes in between."""
        lane = self._lane
        if entry.submission.precheck:
            lane.shared.watch()
        charge = lane.budget.reserve(is_urgent=entry.priority is Priority.URGENT)
        if entry.kind is Kind.BORROW:
            lane.shared.gate.started(entry)
        exclusion = lane.exchange.exclusion(entry)
        self.in_air[exclusion] = self.measuring[entry.key] = entry
        self._flights_over.clear()
        return exclusion, charge

    async def _measure_and_fly(self, entry: Entry, exclusion: str, charge: Charge) -> None:
        lane = self._lane
        found = await lane.measurer.measure(entry)
        del self.measuring[entry.key]
        if (gap_ms := lane.budget.pace.wait_ms(lane.clock.steady_ms())) > 0:
            await anyio.sleep(gap_ms / 1000)  # another pair's was in between
        now_ms, steady_ms = lane.clock.both_ms()
        is_free = lane.queue.may_start(entry, now_ms) and now_ms < entry.deadline_ms
        if isinstance(found, Measured) and is_free:
            await lane.budget.start_reserved(steady_ms)
            await self._fly(self._stamped(entry, found.amount, charge, found.said))
            return
        lane.budget.ledger.drop(charge)
        self._note_gate(entry, NotSent(""))
        if isinstance(found, Unmeasured):
            lane.shared.suspect()
        try:
            await self._put_back(entry, found)
        finally:
            self._landed(entry, exclusion)

    async def _put_back(self, entry: Entry, found: Measured | Precluded | Unmeasured) -> None:
        lane = self._lane
        try:
            if isinstance(found, Measured):
                lane.adopt(await lane.kept(entry.key), is_landing=True)
            else:
                await lane.apply(entry, found)
        except StaleVersion:  # taken back meanwhile
            await lane.reread(entry.key, is_landing=True)

    def start_new(self, asked: Submission) -> "asyncio.Future[Entry] | None":
        """Keep a submission together with its first attempt, by one write instead of two, if that
        may start at once; None if it may not.

        The entry as it is kept, or was before under the same key. Raises JournalUnavailable; then
        it may have been kept.
        """
        flights, entry = self._turns.flights, Entry(submission=asked)
        if flights is None or not self._may_start_new(entry):
            return None
        kept: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        flights.start(self._keep_and_fly(self._minted(entry), kept), name=f"attempt {entry.key}")
        return kept

    def _may_start_new(self, entry: Entry) -> bool:
        lane = self._lane
        if lane.exchange.exclusion(entry) in self.in_air:
            return False
        now_ms, steady_ms = lane.clock.both_ms()
        return lane.queue.may_start_new(entry, now_ms, self._turns.headroom(steady_ms))

    async def _keep_and_fly(self, flight: Flight, told: "asyncio.Future[Entry]") -> None:
        try:
            durable = await self._keep(flight, told)
        finally:
            if not told.done():
                told.set_exception(JournalUnavailable("journal: the scheduler ended meanwhile"))
        if durable is not None:
            await self._go_on(durable)

    async def _keep(self, flight: Flight, told: "asyncio.Future[Entry]") -> Flight | None:
        """The flight once its submission and its attempt are durable; None if it is over."""
        lane, asked = self._lane, flight.entry.submission
        try:
            kept = await lane.journal.add(flight.entry, sent=flight.sent)
        except JournalUnavailable as error:
            if not told.done():
                told.set_exception(error)
            await self._failed_to_write(flight, error)
            return None
        if kept.submission is not asked:  # which has its key
            self._drop(flight)
            if not kept.is_final:  # while this was in the air it could not be taken up
                lane.adopt(kept, is_landing=True)
            self._landed(flight.sent, flight.attempt.exclusion)
            _tell(told, kept)
            return None
        queued = Entry(submission=asked, seq=kept.seq)
        flight = revised(flight, entry=queued, sent=revised(flight.sent, seq=kept.seq))
        self.in_air[flight.attempt.exclusion] = flight.sent
        lane.shared.watchers.changed(queued)
        _tell(told, queued)
        if kept == queued:
            return flight if await self._is_durable(flight) else None
        lane.shared.watchers.changed(flight.sent, queued.state)
        return flight

    async def _fly(self, flight: Flight) -> None:
        """Carry an attempt out, and after it those whose turn comes with the outcome before."""
        if await self._is_durable(flight):
            await self._go_on(flight)

    async def _go_on(self, durable: Flight) -> None:
        following: Flight | None = durable
        while following is not None:
            following = await self._carry(following)

    async def _carry(self, flight: Flight) -> Flight | None:
        """Send a durable attempt and carry its outcome out; the flight that goes on, if any."""
        was_moved, following = False, None
        try:
            following = await self._send(flight)
        except StaleVersion:
            was_moved = True
        finally:
            self._landed(flight.sent, flight.attempt.exclusion)
        if was_moved:  # by somebody else; it is in hand no more, so it can be taken up
            await self._lane.reread(flight.entry.key)
        return following

    async def _send(self, flight: Flight) -> Flight | None:
        lane, sent = self._lane, flight.sent
        answer = await lane.exchange.send(flight.attempt)
        event = answer.event
        now_ms, steady_ms = lane.clock.both_ms()
        lane.budget.settle(
            flight.charge, flight.attempt, answer, now_ms=now_ms, steady_ms=steady_ms
        )
        self._note_gate(sent, event)
        await self._note_limit(event)
        if isinstance(event, Lost) and event.is_servers:
            lane.shared.suspect()
        following = self._next_after(flight, event)
        try:
            if following is None:
                after = await lane.apply(sent, event)
                await lane.leftovers.see_to(after)  # nothing of ours may come between
            elif not await lane.apply_with(sent, event, following.step):
                await self._take_back(following)
                following = None
        except StaleVersion:
            lane.shared.came_late(sent, event)
            if following is not None:
                await self._take_back(following)
            raise
        return following

    def _next_after(self, flight: Flight, event: Event) -> Flight | None:
        """What may start now that this is answered, so that its attempt becomes durable with the
        outcome before it, by one write instead of two."""
        lane = self._lane
        if not isinstance(event, Accepted) or not lane.queue:
            return None
        if leaves_remnants(flight.sent, lane.policy):
            return None
        others = self.in_air.keys() - {flight.attempt.exclusion}
        now_ms, steady_ms = lane.clock.both_ms()
        entry = lane.queue.take(now_ms, self._turns.headroom(steady_ms), others).entry
        if entry is None:
            return None
        if entry.submission.takes_a_look:  # at what the one before it leaves
            lane.queue.add(entry)
            return None
        return self._minted(entry)

    def _landed(self, entry: Entry, exclusion: str) -> None:
        held_by = self.in_air.get(exclusion)
        if held_by is not None and held_by.key == entry.key:  # else another goes on in its place
            del self.in_air[exclusion]
            if not self.in_air:
                self._flights_over.set()
            self.poke()

    # The journal

    async def _is_durable(self, flight: Flight) -> bool:
        """Make the attempt durable. If that fails nothing is sent."""
        lane, sent = self._lane, flight.sent
        try:
            await lane.journal.update(sent, at_ms=flight.attempt.timestamp_ms)
        except JournalUnavailable as error:
            await self._failed_to_write(flight, error)
            return False
        except AlreadyInAir:  # another process works on the account
            lane.queue.hold(Disposition.BUSY, flight.entry, lane.clock.now_ms())
            await self._take_back(flight)
            return False
        except StaleVersion:  # moved by somebody else
            await self._take_back(flight)
            return False
        lane.shared.watchers.changed(sent, flight.entry.state)
        return True

    async def _failed_to_write(self, flight: Flight, error: JournalUnavailable) -> None:
        self._lane.standing.journal_failed(error)
        await anyio.sleep(JOURNAL_RETRY_S)
        await self._take_back(flight)

    def _drop(self, flight: Flight) -> None:
        """Nothing of the attempt was sent, nor will be."""
        self._lane.budget.ledger.drop(flight.charge)
        self._note_gate(flight.entry, NotSent(""))

    async def _take_back(self, flight: Flight) -> None:
        """Drop it, and go by what the journal has of it. What it holds of the attempt is corrected
        before anything else starts."""
        lane, sent = self._lane, flight.sent
        self._drop(flight)
        try:
            kept = await lane.kept(sent.key)
            try:
                # One that was new does not know its `seq` if the journal did not answer.
                if kept is not None and kept == revised(sent, seq=kept.seq):
                    await lane.apply(kept, NotSent("the journal failed"))
                    return
            except StaleVersion:  # another owner's, minted in the same millisecond
                kept = await lane.kept(sent.key)
            lane.adopt(kept, is_landing=True)
        finally:
            self._landed(sent, flight.attempt.exclusion)

    # What an answer tells the others

    async def _note_limit(self, event: Event) -> None:
        """After a refusal for weight: nothing of the account starts until the minute is over."""
        ledger, clock = self._lane.budget.ledger, self._lane.clock
        match event:
            case Accepted():
                ledger.went_through()
            case Refused(disposition=Disposition.LIMITED, is_address_banned=True):
                pass  # it is the address that waits
            case Refused(disposition=Disposition.LIMITED, retry_after_ms=retry_after_ms):
                now_ms, steady_ms = clock.both_ms()
                room_ms, in_a_row = ledger.room_ms(steady_ms), ledger.blocks_in_a_row
                until_ms = limited_until_ms(retry_after_ms, now_ms, in_a_row, room_ms)
                ledger.block(steady_ms + until_ms - now_ms)
                await self._lane.standing.limited(until_ms)
            case Refused():
                ledger.went_through()

    def _note_gate(self, entry: Entry, event: Event) -> None:
        shared = self._lane.shared
        if entry.kind is not Kind.BORROW:
            return
        if isinstance(event, Refused) and event.disposition is Disposition.STARVED:
            shared.gate.refused(entry, self._lane.clock.now_ms())
        elif shared.gate.is_short_of_nothing:
            return
        else:
            shared.gate.ended(entry, was_lent=isinstance(event, Accepted))
        shared.gate_changed()


def _tell(told: "asyncio.Future[Entry]", kept: Entry) -> None:
    if not told.done():  # else whoever asked has left
        told.set_result(kept)
