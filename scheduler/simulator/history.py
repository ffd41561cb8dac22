"""The calls that tell what happened: records, capital flow, interest history."""

from collections.abc import Mapping
from typing import Any, TypeVar

from . import endpoints
from .clock import Clock
from .debts import Charge, Debts
from .endpoints import Endpoint
from .options import Options
from .parameters import Parameters, number, numbers_refusal, read_kind
from .queries import Handler, Query
from .records import DAY_MS, Question, Record, Records
from .refusals import Refusal, refuse

PAGE_DEFAULT = 10
PAGE_MAX = 100
FLOW_DEFAULT = 500
FLOW_MAX = 1_000
FLOW_SPAN_MS = 7 * DAY_MS

Row = TypeVar("Row")


class History:
    """Answers from the records, each of which shows only once it may be seen."""

    def __init__(self, options: Options, clock: Clock, debts: Debts, records: Records) -> None:
        self._options = options
        self._clock = clock
        self._debts = debts
        self._records = records
        self.handlers: Mapping[Endpoint, Handler] = {
            endpoints.RECORDS: self._record_page,
            endpoints.CAPITAL_FLOW: self._capital_flow,
            endpoints.INTEREST_HISTORY: self._interest_page,
        }

    def _record_page(self, query: Query) -> Any | Refusal:
        question = _read_question(query.parameters)
        if isinstance(question, Refusal):
            return question
        steady_ms = self._clock.steady_ms()
        found = self._records.look(query.account.name, question, self._clock.now_ms(), steady_ms)
        rows = [record.as_json(steady_ms) for record in _page(query.parameters, found)]
        return {"rows": rows, "total": len(found)}

    def _capital_flow(self, query: Query) -> Any | Refusal:
        parameters = query.parameters
        refusal = numbers_refusal(parameters, "startTime", "endTime", "fromId", "limit")
        if refusal is not None:
            return refusal
        end_ms = _or(number(parameters, "endTime"), self._clock.now_ms())
        start_ms = _or(number(parameters, "startTime"), end_ms - FLOW_SPAN_MS)
        if end_ms - start_ms > FLOW_SPAN_MS:
            return refuse(-3011)
        limit = min(_or(number(parameters, "limit"), FLOW_DEFAULT), FLOW_MAX)
        moves = self._records.booked(query.account.name, self._clock.steady_ms())
        return [
            _flow_row(record)
            for record in moves
            if start_ms <= record.timestamp_ms <= end_ms and _flows(parameters, record)
        ][:limit]

    def _interest_page(self, query: Query) -> Any | Refusal:
        parameters, account = query.parameters, query.account.name
        refusal = numbers_refusal(parameters, "startTime", "endTime", "current", "size")
        if refusal is not None:
            return refusal
        # Interest is worked out when a debt is looked at.
        for _ in self._debts.of(account):
            pass
        end_ms = _or(number(parameters, "endTime"), self._clock.now_ms())
        start_ms = _or(number(parameters, "startTime"), end_ms - 7 * DAY_MS)
        symbol, asset = parameters.get("isolatedSymbol"), parameters.get("asset")
        found = [
            charge
            for charge in reversed(self._debts.charges)
            if charge.account == account
            and start_ms <= charge.at_ms <= end_ms
            and charge.symbol == symbol
            and asset in (None, charge.asset)
        ]
        rows = [self._interest_row(charge) for charge in _page(parameters, found)]
        return {"rows": rows, "total": len(found)}

    def _interest_row(self, charge: Charge) -> dict[str, Any]:
        row: dict[str, Any] = {
            "txId": self._options.first_tran_id + charge.at_ms,
            "interestAccuredTime": charge.at_ms,
            "asset": charge.asset,
            "rawAsset": charge.asset,
            "principal": f"{charge.principal:.8f}",
            "interest": f"{charge.interest:.8f}",
            "interestRate": self._options.interest_rate,
            "type": "PERIODIC",
        }
        if charge.symbol is not None:
            row["isolatedSymbol"] = charge.symbol
        return row


def _read_question(parameters: Parameters) -> Question | Refusal:
    kind = read_kind(parameters)
    if isinstance(kind, Refusal):
        return kind
    refusal = numbers_refusal(parameters, "txId", "startTime", "endTime", "current", "size")
    if refusal is not None:
        return refusal
    if 0 in (number(parameters, "current"), number(parameters, "size")):
        return refuse(-3026)
    return Question(
        kind=kind,
        symbol=parameters.get("isolatedSymbol"),
        asset=parameters.get("asset"),
        tran_id=number(parameters, "txId"),
        start_ms=number(parameters, "startTime"),
        end_ms=number(parameters, "endTime"),
    )


def _page(parameters: Parameters, found: list[Row]) -> list[Row]:
    size = min(_or(number(parameters, "size"), PAGE_DEFAULT), PAGE_MAX)
    start = (_or(number(parameters, "current"), 1) - 1) * size
    return found[start : start + size]


def _flows(parameters: Parameters, record: Record) -> bool:
    return (
        parameters.get("asset") in (None, record.asset)
        and parameters.get("symbol") == record.symbol
        and parameters.get("type") in (None, record.kind)
        and record.tran_id >= (number(parameters, "fromId") or 0)
    )


def _flow_row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": record.tran_id,
        "tranId": record.tran_id,
        "timestamp": record.timestamp_ms,
        "asset": record.asset,
        "type": record.kind,
        "amount": f"{record.amount:.8f}",
    }
    if record.symbol is not None:
        row["symbol"] = record.symbol
    return row


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
