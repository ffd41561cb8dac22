"""What one account may start, and when: pace, ledger and token bucket in one place.

The ledger decides whether the exchange would count too much; the bucket (aiolimiter) gives the
shape within that, how much may go at once. The bucket alone would not do: it starts full and
refills, so it lets up to twice its size through in its first minute. Nobody waits inside it,
because aiolimiter keeps its waiters in order of amount and not of arrival: it is only taken from
once it has enough.
"""

from collections.abc import Iterable

from aiolimiter import AsyncLimiter

from .account_queue import Headroom
from .events import Accepted, Lost, NotSent, Refused, Sent
from .ledger import MINUTE_MS, UNANSWERED_MS, Charge, Ledger
from .model import Attempt, Outcome
from .pace import Pace
from .policy import Limits
from .refusals import Disposition

RESTART_MARGIN_MS = 1_000
"""Two processes may read the exchange's clock up to a round trip apart."""
CHARGED_MAX_MS = UNANSWERED_MS + MINUTE_MS + RESTART_MARGIN_MS
"""An attempt that ended, or whose fence passed, longer ago weighs nothing any more."""


class Budget:
    """One account's. Times are milliseconds of `Clock.steady_ms`, but for `now_ms` where both are
    given: that is the exchange's."""

    def __init__(self, limits: Limits) -> None:
        self.ledger = Ledger(limits)
        self.pace = Pace(limits.min_gap_ms)
        self._weight = limits.request_weight
        burst = limits.burst_weight or limits.uid_weight_per_minute
        self._per_ms = limits.uid_weight_per_minute / 60_000
        self._bucket = AsyncLimiter(burst, burst / (self._per_ms * 1000))

    def headroom(self, steady_ms: int) -> Headroom:
        """How long each priority has to wait for pace and weight."""
        common_ms = max(self.pace.wait_ms(steady_ms), self._bucket_wait_ms())
        normal_ms, urgent_ms = self.ledger.waits_ms(steady_ms)
        return Headroom(normal_ms=max(common_ms, normal_ms), urgent_ms=max(common_ms, urgent_ms))

    def start(self, steady_ms: int, *, is_urgent: bool) -> Charge:
        """Charge an attempt. To be called only when `headroom` has said 0."""
        self.pace.started(steady_ms)
        charge = self.ledger.start(is_urgent=is_urgent)
        charge.started_ms = steady_ms
        _take_now(self._bucket, self._weight)
        return charge

    def reserve(self, *, is_urgent: bool) -> Charge:
        """Keep the weight of an attempt that may start a little later, by `start_reserved`, or not
        at all."""
        return self.ledger.start(is_urgent=is_urgent)

    async def start_reserved(self, steady_ms: int) -> None:
        """Start the attempt that was reserved. Where another pair's came in between it may have to
        wait for the bucket to fill up again."""
        self.pace.started(steady_ms)
        await self._bucket.acquire(self._weight)

    def settle(
        self,
        charge: Charge,
        attempt: Attempt,
        answer: Sent,
        *,
        now_ms: int,
        steady_ms: int,
    ) -> None:
        """Book what an attempt costs of the minute, and what its answer says of the pace."""
        match answer.event:
            case NotSent():
                self.ledger.drop(charge)
                return
            case Lost():
                self.ledger.lose(charge, steady_ms, steady_ms + attempt.fence_ms - now_ms)
            case Refused(disposition=Disposition.BUSY):
                self.ledger.end(charge, steady_ms)
                self.pace.collided(steady_ms)
            case _:
                self.ledger.end(charge, steady_ms)
                self.pace.went_through(steady_ms)
        used = answer.used_weight
        is_sure = isinstance(answer.event, Accepted)
        self.ledger.learn(charge, steady_ms, used=used, is_sure=is_sure, exchange_ms=now_ms)
        match answer.event:
            case Refused(disposition=Disposition.LIMITED, is_address_banned=False):
                self.ledger.refused(charge, steady_ms, is_counted=used is not None)

    def restore(
        self, attempts: Iterable[tuple[Attempt, bool]], *, now_ms: int, steady_ms: int
    ) -> None:
        """Charge an earlier process's attempts, each with whether it was urgent."""
        for attempt, is_urgent in attempts:
            until_ms = _charged_until_ms(attempt)
            if until_ms > now_ms:
                self.ledger.restore(steady_ms + until_ms - now_ms, is_urgent=is_urgent)

    def _bucket_wait_ms(self) -> int:
        if self._bucket.has_capacity(self._weight):
            return 0
        # The bucket does not tell its level; what it says of other amounts brackets it.
        low, high = 0.0, float(self._weight)
        while high - low > self._per_ms:
            middle = (low + high) / 2
            low, high = (middle, high) if self._bucket.has_capacity(middle) else (low, middle)
        return int((self._weight - low) / self._per_ms) + 1


def _take_now(bucket: AsyncLimiter, weight: int) -> None:
    """Take from a bucket that has enough: its coroutine then ends without having waited."""
    try:
        bucket.acquire(weight).send(None)
    except StopIteration:
        return
    raise AssertionError("the bucket has less than it said")


def _charged_until_ms(attempt: Attempt) -> int:
    """Until when an earlier process's attempt weighs, in exchange time."""
    match attempt.outcome:
        case Outcome.NEVER_LEFT:
            return 0
        case Outcome.ANSWERED:
            assert attempt.ended_at_ms is not None
            return attempt.ended_at_ms + MINUTE_MS + RESTART_MARGIN_MS
    return max(attempt.ended_at_ms or 0, attempt.fence_ms) + CHARGED_MAX_MS
