"""What other parties do on the accounts: orders that borrow by themselves, other programs."""

from decimal import Decimal
from typing import Literal

from .accounts import Account
from .borrow_repay import BorrowRepay, Cause
from .clock import Clock
from .debts import Debts
from .ledger import Ledger, Transaction
from .options import Options
from .parameters import Loan, LoanKind
from .seeds import Seeds

OrderKind = Literal["auto_borrow", "auto_repay"]


class Orders:
    """Lets other parties borrow and repay, without any request of the program under test."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        seeds: Seeds,
        debts: Debts,
        borrow_repay: BorrowRepay,
        ledger: Ledger,
    ) -> None:
        self._options = options
        self._clock = clock
        self._seeds = seeds
        self._debts = debts
        self._borrow_repay = borrow_repay
        self._ledger = ledger

    def order(
        self,
        account: Account,
        asset: str,
        amount: Decimal,
        kind: OrderKind,
        symbol: str | None,
        occupies_ms: float | None,
        fails_silently: bool,
    ) -> Transaction | None:
        """An order's own loan or repayment. None if it came to nothing, of which nobody is told.

        The official page says that auto-repay can fail silently while a transaction is running.
        """
        loan = self._loan(account, asset, amount, kind, symbol)
        refused = loan is None or self._borrow_repay.refusal(account, loan) is not None
        if loan is None or refused:
            self._ledger.silent_failures += 1
            return None
        if occupies_ms is None:
            occupies_ms = self._seeds.between(f"orders:{account.name}", self._options.order_ms)
        if fails_silently:
            self._ledger.silent_failures += 1
            self._borrow_repay.occupy(account.name, symbol, occupies_ms)
            return None
        course = self._borrow_repay.course(account.name, None)
        cause = Cause(origin="order", arrived_ms=self._clock.now_ms())
        return self._borrow_repay.start(account, loan, cause, course, occupies_ms=occupies_ms)

    def foreign(
        self, account: Account, kind: LoanKind, asset: str, amount: Decimal, symbol: str | None
    ) -> Transaction | None:
        """A borrow or repayment somebody else makes by hand. None if it was refused."""
        loan = Loan(kind, asset, amount, symbol)
        if self._borrow_repay.refusal(account, loan) is not None:
            return None
        course = self._borrow_repay.course(account.name, None)
        cause = Cause(origin="foreign", arrived_ms=self._clock.now_ms())
        return self._borrow_repay.start(account, loan, cause, course)

    def _loan(
        self, account: Account, asset: str, amount: Decimal, kind: OrderKind, symbol: str | None
    ) -> Loan | None:
        if kind == "auto_borrow":
            return Loan("BORROW", asset, amount, symbol)
        # An order repays with what it earned, but never more than is owed.
        owed = self._debts.owed(account.name, asset, symbol).total
        return Loan("REPAY", asset, min(amount, owed), symbol) if owed else None
