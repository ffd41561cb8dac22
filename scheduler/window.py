"""How the exchange cuts its minutes: rolling, or by its clock.

Nothing says so, but what its replies count tells: shortly after a clock minute has begun a fixed
window has forgotten what a rolling one still holds. Times are milliseconds of a clock that is never
set, but for `exchange_ms`.
"""

from bisect import insort
from collections import deque
from enum import Enum

MINUTE_MS = 60_000
CLEAR_MS = 3_000
"""What is closer than this to a clock minute's end or beginning may belong to either."""
APART_MIN = 10
"""Requests that a rolling window must count beyond a fixed one for a minute to tell them apart:
others would have to spend as many in the same minute to look the same, minute after minute."""
VOTES_MIN = 2
"""Minutes that have to look like a rolling window before it is taken for one."""


class Minute(Enum):
    """What is known of it."""

    UNKNOWN = 0
    ROLLING = 1
    """Believed only while nothing contradicts it."""
    FIXED = 2
    """A reply counted less than a rolling one must."""


class Window:
    """Our own attempts, and what replies count of them."""

    def __init__(self, request_weight: int) -> None:
        self.minute = Minute.UNKNOWN
        self._weight = request_weight
        self._sure: deque[tuple[int, int]] = deque()  # started and ended, of those taken on
        self._ended: deque[int] = deque()  # when, of those that may count in this clock minute
        self._began_ms = 0
        self._votes = 0
        self._voted_until_ms = 0

    def add(self, started_ms: int, ended_ms: int, *, is_sure: bool) -> None:
        """An attempt was answered; `is_sure`: it was taken on."""
        self._forget(ended_ms - MINUTE_MS)
        self._ended.append(ended_ms)
        sure = self._sure
        while sure and sure[0][0] <= ended_ms - MINUTE_MS:
            sure.popleft()
        if not is_sure:
            return
        if sure and started_ms < sure[-1][0]:  # pairs of one account may overtake each other
            insort(sure, (started_ms, ended_ms))
        else:
            sure.append((started_ms, ended_ms))

    def judge(self, used: int, now_ms: int, started_ms: int, exchange_ms: int) -> int:
        """The reply, now, to the attempt that started at `started_ms` counted `used`. Returns what
        of it is surely ours, if the minute rolls."""
        sure = self._sure
        while sure and sure[0][0] <= now_ms - MINUTE_MS:
            sure.popleft()
        counted = len(sure)
        for _, ended_ms in reversed(sure):
            if ended_ms <= started_ms:
                break
            counted -= ended_ms < now_ms  # it may have arrived later than this one
        passed_ms = exchange_ms % MINUTE_MS
        self._began_ms = now_ms - passed_ms
        self._forget(self._began_ms)
        if used < counted * self._weight:
            self._votes, self.minute = 0, Minute.FIXED
        elif passed_ms <= MINUTE_MS - CLEAR_MS and started_ms >= self._began_ms + CLEAR_MS:
            self._vote(counted, now_ms)
        return min(used, counted * self._weight)

    def own(self, now_ms: int) -> int:
        """The weight of those answered that may count in the clock minute there is by now."""
        self._forget(self.ends_ms(now_ms) - MINUTE_MS)
        return len(self._ended) * self._weight

    def ends_ms(self, now_ms: int) -> int:
        """When the clock minute there is by now ends."""
        return now_ms + MINUTE_MS - (now_ms - self._began_ms) % MINUTE_MS

    def began(self, started_ms: int) -> bool:
        """Whether an attempt that started then arrived in the clock minute of the latest reply."""
        return started_ms >= self._began_ms

    def _forget(self, began_ms: int) -> None:
        ended = self._ended
        while ended and ended[0] < began_ms - CLEAR_MS:
            ended.popleft()

    def _vote(self, counted: int, now_ms: int) -> None:
        if now_ms < self._voted_until_ms or counted - len(self._ended) < APART_MIN:
            return
        self._voted_until_ms = self.ends_ms(now_ms)
        self._votes += 1
        if self._votes >= VOTES_MIN:
            self.minute = Minute.ROLLING
