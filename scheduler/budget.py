"""What one account may start, and when: pace, ledger and token bucket in one place.

The ledger decides whether the exchange would count too much; the bucket (aiolimiter) gives the
shape within that, how much may go at once. The bucket alone would not do: it starts full and
refills, so it lets up to twice its size through in its first minute. Nobody waits inside it,
because aiolimiter keeps its waiters in order of amount and not of arrival: it is only taken from
once it has enough.
"""

from aiolimiter import AsyncLimiter

from .account_queue import Headroom
from .ledger import Charge, Ledger
from .pace import Pace
from .policy import Limits


class Budget:
    """One account's. Times are milliseconds of `Clock.steady_ms`."""

    def __init__(self, limits: Limits) -> None:
        self.ledger = Ledger(limits)
        self.pace = Pace(limits.min_gap_ms)
        self._weight = limits.request_weight
        burst = limits.burst_weight or limits.uid_weight_per_minute
        self._per_ms = limits.uid_weight_per_minute / 60_000
        self._bucket = AsyncLimiter(burst, burst / (self._per_ms * 1000))

    def headroom(self, now_ms: int) -> Headroom:
        """How long each priority has to wait for pace and weight."""
        common_ms = max(self.pace.wait_ms(now_ms), self._bucket_wait_ms())
        return Headroom(
            normal_ms=max(common_ms, self.ledger.wait_ms(now_ms, is_urgent=False)),
            urgent_ms=max(common_ms, self.ledger.wait_ms(now_ms, is_urgent=True)),
        )

    async def start(self, now_ms: int, *, is_urgent: bool) -> Charge:
        """Charge an attempt. To be called only when `headroom` has said 0, and does not wait."""
        self.pace.started(now_ms)
        charge = self.ledger.start(is_urgent=is_urgent)
        await self._bucket.acquire(self._weight)
        return charge

    def _bucket_wait_ms(self) -> int:
        if self._bucket.has_capacity(self._weight):
            return 0
        # The bucket does not tell its level; what it says of other amounts brackets it.
        low, high = 0.0, float(self._weight)
        while high - low > self._per_ms:
            middle = (low + high) / 2
            low, high = (middle, high) if self._bucket.has_capacity(middle) else (low, middle)
        return int((self._weight - low) / self._per_ms) + 1
