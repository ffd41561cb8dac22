"""The exchange's time, carried on the event loop's own clock.

Two readings, because they answer two questions. `now_ms` is an instant: never later than the time
at the exchange, so that a fence it says has passed has passed there too. It is set anew with every
sample and may step. `steady_ms` measures durations: it is never set. Nothing below the
configuration tells time in any other way, so tests replace the event loop and leave the clock
alone.
"""

import asyncio
import time

ROUND_TRIP_MAX_MS = 2_000
"""A sample that took longer says too little to conclude anything from."""
JUMP_MAX_MS = 500
"""A sample further than this from the one before puts both in doubt until the next."""


class Clock:
    """Set by samples of the exchange's `serverTime`.

    Before the first sample `now_ms` is this machine's wall clock, which is good enough to take
    submissions and for nothing else; `is_set` tells.
    """

    def __init__(self) -> None:
        self._offset_ms = wall_ms() - _loop_ms()
        self._is_trusted = False
        self.is_set = False

    def now_ms(self) -> int:
        """A lower bound of the exchange's time, epoch milliseconds."""
        return int(self._offset_ms + _loop_ms())

    def steady_ms(self) -> int:
        """Milliseconds that only ever run on, for durations."""
        return int(_loop_ms())

    @property
    def is_trusted(self) -> bool:
        """Whether the latest sample was quick, and agreed with the one before it."""
        return self._is_trusted

    @property
    def offset_s(self) -> float:
        """How far this machine's wall clock is behind the exchange's time, in seconds."""
        return (self._offset_ms + _loop_ms() - wall_ms()) / 1000

    def sample(self, server_time_ms: int, asked_at_s: float) -> None:
        """Set the clock by a reply that has just come to a question asked at `asked_at_s`.

        Half the round trip is never added: the reply may have spent all of it on its way back or
        none, and only what the server said before it is certain.
        """
        loop_ms = _loop_ms()
        offset_ms = server_time_ms - loop_ms
        round_trip_ms = loop_ms - asked_at_s * 1000
        is_quick = round_trip_ms <= ROUND_TRIP_MAX_MS
        agrees = not self.is_set or abs(offset_ms - self._offset_ms) <= JUMP_MAX_MS
        self._is_trusted = is_quick and agrees
        if is_quick or not self.is_set:
            self._offset_ms = offset_ms
            self.is_set = True


def loop_s() -> float:
    """The event loop's clock, in seconds: what `sample` takes as the time of asking."""
    return asyncio.get_running_loop().time()


def wall_ms() -> float:
    return time.time() * 1000


def _loop_ms() -> float:
    return loop_s() * 1000
