"""What others spend of an account's minute, by what replies count beyond our own.

Nobody tells before they spend. Under a fixed window, and while it is not known how the exchange
cuts its minutes, the most that was seen in the last minute is left to them. Under a rolling one
what they spent is known to be free again a minute later, and is used; then what they may spend
next is kept back only where that costs less than the refusals it spares, or where there have been
as many of those as can be answered for. Times are milliseconds of a clock that is never set.
"""

from collections import deque
from collections.abc import Iterator

MINUTE_MS = 60_000
FRESH_MS = 5_000
"""A rise since a reply longer ago than this may be the sum of several."""
STEPS_MS = 5 * MINUTE_MS
"""How long the largest rise is remembered."""
REFUSAL_COSTS = 3
"""What a refusal for weight costs, in requests: itself, and the quiet after it."""
REFUSALS_MAX = ((2, 1), (5, 5))
"""As many refusals within so many minutes, and for the rest of that time no more are risked."""
SLACK_MS = 1_000


class Others:
    """One account's. Weights are what the exchange counted, not ours taken out before."""

    def __init__(self, request_weight: int) -> None:
        self._worth = REFUSAL_COSTS * request_weight
        self._most = _Highest(MINUTE_MS)
        self._largest = _Highest(STEPS_MS)
        self._rises: deque[tuple[int, int]] = deque()
        self._spent: deque[tuple[int, int]] = deque()
        self._sum = 0
        self._seen_ms: int | None = None
        self._refusals: deque[int] = deque(maxlen=max(count for count, _ in REFUSALS_MAX))
        self._was_blind = False

    def weight(self, now_ms: int, *, is_rolling: bool) -> int:
        """What is to be left to them of this minute."""
        most = self._most.get(now_ms)
        if not is_rolling:
            return most
        self._expire(now_ms)
        if self._is_wary(now_ms):
            return self._sum + self._largest.get(now_ms)
        return min(most, self._sum + self._margin())

    def known(self, now_ms: int) -> int:
        """What they have spent of the last minute, if it rolls."""
        self._expire(now_ms)
        return self._sum

    def observe(self, weight: int, now_ms: int) -> None:
        """A reply counted this much beyond our own."""
        self._expire(now_ms)
        self._most.add(weight, now_ms)
        rise, self._sum = weight - self._sum, weight
        if rise > 0:
            self._rises.append((now_ms, rise))
            self._spent.append((now_ms, rise))
            is_one = self._seen_ms is not None and now_ms < self._seen_ms + FRESH_MS
            if is_one or self._was_blind:
                self._largest.add(rise, now_ms)
        while rise < 0:
            seen_ms, oldest = self._spent.popleft()
            rise += oldest
            if rise > 0:
                self._spent.appendleft((seen_ms, rise))
        self._seen_ms, self._was_blind = now_ms, False

    def refused(self, now_ms: int, *, is_counted: bool) -> None:
        """An attempt was refused for weight; `is_counted`: with what had been spent by then."""
        self._refusals.append(now_ms)
        self._was_blind = not is_counted

    def changes(self, now_ms: int) -> Iterator[int]:
        """When `weight` may become less."""
        ends = [seen_ms + MINUTE_MS for seen_ms, _ in (*self._spent, *self._rises)]
        ends += [*self._most.ends(), *self._largest.ends()]
        for _, minutes in REFUSALS_MAX:
            ends += [at_ms + minutes * MINUTE_MS + SLACK_MS for at_ms in self._refusals]
        return (end_ms for end_ms in ends if end_ms > now_ms)

    def falling(self, now_ms: int, *, is_rolling: bool) -> list[tuple[int, int]]:
        """What is surely theirs: how much, highest first, each with until when."""
        self._expire(now_ms)
        self._most.get(now_ms)
        if not is_rolling:
            return self._most.falling()
        falling, left = [], self._sum
        for seen_ms, weight in self._spent:
            falling.append((seen_ms + MINUTE_MS, left))
            left -= weight
        return falling

    def _is_wary(self, now_ms: int) -> bool:
        times = self._refusals
        return any(
            len(times) >= count and now_ms < times[-count] + minutes * MINUTE_MS + SLACK_MS
            for count, minutes in REFUSALS_MAX
        )

    def _margin(self) -> int:
        """The largest rise that came often enough for keeping it back to be worth it."""
        sizes = sorted((rise for _, rise in self._rises), reverse=True)
        return max((s for often, s in enumerate(sizes, 1) if s <= self._worth * often), default=0)

    def _expire(self, now_ms: int) -> None:
        while self._spent and self._spent[0][0] <= now_ms - MINUTE_MS:
            self._sum -= self._spent.popleft()[1]
        while self._rises and self._rises[0][0] <= now_ms - MINUTE_MS:
            self._rises.popleft()


class _Highest:
    """The highest of what was added in the last `span_ms`."""

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._kept: deque[tuple[int, int]] = deque()  # (at, value), values falling

    def add(self, value: int, now_ms: int) -> None:
        while self._kept and self._kept[-1][1] <= value:
            self._kept.pop()
        if value:
            self._kept.append((now_ms, value))

    def get(self, now_ms: int) -> int:
        while self._kept and self._kept[0][0] <= now_ms - self._span_ms:
            self._kept.popleft()
        return self._kept[0][1] if self._kept else 0

    def ends(self) -> list[int]:
        return [at_ms + self._span_ms for at_ms, _ in self._kept]

    def falling(self) -> list[tuple[int, int]]:
        """Until when, and how much, from the highest down."""
        return [(at_ms + self._span_ms, value) for at_ms, value in self._kept]
