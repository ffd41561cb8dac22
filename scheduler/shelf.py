"""An answer of the exchange that is kept while it is fresh, and shared by whoever asks at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .clock import Clock
from .errors import Closed

T = TypeVar("T")

Running = set[asyncio.Task[Any]]
"""The questions under way, to be cancelled when all is over."""

Stamp = Callable[[], int]
"""To be called when a question goes out; gives the time its answer is true from."""


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """An answer, and the exchange time at which it was asked for."""

    value: T
    as_of_ms: int


class Flight(Generic[T]):
    """One question under way. Whoever comes before it goes out shares its answer, because the
    answer will be newer than their asking."""

    def __init__(
        self, clock: Clock, ask: Callable[[Stamp], Awaitable[T]], running: Running
    ) -> None:
        self._clock = clock
        self.sent_at_ms: int | None = None
        self._task = asyncio.ensure_future(self._fly(ask))
        running.add(self._task)
        self._task.add_done_callback(running.discard)
        self._task.add_done_callback(seen)

    async def answer(self) -> Known[T]:
        """Raises what asking raised. Cancelling whoever waits does not cancel the question."""
        return await shared_answer(self._task)

    @property
    def is_over(self) -> bool:
        return self._task.done()

    async def _fly(self, ask: Callable[[Stamp], Awaitable[T]]) -> Known[T]:
        value = await ask(self._goes_out)
        assert self.sent_at_ms is not None
        return Known(value, self.sent_at_ms)

    def _goes_out(self) -> int:
        self.sent_at_ms = self._clock.now_ms()
        return self.sent_at_ms


class Shelf(Generic[T]):
    """One thing that can be asked for, and the latest answer."""

    def __init__(
        self, clock: Clock, ask: Callable[[Stamp], Awaitable[T]], running: Running
    ) -> None:
        self._clock = clock
        self._ask = ask
        self._running = running
        self._known: Known[T] | None = None
        self._flight: Flight[T] | None = None

    def kept(self, max_age_ms: int) -> Known[T] | None:
        """The latest answer, if it is not older than that."""
        known = self._known
        if known is None or self._clock.now_ms() - known.as_of_ms > max_age_ms:
            return None
        return known

    async def get(self, max_age_ms: int) -> Known[T]:
        """An answer no older than that at the time of asking; 0 is one asked for from now on.

        Raises what asking raises.
        """
        known = self.kept(max_age_ms) if max_age_ms else None
        if known is not None:
            return known
        flight = self._flight
        if flight is None or flight.is_over or not self._is_young(flight, max_age_ms):
            flight = self._flight = Flight(self._clock, self._ask, self._running)
        known = await flight.answer()
        if flight is self._flight:
            self._known = known
        return known

    def forget(self) -> None:
        """What is known is not so any more, and what was asked before now may not be either."""
        self._known = None
        flight = self._flight
        if flight is not None and flight.sent_at_ms is not None:
            self._flight = None

    def _is_young(self, flight: Flight[T], max_age_ms: int) -> bool:
        sent_at_ms = flight.sent_at_ms
        if sent_at_ms is None:
            return True
        return bool(max_age_ms) and self._clock.now_ms() - sent_at_ms <= max_age_ms


async def shared_answer(task: "asyncio.Task[T]") -> T:
    """The task's result; whoever is cancelled while waiting leaves it to the others. Raises Closed
    where it was the task that was cancelled."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if task.cancelled() and own is not None and not own.cancelling():
            raise Closed("the scheduler closed before the exchange answered") from None
        raise


def seen(task: "asyncio.Task[Any]") -> None:
    """Whoever asked may be gone: then nobody is there to be told of a failure."""
    if not task.cancelled():
        task.exception()
