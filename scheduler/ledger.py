"""The minute's weight of one account: what we have charged, until when, and what others spend.

It is what keeps the account inside its budget. An attempt is charged from before it is sent until a
minute after its answer: the exchange counted it at some moment in between, so whether its minutes
are fixed or rolling, our sum is never below its own. (Charged from the send alone, attempts that
were under way when the minute began slip out too early: 145 requests were measured in one minute.)

Times are milliseconds of a clock that is never set; only its differences count.
"""

import heapq
from collections import deque
from dataclasses import dataclass

from .others import Others
from .policy import Limits
from .window import Window

MINUTE_MS = 60_000
MARGIN_MS = 30
"""On top of every minute, for two clocks that run at slightly different speeds."""
UNANSWERED_MS = 30_000
"""How long after its fence or its connection's end an unanswered attempt may still arrive."""
RETRY_SLACK_MS = 1_000
"""On top of what a refusal for weight says: it speaks of the room for one more request, and where
refusals weigh, the refused one has just taken it."""
QUIET_MIN_MS = 5_000
"""The shortest quiet after a refusal for weight that does not say how long it lasts."""


@dataclass(slots=True, eq=False)
class Charge:
    """One attempt's weight."""

    weight: int
    is_urgent: bool
    started_ms: int = 0
    own: int = 0
    """All that was charged when the attempt started, its own weight included."""


class Ledger:
    """Whether one more request fits, and if not, how long until that can change."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.uid_weight_per_minute
        self._weight = limits.request_weight
        self._normal_limit = self._limit - limits.urgent_reserve * limits.request_weight
        self._open: set[Charge] = set()
        self._expiring: list[tuple[int, int, Charge]] = []
        self._count = 0
        self._own = 0
        self._own_normal = 0
        self._others = Others(limits.request_weight)
        self._window = Window(limits.request_weight)
        self._are_refusals_clear = True
        self._blocked_until_ms = 0
        self._blocks_in_a_row = 0

    # What is spent

    def own(self, now_ms: int) -> int:
        """The weight of our own attempts that the exchange may be counting."""
        self._expire(now_ms)
        return self._own

    def foreign(self, now_ms: int) -> int:
        """What is left to others."""
        is_rolling = self._window.is_rolling and self._are_refusals_clear
        return self._others.weight(now_ms, is_rolling=is_rolling)

    def wait_ms(self, now_ms: int, *, is_urgent: bool) -> int:
        """0 if one more request fits; else how long until asking again can help."""
        normal_ms, urgent_ms = self.waits_ms(now_ms)
        return urgent_ms if is_urgent else normal_ms

    def waits_ms(self, now_ms: int) -> tuple[int, int]:
        """`wait_ms` of a normal request and of an urgent one."""
        blocked_ms = self._blocked_until_ms - now_ms
        if blocked_ms > 0:
            return blocked_ms, blocked_ms
        if self.own(now_ms) + self.foreign(now_ms) + self._weight > self._limit:
            wait_ms = self._until_next_change(now_ms)
            return wait_ms, wait_ms
        if self._own_normal + self._weight <= self._normal_limit:
            return 0, 0
        return self._until_next_change(now_ms), 0

    def blocked_until_ms(self) -> int:
        return self._blocked_until_ms

    def left(self, now_ms: int) -> int:
        """The weight that normal submissions may still use."""
        total = self._limit - self.own(now_ms) - self.foreign(now_ms)
        return max(0, min(total, self._normal_limit - self._own_normal))

    def starts_at_ms(self, now_ms: int, ahead: int, gap_ms: int, *, is_urgent: bool) -> int:
        """The earliest time at which a request with `ahead` others before it could start.

        A lower bound: it knows what is charged now and when that ends, and that no minute takes
        more than the limit; it assumes that every answer comes at once and that others spend
        nothing new.
        """
        limit = self._limit if is_urgent else self._normal_limit
        rounds, place = divmod(ahead, max(1, limit // self._weight))
        free_ms = self._fits_from_ms(now_ms, place * self._weight, is_urgent)
        first_ms = max(now_ms + place * gap_ms, free_ms, self._blocked_until_ms)
        return first_ms + rounds * MINUTE_MS

    def _fits_from_ms(self, now_ms: int, before: int, is_urgent: bool) -> int:
        """When one more request fits on top of `before` of weight that is yet to be spent."""
        total = self.own(now_ms) + before + self._weight
        normal = self._own_normal + before + self._weight
        seen = deque(self._others.falling(now_ms, is_rolling=self._window.is_rolling))
        ends = [(until_ms, c.weight, not c.is_urgent) for until_ms, _, c in self._expiring]
        ends += [(now_ms + MINUTE_MS, c.weight, not c.is_urgent) for c in self._open]
        at_ms = now_ms
        for until_ms, weight, is_normal in [(now_ms, 0, False), *sorted(ends)]:
            at_ms = max(at_ms, until_ms)
            total -= weight
            normal -= weight if is_normal else 0
            if not is_urgent and normal > self._normal_limit:
                continue
            if total <= self._limit:
                while seen and total + seen[0][1] > self._limit:
                    at_ms = max(at_ms, seen.popleft()[0])
                return at_ms
        return at_ms

    # What happens

    def start(self, *, is_urgent: bool) -> Charge:
        """Charge an attempt that is about to become durable."""
        charge = Charge(self._weight, is_urgent)
        self._open.add(charge)
        self._count_in(charge)
        charge.own = self._own
        return charge

    def drop(self, charge: Charge) -> None:
        """The attempt never left: it costs nothing."""
        self._open.discard(charge)
        self._count_out(charge)

    def end(self, charge: Charge, now_ms: int) -> None:
        """The attempt was answered."""
        self._expire_at(charge, now_ms + MINUTE_MS + MARGIN_MS)

    def lose(self, charge: Charge, now_ms: int, fence_ms: int) -> None:
        """The attempt's connection is closed and its answer never came; `fence_ms` is its fence on
        this clock. It may still be on its way."""
        self._expire_at(charge, max(now_ms, fence_ms) + UNANSWERED_MS + MINUTE_MS + MARGIN_MS)

    def restore(self, until_ms: int, *, is_urgent: bool) -> None:
        """Charge an attempt of an earlier process."""
        charge = Charge(self._weight, is_urgent)
        self._count_in(charge)
        self._expire_at(charge, until_ms)

    def learn(
        self, charge: Charge, now_ms: int, *, used: int | None, is_sure: bool, exchange_ms: int
    ) -> None:
        """What the answer to `charge`, now, tells of the window; `is_sure`: the exchange took the
        attempt on. `exchange_ms` is its time."""
        self._window.add(charge.started_ms, now_ms, is_sure=is_sure)
        if used is not None:
            self._window.judge(used, now_ms, charge.started_ms, exchange_ms)

    def observe(self, used: int, now_ms: int, charge: Charge | None = None) -> None:
        """The header of the reply to `charge` says how much of the minute is spent, by us and by
        others.

        It was counted when the attempt arrived. What of ours has expired since then is in it too,
        and taken for somebody else's it would leave 1 % of the budget unused for ever.
        """
        own = max(self.own(now_ms), charge.own if charge is not None else 0)
        self._others.observe(max(0, used - own), now_ms)

    def block(self, until_ms: int) -> None:
        """The exchange refused for weight: nothing of this account starts before `until_ms`."""
        self._blocked_until_ms = max(self._blocked_until_ms, until_ms)
        self._blocks_in_a_row += 1

    def refused(self, now_ms: int, *, is_counted: bool, is_told: bool) -> None:
        """The exchange refused for weight; `is_counted`: it said what was used by then, and
        `observe` was told; `is_told`: it said for how long."""
        # One that says neither costs up to a minute: none of those is risked.
        self._are_refusals_clear = is_counted or is_told
        self._others.refused(now_ms, is_counted=is_counted)

    def room_ms(self, now_ms: int) -> int | None:
        """How long until one more fits beside what others have spent by now; None where the window
        is not known to roll."""
        if not self._window.is_rolling:
            return None
        used = self.own(now_ms) + self._others.known(now_ms) + self._weight
        room_ms = now_ms
        for until_ms, _, charge in sorted(self._expiring, key=lambda ending: ending[0]):
            if used <= self._limit:
                break
            used -= charge.weight
            room_ms = until_ms
        return room_ms - now_ms if used <= self._limit else MINUTE_MS

    @property
    def blocks_in_a_row(self) -> int:
        """Refusals for weight since the last attempt that was not."""
        return self._blocks_in_a_row

    def went_through(self) -> None:
        self._blocks_in_a_row = 0

    # Upkeep

    def _until_next_change(self, now_ms: int) -> int:
        changes = [self._expiring[0][0]] if self._expiring else []
        changes += self._others.changes(now_ms)
        # With neither, all the weight is in the air, or the limit is below one request.
        return max(1, min(changes, default=now_ms + MINUTE_MS) - now_ms)

    def _expire(self, now_ms: int) -> None:
        while self._expiring and self._expiring[0][0] <= now_ms:
            self._count_out(heapq.heappop(self._expiring)[2])

    def _expire_at(self, charge: Charge, until_ms: int) -> None:
        self._open.discard(charge)
        self._count += 1
        heapq.heappush(self._expiring, (until_ms, self._count, charge))

    def _count_in(self, charge: Charge) -> None:
        self._own += charge.weight
        if not charge.is_urgent:
            self._own_normal += charge.weight

    def _count_out(self, charge: Charge) -> None:
        self._own -= charge.weight
        if not charge.is_urgent:
            self._own_normal -= charge.weight


def limited_until_ms(
    retry_after_ms: int | None, now_ms: int, in_a_row: int, room_ms: int | None = None
) -> int:
    """Until when nothing of an account is sent after a refusal for weight, in exchange time.

    As long as the exchange says; where that was not enough the time before, at least 5 s, and twice
    as long with every further refusal in a row, because going on after 429 earns a ban. If it does
    not say: until its next clock minute and at least 5 s, and twice as long likewise; or, where it
    is known how long it takes until there is room, for that long and at least 5 s likewise.
    """
    if retry_after_ms:
        least_ms = QUIET_MIN_MS << min(in_a_row - 1, 4) if in_a_row else 0
        return now_ms + max(retry_after_ms + RETRY_SLACK_MS, least_ms)
    if room_ms is not None:
        return now_ms + max(room_ms + RETRY_SLACK_MS, QUIET_MIN_MS << min(in_a_row, 4))
    rest_ms = MINUTE_MS - now_ms % MINUTE_MS
    return now_ms + (max(rest_ms, QUIET_MIN_MS) << min(in_a_row, 4))
