"""The borrow and repay records, as the exchange shows them: later than the truth, and in pages."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any

from .parameters import LoanKind

DAY_MS = 86_400_000
_TIMESTAMP = attrgetter("timestamp_ms")


@dataclass(slots=True, kw_only=True)
class Record:
    """One row. `visible_ms` and `settled_ms` are on the clock that never jumps."""

    tran_id: int
    kind: LoanKind
    is_manual: bool
    asset: str
    symbol: str | None
    amount: Decimal
    interest: Decimal
    principal: Decimal
    has_failed: bool
    timestamp_ms: int
    booked_ms: float
    visible_ms: float
    settled_ms: float

    def status(self, steady_ms: float) -> str:
        if steady_ms < self.settled_ms:
            return "PENDING"
        return "FAILED" if self.has_failed else "CONFIRMED"

    def as_json(self, steady_ms: float) -> dict[str, Any]:
        row: dict[str, Any] = {
            "type": "MANUAL" if self.is_manual else "AUTO",
            "amount": f"{self.amount:.8f}",
            "asset": self.asset,
            "interest": f"{self.interest:.8f}",
            "principal": f"{self.principal:.8f}",
            "status": self.status(steady_ms),
            "timestamp": self.timestamp_ms,
            "txId": self.tran_id,
        }
        if self.symbol is not None:
            row["isolatedSymbol"] = self.symbol
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to look for. `symbol` None means cross margin; `tran_id` outranks the times."""

    kind: LoanKind
    symbol: str | None = None
    asset: str | None = None
    tran_id: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    def bounds(self, now_ms: int) -> tuple[int, int]:
        """The times asked about: at most 30 days back with an asset, 7 without or by default."""
        end_ms = now_ms if self.end_ms is None else self.end_ms
        longest_ms = DAY_MS * (30 if self.asset is not None else 7)
        if self.start_ms is None:
            return end_ms - 7 * DAY_MS, end_ms
        return max(self.start_ms, end_ms - longest_ms), end_ms

    def wants(self, record: Record) -> bool:
        return (
            record.kind == self.kind
            and record.symbol == self.symbol
            and self.asset in (None, record.asset)
            and self.tran_id in (None, record.tran_id)
        )


class Records:
    """All records, by account and in the order of their timestamps."""

    def __init__(self, history_max: int) -> None:
        self._history_max = history_max
        self._by_account: dict[str, list[Record]] = {}

    def add(self, account: str, record: Record) -> None:
        records = self._by_account.setdefault(account, [])
        if len(records) >= self._history_max:
            del records[: self._history_max // 2]
        insort(records, record, key=_TIMESTAMP)

    def look(self, account: str, question: Question, now_ms: int, steady_ms: float) -> list[Record]:
        """What can be seen and matches, newest first."""
        records = self._by_account.get(account, [])
        if question.tran_id is None:
            start_ms, end_ms = question.bounds(now_ms)
            start = bisect_left(records, start_ms, key=_TIMESTAMP)
            records = records[start : bisect_right(records, end_ms, key=_TIMESTAMP)]
        return [
            record
            for record in reversed(records)
            if record.visible_ms <= steady_ms and question.wants(record)
        ]

    def booked(self, account: str, steady_ms: float) -> list[Record]:
        """What the capital flow tells: moves that really happened, oldest first."""
        return [
            record
            for record in self._by_account.get(account, [])
            if not record.has_failed and record.booked_ms <= steady_ms
        ]
