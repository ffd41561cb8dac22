"""How others have been spending of an account's minute: how much within how long, and how often.

From it follows what to leave them before they spend it. After a refusal for weight that is the most
that was seen to come within as long as nothing has been heard of them; otherwise it is what would
have cost least, had it been left to them all along. Times are milliseconds of a clock that is never
set.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from .highest import Highest

MINUTE_MS = 60_000
SPANS_MS = (2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
MEMORY_MS = 10 * MINUTE_MS
"""How long the most that came within a span is remembered."""
KEPT = 0.9
"""What a minute's experience still counts a minute later: some ten minutes together."""
CLOSE_MIN = 3
"""Rises seen within the shortest span, before those over a longer silence are believed not to have
been one step."""
UNTRIED_SHARE = 5
"""Until then they may spend this part of the minute at once."""
SMALL_SHARE = 2.5
"""What comes at once is small where a minute has held so many times as much."""
LEVELS = 120
"""In so many steps is reckoned what to leave; no more than half of them is left before it is
spent."""
HELD_SHARE = 0.6
"""A refusal has us keep back what may come at once, on average for this part of a minute."""
QUIET_COSTS = 4
"""What else it costs, in requests: itself, and the quiet after it."""


class Habits:
    """Those of one account's others."""

    def __init__(self, limit: int, request_weight: int) -> None:
        self._limit = limit
        self._unit = max(request_weight, -(-limit // LEVELS))
        self._most = tuple(Highest(MEMORY_MS) for _ in SPANS_MS)
        self._largest = Highest(MEMORY_MS)
        self._close: deque[int] = deque(maxlen=CLOSE_MIN)
        levels = max(1, limit // self._unit)
        self._levels = _Reckoning(self._unit, levels)
        self._steps = _Reckoning(self._unit, levels)
        self._risen_ms: int | None = None
        self._minute = 0
        self.usual = 0
        """What to leave them at least. It would have cost least to have done so, by what then lay
        idle and by what would have been refused."""
        self.step = 0
        """The same of what to leave on top of what they have spent."""

    # What is seen

    def stood(self, level: int, for_ms: int) -> None:
        """For so long the last minute held `level` of theirs."""
        self._levels.stood(level, for_ms)
        self._steps.stood(0, for_ms)

    def reached(self, level: int, now_ms: int, *, by: int) -> None:
        """It rose to `level`, `by` so much at once."""
        self._levels.reached(level, now_ms)
        if level > self.usual:
            self._steps.reached(by, now_ms)

    def rose(self, steps: Iterable[tuple[int, int]], now_ms: int) -> None:
        """They have spent once more. `steps`, the latest first: since when at the earliest, and how
        much."""
        spans, weight, place = SPANS_MS, 0, 0
        for since_ms, step in steps:
            while place < len(spans) and now_ms - since_ms > spans[place]:
                self._most[place].add(weight, now_ms)
                place += 1
            if not weight:
                self._largest.add(step, now_ms)
                if not place:
                    self._close.append(now_ms)
            if place == len(spans):
                break
            weight += step
        for most in self._most[place:]:
            most.add(weight, now_ms)
        self._risen_ms = now_ms

    def grew(self, by: int) -> None:
        """The latest rise was so much more than was sure when it was seen."""
        for most in (self._largest, *self._most):
            if most.latest_ms == self._risen_ms:
                most.raise_latest(by)

    def held(self, weight: int, now_ms: int) -> None:
        """A minute held so much of theirs, whenever it came."""
        self._most[-1].add(weight, now_ms)

    def reckon(self, now_ms: int) -> None:
        """Once a minute: what to leave them from now on."""
        minute = now_ms // MINUTE_MS
        if minute == self._minute:
            return
        self._minute = minute
        refusal = QUIET_COSTS + HELD_SHARE * (self.within(0, now_ms) / self._unit + 1)
        self.usual = self._levels.cheapest(refusal)
        self.step = self._steps.cheapest(refusal)

    # What is to be expected

    def within(self, span_ms: int, now_ms: int) -> int:
        """The most that may come within such a span."""
        close = self._close
        if len(close) < CLOSE_MIN or close[0] <= now_ms - MEMORY_MS:
            return max(self._largest.get(now_ms), self._limit // UNTRIED_SHARE)
        place = min(bisect_left(SPANS_MS, span_ms), len(SPANS_MS) - 1)
        return self._and_one_more(self._most[place].get(now_ms), now_ms)

    def in_a_minute(self, now_ms: int) -> int:
        """The most that a minute may hold; what came once at once may come twice."""
        most = self._and_one_more(self._most[-1].get(now_ms), now_ms)
        return max(most, 2 * self._most[0].get(now_ms))

    def _and_one_more(self, most: int, now_ms: int) -> int:
        """The most yet is not the most: of many small steps there may be one more."""
        at_once = self._most[0].get(now_ms)
        return most + at_once if at_once <= most / SMALL_SHARE else most


class _Reckoning:
    """What leaving others each of some levels would have cost."""

    def __init__(self, unit: int, levels: int) -> None:
        self._unit = unit
        self._stood_ms = [0.0] * levels
        self._refusals = [0.0] * levels
        self._refused_ms = [-MINUTE_MS] * levels

    def stood(self, level: int, for_ms: int) -> None:
        self._stood_ms[min(level // self._unit, len(self._stood_ms) - 1)] += for_ms

    def reached(self, level: int, now_ms: int) -> None:
        """Whoever had left less would have been refused, though hardly more than once a minute."""
        refused_ms, refusals = self._refused_ms, self._refusals
        for place in range(min(level // self._unit, len(refusals))):
            if now_ms - refused_ms[place] >= MINUTE_MS:
                refused_ms[place] = now_ms
                refusals[place] += 1

    def cheapest(self, refusal: float) -> int:
        """The level to leave, where a refusal costs so many requests. What was seen until now
        counts a little less from here on."""
        is_early = sum(self._stood_ms) < MINUTE_MS  # anything would seem to cost nothing
        best, least, idle, passed = 0, refusal * self._refusals[0], 0.0, 0.0
        for place in range(1, len(self._refusals) // 2):
            passed += self._stood_ms[place - 1] / MINUTE_MS
            idle += passed
            cost = idle + refusal * self._refusals[place]
            if cost < least:
                best, least = place, cost
        self._stood_ms = [ms * KEPT for ms in self._stood_ms]
        self._refusals = [refusals * KEPT for refusals in self._refusals]
        return 0 if is_early else best * self._unit
