"""What one call's minute of weight has left, as far as we spend it ourselves."""

import heapq

MINUTE_MS = 60_000


class Spending:
    """One budget's. Times are `Clock.steady_ms`."""

    def __init__(self) -> None:
        self._spent: list[tuple[int, int]] = []  # a heap of (until, weight)
        self._sum = 0

    def wait_ms(self, weight: int, most: float, steady_ms: int) -> int:
        """Until this weight fits without more than `most` being spent; 0 is now. What was not
        spent of at all takes anything."""
        if self.spent(steady_ms) + weight <= most or not self._spent:
            return 0
        return max(1, self._spent[0][0] - steady_ms)

    def spent(self, steady_ms: int) -> int:
        """What counts now."""
        spent = self._spent
        while spent and spent[0][0] <= steady_ms:
            self._sum -= heapq.heappop(spent)[1]
        return self._sum

    def spend(self, weight: int, until_ms: int) -> None:
        """This much counts until then."""
        heapq.heappush(self._spent, (until_ms, weight))
        self._sum += weight
