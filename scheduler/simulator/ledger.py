"""The truth: everything that arrived and everything that was booked. The judge of tests."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from .debts import Debt, Debts
from .parameters import LoanKind

Origin = Literal["request", "order", "foreign"]
Status = Literal["PENDING", "CONFIRMED", "FAILED"]

MINUTE_MS = 60_000
BORROW_REPAY = "/sapi/v1/margin/borrow-repay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One borrow or repayment the exchange took on.

    PENDING while it is processed, then CONFIRMED (booked) or FAILED (nothing happened). Times in
    `_ms` are the exchange's epoch, those in `_s` the loop's own time, which never jumps.
    `finished_ms` is known from the start, because the processing time is drawn then. `arrival` is
    the number of the request behind it, None if there was none.
    """

    tran_id: int
    account: str
    kind: LoanKind
    asset: str
    symbol: str | None
    amount: Decimal
    origin: Origin
    arrived_ms: int
    started_ms: int
    finished_ms: int
    started_s: float
    finished_s: float
    processing_ms: float
    status: Status = "PENDING"
    principal: Decimal = Decimal(0)
    interest: Decimal = Decimal(0)
    request_timestamp_ms: int | None = None
    recv_window_ms: int | None = None
    arrival: int | None = None


@dataclass(slots=True, kw_only=True)
class Arrival:
    """One request that reached the exchange, and how it was answered.

    `status` and `code` are what went back, None if nothing did; `tran_id` is what was really
    started, whatever the caller was told. `used` is the usage of the budget after this request.
    `fault` names what was done to it on purpose.
    """

    number: int
    at_ms: int
    loop_s: float
    account: str | None
    address: str
    method: str
    path: str
    budget: str | None = None
    weight: int = 0
    used: int = 0
    status: int | None = None
    code: int | None = None
    tran_id: int | None = None
    request_timestamp_ms: int | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignSpending:
    """Weight that a program other than the one under test used up on an account."""

    loop_s: float
    account: str
    weight: int


class Ledger:
    """What happened, kept for judging. Nothing in it is visible through the exchange's API."""

    def __init__(self, debts: Debts, arrivals_max: int) -> None:
        self.transactions: list[Transaction] = []
        self.arrivals: list[Arrival] = []
        self.foreign_spending: list[ForeignSpending] = []
        self.faults: Counter[str] = Counter()
        self.silent_failures = 0
        self._debts = debts
        self._arrivals_max = arrivals_max
        self._arrived = 0
        self._places: dict[int, int] = {}

    def booked(self, account: str | None = None) -> list[Transaction]:
        """What was executed, in the order in which it was taken on."""
        return [
            transaction
            for transaction in self.transactions
            if transaction.status == "CONFIRMED" and account in (None, transaction.account)
        ]

    def find(self, tran_id: int) -> Transaction | None:
        place = self._places.get(tran_id)
        return None if place is None else self.transactions[place]

    def debt(self, account: str, asset: str, symbol: str | None = None) -> Decimal:
        """What is owed now, interest included."""
        return self._debts.owed(account, asset, symbol).total

    def owed(self, account: str, asset: str, symbol: str | None = None) -> Debt:
        """The same, principal and interest apart. A copy."""
        return replace(self._debts.owed(account, asset, symbol))

    def most_weight_in_a_minute(
        self,
        account: str,
        path: str = BORROW_REPAY,
        *,
        foreign: bool = False,
    ) -> int:
        """The largest UID weight of this endpoint in any 60 s, by arrival.

        Counts what reached the exchange through its API; with `foreign`, what was spent by
        `spend_weight` too.
        """
        spent = [
            (arrival.loop_s, arrival.weight)
            for arrival in self.arrivals
            if arrival.account == account and _is_spent(arrival, path)
        ]
        if foreign:
            others = ((s.loop_s, s.weight) for s in self.foreign_spending if s.account == account)
            spent = sorted([*spent, *others])
        return _most_in_a_minute(spent)

    def overlaps(self, account: str | None = None) -> list[tuple[Transaction, Transaction]]:
        """Neighbours of one account that ran at the same time. The exchange allows none."""
        lanes: dict[str, list[Transaction]] = {}
        for transaction in self.transactions:
            if account in (None, transaction.account):
                lanes.setdefault(transaction.account, []).append(transaction)
        return [
            (earlier, later)
            for lane in lanes.values()
            for earlier, later in pairwise(sorted(lane, key=lambda t: t.started_s))
            if later.started_s < earlier.finished_s
        ]

    def processing_ms(self, account: str | None = None) -> float:
        """The sum of the processing times drawn for requests: no client can be faster than this."""
        return _processing_ms(t for t in self.transactions if account in (None, t.account))

    def refusals(self, account: str | None = None) -> Counter[int]:
        """How often each code was answered."""
        return Counter(
            arrival.code
            for arrival in self.arrivals
            if arrival.code is not None and account in (None, arrival.account)
        )

    def statistics(self) -> dict[str, Any]:
        """Counts and sums, as plain JSON."""
        booked = self.booked()
        lanes: dict[str, list[Transaction]] = {}
        for transaction in self.transactions:
            lanes.setdefault(transaction.account, []).append(transaction)
        spent: dict[str, list[tuple[float, int]]] = {}
        for arrival in self.arrivals:
            if arrival.account is not None and _is_spent(arrival, BORROW_REPAY):
                spent.setdefault(arrival.account, []).append((arrival.loop_s, arrival.weight))
        return {
            "arrivals": self._arrived,
            "transactions": len(self.transactions),
            "booked": len(booked),
            "booked_by_origin": Counter(t.origin for t in booked),
            "failed": sum(t.status == "FAILED" for t in self.transactions),
            "refusals": {str(code): count for code, count in sorted(self.refusals().items())},
            "faults": dict(sorted(self.faults.items())),
            "silent_failures": self.silent_failures,
            "overlaps": len(self.overlaps()),
            "accounts": {
                name: {
                    "booked": sum(t.status == "CONFIRMED" for t in lane),
                    "processing_ms": round(_processing_ms(lane), 3),
                    "most_weight_in_a_minute": _most_in_a_minute(spent.get(name, [])),
                    "debts": self._owed_now(name),
                }
                for name, lane in sorted(lanes.items())
            },
        }

    def _owed_now(self, account: str) -> dict[str, str]:
        return {
            asset if symbol is None else f"{asset}:{symbol}": f"{debt.total:f}"
            for asset, symbol, debt in self._debts.of(account)
            if debt.total
        }

    # What follows is for the exchange, which writes; tests read.

    def add_arrival(self, **fields: Any) -> Arrival:
        self._arrived += 1
        arrival = Arrival(number=self._arrived, **fields)
        if len(self.arrivals) >= self._arrivals_max:
            del self.arrivals[: self._arrivals_max // 2]
        self.arrivals.append(arrival)
        return arrival

    def add(self, transaction: Transaction) -> None:
        assert transaction.tran_id not in self._places
        self._places[transaction.tran_id] = len(self.transactions)
        self.transactions.append(transaction)

    def settle(self, transaction: Transaction) -> None:
        """Puts the finished transaction in the place of the pending one."""
        place = self._places[transaction.tran_id]
        assert self.transactions[place].status == "PENDING", "settled twice"
        self.transactions[place] = transaction


def as_json(row: Transaction | Arrival) -> Mapping[str, Any]:
    return {
        name: f"{value:f}" if isinstance(value, Decimal) else value
        for name, value in asdict(row).items()
    }


def rows_as_json(rows: Iterable[Transaction | Arrival]) -> Iterator[Mapping[str, Any]]:
    return (as_json(row) for row in rows)


def _is_spent(arrival: Arrival, path: str) -> bool:
    return arrival.path == path and arrival.budget == "uid"


def _processing_ms(transactions: Iterable[Transaction]) -> float:
    return sum(t.processing_ms for t in transactions if t.origin == "request")


def _most_in_a_minute(spent: list[tuple[float, int]]) -> int:
    most = used = start = 0
    for at_s, weight in spent:
        used += weight
        # The window is half open: what came exactly 60 s ago no longer counts.
        while spent[start][0] <= at_s - MINUTE_MS / 1_000:
            used -= spent[start][1]
            start += 1
        most = max(most, used)
    return most
