"""Whether the exchange's minute rolls or begins with every minute of its clock.

Nothing says so, but what its replies count tells: shortly after a clock minute has begun a fixed
window has forgotten what a rolling one still holds.
"""

from collections import deque

MINUTE_MS = 60_000
CLEAR_MS = 3_000
"""A reply closer than this to a clock minute's end or beginning may belong to either."""
APART_MIN = 10
"""Requests that a rolling window must count beyond a fixed one for a minute to tell them apart:
others would have to spend as many in the same minute to look the same, minute after minute."""
VOTES_MIN = 3
"""Minutes that have to look like a rolling window before it is taken for one."""


class Window:
    """Judges by what each reply counts. Rolling is believed only while nothing contradicts it."""

    def __init__(self, request_weight: int) -> None:
        self._weight = request_weight
        self._own: deque[tuple[int, int, bool]] = deque()  # started, ended, was surely counted
        self._votes: set[int] = set()

    @property
    def is_rolling(self) -> bool:
        """False where it is fixed, and as long as that is not known."""
        return len(self._votes) >= VOTES_MIN

    def add(self, started_ms: int, ended_ms: int, *, is_sure: bool) -> None:
        """An attempt of ours, on a clock that is never set; `is_sure`: it was taken on."""
        while self._own and self._own[0][0] <= started_ms - 3 * MINUTE_MS:
            self._own.popleft()
        self._own.append((started_ms, ended_ms, is_sure))

    def judge(self, used: int, steady_ms: int, started_ms: int, now_ms: int) -> None:
        """The reply, now, to the attempt that started at `started_ms` counted `used`; `now_ms` is
        the exchange's time."""
        sure = sum(is_sure and at_ms > steady_ms - MINUTE_MS for at_ms, _, is_sure in self._own)
        if used < sure * self._weight:
            self._votes.clear()  # a rolling window would count all of these
            return
        minute, passed_ms = divmod(now_ms, MINUTE_MS)
        arrived_ms = passed_ms - (steady_ms - started_ms)
        if arrived_ms < CLEAR_MS or passed_ms > MINUTE_MS - CLEAR_MS:
            return
        began_ms = steady_ms - passed_ms - CLEAR_MS
        at_most = sum(ended_ms >= began_ms for _, ended_ms, _ in self._own)
        if sure - at_most >= APART_MIN:
            self._votes.add(minute)
