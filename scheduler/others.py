"""What others spend of an account's minute, by what replies count beyond our own.

A reply counts what had arrived with its request, and how much of that was ours is known but for
what was just ceasing to count: so what others have spent is known to lie between two bounds. Nobody
tells before they spend, so a little more than that is left to them: as much as is usual of them,
and after a refusal for weight, which is not to be followed by a second one within a minute, room
for whatever they may spend until our next request has arrived.

What they have spent is free again a minute later where minutes roll, and with the clock's minute
where they do not. As long as that is not known, the most that was seen within a minute is left to
them. Times are milliseconds of a clock that is never set.
"""

from collections import deque

from .habits import Habits
from .highest import Highest
from .window import Minute

MINUTE_MS = 60_000
ARRIVAL_MS = 500
"""From the decision to send until the request has arrived, most of the time."""
FRESH_MS = 2_000
"""How long, at the most, what a reply counted is taken to have stood until the next one came."""


class Others:
    """One account's. Weights are what the exchange counted, not ours taken out before."""

    def __init__(self, limit: int, request_weight: int) -> None:
        self._habits = Habits(limit, request_weight)
        self._most = Highest(MINUTE_MS)
        self._steps: deque[tuple[int, int, int]] = deque()
        """Since when at the earliest, how much, and until when it counts."""
        self._sum = 0
        self._more = 0
        """What they may have spent beyond that, by the latest reply."""
        self._late = 0
        """What of it may have come with the latest step."""
        self._shown = 0
        """What of it a refusal was the first to show, until the next reply shows all of it."""
        self._unseen = 0
        """What a refusal that counted nothing has them believed to have spent besides, for a
        minute."""
        self._seen_ms = 0
        self._since_ms = 0
        self._careful_until_ms = 0

    def known(self, now_ms: int, minute: Minute) -> int:
        """What they have spent of this minute."""
        unseen = self._unseen if now_ms < self._careful_until_ms else 0
        if minute is Minute.UNKNOWN:
            return self._most.get(now_ms) + unseen
        if self._steps:
            self._expire(now_ms)
        return self._sum + unseen

    def margin(self, now_ms: int, minute: Minute, *, known: int, expired: int) -> int:
        """What to leave them beside what is known of them. `expired`: what of ours has ceased to
        count since the latest reply."""
        habits = self._habits
        if now_ms >= self._careful_until_ms:
            if minute is Minute.FIXED:
                return 0
            return max(habits.step, habits.usual - known)
        margin = habits.within(now_ms + ARRIVAL_MS - self._seen_ms, now_ms)
        if minute is Minute.ROLLING:
            margin = min(margin, max(0, habits.in_a_minute(now_ms) - known))
        # What has expired here only now, while it had there by then, was somebody else's.
        return margin + min(self._more, expired)

    def observe(self, least: int, most: int, now_ms: int, since_ms: int, until_ms: int) -> None:
        """The reply to a request sent at `since_ms` counted between `least` and `most` beyond our
        own. What is new of that counts until `until_ms`."""
        habits = self._habits
        self._unseen = 0
        if least or self._steps or habits.usual or habits.step:
            if now_ms - self._seen_ms <= FRESH_MS:
                habits.stood(self._sum, now_ms - self._seen_ms)
            self._expire(now_ms)
            self._most.add(least, now_ms)
            rise, shown = max(0, least - self._sum), self._shown
            new = self._rise(least, most, now_ms, until_ms)
            if rise or shown:
                habits.reached(least, now_ms, by=shown + rise if shown else new)
            self._fall(least, most)
            habits.reckon(now_ms)
        self._more = most - self._sum
        self._late = min(self._late, self._more)
        self._shown = 0
        self._seen_ms = self._since_ms = since_ms

    def refused(
        self, now_ms: int, since_ms: int, until_ms: int, minute: Minute, *, least: int | None
    ) -> None:
        """An attempt sent at `since_ms` was refused for weight. `least`: what they had spent by
        then at the least, where the refusal did not say what was counted and `observe` was not
        told. It may be as much more as they spend at once: what a later reply counts of that is
        taken to have come by now, too, and to count until `until_ms`. If it came later we learn
        so by a refusal, though no sooner than a minute after this one."""
        unseen = self._unseen if now_ms < self._careful_until_ms else 0
        self._careful_until_ms = now_ms + MINUTE_MS
        if least is None:
            return
        self._expire(now_ms)
        habits = self._habits
        known = self._sum + max(habits.within(now_ms - self._seen_ms, now_ms), unseen)
        if minute is Minute.ROLLING:
            known = min(known, habits.in_a_minute(now_ms))
        known = max(known, least, self._sum)
        self._most.add(least, now_ms)
        if least > self._sum:
            self._late = 0  # of an earlier step
            self._shown += least - self._sum
            self._rise(least, known, now_ms, until_ms)
            self._since_ms = since_ms
        self._unseen = known - self._sum

    def falls_ms(self, now_ms: int, minute: Minute) -> int | None:
        """When less may be left to them, if nothing more is seen of them; None if never."""
        if minute is Minute.UNKNOWN:
            fall_ms = self._most.falls_ms(now_ms)
        else:
            self._expire(now_ms)
            fall_ms = self._steps[0][2] if self._steps else None
        careful_until_ms = self._careful_until_ms
        if now_ms < careful_until_ms and (fall_ms is None or careful_until_ms < fall_ms):
            return careful_until_ms
        return fall_ms

    def falling(self, now_ms: int, minute: Minute) -> list[tuple[int, int]]:
        """What is surely theirs: until when, and how much, from the highest down."""
        if minute is Minute.UNKNOWN:
            return self._most.falling(now_ms)
        self._expire(now_ms)
        falling, left = [], self._sum
        for _, weight, until_ms in self._steps:
            falling.append((until_ms, left))
            left -= weight
        return falling

    def _rise(self, least: int, most: int, now_ms: int, until_ms: int) -> int:
        """Returns how much of the rise is a new step."""
        rise = least - self._sum
        if rise <= 0:
            return 0
        self._sum = least
        steps, habits = self._steps, self._habits
        late = min(rise, self._late) if steps else 0
        if late:  # it had come with the latest step, but was not sure by then
            since_ms, weight, ends_ms = steps[-1]
            steps[-1] = (since_ms, weight + late, ends_ms)
            self._late -= late
            habits.grew(late)
        if rise > late:
            steps.append((self._since_ms, rise - late, until_ms))
            self._late = most - least
            habits.rose(((since_ms, weight) for since_ms, weight, _ in reversed(steps)), now_ms)
        habits.held(least, now_ms)
        return rise - late

    def _fall(self, least: int, most: int) -> None:
        steps = self._steps
        while self._sum > most:
            since_ms, oldest, until_ms = steps.popleft()
            self._sum -= oldest
            if self._sum < least:  # a part of it still counts
                steps.appendleft((since_ms, least - self._sum, until_ms))
                self._sum = least

    def _expire(self, now_ms: int) -> None:
        steps = self._steps
        while steps and steps[0][2] <= now_ms:
            since_ms, weight, _ = steps.popleft()
            self._sum -= weight
            # It may have ended little by little from here on, and something new in its place.
            self._since_ms = min(self._since_ms, since_ms + MINUTE_MS)
