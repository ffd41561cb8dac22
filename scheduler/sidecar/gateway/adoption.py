"""Submissions whose client left, or was told 504, without an outcome.

An equal request takes the oldest of them over, each once and within a time. Whoever asks the
exchange again after a timeout wants the same loan, not a second one.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal

from ...clock import loop_s
from ...model import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What makes two requests equal; amounts are compared as numbers."""

    client: str
    account: str
    kind: Kind
    asset: str
    amount: Decimal
    symbol: str | None


@dataclass(slots=True, kw_only=True)
class Orphan:
    """One submission nobody waits for."""

    key: str
    wish: Wish | None
    """None where the client chose the key: only that key finds it again."""
    order: int
    """Its place among all submissions of the gateway."""
    releasing: "asyncio.Task[None]"
    """Takes it back if it is not sent yet. Nothing is certain of it before that is done."""
    until_s: float = 0.0


class Orphanage:
    """All of them. Small: a submission only stays if it was sent, which the exchange's pace bounds.

    Nothing here awaits, so of several equal requests each gets another orphan.
    """

    def __init__(self, adopt_s: float) -> None:
        self._adopt_s = adopt_s
        self._by_key: OrderedDict[str, Orphan] = OrderedDict()  # in the order they were left
        self._by_wish: dict[Wish, dict[str, Orphan]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def put(self, orphan: Orphan) -> None:
        """Left now: the time in which it can be taken over begins."""
        self.forget_old()
        orphan.until_s = loop_s() + self._adopt_s
        self._by_key[orphan.key] = orphan
        if orphan.wish is not None:
            self._by_wish.setdefault(orphan.wish, {})[orphan.key] = orphan

    def take(self, wish: Wish) -> Orphan | None:
        """The oldest one that is equal; from now on it is the caller's."""
        self.forget_old()
        equal = self._by_wish.get(wish)
        if not equal:
            return None
        return self.take_key(min(equal.values(), key=lambda orphan: orphan.order).key)

    def take_key(self, key: str) -> Orphan | None:
        """The one of this key."""
        orphan = self._by_key.pop(key, None)
        if orphan is not None and orphan.wish is not None:
            equal = self._by_wish[orphan.wish]
            del equal[key]
            if not equal:
                del self._by_wish[orphan.wish]
        return orphan

    def get(self, key: str) -> Orphan | None:
        return self._by_key.get(key)

    def forget_old(self) -> None:
        """Drop those whose time is over."""
        now_s = loop_s()
        while self._by_key:
            key, orphan = next(iter(self._by_key.items()))
            if orphan.until_s > now_s:
                break
            self.take_key(key)
