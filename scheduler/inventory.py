"""The gate of a starved asset: one a scheduler, shared by all its accounts.

After the exchange refuses a borrow for want of inventory (-3045), borrows of that amount and more
wait, whoever asks. Smaller ones may try, one at a time. Before a waiting one goes again the gate
asks the cheap inventory call, and what now fits goes in the order of submission, one at a time, so
that a refill that is not enough costs one refusal and not one an account.

Where several schedulers share a journal, each has a gate of its own, and they tell each other of
refusals: one that another was given counts as if it had been given here, as long ago as it was.
That is a hint. What is told too late, twice or not at all costs a request's weight or the wait
after a refusal, and nothing else rests on it.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from .model import Entry, Kind, State
from .policy import Policy

Pool = tuple[str, bool]
"""An asset and whether it is lent isolated: the exchange keeps the two inventories apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a refusal says of a pool to other gates of the same exchange."""

    pool: Pool
    amount: Decimal
    """This and more was refused."""
    wait_ms: int
    """So long after it no waiting borrow should go."""
    doubted: Decimal | None
    """As `Shortage.doubted`."""


@dataclass(slots=True)
class Shortage:
    """What is known of one starved pool."""

    refused: Decimal
    """This amount and more was refused."""
    wait_ms: int
    retry_at_ms: int
    """No waiting borrow goes before this."""
    ask_wait_ms: int
    ask_at_ms: int
    available: Decimal | None = None
    """What the exchange said it has, less what has been lent since; None until it was asked, and
    where it is not believed."""
    is_said: bool = False
    """Whether `available` is the exchange's word."""
    doubted: Decimal | None = None
    """What the exchange said it had when it refused to lend less: as much or less means nothing."""
    doubted_until_ms: int = 0
    fresh_until_ms: int = 0
    """Until when `available` may send borrows off."""
    waited_at_ms: int = 0
    """When a borrow last stood at the gate, or will again once the wait is over."""
    trying: str | None = None
    """The borrow in the air."""
    waiting: dict[str, Entry] = field(default_factory=dict)
    """Borrows that only the gate keeps from starting, by key."""

    def first_that_fits(self, now_ms: int) -> Entry | None:
        """The earliest submission that the last answer leaves room for."""
        if self.available is None or now_ms >= self.fresh_until_ms:
            return None
        fitting = (e for e in self.waiting.values() if _amount(e) <= (self.available or 0))
        return min(fitting, key=lambda entry: entry.seq, default=None)


class InventoryGate:
    """Which borrows may start while their asset is short."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._shortages: dict[Pool, Shortage] = {}
        self._news: dict[Pool, Refusal] = {}

    def may_start(self, entry: Entry, now_ms: int) -> bool:
        """Whether the borrow may go now; if not, it is remembered as waiting.

        To be asked of a borrow that nothing else keeps from starting.
        """
        shortage = self._of(entry)
        if shortage is None or self._is_over(shortage, entry, now_ms):
            return True
        shortage.waiting[entry.key] = entry
        # Never back: between two visits of one that waits for minutes it is not asked for anything.
        shortage.waited_at_ms = max(shortage.waited_at_ms, now_ms)
        if shortage.trying is not None:
            return False
        # One that takes what there is, and was refused that, would be refused again at once.
        was_told = entry.submission.is_open and entry.answer is not None
        if _amount(entry) < shortage.refused and not was_told:
            return True
        return now_ms >= shortage.retry_at_ms and shortage.first_that_fits(now_ms) is entry

    def is_short(self, entry: Entry) -> bool:
        """Whether the entry is a borrow of an asset that is short."""
        return self._of(entry) is not None

    def started(self, entry: Entry) -> None:
        """The borrow is in the air."""
        shortage = self._of(entry)
        if shortage is not None:
            shortage.trying = entry.key
            shortage.waiting.pop(entry.key, None)

    def refused(self, entry: Entry, now_ms: int) -> None:
        """The exchange had not enough for it."""
        policy, amount = self._policy, _amount(entry)
        shortage = self._shortages.get(_pool(entry))
        if shortage is None:
            shortage = Shortage(amount, 0, 0, 0, 0)
            self._shortages[_pool(entry)] = shortage
        # Only a borrow that had waited says that the wait was too short. One that was under way
        # when the asset ran out, and a smaller one that tries its luck, say nothing of that:
        # twenty accounts that are refused at once would otherwise all wait for five minutes.
        has_waited = shortage.trying == entry.key and amount >= shortage.refused
        if has_waited or not shortage.wait_ms:
            shortage.wait_ms = _doubled(
                shortage.wait_ms, policy.starved_wait_ms, policy.starved_wait_max_ms
            )
            shortage.retry_at_ms = now_ms + shortage.wait_ms
        else:
            shortage.retry_at_ms = max(shortage.retry_at_ms, now_ms + policy.starved_wait_ms)
        if has_waited and shortage.is_said:
            shortage.doubted = shortage.available
            shortage.doubted_until_ms = now_ms + policy.starved_wait_max_ms
        shortage.refused = min(shortage.refused, amount)
        shortage.ask_at_ms = shortage.waited_at_ms = shortage.retry_at_ms
        shortage.ask_wait_ms = 0
        shortage.available = None
        if shortage.trying == entry.key:
            shortage.trying = None
        self._news[_pool(entry)] = Refusal(
            pool=_pool(entry),
            amount=shortage.refused,
            wait_ms=shortage.retry_at_ms - now_ms,
            doubted=shortage.doubted,
        )

    def news(self) -> list[Refusal]:
        """What other gates should hear, each once: the latest refusal of each pool."""
        news, self._news = self._news, {}
        return list(news.values())

    def heard(self, refusal: Refusal, age_ms: int, now_ms: int) -> None:
        """Another scheduler was refused, so long ago."""
        policy = self._policy
        wait_ms = min(refusal.wait_ms, policy.starved_wait_max_ms)
        refused_at_ms = now_ms - max(0, age_ms)
        retry_at_ms = refused_at_ms + wait_ms
        if now_ms >= retry_at_ms + policy.shortage_quiet_ms:
            return  # had it been refused here, it would be forgotten by now
        shortage = self._shortages.get(refusal.pool)
        if shortage is None:
            shortage = Shortage(refusal.amount, 0, 0, 0, 0)
            self._shortages[refusal.pool] = shortage
        shortage.refused = min(shortage.refused, refusal.amount)
        shortage.wait_ms = max(shortage.wait_ms, wait_ms)
        shortage.retry_at_ms = max(shortage.retry_at_ms, retry_at_ms)
        shortage.ask_at_ms = max(shortage.ask_at_ms, shortage.retry_at_ms)
        shortage.waited_at_ms = max(shortage.waited_at_ms, shortage.retry_at_ms)
        shortage.ask_wait_ms = 0
        shortage.available = None
        if refusal.doubted is not None:
            shortage.doubted = refusal.doubted
            shortage.doubted_until_ms = refused_at_ms + policy.starved_wait_max_ms

    def ended(self, entry: Entry, *, was_lent: bool) -> None:
        """The borrow is no longer in the air, and was not refused for want of inventory."""
        shortage = self._of(entry)
        if shortage is None or shortage.trying != entry.key:
            return
        shortage.trying = None
        if was_lent:
            shortage.wait_ms = shortage.ask_wait_ms = 0
            shortage.doubted = None
            if shortage.available is not None:
                shortage.available -= _amount(entry)

    def withdrawn(self, entry: Entry) -> None:
        """The borrow is not waiting for inventory any more, or for something else as well."""
        shortage = self._of(entry)
        if shortage is not None:
            shortage.waiting.pop(entry.key, None)

    def forget(self, now_ms: int) -> None:
        """Let go of every shortage that nobody has waited for lately."""
        for pool, shortage in list(self._shortages.items()):
            if self._is_forgotten(shortage, now_ms):
                del self._shortages[pool]

    def due(self, now_ms: int) -> list[Pool]:
        """Pools whose inventory should be asked for now."""
        asks = ((pool, self._ask_ms(s, now_ms)) for pool, s in self._shortages.items())
        return [pool for pool, ask_ms in asks if ask_ms is not None and ask_ms <= now_ms]

    def answered(self, pool: Pool, available: Decimal | None, now_ms: int) -> None:
        """The inventory call said how much there is; None if it failed.

        Without an answer the smallest in line may try, as plain back-off would have it. After one
        that was not kept only more than it said is believed, or the same after a long while: an
        exchange that says what it will not lend would else be tried again and again.
        """
        shortage, policy = self._shortages.get(pool), self._policy
        if shortage is None:  # nobody waited any more, and it was forgotten meanwhile
            return
        shortage.is_said = available is not None
        if available is None:
            available = min(map(_amount, shortage.waiting.values()), default=None)
        elif shortage.doubted is not None and available <= shortage.doubted:
            shortage.doubted = available
            if now_ms < shortage.doubted_until_ms:
                available = None
        shortage.available = available
        shortage.fresh_until_ms = now_ms + policy.inventory_fresh_ms
        shortage.ask_wait_ms = _doubled(
            shortage.ask_wait_ms, policy.inventory_ask_wait_ms, policy.inventory_ask_max_ms
        )
        shortage.ask_at_ms = now_ms + shortage.ask_wait_ms

    def waiting_accounts(self) -> set[str]:
        """Accounts with a borrow at the gate: after a change they are to choose again."""
        return {e.account for s in self._shortages.values() for e in s.waiting.values()}

    def asker(self, pool: Pool) -> str | None:
        """The account whose key should ask: that of the first in line."""
        shortage = self._shortages.get(pool)
        waiting = () if shortage is None else shortage.waiting.values()
        first = min(waiting, key=lambda entry: entry.seq, default=None)
        return None if first is None else first.account

    @property
    def is_short_of_nothing(self) -> bool:
        """Nearly always: then nobody waits here, and nothing has to be told."""
        return not self._shortages

    def shortages(self) -> dict[Pool, Shortage]:
        """What is short now."""
        return dict(self._shortages)

    def _ask_ms(self, shortage: Shortage, now_ms: int) -> int | None:
        if not shortage.waiting or shortage.trying is not None:
            return None
        ask_ms = max(shortage.ask_at_ms, shortage.retry_at_ms)
        if shortage.first_that_fits(now_ms) is not None:
            return max(ask_ms, shortage.fresh_until_ms)  # what fits goes first
        return ask_ms

    def _is_over(self, shortage: Shortage, entry: Entry, now_ms: int) -> bool:
        is_over = self._is_forgotten(shortage, now_ms)
        if is_over:
            del self._shortages[_pool(entry)]
        return is_over

    def _is_forgotten(self, shortage: Shortage, now_ms: int) -> bool:
        if shortage.waiting or shortage.trying is not None:
            return False
        return now_ms >= shortage.waited_at_ms + self._policy.shortage_quiet_ms

    def _of(self, entry: Entry) -> Shortage | None:
        if not self._shortages or entry.kind is not Kind.BORROW:
            return None
        return self._shortages.get(_pool(entry))


def _pool(entry: Entry) -> Pool:
    return entry.asset, entry.symbol is not None


def _amount(entry: Entry) -> Decimal:
    """What it takes: in the air that of its attempt, before that what was asked for; what takes as
    much as there is fits whatever there is."""
    amount = entry.fixed_amount if entry.state is State.QUEUED else entry.amount
    return Decimal(0) if amount is None else amount


def _doubled(wait_ms: int, first_ms: int, max_ms: int) -> int:
    return min(wait_ms * 2 or first_ms, max_ms)
