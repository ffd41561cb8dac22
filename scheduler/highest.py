"""The highest of what was added within a span of time."""

from collections import deque


class Highest:
    """Of the last `span_ms`. Times are milliseconds of a clock that is never set."""

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._kept: deque[tuple[int, int]] = deque()  # (at, value), values falling
        self.latest_ms: int | None = None
        """When something was added last; nothing does not count."""

    def add(self, value: int, now_ms: int) -> None:
        if not value:
            return
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        kept.append((now_ms, value))
        self.latest_ms = now_ms

    def raise_latest(self, by: int) -> None:
        """What was added last was so much more."""
        if self._kept and self._kept[-1][0] == self.latest_ms:
            at_ms, value = self._kept.pop()
            self.add(value + by, at_ms)

    def get(self, now_ms: int) -> int:
        kept = self._kept
        while kept and kept[0][0] <= now_ms - self._span_ms:
            kept.popleft()
        return kept[0][1] if kept else 0

    def falls_ms(self, now_ms: int) -> int | None:
        """When it becomes less, if nothing is added; None where it is nothing."""
        return self._kept[0][0] + self._span_ms if self.get(now_ms) else None

    def falling(self, now_ms: int) -> list[tuple[int, int]]:
        """Until when, and how much, from the highest down."""
        self.get(now_ms)
        return [(at_ms + self._span_ms, value) for at_ms, value in self._kept]
