"""The machine behind the borrow/repay call: one transaction of an account at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from .accounts import Account, Accounts
from .clock import Clock
from .debts import Debts
from .faults import Affliction, Fault
from .inventory import Asset, Inventory
from .ledger import Ledger, Origin, Transaction
from .options import Options
from .parameters import Loan, Timing
from .records import Record, Records
from .refusals import FEW_LIABILITY_LEFT, Refusal, refuse
from .seeds import Seeds

Lane = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How one transaction will go. The record lag counts from booking."""

    processing_ms: float
    has_failed: bool
    record_lag_ms: float
    pending_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a transaction comes from: a request, or something other parties did."""

    origin: Origin
    arrived_ms: int
    arrival: int | None = None
    timing: Timing | None = None


class BorrowRepay:
    """Takes borrows and repayments on, works them off, and books them."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        seeds: Seeds,
        accounts: Accounts,
        debts: Debts,
        inventory: Inventory,
        records: Records,
        ledger: Ledger,
    ) -> None:
        self._options = options
        self._clock = clock
        self._seeds = seeds
        self._accounts = accounts
        self._debts = debts
        self._inventory = inventory
        self._records = records
        self._ledger = ledger
        self._busy: set[Lane] = set()
        self._last_tran_id = options.first_tran_id

    def is_busy(self, account: str, symbol: str | None) -> bool:
        return self._lane(account, symbol) in self._busy

    def refusal(self, account: Account, loan: Loan) -> Refusal | None:
        """Why this cannot be taken on now, by the first rule it breaks; None if it can."""
        if self.is_busy(account.name, loan.symbol):
            return refuse(-3007)
        if account.refusal is not None:
            return account.refusal
        asset = self._inventory.find(loan.asset)
        if asset is None:
            return refuse(-3027)
        if loan.symbol is not None and not self._belongs(loan.asset, loan.symbol):
            return refuse(-3028)
        if loan.kind == "BORROW":
            return self._borrow_refusal(account, loan, asset)
        return self._repay_refusal(account, loan, asset)

    def course(self, account: str, affliction: Affliction | None) -> Course:
        """How the next transaction of an account will go."""
        fault = affliction.fault if affliction is not None else None
        options, between = self._options, self._seeds.between
        lag_ms = between(f"records:{account}", options.record_lag_ms)
        pending_ms = between(f"records:{account}", options.pending_ms)
        processing_ms = self._processing_ms(account)
        if fault is Fault.LAST_MOMENT:
            processing_ms, lag_ms = options.slow_ms[1], options.hidden_record_ms[1]
        elif fault is Fault.SLOW:
            processing_ms = between("faults:slow", options.slow_ms)
        elif fault is Fault.HIDDEN_RECORD:
            lag_ms = between("faults:records", options.hidden_record_ms)
        elif fault is Fault.PENDING_RECORD:
            pending_ms = between("faults:records", options.pending_record_ms)
        return Course(
            processing_ms=processing_ms,
            has_failed=fault in (Fault.FAILED_RECORD, Fault.LOST_FAILED),
            record_lag_ms=lag_ms,
            pending_ms=pending_ms,
        )

    def start(
        self,
        account: Account,
        loan: Loan,
        cause: Cause,
        course: Course,
        *,
        occupies_ms: float = 0.0,
        on_finished: Callable[[Transaction], None] | None = None,
    ) -> Transaction:
        """Takes a transaction on; it then runs by itself, whatever becomes of its caller.

        It occupies the account while it is processed, or for `occupies_ms` if that is longer.
        """
        transaction = self._begin(account, loan, cause, course)
        self._ledger.add(transaction)
        if loan.kind == "BORROW":
            self._inventory.move(loan.asset, loan.symbol is not None, -loan.amount)
        self.occupy(account.name, loan.symbol, max(course.processing_ms, occupies_ms))
        self._clock.call_later(
            course.processing_ms, self._finish, account, transaction, course, on_finished
        )
        return transaction

    def occupy(self, account: str, symbol: str | None, for_ms: float) -> None:
        """Blocks the account, as a transaction does."""
        lane = self._lane(account, symbol)
        assert lane not in self._busy, "two transactions at a time were let through"
        self._busy.add(lane)
        # Due together with the booking. A reply takes at least one more turn of the loop, so
        # whoever hears of the end finds the account free.
        self._clock.call_later(for_ms, self._busy.discard, lane)

    def _begin(self, account: Account, loan: Loan, cause: Cause, course: Course) -> Transaction:
        now_ms, now_s = self._clock.now_ms(), self._clock.loop_s()
        timing = cause.timing
        return Transaction(
            tran_id=self._next_tran_id(),
            account=account.name,
            kind=loan.kind,
            asset=loan.asset,
            symbol=loan.symbol,
            amount=loan.amount,
            origin=cause.origin,
            arrived_ms=cause.arrived_ms,
            started_ms=now_ms,
            finished_ms=int(now_ms + course.processing_ms),
            started_s=now_s,
            finished_s=now_s + course.processing_ms / 1_000,
            processing_ms=course.processing_ms,
            request_timestamp_ms=timing.timestamp_ms if timing else None,
            recv_window_ms=timing.recv_window_ms if timing else None,
            arrival=cause.arrival,
        )

    def _finish(
        self,
        account: Account,
        transaction: Transaction,
        course: Course,
        on_finished: Callable[[Transaction], None] | None,
    ) -> None:
        if course.has_failed:
            settled = replace(transaction, status="FAILED")
            if transaction.kind == "BORROW":
                isolated = transaction.symbol is not None
                self._inventory.move(transaction.asset, isolated, transaction.amount)
        else:
            settled = self._book(account, transaction)
        self._ledger.settle(settled)
        self._records.add(account.name, self._record(settled, course))
        if on_finished is not None:
            on_finished(settled)

    def _book(self, account: Account, transaction: Transaction) -> Transaction:
        name, asset, symbol = account.name, transaction.asset, transaction.symbol
        amount, nothing = transaction.amount, Decimal(0)
        if transaction.kind == "BORROW":
            self._debts.borrow(name, asset, symbol, amount)
            self._accounts.pay(account, asset, symbol, amount)
            return replace(transaction, status="CONFIRMED", principal=amount, interest=nothing)
        interest, principal = self._debts.repay(name, asset, symbol, amount)
        self._accounts.pay(account, asset, symbol, -amount)
        self._inventory.move(asset, symbol is not None, principal)
        return replace(transaction, status="CONFIRMED", principal=principal, interest=interest)

    def _record(self, transaction: Transaction, course: Course) -> Record:
        steady_ms = self._clock.steady_ms()
        is_dated_by_end = self._options.record_timestamp == "finished"
        visible_ms = steady_ms + course.record_lag_ms
        return Record(
            tran_id=transaction.tran_id,
            kind=transaction.kind,
            is_manual=transaction.origin != "order",
            asset=transaction.asset,
            symbol=transaction.symbol,
            amount=transaction.amount,
            interest=transaction.interest,
            principal=transaction.principal,
            has_failed=transaction.status == "FAILED",
            timestamp_ms=transaction.finished_ms if is_dated_by_end else transaction.started_ms,
            booked_ms=steady_ms,
            visible_ms=visible_ms,
            settled_ms=visible_ms + course.pending_ms,
        )

    def _borrow_refusal(self, account: Account, loan: Loan, asset: Asset) -> Refusal | None:
        if not asset.is_borrowable:
            return refuse(-3012)
        if loan.amount < asset.borrow_min:
            return refuse(-3013)
        if loan.amount > self._accounts.credit_left(account, loan.asset, loan.symbol):
            return refuse(-3006)
        if not self._inventory.can_lend(loan.asset, loan.symbol is not None, loan.amount):
            return refuse(-3045)
        return None

    def _repay_refusal(self, account: Account, loan: Loan, asset: Asset) -> Refusal | None:
        if loan.amount < asset.repay_min:
            return refuse(-3016)
        owed = self._debts.owed(account.name, loan.asset, loan.symbol).total
        if loan.amount > owed:
            return refuse(-3015)
        if 0 < owed - loan.amount < asset.debt_min:
            # The official page gives both meanings the code -3015; only the message differs.
            return refuse(-3015, FEW_LIABILITY_LEFT)
        if loan.amount > self._accounts.balance(account, loan.asset, loan.symbol):
            return refuse(-3041)
        return None

    def _belongs(self, asset: str, symbol: str) -> bool:
        return asset in (self._inventory.find_pair(symbol) or ())

    def _lane(self, account: str, symbol: str | None) -> Lane:
        return (account, symbol) if self._options.lane == "pair" else (account, None)

    def _processing_ms(self, account: str) -> float:
        middle, jitter = self._options.processing_ms, self._options.jitter
        bounds = (middle * (1 - jitter), middle * (1 + jitter))
        return self._seeds.between(f"processing:{account}", bounds)

    def _next_tran_id(self) -> int:
        self._last_tran_id += self._seeds.of("ids").randint(1, 999)
        return self._last_tran_id
