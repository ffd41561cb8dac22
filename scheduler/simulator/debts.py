"""Who owes what: principal and interest, which grows by itself."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Literal

from .clock import Clock

ZERO = Decimal(0)
SMALLEST = Decimal("0.00000001")
HOUR_MS = 3_600_000


@dataclass(slots=True)
class Debt:
    """One account's debt in one asset: in cross margin, or in one isolated pair."""

    principal: Decimal = ZERO
    interest: Decimal = ZERO
    accrued_ms: float = 0.0

    @property
    def total(self) -> Decimal:
        return self.principal + self.interest


@dataclass(frozen=True, slots=True)
class Charge:
    """Interest added to a debt, as the interest history lists it."""

    at_ms: int
    account: str
    asset: str
    symbol: str | None
    principal: Decimal
    interest: Decimal


class Debts:
    """All debts. Interest is worked out whenever one is looked at, so it costs no timers."""

    def __init__(
        self,
        clock: Clock,
        rate: Decimal,
        mode: Literal["hourly", "continuous", "none"],
        charges_max: int,
    ) -> None:
        self._clock = clock
        self._rate = rate
        self._mode = mode
        self._debts: dict[tuple[str, str, str | None], Debt] = {}
        self.charges: deque[Charge] = deque(maxlen=charges_max)

    def owed(self, account: str, asset: str, symbol: str | None) -> Debt:
        """The debt as it stands now; an empty one if there is none."""
        key = (account, asset, symbol)
        debt = self._debts.get(key)
        if debt is None:
            debt = self._debts[key] = Debt(accrued_ms=self._clock.steady_ms())
        elif debt.principal and self._mode != "none":
            self._accrue(key, debt, self._clock.steady_ms())
        return debt

    def of(self, account: str) -> Iterator[tuple[str, str | None, Debt]]:
        """Every asset, pair and debt of an account, in the order in which they first came up."""
        for name, asset, symbol in list(self._debts):
            if name == account:
                yield asset, symbol, self.owed(account, asset, symbol)

    def borrow(self, account: str, asset: str, symbol: str | None, amount: Decimal) -> None:
        debt = self.owed(account, asset, symbol)
        if not debt.principal:
            debt.accrued_ms = self._clock.steady_ms()
        debt.principal += amount

    def repay(
        self, account: str, asset: str, symbol: str | None, amount: Decimal
    ) -> tuple[Decimal, Decimal]:
        """Pays interest first, then principal; gives how much of each was paid."""
        debt = self.owed(account, asset, symbol)
        interest = min(amount, debt.interest)
        principal = amount - interest
        assert principal <= debt.principal, "a repayment beyond the debt was let through"
        debt.interest -= interest
        debt.principal -= principal
        return interest, principal

    def set(
        self, account: str, asset: str, symbol: str | None, principal: Decimal, interest: Decimal
    ) -> None:
        self._debts[account, asset, symbol] = Debt(principal, interest, self._clock.steady_ms())

    def _accrue(self, key: tuple[str, str, str | None], debt: Debt, now_ms: float) -> None:
        if self._mode == "continuous":
            hours = Decimal(int(now_ms - debt.accrued_ms)) / HOUR_MS
            self._charge(key, debt, hours, now_ms)
            return
        for hour in range(int(debt.accrued_ms // HOUR_MS), int(now_ms // HOUR_MS)):
            self._charge(key, debt, Decimal(1), (hour + 1) * HOUR_MS)

    def _charge(
        self, key: tuple[str, str, str | None], debt: Debt, hours: Decimal, at_ms: float
    ) -> None:
        added = (debt.principal * self._rate * hours).quantize(SMALLEST, ROUND_DOWN)
        if not added:
            # What is still below the smallest unit keeps adding up from the old mark.
            return
        debt.interest += added
        debt.accrued_ms = at_ms
        self.charges.append(Charge(int(at_ms), *key, debt.principal, added))
