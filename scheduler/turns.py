"""One account's turns: whenever something calls for it, what may start now is chosen, and begins.

Nothing is decided here: what may go is for the queue and the budget.
"""

import asyncio
from collections.abc import Callable, Container
from typing import Protocol

import anyio

from .account_queue import AccountQueue, Headroom
from .budget import Budget
from .clock import Clock
from .events import DeadlinePassed, Event
from .flights import Flights
from .journal.protocol import StaleVersion
from .model import Entry
from .shared import Shared


class Lane(Protocol):
    """What turns need of the account whose they are."""

    queue: AccountQueue
    budget: Budget
    clock: Clock
    shared: Shared

    async def recover(self) -> None:
        """Settle what an earlier process left, before anything is sent."""

    async def apply(self, entry: Entry, event: Event) -> Entry:
        """Let an event happen to an entry, durably. Raises StaleVersion."""

    async def reread(self, key: str) -> None:
        """Go by what the journal holds of an entry."""


class Turns:
    """One account's, from `start` to `end`."""

    def __init__(
        self, lane: Lane, in_air: Container[str], launch: Callable[[Entry, Flights], None]
    ) -> None:
        """`in_air` holds the exclusions under which something is in the air; `launch` begins the
        next attempt of an entry that was chosen."""
        self._lane = lane
        self._in_air = in_air
        self._launch = launch
        self._loop = asyncio.get_running_loop()
        self._flights: Flights | None = None
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_recovering = False
        self._is_recovered = False

    def start(self, flights: Flights) -> None:
        """Begin; nothing is launched before the account has recovered."""
        self._flights = flights
        self.poke()

    async def end(self) -> None:
        """Take no more, cancel what is in the air and wait until it is over."""
        flights, self._flights = self._flights, None
        if self._timer is not None:
            self._timer.cancel()
        if flights is not None:
            await flights.end()

    @property
    def flights(self) -> Flights | None:
        """Where attempts are begun; None while nothing may be sent at all."""
        return self._flights if self._is_recovered else None

    def poke(self) -> None:
        """Something changed: choose again."""
        has_nothing = self._is_recovered and not self._lane.queue
        if not (self._is_due or has_nothing):
            self._is_due = True
            self._loop.call_soon(self._take_turn)

    def turn(self) -> None:
        """Choose now. Whatever starts begins to run in the next turn of the loop."""
        flights = self._flights
        if flights is None:
            return
        try:
            wait_ms = self._start_what_may(flights)
        except Exception as defect:
            flights.die(defect)
        else:
            self._come_back_in(wait_ms)

    def _start_what_may(self, flights: Flights) -> int | None:
        """How long until the next turn is due, if nothing calls for one before."""
        lane = self._lane
        queue = lane.queue
        if lane.clock.is_set and not self._is_recovering:
            self._is_recovering = True
            flights.start(self._recover(), name="recover")
        if self._is_recovering and not self._is_recovered:
            return None
        while True:
            now_ms, steady_ms = lane.clock.both_ms()
            overdue = queue.take_overdue(now_ms)
            if overdue:
                flights.start(self._expire(overdue), name="expire")
            if not queue:
                return None
            choice = queue.take(now_ms, self.headroom(steady_ms), self._in_air)
            if choice.entry is None:
                return choice.wait_ms
            self._launch(choice.entry, flights)

    def _come_back_in(self, wait_ms: int | None) -> None:
        if wait_ms is None:
            return
        at_s = self._loop.time() + wait_ms / 1000
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return  # it comes in time, and will then ask again
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self._on_time)

    def _take_turn(self) -> None:
        self._is_due = False
        self.turn()

    def _on_time(self) -> None:
        self._timer = None
        self.turn()

    async def _recover(self) -> None:
        await self._lane.recover()
        self._is_recovered = True
        self.poke()

    def headroom(self, steady_ms: int) -> Headroom:
        """How long weight, pace and a closed address keep each priority waiting."""
        lane = self._lane
        headroom = lane.budget.headroom(steady_ms)
        closed_ms = lane.shared.address.wait_ms(steady_ms)
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
            await self._lane.apply(entry, DeadlinePassed())
        except StaleVersion:
            await self._lane.reread(entry.key)
