"""Latencies in buckets that grow by a tenth, so that a long run needs no more room than a short."""

from collections import Counter
from math import ceil, log

GROWTH = 1.1
SMALLEST_MS = 0.05


class Histogram:
    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.most_ms = 0.0

    def add(self, ms: float) -> None:
        self._counts[_bucket(ms)] += 1
        self.count += 1
        self.most_ms = max(self.most_ms, ms)

    def quantile_ms(self, share: float) -> float | None:
        """At most this for `share` of them, exact to a tenth; None while there are none."""
        wanted, seen = ceil(share * self.count), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(SMALLEST_MS * GROWTH**bucket, self.most_ms)
        return None

    def as_json(self) -> dict[str, float | int | None]:
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
        named = {name: _rounded(self.quantile_ms(share)) for name, share in shares.items()}
        return {"count": self.count, **named, "max": _rounded(self.most_ms)}

    def bars(self, rows: int = 20) -> list[tuple[float, float, int]]:
        """(from ms, to ms, count), neighbours merged until there are at most `rows`."""
        if not self._counts:
            return []
        first, last = min(self._counts), max(self._counts)
        width = max(1, ceil((last - first + 1) / rows))
        bars = []
        for start in range(first, last + 1, width):
            count = sum(self._counts[b] for b in range(start, start + width))
            low, high = (SMALLEST_MS * GROWTH ** (b - 1) for b in (start, start + width))
            bars.append((round(low, 3), round(high, 3), count))
        return bars


def _bucket(ms: float) -> int:
    return 0 if ms <= SMALLEST_MS else ceil(log(ms / SMALLEST_MS, GROWTH))


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 2)
