"""What is known of an account's margin and of what the exchange lends, and since when.

Answers are kept for as long as they are worth their weight, and one question serves whoever asks
at the same time: all assets of an account, and up to five isolated pairs, come in one reply. The
more of the minute's weight is spent, the longer they are kept: so polling leaves room for those who
ask for what is so now. Each answer carries its time.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from . import binance
from .address import Purpose
from .binance import BadReply, Endpoint
from .clock import Clock
from .errors import LookFailed, UnknownAsset
from .figures import (
    NOTHING_OWED,
    AssetStatus,
    Book,
    Ceiling,
    Debt,
    Debts,
    Inventory,
    MaxBorrowable,
    Owed,
    Rules,
)
from .inquiry import Inquiry
from .reader import READ_ERRORS
from .shelf import Known, Running, Shelf, Stamp

FRESH_MS = 2_000
"""Debts, maxima and inventories are asked for again after this."""
RULES_FRESH_MS = 30_000
"""What holds for an asset changes by announcement, not by the second."""
STALE_MAX_MS = 30_000
"""The most that this becomes, as the minute's weight is spent."""
EASY_LOAD = 0.5
"""Up to this part of the weight nothing is stretched."""
LOOK_MAX_S = 30.0
"""The longest that a caller waits for an answer."""
SHELVES_MAX = 1_000
"""Different questions whose answers are kept for one account."""
NO_SUCH_PAIR = -3028
NEVER_ANSWERED = frozenset({-1121, -3027, NO_SUCH_PAIR, -11001})
"""Codes by which the exchange says that the asset or the pair is not there: looking again would not
help."""

T = TypeVar("T")


class Survey:
    """One account's."""

    def __init__(self, inquiry: Inquiry, clock: Clock, running: Running) -> None:
        self.inquiry = inquiry
        self._clock = clock
        self._running = running
        self._cross: Shelf[Book] = Shelf(clock, self._ask_cross, running)
        self._pairs: dict[str, Shelf[Book]] = {}
        self._batches: list[_Batch] = []
        self._ceilings: dict[tuple[str, str | None], Shelf[Ceiling]] = {}

    async def debt(self, asset: str, symbol: str | None, *, fresh: bool = False) -> Debt:
        """What the account owes; what the exchange does not list is not owed. Raises LookFailed."""
        known = await self._owed(f"debt of {self._named(asset, symbol)}", symbol, fresh=fresh)
        owed = owed_in(known.value, asset, symbol)
        return self._debt(asset, symbol, owed, known.as_of_ms)

    async def debts(self, symbol: str | None, *, fresh: bool = False) -> Debts:
        """All that the account owes, in cross margin or in a pair. Raises LookFailed."""
        place = "cross margin" if symbol is None else symbol
        what = f"debts of {self.inquiry.account} in {place}"
        known = await self._owed(what, symbol, fresh=fresh)
        owed = sorted((asset, owed) for (asset, _), owed in known.value.items() if owed.total)
        return Debts(
            account=self.inquiry.account,
            symbol=symbol,
            debts=tuple(self._debt(asset, symbol, each, known.as_of_ms) for asset, each in owed),
            as_of_ms=known.as_of_ms,
        )

    async def max_borrowable(
        self, asset: str, symbol: str | None, *, fresh: bool = False
    ) -> MaxBorrowable:
        """What the account could borrow. Raises LookFailed."""
        _make_room(self._ceilings)
        shelf = self._ceilings.get((asset, symbol))
        if shelf is None:

            async def ask(goes_out: Stamp) -> Ceiling:
                return await self.inquiry.max_borrowable(asset, symbol, Purpose.DEBT, goes_out)

            shelf = self._ceilings[asset, symbol] = Shelf(self._clock, ask, self._running)
        what = f"maximum of {self._named(asset, symbol)}"
        known = await self._look(what, shelf, binance.MAX_BORROWABLE, fresh=fresh)
        return MaxBorrowable(
            account=self.inquiry.account,
            asset=asset,
            symbol=symbol,
            amount=known.value.amount,
            limit=known.value.limit,
            as_of_ms=known.as_of_ms,
        )

    def forget(self) -> None:
        """The account borrowed or repaid: what was known of it is not so any more."""
        self._cross.forget()
        for pair in self._pairs.values():
            pair.forget()
        for ceiling in self._ceilings.values():
            ceiling.forget()

    def _pair(self, symbol: str) -> Shelf[Book]:
        _make_room(self._pairs)
        shelf = self._pairs.get(symbol)
        if shelf is None:

            async def ask(goes_out: Stamp) -> Book:
                return await self._ask_pair(symbol, goes_out)

            shelf = self._pairs[symbol] = Shelf(self._clock, ask, self._running)
        return shelf

    async def _ask_cross(self, goes_out: Stamp) -> Book:
        return await self.inquiry.cross(Purpose.DEBT, goes_out)

    async def _ask_pair(self, symbol: str, goes_out: Stamp) -> Book:
        """Ask together with other pairs that are wanted before the question goes out."""
        batch = next((b for b in self._batches if b.has_room), None)
        try:
            if batch is not None:
                return await batch.join(symbol, goes_out)
            batch = _Batch(symbol, goes_out)
            self._batches.append(batch)
            try:
                await batch.ask(self.inquiry)
            finally:
                self._batches.remove(batch)
            return batch.book(symbol)
        except BadReply as error:
            if batch is None or batch.is_of_one or error.code is None:
                raise
        # One pair that the exchange does not know spoils the answer for the others.
        return await self.inquiry.isolated(lambda: [symbol], Purpose.DEBT, goes_out)

    async def _owed(self, what: str, symbol: str | None, *, fresh: bool) -> Known[Book]:
        if symbol is None:
            return await self._look(what, self._cross, binance.MARGIN_ACCOUNT, fresh=fresh)
        return await self._look(what, self._pair(symbol), binance.ISOLATED_ACCOUNT, fresh=fresh)

    def _debt(self, asset: str, symbol: str | None, owed: Owed, as_of_ms: int) -> Debt:
        return Debt(
            account=self.inquiry.account,
            asset=asset,
            symbol=symbol,
            principal=owed.principal,
            interest=owed.interest,
            as_of_ms=as_of_ms,
        )

    async def _look(
        self, what: str, shelf: Shelf[T], endpoint: Endpoint, *, fresh: bool
    ) -> Known[T]:
        load = self.inquiry.load(endpoint, Purpose.DEBT)
        return await looked_up(what, shelf.get(0 if fresh else age_max_ms(load)))

    def _named(self, asset: str, symbol: str | None) -> str:
        return f"{self.inquiry.account} in {asset}" + ("" if symbol is None else f" of {symbol}")


class Board:
    """What the exchange says to everybody. One a scheduler; any account's key may ask."""

    def __init__(
        self, askers: Callable[[], Iterable[Inquiry]], clock: Clock, running: Running
    ) -> None:
        """`askers` gives those that may ask now, best first."""
        self._askers = askers
        self._rules: Shelf[Mapping[str, Rules]] = Shelf(clock, self._ask_rules, running)
        self._stocks = {
            is_isolated: Shelf(clock, self._stock_asker(is_isolated), running)
            for is_isolated in (False, True)
        }

    async def asset(self, asset: str, *, max_age_ms: int = RULES_FRESH_MS) -> AssetStatus:
        """What holds for an asset. Raises UnknownAsset and other LookFailed."""
        known = await looked_up(f"status of {asset}", self._rules.get(max_age_ms))
        return _status(asset, known)

    def asset_kept(self, asset: str, max_age_ms: int) -> AssetStatus | None:
        """The same from what is known already; None if that is too old or does not list it."""
        known = self._rules.kept(max_age_ms)
        return None if known is None or asset not in known.value else _status(asset, known)

    async def inventory(self, asset: str, *, is_isolated: bool) -> Inventory:
        """What there is to lend of an asset. Raises LookFailed."""
        shelf = self._stocks[is_isolated]
        known = await looked_up(f"inventory of {asset}", shelf.get(FRESH_MS))
        return Inventory(
            asset=asset,
            is_isolated=is_isolated,
            amount=known.value.get(asset, Decimal(0)),
            as_of_ms=known.as_of_ms,
        )

    def forget(self) -> None:
        """An asset turned out not to be lent."""
        self._rules.forget()

    async def _ask_rules(self, goes_out: Stamp) -> Mapping[str, Rules]:
        return await self._asker().rules(Purpose.DEBT, goes_out)

    def _stock_asker(
        self, is_isolated: bool
    ) -> Callable[[Stamp], Awaitable[Mapping[str, Decimal]]]:
        async def ask(goes_out: Stamp) -> Mapping[str, Decimal]:
            return await self._asker().inventory(Purpose.DEBT, goes_out, is_isolated=is_isolated)

        return ask

    def _asker(self) -> Inquiry:
        for inquiry in self._askers():
            return inquiry
        raise LookFailed("no account is left whose key could ask")


class _Batch:
    """Pairs of one account that are asked for in one question."""

    def __init__(self, symbol: str, goes_out: Stamp) -> None:
        self._stamps = {symbol: goes_out}
        self._is_out = False
        self._book: Book = {}
        self._error: Exception | None = None
        self._over = anyio.Event()

    @property
    def has_room(self) -> bool:
        """Whether it has not gone out yet, and may name another pair."""
        return not self._is_out and len(self._stamps) < binance.SYMBOLS_MAX

    @property
    def is_of_one(self) -> bool:
        return len(self._stamps) == 1

    async def ask(self, inquiry: Inquiry) -> None:
        self._error = LookFailed("the look was cancelled")
        try:
            await anyio.lowlevel.checkpoint()  # whoever asks in the same moment comes along
            self._book = await inquiry.isolated(self._symbols, Purpose.DEBT, self._goes_out)
            self._error = None
        except READ_ERRORS as error:
            self._error = error
            raise
        finally:
            self._over.set()

    async def join(self, symbol: str, goes_out: Stamp) -> Book:
        """Come along, and have the part that was asked for."""
        self._stamps[symbol] = goes_out
        await self._over.wait()
        if self._error is not None:
            raise self._error
        return self.book(symbol)

    def book(self, symbol: str) -> Book:
        return {place: owed for place, owed in self._book.items() if place[1] == symbol}

    def _symbols(self) -> list[str]:
        self._is_out = True
        return list(self._stamps)

    def _goes_out(self) -> int:
        return max([stamp() for stamp in self._stamps.values()])


def age_max_ms(load: float) -> int:
    """How old an answer may be that is given without asking again."""
    part = min(1.0, max(0.0, (load - EASY_LOAD) / (1 - EASY_LOAD)))
    return FRESH_MS + round(part * (STALE_MAX_MS - FRESH_MS))


def owed_in(book: Book, asset: str, symbol: str | None) -> Owed:
    """Raises UnknownAsset for an asset that the pair does not have."""
    owed = book.get((asset, symbol))
    if owed is None and symbol is not None and book:
        raise UnknownAsset(f"asset: {symbol} has no {asset}")
    return owed or NOTHING_OWED


async def looked_up(what: str, answer: Awaitable[Known[T]]) -> Known[T]:
    """The answer, within LOOK_MAX_S. Raises LookFailed, and UnknownAsset where the exchange says
    that the asset or the pair is not there."""
    try:
        with anyio.fail_after(LOOK_MAX_S):
            return await answer
    except TimeoutError:
        raise LookFailed(f"{what}: no answer within {LOOK_MAX_S:.0f} s") from None
    except READ_ERRORS as error:
        said = str(error) or type(error).__name__
        is_known_to_lack = isinstance(error, BadReply) and error.code in NEVER_ANSWERED
        if is_known_to_lack:
            raise UnknownAsset(f"asset: {what}: {said}") from error
        raise LookFailed(f"{what}: {said}") from error


def _status(asset: str, known: Known[Mapping[str, Rules]]) -> AssetStatus:
    rules = known.value.get(asset)
    if rules is None:
        raise UnknownAsset(f"asset: the exchange lists no {asset} for margin")
    return AssetStatus(
        asset=asset,
        is_borrowable=rules.is_borrowable,
        min_borrow=rules.min_borrow,
        min_repay=rules.min_repay,
        as_of_ms=known.as_of_ms,
    )


def _make_room(shelves: dict[Any, Any]) -> None:
    """Forget what was asked first, before there are too many."""
    if len(shelves) >= SHELVES_MAX:
        del shelves[next(iter(shelves))]
