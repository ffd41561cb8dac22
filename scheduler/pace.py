"""How far apart the starts of one account's attempts are kept.

The exchange works through one account's requests one at a time, typically in 100 ms, and its page
advises that distance. Where answers come before the work is done, that is too close: the gap then
grows by a step for each collision and shrinks back slowly. What was added is kept from the answer
too: the attempt had arrived by then, while the start says little of that where the way is long.
Times are milliseconds of a clock that is never set.
"""

STEP_MS = 50
"""The most that a collision adds to the gap: a tenth of what it costs of the minute."""
STEP_MIN_MS = 10
"""The least. In between it is the round trip of the refusal, which comes at once: where the way is
short it is the work that takes a little longer than the gap, and no more than that is wanted."""
EXTRA_MAX_MS = 400
HALF_LIFE_MS = 120_000
"""In which what was added halves: slow, because trying again for less costs 1500 of weight."""


class Pace:
    """When the next attempt may start, as far as its distance to the one before goes."""

    def __init__(self, min_gap_ms: int) -> None:
        self._min_gap_ms = min_gap_ms
        self._extra_ms = 0.0
        self._extra_at_ms = 0
        self._started_at_ms: int | None = None
        self._answered_at_ms = 0
        self._has_collided = False

    def wait_ms(self, now_ms: int) -> int:
        """Until the next may start; 0 is now."""
        if self._started_at_ms is None:
            return 0
        extra_ms = round(self._decayed(now_ms))
        free_ms = max(self._started_at_ms + self._min_gap_ms, self._answered_at_ms) + extra_ms
        return max(0, free_ms - now_ms)

    def gap_ms(self, now_ms: int) -> int:
        """The least distance between two starts at present."""
        return self._min_gap_ms + round(self._decayed(now_ms))

    def started(self, now_ms: int) -> None:
        self._started_at_ms = now_ms

    def went_through(self, now_ms: int) -> None:
        """An attempt was answered, and not refused for being too close."""
        self._answered_at_ms = now_ms
        self._has_collided = False

    def collided(self, now_ms: int) -> None:
        """An attempt met another transaction of the account.

        Only the first in a row counts: those after it meet something longer than our own pace, such
        as an order that borrows, and a wider gap would not help against that.
        """
        if not self._has_collided:
            way_ms = STEP_MS if self._started_at_ms is None else now_ms - self._started_at_ms
            step_ms = min(max(way_ms, STEP_MIN_MS), STEP_MS)
            self._extra_ms = min(self._decayed(now_ms) + step_ms, EXTRA_MAX_MS)
            self._extra_at_ms = now_ms
        self._answered_at_ms = now_ms
        self._has_collided = True

    def _decayed(self, now_ms: int) -> float:
        if not self._extra_ms:
            return 0.0
        return float(self._extra_ms * 0.5 ** ((now_ms - self._extra_at_ms) / HALF_LIFE_MS))
