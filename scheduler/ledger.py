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
from .window import Minute, Window

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
        self._ended: deque[tuple[int, Charge]] = deque()  # until when each counts, in order
        self._late: list[tuple[int, int, Charge]] = []  # a heap of those that count for longer
        self._late_count = 0
        self._own = 0
        self._own_normal = 0
        self._expired = 0
        self._others = Others(self._limit, limits.request_weight)
        self._window = Window(limits.request_weight)
        self._blocked_until_ms = 0
        self._blocks_in_a_row = 0

    # What is spent

    def own(self, now_ms: int) -> int:
        """The weight of our own attempts that the exchange may be counting."""
        ended, late = self._ended, self._late
        while ended and ended[0][0] <= now_ms:
            self._end_counting(ended.popleft()[1])
        while late and late[0][0] <= now_ms:
            self._end_counting(heapq.heappop(late)[2])
        return self._own

    def foreign(self, now_ms: int) -> int:
        """What is left to others."""
        known, margin = self._left_to_others(now_ms, self.own(now_ms))
        return known + margin

    def wait_ms(self, now_ms: int, *, is_urgent: bool) -> int:
        """0 if one more request fits; else how long until asking again can help."""
        normal_ms, urgent_ms = self.waits_ms(now_ms)
        return urgent_ms if is_urgent else normal_ms

    def waits_ms(self, now_ms: int) -> tuple[int, int]:
        """`wait_ms` of a normal request and of an urgent one."""
        blocked_ms = self._blocked_until_ms - now_ms
        if blocked_ms > 0:
            return blocked_ms, blocked_ms
        own = self.own(now_ms)
        known, margin = self._left_to_others(now_ms, own)
        room = self._limit - own - known - self._weight
        if room < 0:
            wait_ms = self._until_next_change(now_ms)
            return wait_ms, wait_ms
        if margin <= room and self._own_normal + self._weight <= self._normal_limit:
            return 0, 0
        # What is urgent does not wait for what others may spend next.
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
        seen = deque(self._others.falling(now_ms, self._window.minute))
        ends = [(until_ms, c.weight, not c.is_urgent) for until_ms, c in self._expiring()]
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
        until_ms = now_ms + MINUTE_MS + MARGIN_MS
        if self._ended and until_ms < self._ended[-1][0]:
            self._expire_late(charge, until_ms)
            return
        self._open.discard(charge)
        self._ended.append((until_ms, charge))

    def lose(self, charge: Charge, now_ms: int, fence_ms: int) -> None:
        """The attempt's connection is closed and its answer never came; `fence_ms` is its fence on
        this clock. It may still be on its way."""
        until_ms = max(now_ms, fence_ms) + UNANSWERED_MS + MINUTE_MS + MARGIN_MS
        self._expire_late(charge, until_ms)

    def restore(self, until_ms: int, *, is_urgent: bool) -> None:
        """Charge an attempt of an earlier process."""
        charge = Charge(self._weight, is_urgent)
        self._count_in(charge)
        self._expire_late(charge, until_ms)

    def learn(
        self, charge: Charge, now_ms: int, *, used: int | None, is_sure: bool, exchange_ms: int
    ) -> None:
        """What the answer to `charge`, now, tells; `used` is what its header counts of the minute,
        by us and by others, where it has one. `is_sure`: the exchange took the attempt on.
        `exchange_ms` is its time.

        It was counted when the attempt arrived. What of ours has expired since it was sent may be
        in it too, and taken for somebody else's it would leave 1 % of the budget unused for ever.
        """
        self._window.add(charge.started_ms, now_ms, is_sure=is_sure)
        if used is None:
            return
        window = self._window
        surely = window.judge(used, now_ms, charge.started_ms, exchange_ms)
        own = max(self.own(now_ms), charge.own)
        if window.minute is Minute.FIXED:
            if not window.began(charge.started_ms):
                return
            own = surely = window.own(now_ms) + len(self._open) * self._weight
        least = max(0, used - own)
        most = max(least, used - surely)
        until_ms = self._counts_until_ms(now_ms)
        self._others.observe(least, most, now_ms, charge.started_ms, until_ms)
        self._expired = max(0, charge.own - self._own)

    def block(self, until_ms: int) -> None:
        """The exchange refused for weight: nothing of this account starts before `until_ms`."""
        self._blocked_until_ms = max(self._blocked_until_ms, until_ms)
        self._blocks_in_a_row += 1

    def refused(self, charge: Charge, now_ms: int, *, is_counted: bool) -> None:
        """The exchange refused `charge` for weight; `is_counted`: it said what was used by then,
        and `learn` was told."""
        least = None if is_counted else max(0, self._limit - charge.own + 1)
        until_ms, minute = self._counts_until_ms(now_ms), self._window.minute
        self._others.refused(now_ms, charge.started_ms, until_ms, minute, least=least)

    def room_ms(self, now_ms: int) -> int | None:
        """How long until one more fits beside what others have spent by now; None where the window
        is not known to roll."""
        if self._window.minute is not Minute.ROLLING:
            return None
        known = self._others.known(now_ms, Minute.ROLLING)
        used = self.own(now_ms) + known + self._weight
        room_ms = now_ms
        for until_ms, charge in sorted(self._expiring(), key=lambda ending: ending[0]):
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

    def _counts_until_ms(self, now_ms: int) -> int:
        """Until when the exchange counts what is spent now."""
        is_fixed = self._window.minute is Minute.FIXED
        return self._window.ends_ms(now_ms) if is_fixed else now_ms + MINUTE_MS

    def _left_to_others(self, now_ms: int, own: int) -> tuple[int, int]:
        """What they have spent, and how much more to leave them, both on top of `own`."""
        others, window = self._others, self._window
        minute = window.minute
        known = others.known(now_ms, minute)
        margin = others.margin(now_ms, minute, known=known, expired=self._expired)
        if minute is Minute.FIXED:
            # Nothing of a fixed minute is free before its end, while we count ours for less long.
            counted = window.own(now_ms) + len(self._open) * self._weight
            known = max(0, known + counted - own)
        return known, margin

    def _until_next_change(self, now_ms: int) -> int:
        # With nothing to come, all the weight is in the air, or the limit is below one request.
        next_ms = now_ms + MINUTE_MS
        if self._ended:
            next_ms = self._ended[0][0]
        if self._late:
            next_ms = min(next_ms, self._late[0][0])
        others_ms = self._others.falls_ms(now_ms, self._window.minute)
        if others_ms is not None:
            next_ms = min(next_ms, others_ms)
        if self._window.minute is Minute.FIXED:
            next_ms = min(next_ms, self._window.ends_ms(now_ms))
        return max(1, next_ms - now_ms)

    def _expiring(self) -> list[tuple[int, Charge]]:
        """Until when each answered or lost attempt counts."""
        return [*self._ended, *((until_ms, charge) for until_ms, _, charge in self._late)]

    def _expire_late(self, charge: Charge, until_ms: int) -> None:
        self._open.discard(charge)
        self._late_count += 1
        heapq.heappush(self._late, (until_ms, self._late_count, charge))

    def _end_counting(self, charge: Charge) -> None:
        self._expired += charge.weight
        self._count_out(charge)

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
    longer_ms = QUIET_MIN_MS << min(in_a_row - 1, 4) if in_a_row else 0
    if retry_after_ms:
        slack_ms = RETRY_SLACK_MS if room_ms is None else 0
        return now_ms + max(retry_after_ms + slack_ms, longer_ms)
    quiet_ms = QUIET_MIN_MS << min(in_a_row, 4)
    if room_ms is not None:
        return now_ms + max(room_ms, quiet_ms)
    rest_ms = MINUTE_MS - now_ms % MINUTE_MS
    return now_ms + (max(rest_ms, QUIET_MIN_MS) << min(in_a_row, 4))
