"""Seeing a debt through to its end, where an order was to repay it.

Auto-repay can fail without a word, because another transaction was under way. So the debt is looked
at until it is gone, and what is silently left of it is repaid, or reported.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

import anyio

from .address import Purpose
from .engine import Engine
from .errors import InvalidRequest, LookFailed, UnknownAsset
from .exchange import Look
from .figures import Debt, Settlement, SettlementOutcome
from .model import ALL, Entry, Kind, State, Submission
from .reconcile import Window
from .request import new_key
from .shelf import seen, shared_answer

WITHIN_MAX_S = 3_600.0
GRACE_S = 2.0
"""A debt that shows for this long with nothing under way was not repaid by its order, as far as can
be seen: repaying it is tried, which is harmless where it is repaid meanwhile."""
REPORT_GRACE_S = 6.0
"""The same before it is reported: orders have been seen to occupy an account for 5 s."""
POLL_S = 0.25
"""Between two looks, doubling up to `POLL_MAX_S`."""
POLL_MAX_S = 2.0
LOOK_BACK_MS = 10 * 60_000
"""How long ago a transaction may have begun that is still pending."""

BUSY = -3007

Place = tuple[str, str, str | None]
"""Account, asset and pair."""


class Settlements:
    """One a scheduler. Whoever wants the same debt settled at the same time shares one look at it,
    and one repayment."""

    def __init__(
        self,
        engine: Engine,
        *,
        accept: Callable[[Submission], Awaitable[tuple[Entry, bool]]],
        follow: Callable[[str, float], Awaitable[Entry]],
        unfinished_of: Callable[[str], Awaitable[Iterable[Entry]]],
    ) -> None:
        """`accept` keeps a submission; `follow` waits for its end for so many seconds;
        `unfinished_of` tells what of an account waits, flies or is not decided."""
        self._engine = engine
        self._accept = accept
        self._follow = follow
        self._unfinished_of = unfinished_of
        self._under_way: dict[tuple[Place, bool], asyncio.Task[Settlement]] = {}

    async def settle(
        self,
        account: str,
        asset: str,
        symbol: str | None,
        *,
        within: float,
        report_only: bool,
    ) -> Settlement:
        """What became of the debt. Raises LookFailed where it could not be looked at."""
        place = account, asset, symbol
        task = self._under_way.get((place, report_only))
        if task is None:
            task = asyncio.ensure_future(self._settle(place, within, report_only))
            self._engine.looking.add(task)
            self._under_way[place, report_only] = task
            task.add_done_callback(lambda _: self._under_way.pop((place, report_only), None))
            task.add_done_callback(self._engine.looking.discard)
            task.add_done_callback(seen)
            return await shared_answer(task)
        with anyio.move_on_after(within):
            return await shared_answer(task)
        debt = await self._engine.survey(account).debt(asset, symbol)
        outcome = SettlementOutcome.PENDING if debt.total else SettlementOutcome.CLEAR
        return _settlement(debt, outcome, ())

    async def _settle(self, place: Place, within: float, report_only: bool) -> Settlement:
        begun_s, poll_s = anyio.current_time(), POLL_S
        grace_s = min(REPORT_GRACE_S if report_only else GRACE_S, within / 2)
        keys: list[str] = []
        quiet_since_s = begun_s
        is_fresh = True
        while True:
            # Once looked at anew, what is kept of it can only be newer.
            debt = await self._debt(place, begun_s + within, fresh=is_fresh)
            now_s = anyio.current_time()
            is_over = now_s >= begun_s + within
            if not debt.total:
                was_repaid = await self._was_repaid(keys)
                outcome = SettlementOutcome.REPAID if was_repaid else SettlementOutcome.CLEAR
                return _settlement(debt, outcome, keys)
            if await self._is_pending(place):
                quiet_since_s = now_s
                if is_over:
                    return _settlement(debt, SettlementOutcome.PENDING, keys)
            elif is_over or now_s - quiet_since_s >= grace_s:
                if not is_fresh and not is_over:
                    is_fresh = True
                    continue
                if report_only or keys or is_over:
                    return _settlement(debt, SettlementOutcome.LEFT, keys)
                ended = await self._repay(place, begun_s + within - now_s)
                keys.append(ended.key)
                if not ended.is_final or ended.code == BUSY:
                    return _settlement(debt, SettlementOutcome.PENDING, keys)
                quiet_since_s = anyio.current_time()
                poll_s = POLL_S
                continue
            await anyio.sleep(min(poll_s, max(0.0, begun_s + within - now_s)))
            poll_s = min(poll_s * 2, POLL_MAX_S)
            is_fresh = False

    async def _debt(self, place: Place, until_s: float, *, fresh: bool) -> Debt:
        """However often asking it takes. Raises LookFailed once the time is over, UnknownAsset at
        once."""
        account, asset, symbol = place
        while True:
            try:
                return await self._engine.survey(account).debt(asset, symbol, fresh=fresh)
            except UnknownAsset:
                raise  # no look of any time would find it
            except LookFailed:
                if anyio.current_time() >= until_s:
                    raise
            await anyio.sleep(min(1.0, max(0.01, until_s - anyio.current_time())))

    async def _is_pending(self, place: Place) -> bool:
        """Whether a repayment of ours, or one that the exchange's records tell of, is under way."""
        account, asset, symbol = place
        for entry in await self._unfinished_of(account):
            if (entry.kind, entry.asset, entry.symbol) == (Kind.REPAY, asset, symbol):
                return True
        now_ms = self._engine.clock.now_ms()
        look = await self._engine.exchange(account).look(
            _Repayments(asset, symbol), Window(now_ms - LOOK_BACK_MS, now_ms + 1), Purpose.DEBT
        )
        return isinstance(look, Look) and any(r.status == "PENDING" for r in look.records)

    async def _repay(self, place: Place, left_s: float) -> Entry:
        """What is left, all of it as it then stands: nothing, if it was repaid meanwhile."""
        account, asset, symbol = place
        now_ms = self._engine.clock.now_ms()
        asked = Submission(
            key=f"settle:{new_key()}",
            account=account,
            kind=Kind.REPAY,
            asset=asset,
            requested=ALL,
            symbol=symbol,
            submitted_at_ms=now_ms,
            deadline_ms=now_ms + math.ceil(left_s * 1000),
        )
        entry, _ = await self._accept(asked)
        return await self._follow(entry.key, left_s)

    async def _was_repaid(self, keys: list[str]) -> bool:
        for key in keys:
            if (await self._follow(key, 0.0)).state is State.CONFIRMED:
                return True
        return False


class _Repayments:
    """What is asked of the records."""

    kind = Kind.REPAY

    def __init__(self, asset: str, symbol: str | None) -> None:
        self.asset = asset
        self.symbol = symbol


def checked_within(within: object) -> float:
    """Raises InvalidRequest."""
    match within:
        case int() | float() if not isinstance(within, bool) and 0 < within <= WITHIN_MAX_S:
            return float(within)
    raise InvalidRequest(
        "within", "within_invalid", f"within: must be over 0 and at most {WITHIN_MAX_S:.0f} seconds"
    )


def _settlement(debt: Debt, outcome: SettlementOutcome, keys: Sequence[str]) -> Settlement:
    return Settlement(
        account=debt.account,
        asset=debt.asset,
        symbol=debt.symbol,
        outcome=outcome,
        debt=debt,
        keys=tuple(keys),
        as_of_ms=debt.as_of_ms,
    )
