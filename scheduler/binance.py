"""Binance's margin calls as values: requests are built here and replies are read here.

Pure. What a reply means follows one whitelist: a 200 with an integer `tranId` happened, a 4xx with
a known code did not, and everything that is not on the list may have happened.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from urllib.parse import quote

import orjson

from . import refusals
from .events import Accepted, Lost, Refused
from .figures import Book, Ceiling, Owed, Rules
from .model import Asked, Attempt, Entry, Kind, Transaction
from .refusals import Disposition
from .signing import Signer
from .wire import HttpReply, HttpRequest


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call and what it weighs. Weights change, so they are data."""

    method: str
    path: str
    weight: int
    counts_by: str
    """`UID`: per account. `IP`: per address. `API`: per address, with everything under /api."""

    @property
    def budget(self) -> str:
        """What shares a minute's weight with it: each call under /sapi has one of its own."""
        return API if self.counts_by == "API" else self.path


class Access(Enum):
    """What a call asks of whoever makes it."""

    ANYBODY = "nothing"
    KEY = "a key"
    SIGNED = "a key and a signature"


API = "/api"
BORROW_REPAY = Endpoint("POST", "/sapi/v1/margin/borrow-repay", 1500, "UID")
RECORDS = Endpoint("GET", "/sapi/v1/margin/borrow-repay", 10, "IP")
INVENTORY = Endpoint("GET", "/sapi/v1/margin/available-inventory", 50, "UID")
MAX_BORROWABLE = Endpoint("GET", "/sapi/v1/margin/maxBorrowable", 750, "UID")
MARGIN_ACCOUNT = Endpoint("GET", "/sapi/v1/margin/account", 10, "IP")
ISOLATED_ACCOUNT = Endpoint("GET", "/sapi/v1/margin/isolated/account", 10, "IP")
ALL_ASSETS = Endpoint("GET", "/sapi/v1/margin/allAssets", 1, "IP")
SYSTEM_STATUS = Endpoint("GET", "/sapi/v1/system/status", 1, "IP")
TIME = Endpoint("GET", "/api/v3/time", 1, "API")
ACCOUNT = Endpoint("GET", "/api/v3/account", 20, "API")
RESTRICTIONS = Endpoint("GET", "/sapi/v1/account/apiRestrictions", 1, "IP")

PASSED: Mapping[tuple[str, str], tuple[Endpoint, Access]] = {
    (endpoint.method, endpoint.path): (endpoint, access)
    for endpoint, access in (
        (RECORDS, Access.SIGNED),
        (INVENTORY, Access.SIGNED),
        (MAX_BORROWABLE, Access.SIGNED),
        (MARGIN_ACCOUNT, Access.SIGNED),
        (ISOLATED_ACCOUNT, Access.SIGNED),
        (Endpoint("GET", "/sapi/v1/capital/config/getall", 10, "IP"), Access.SIGNED),
        (ALL_ASSETS, Access.KEY),
        (Endpoint("GET", "/sapi/v1/margin/allPairs", 1, "IP"), Access.KEY),
        (Endpoint("GET", "/sapi/v1/margin/isolated/allPairs", 1, "IP"), Access.KEY),
        (SYSTEM_STATUS, Access.ANYBODY),
        (Endpoint("GET", "/api/v3/ping", 1, "API"), Access.ANYBODY),
        (Endpoint("GET", "/api/v3/exchangeInfo", 20, "API"), Access.ANYBODY),
        (TIME, Access.ANYBODY),
    )
}
"""Reads that other programs may make through the scheduler."""

BASE_URL = "https://api.binance.com"

TRAN_ID_MAX = 2**63 - 1
RETRY_AFTER_MAX_MS = 3 * 86_400_000
"""The longest ban there is; a garbled header must not stop an account for years."""
PAGE_SIZE = 100
"""The most records the exchange gives in one page."""
FIGURE_DIGITS_MAX = 30
"""Before the point, of a debt or a maximum; more digits are no honest answer."""
SYMBOLS_MAX = 5
"""The most pairs that one look at an isolated account may name."""
INSUFFICIENT_INVENTORY = -3045


class BadReply(Exception):
    """A reply to a read that says nothing usable; the text is the reason."""

    code: int | None = None
    """The exchange's own, where it gave one."""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An API key and what signs for it."""

    api_key: str
    signer: Signer

    def __repr__(self) -> str:
        return "<Credentials>"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do, as far as it matters here."""

    may_borrow: bool
    """`enableMargin`: borrow, repay and transfer on margin accounts."""
    may_withdraw: bool
    """`enableWithdrawals`: nothing here needs it."""
    is_address_bound: bool
    """`ipRestrict`: it is good for nothing from any other address."""


# Requests


def borrow_repay_body(entry: Entry, amount: Decimal, timestamp_ms: int, recv_window_ms: int) -> str:
    """The form of the call without its signature: what is kept and what is signed."""
    asked = entry.submission
    is_isolated = "FALSE" if asked.symbol is None else "TRUE"
    symbol = "" if asked.symbol is None else f"&symbol={_quoted(asked.symbol)}"
    # str() would write small amounts with an exponent.
    return (
        f"asset={_quoted(asked.asset)}&isIsolated={is_isolated}&amount={amount:f}"
        f"&type={asked.kind.value}&recvWindow={recv_window_ms}&timestamp={timestamp_ms}{symbol}"
    )


def borrow_repay_request(attempt: Attempt, credentials: Credentials) -> HttpRequest:
    """The attempt's one request: exactly its body, signed."""
    body = attempt.body.encode("ascii")
    signed = body + b"&signature=" + credentials.signer.sign(body).encode("ascii")
    return HttpRequest(
        method=BORROW_REPAY.method,
        path=BORROW_REPAY.path,
        headers={
            "X-MBX-APIKEY": credentials.api_key,
            "Content-Type": "application/x-www-form-urlencoded",
        },
        body=signed,
    )


def records_request(
    asked: Asked,
    *,
    any_asset: bool,
    from_ms: int,
    until_ms: int,
    page: int,
    timestamp_ms: int,
    credentials: Credentials,
) -> HttpRequest:
    """One page, from 1, of the records of the request's kind and pair in a window of time."""
    parameters = {
        "type": asked.kind.value,
        "startTime": str(from_ms),
        "endTime": str(until_ms),
        "current": str(page),
        "size": str(PAGE_SIZE),
    }
    if not any_asset:
        parameters["asset"] = asked.asset
    if asked.symbol is not None:
        parameters["isolatedSymbol"] = asked.symbol
    return _signed_get(RECORDS, parameters, timestamp_ms, credentials)


def inventory_request(
    *, is_isolated: bool, timestamp_ms: int, credentials: Credentials
) -> HttpRequest:
    parameters = {"type": "ISOLATED" if is_isolated else "MARGIN"}
    return _signed_get(INVENTORY, parameters, timestamp_ms, credentials)


def account_request(timestamp_ms: int, credentials: Credentials) -> HttpRequest:
    return _signed_get(ACCOUNT, {}, timestamp_ms, credentials)


def restrictions_request(timestamp_ms: int, credentials: Credentials) -> HttpRequest:
    return _signed_get(RESTRICTIONS, {}, timestamp_ms, credentials)


def margin_account_request(*, timestamp_ms: int, credentials: Credentials) -> HttpRequest:
    return _signed_get(MARGIN_ACCOUNT, {}, timestamp_ms, credentials)


def isolated_account_request(
    symbols: Collection[str], *, timestamp_ms: int, credentials: Credentials
) -> HttpRequest:
    """Of at most SYMBOLS_MAX pairs."""
    parameters = {"symbols": ",".join(symbols)}
    return _signed_get(ISOLATED_ACCOUNT, parameters, timestamp_ms, credentials)


def max_borrowable_request(
    asset: str, symbol: str | None, *, timestamp_ms: int, credentials: Credentials
) -> HttpRequest:
    parameters = {"asset": asset}
    if symbol is not None:
        parameters["isolatedSymbol"] = symbol
    return _signed_get(MAX_BORROWABLE, parameters, timestamp_ms, credentials)


def all_assets_request(credentials: Credentials) -> HttpRequest:
    """Needs a key and no signature."""
    return HttpRequest(
        method=ALL_ASSETS.method,
        path=ALL_ASSETS.path,
        headers={"X-MBX-APIKEY": credentials.api_key},
    )


def system_status_request() -> HttpRequest:
    return HttpRequest(method=SYSTEM_STATUS.method, path=SYSTEM_STATUS.path)


def time_request() -> HttpRequest:
    return HttpRequest(method=TIME.method, path=TIME.path)


def passed_request(
    method: str,
    path: str,
    parameters: Mapping[str, str],
    *,
    credentials: Credentials | None,
    timestamp_ms: int | None,
    reply_max_bytes: int,
) -> HttpRequest:
    """Another program's call in the name of an account; stamped and signed if there is a
    timestamp. What it was stamped and signed with before must be gone."""
    form = _encoded(parameters)
    if credentials is not None and timestamp_ms is not None:
        form = f"{form}&timestamp={timestamp_ms}".removeprefix("&")
        form += f"&signature={credentials.signer.sign(form.encode('ascii'))}"
    headers = {} if credentials is None else {"X-MBX-APIKEY": credentials.api_key}
    is_form = method in {"POST", "PUT"}
    if is_form:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return HttpRequest(
        method=method,
        path=path,
        query="" if is_form else form,
        headers=headers,
        body=form.encode("ascii") if is_form else b"",
        reply_max_bytes=reply_max_bytes,
    )


# Replies


def outcome(reply: HttpReply) -> Accepted | Refused | Lost:
    """What a reply to the borrow/repay call says of the attempt."""
    answer = _json_object(reply.body)
    if reply.status == 200:
        tran_id = None if answer is None else answer.get("tranId")
        if type(tran_id) is int and 0 < tran_id <= TRAN_ID_MAX:
            return Accepted(tran_id)
        return Lost("200 without a transaction id")
    code = None if answer is None else answer.get("code")
    if type(code) is not int:
        code = None
    message = _text(answer.get("msg")) if answer is not None else ""
    if reply.status in {418, 429}:
        return _limited(reply, -1003 if code is None else code, message)
    if code is None:
        return Lost(f"HTTP {reply.status} without a code", is_firewalled=reply.status == 403)
    said = refusals.answer(code, message, reply.status)
    disposition = refusals.refusal(code, reply.status).disposition
    if not 400 <= reply.status < 500 or reply.status == 408:
        return Lost(f"HTTP {reply.status} with code {code}", answer=said)
    if disposition is Disposition.UNKNOWN:
        return Lost(f"code {code}", answer=said)
    return Refused(said, disposition, retry_after_ms(reply))


def retry_after_ms(reply: HttpReply) -> int | None:
    """The `Retry-After` header, which the exchange gives in whole seconds."""
    value = reply.headers.get("retry-after", "")
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        return None
    return min(int(value) * 1000, RETRY_AFTER_MAX_MS)


def used_uid_weight(reply: HttpReply) -> int | None:
    """What the exchange counts against the account in this endpoint's minute."""
    value = reply.headers.get("x-sapi-used-uid-weight-1m", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 12 else None


def server_time_ms(reply: HttpReply) -> int:
    """The exchange's time. Raises BadReply."""
    value = _read(reply).get("serverTime")
    if type(value) is not int or value <= 0:
        raise BadReply("no serverTime in the reply")
    return value


def uid(reply: HttpReply) -> int:
    """Which account the key belongs to. Raises BadReply."""
    value = _read(reply).get("uid")
    if type(value) is not int or value <= 0:
        raise BadReply("no uid in the reply")
    return value


def permissions(reply: HttpReply) -> Permissions:
    """What the key may do. Raises BadReply."""
    answer = _read(reply)
    margin, withdrawals = answer.get("enableMargin"), answer.get("enableWithdrawals")
    address = answer.get("ipRestrict")
    if not (type(margin) is type(withdrawals) is type(address) is bool):
        raise BadReply("no permissions in the reply")
    return Permissions(margin, withdrawals, address)


def inventory(reply: HttpReply) -> Mapping[str, Decimal]:
    """What can be lent, by asset. Raises BadReply."""
    assets = _read(reply).get("assets")
    if not isinstance(assets, dict):
        raise BadReply("no assets in the reply")
    return {asset: _decimal(amount) for asset, amount in assets.items()}


def cross_debts(reply: HttpReply) -> Book:
    """What a cross margin account owes. Raises BadReply."""
    rows = _read(reply).get("userAssets")
    if not isinstance(rows, list):
        raise BadReply("no userAssets in the reply")
    return {(_asset(row), None): _owed(row) for row in rows}


def isolated_debts(reply: HttpReply) -> Book:
    """What isolated pairs owe, both sides of each. Raises BadReply."""
    rows = _read(reply).get("assets")
    if not isinstance(rows, list):
        raise BadReply("no assets in the reply")
    book: dict[tuple[str, str | None], Owed] = {}
    for row in rows:
        symbol = row.get("symbol") if isinstance(row, dict) else None
        if not isinstance(symbol, str):
            raise BadReply("a pair without its symbol")
        for side in (row.get("baseAsset"), row.get("quoteAsset")):
            book[_asset(side), symbol] = _owed(side)
    return book


def max_borrowable(reply: HttpReply) -> Ceiling:
    """What could be borrowed; nothing where the exchange has nothing. Raises BadReply."""
    try:
        said = _read(reply)
    except BadReply as error:
        if error.code == INSUFFICIENT_INVENTORY and reply.status != 200:
            return Ceiling(Decimal(0), None)
        raise
    return Ceiling(_figure(said.get("amount")), _figure(said.get("borrowLimit")))


def all_assets(reply: HttpReply) -> Mapping[str, Rules]:
    """What holds for each asset. Raises BadReply."""
    rows = _json(reply.body)
    if reply.status != 200 or not isinstance(rows, list):
        _read(reply)  # says what the exchange said
        raise BadReply("no assets in the reply")
    return {_asset(row, "assetName"): _rules(row) for row in rows}


def is_maintenance(reply: HttpReply) -> bool:
    """Whether the exchange says that it is being worked on. Raises BadReply."""
    status = _read(reply).get("status")
    if type(status) is not int:
        raise BadReply("no status in the reply")
    return status == 1


def records(reply: HttpReply, kind: Kind) -> tuple[list[Transaction], int]:
    """One page of records, and how many there are in all. Raises BadReply."""
    answer = _read(reply)
    rows, total = answer.get("rows"), answer.get("total")
    if not isinstance(rows, list) or type(total) is not int:
        raise BadReply("no rows in the reply")
    return [_transaction(row, kind) for row in rows], total


def _transaction(row: Any, kind: Kind) -> Transaction:
    if not isinstance(row, dict):
        raise BadReply("a record is no object")
    tran_id, at_ms = row.get("txId"), row.get("timestamp")
    asset, status, origin = row.get("asset"), row.get("status"), row.get("type")
    symbol = row.get("isolatedSymbol") or None
    if type(tran_id) is not int or type(at_ms) is not int:
        raise BadReply("a record without txId or timestamp")
    if not (isinstance(asset, str) and isinstance(status, str) and isinstance(origin, str)):
        raise BadReply("a record without asset, status or type")
    if not (symbol is None or isinstance(symbol, str)):
        raise BadReply("a record whose isolatedSymbol is no text")
    return Transaction(
        tran_id=tran_id,
        kind=kind,
        origin=origin,
        asset=asset,
        symbol=symbol,
        amount=_decimal(row.get("amount")),
        status=status,
        timestamp_ms=at_ms,
    )


def _asset(row: Any, field: str = "asset") -> str:
    name = row.get(field) if isinstance(row, dict) else None
    if not isinstance(name, str) or not name:
        raise BadReply("an asset without its name")
    return name


def _owed(row: dict[str, Any]) -> Owed:
    return Owed(_figure(row.get("borrowed")), _figure(row.get("interest")))


def _rules(row: dict[str, Any]) -> Rules:
    is_borrowable = row.get("isBorrowable")
    if not isinstance(is_borrowable, bool):
        raise BadReply("an asset that is neither borrowable nor not")
    return Rules(is_borrowable, _figure(row.get("userMinBorrow")), _figure(row.get("userMinRepay")))


def _figure(value: object) -> Decimal:
    """An amount to reckon with: not negative, and of a size that can be one."""
    amount = _decimal(value)
    if amount < 0 or amount.adjusted() > FIGURE_DIGITS_MAX:
        raise BadReply("an amount that cannot be one")
    return amount


def _limited(reply: HttpReply, code: int, message: str) -> Refused:
    # Whatever the body says, a rate limit is answered before anything is executed.
    said = refusals.answer(code, message or f"HTTP {reply.status}", reply.status)
    return Refused(
        said,
        Disposition.LIMITED,
        retry_after_ms(reply),
        is_address_banned=reply.status == 418,
    )


def _read(reply: HttpReply) -> dict[str, Any]:
    answer = _json_object(reply.body)
    if reply.status != 200 or answer is None:
        code = None if answer is None else answer.get("code")
        error = BadReply(f"HTTP {reply.status}" + (f" with code {code}" if code else ""))
        error.code = code if type(code) is int else None
        error.message = "" if answer is None else _text(answer.get("msg"))
        raise error
    return answer


def _signed_get(
    endpoint: Endpoint, parameters: dict[str, str], timestamp_ms: int, credentials: Credentials
) -> HttpRequest:
    query = _encoded({**parameters, "timestamp": str(timestamp_ms)})
    signature = credentials.signer.sign(query.encode("ascii"))
    return HttpRequest(
        method=endpoint.method,
        path=endpoint.path,
        query=f"{query}&signature={signature}",
        headers={"X-MBX-APIKEY": credentials.api_key},
    )


def _encoded(parameters: Mapping[str, str]) -> str:
    """Percent-encoded before it is signed, as the exchange requires since 2026-01."""
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in parameters.items())


def _quoted(text: str) -> str:
    # Nearly everything is letters, digits and a point, of which `quote` changes nothing, slowly.
    if text.isascii() and text.replace(".", "0").isalnum():
        return text
    return quote(text, safe="")


def _json_object(body: bytes) -> dict[str, Any] | None:
    value = _json(body)
    return value if isinstance(value, dict) else None


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _decimal(value: object) -> Decimal:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise BadReply("an amount that is no decimal")
    return amount


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
