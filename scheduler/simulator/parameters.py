"""A request's parameters: found in query and body, checked before anything is done with them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from urllib.parse import unquote_plus

from .refusals import Refusal, illegal, invalid, missing, refuse

LoanKind = Literal["BORROW", "REPAY"]

RECV_WINDOW_DEFAULT_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
DECIMALS_MAX = 8

_AMOUNT = r"^([0-9]{1,30})(\.[0-9]{1,30})?$"
_ASSET = r"^[A-Z0-9]{1,20}$"
_SYMBOL = r"^[A-Z0-9-_.]{1,20}$"
_NUMBER = r"^[0-9]{1,20}$"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was sent: decoded values, and the bytes a signature has to be made over."""

    values: Mapping[str, str]
    payload: bytes

    def get(self, name: str) -> str | None:
        """The value, or None if it was not sent or is empty: the exchange treats both alike."""
        return self.values.get(name) or None


@dataclass(frozen=True, slots=True)
class Timing:
    """When the client says it signed, and for how long that may be acted upon. Milliseconds."""

    timestamp_ms: int
    recv_window_ms: int


@dataclass(frozen=True, slots=True)
class Loan:
    """What a borrow or repayment asks for. `symbol` is None in cross margin."""

    kind: LoanKind
    asset: str
    amount: Decimal
    symbol: str | None = None


def find_parameters(query: str, body: bytes) -> Parameters:
    """Reads query string and form body. Where both name a parameter, the query string wins."""
    raw_query = query.encode()
    values = _decode(body)
    values.update(_decode(raw_query))
    return Parameters(values, _unsigned(raw_query) + _unsigned(body))


def read_timing(parameters: Parameters) -> Timing | Refusal:
    timestamp = parameters.get("timestamp")
    if timestamp is None:
        return missing("timestamp")
    recv_window = parameters.get("recvWindow") or str(RECV_WINDOW_DEFAULT_MS)
    for name, value in (("timestamp", timestamp), ("recvWindow", recv_window)):
        if not re.fullmatch(_NUMBER, value):
            return illegal(name, _NUMBER)
    if int(recv_window) > RECV_WINDOW_MAX_MS:
        return refuse(-1131)
    return Timing(int(timestamp), int(recv_window))


def read_kind(parameters: Parameters) -> LoanKind | Refusal:
    match parameters.get("type"):
        case "BORROW":
            return "BORROW"
        case "REPAY":
            return "REPAY"
        case None:
            return missing("type")
    return invalid("type")


def read_loan(parameters: Parameters) -> Loan | Refusal:
    refusal = _loan_refusal(parameters)
    if refusal is not None:
        return refusal
    kind = read_kind(parameters)
    if isinstance(kind, Refusal):
        return kind
    values = parameters.values
    return Loan(kind, values["asset"], Decimal(values["amount"]), parameters.get("symbol"))


def number(parameters: Parameters, name: str) -> int | None:
    """A numeric parameter that `numbers_refusal` has passed."""
    value = parameters.get(name)
    return None if value is None else int(value)


def numbers_refusal(parameters: Parameters, *names: str) -> Refusal | None:
    for name in names:
        value = parameters.get(name)
        if value is not None and not re.fullmatch(_NUMBER, value):
            return illegal(name, _NUMBER)
    return None


def _loan_refusal(parameters: Parameters) -> Refusal | None:
    for name in ("asset", "isIsolated", "amount", "type"):
        if parameters.get(name) is None:
            return missing(name)
    values = parameters.values
    if not re.fullmatch(_ASSET, values["asset"]):
        return illegal("asset", _ASSET)
    return _pair_refusal(parameters) or _amount_refusal(values["amount"])


def _pair_refusal(parameters: Parameters) -> Refusal | None:
    symbol = parameters.get("symbol")
    is_isolated = parameters.values["isIsolated"]
    if is_isolated not in ("TRUE", "FALSE"):
        return invalid("isIsolated")
    if is_isolated == "FALSE":
        return None if symbol is None else refuse(-1128)
    if symbol is None:
        return missing("symbol")
    return None if re.fullmatch(_SYMBOL, symbol) else illegal("symbol", _SYMBOL)


def _amount_refusal(amount: str) -> Refusal | None:
    # An exponent is refused here: the exchange takes plain decimals only.
    if not re.fullmatch(_AMOUNT, amount):
        return illegal("amount", _AMOUNT)
    if len(amount.partition(".")[2]) > DECIMALS_MAX:
        return refuse(-1111)
    return invalid("amount") if Decimal(amount) == 0 else None


def _decode(part: bytes) -> dict[str, str]:
    if not part:
        return {}
    values: dict[str, str] = {}
    for pair in part.decode("utf-8", "replace").split("&"):
        name, _, value = pair.partition("=")
        values[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return values


def _unsigned(part: bytes) -> bytes:
    if b"signature=" not in part:
        return part
    return b"&".join(pair for pair in part.split(b"&") if not pair.startswith(b"signature="))
