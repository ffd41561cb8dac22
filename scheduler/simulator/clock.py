"""The exchange's clock and its own timers, both on the event loop's time."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import TypeVarTuple

Args = TypeVarTuple("Args")


class Clock:
    """Exchange time, and callbacks that belong to the exchange and to nobody else.

    Everything the exchange does later runs in a context of its own: whoever cancels, drops or
    crashes the client's task takes nothing of the exchange with it.
    """

    def __init__(self, epoch_ms: int, offset_ms: float) -> None:
        self.offset_ms = offset_ms
        self._epoch_ms = epoch_ms
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_s = 0.0
        # Empty rather than a copy: nothing of whoever started the simulator leaks in either.
        self._context = contextvars.Context()

    def start(self) -> None:
        """Begin to run on the running loop. Until then the clock stands at its epoch."""
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()

    def stop(self) -> None:
        """Let whatever is still due come to nothing."""
        self._loop = None

    def loop_s(self) -> float:
        return self._loop.time() if self._loop is not None else self._started_s

    def elapsed_ms(self) -> float:
        """Milliseconds since the start, to the microsecond. Never jumps."""
        if self._loop is None:
            return 0.0
        # Float noise must not turn 100.0 into 99.999…, a whole millisecond less once cut off.
        return round((self._loop.time() - self._started_s) * 1_000_000) / 1_000

    def steady_ms(self) -> float:
        """The exchange's epoch without the offset: what limits and interest run on."""
        return self._epoch_ms + self.elapsed_ms()

    def now_ms(self) -> int:
        """What the exchange says the time is, in epoch milliseconds."""
        return int(self.steady_ms() + self.offset_ms)

    def call_later(self, delay_ms: float, callback: Callable[[*Args], None], *args: *Args) -> None:
        assert self._loop is not None, "the simulator has to be entered first"
        self._loop.call_later(delay_ms / 1_000, self._run, callback, args, context=self._context)

    def _run(self, callback: Callable[..., None], args: tuple[object, ...]) -> None:
        if self._loop is not None:
            callback(*args)
