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
"""A sample further than this from the one before puts both in doubt."""
JUMP_QUIET_MS = 90_000
"""After a jump, how long instants tell nothing of durations: the longest recvWindow, the exchange's
own patience and the time a record takes to show, all of which pass on clocks that did not jump."""


class Clock:
    """Set by samples of the exchange's `serverTime`.

    Before the first sample `now_ms` is this machine's wall clock, which is good enough to take
    submissions and for nothing else; `is_set` tells.
    """

    def __init__(self) -> None:
        # Kept, because the time is read a dozen times in every life.
        self._loop_s = asyncio.get_running_loop().time
        self._offset_ms = wall_ms() - self._loop_ms()
        self._is_quick = False
        self._in_doubt_until_ms = 0
        self._first_steady_ms = 0
        self.is_set = False

    def now_ms(self) -> int:
        """A lower bound of the exchange's time, epoch milliseconds."""
        return int(self._offset_ms + self._loop_s() * 1000)

    def steady_ms(self) -> int:
        """Milliseconds that only ever run on, for durations."""
        return int(self._loop_s() * 1000)

    def both_ms(self) -> tuple[int, int]:
        """`now_ms` and `steady_ms` of one moment."""
        loop_ms = self._loop_s() * 1000
        return int(self._offset_ms + loop_ms), int(loop_ms)

    def at_ms(self, steady_ms: int) -> int:
        """The instant that `steady_ms` stands for, as far as is known now."""
        return round(self._offset_ms + steady_ms)

    @property
    def is_trusted(self) -> bool:
        """Whether something missing may be taken for absent: the latest sample was quick, and the
        exchange's time has not jumped lately."""
        return self._is_quick and self.steady_ms() >= self._in_doubt_until_ms

    @property
    def known_since_ms(self) -> int:
        """Since when a jump would have been noticed: the instant of the first sample. How long ago
        anything from before was, instants do not tell."""
        return self.at_ms(self._first_steady_ms)

    @property
    def offset_s(self) -> float:
        """How far this machine's wall clock is behind the exchange's time, in seconds."""
        return (self._offset_ms + self._loop_ms() - wall_ms()) / 1000

    def assume(self, behind_ms: int) -> None:
        """Go by this machine's wall clock and how far it was found to be behind by an earlier
        process. Only before the first sample."""
        assert not self.is_set
        self._offset_ms = wall_ms() + behind_ms - self._loop_ms()

    def sample(self, server_time_ms: int, asked_at_s: float) -> None:
        """Set the clock by a reply that has just come to a question asked at `asked_at_s`.

        Half the round trip is never added: the reply may have spent all of it on its way back or
        none, and only what the server said before it is certain.
        """
        loop_ms = self._loop_ms()
        offset_ms = server_time_ms - loop_ms
        round_trip_ms = loop_ms - asked_at_s * 1000
        self._is_quick = round_trip_ms <= ROUND_TRIP_MAX_MS
        if self.is_set and self._is_quick and abs(offset_ms - self._offset_ms) > JUMP_MAX_MS:
            self._in_doubt_until_ms = self.steady_ms() + JUMP_QUIET_MS
        if self._is_quick or not self.is_set:
            self._offset_ms = offset_ms
            if not self.is_set:
                self._first_steady_ms = self.steady_ms()
            self.is_set = True

    def _loop_ms(self) -> float:
        return self._loop_s() * 1000


def loop_s() -> float:
    """The event loop's clock, in seconds: what `sample` takes as the time of asking."""
    return asyncio.get_running_loop().time()


def wall_ms() -> float:
    return time.time() * 1000
