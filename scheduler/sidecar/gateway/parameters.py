"""A client's parameters: read from query and form, and the exact bytes that its signature covers.

Pure. Everything here raises `Refused` with what the exchange would answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qsl, unquote

from ...model import Kind
from . import replies
from .replies import Refused

RECV_WINDOW_MS = 5_000
"""Where the client names none."""
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MAX_MS = 1_000
FIELDS_MAX = 64
DECIMALS_MAX = 8
DIGITS_MAX = 30

ASSET = "^[A-Z0-9]{1,64}$"
SYMBOL = "^[A-Z0-9]{1,20}$"
AMOUNT = "^([0-9]{1,30})(\\.[0-9]{1,30})?$"
NUMBER = "^[0-9]{1,16}$"
KEY = "^[A-Za-z0-9][A-Za-z0-9._:-]*$"

_SIGNATURE = b"signature="


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent. The query's value wins over the body's, as at the exchange."""

    values: Mapping[str, str]
    """Decoded, without the signature."""
    payload: bytes
    """The query directly followed by the body, as they came, without the signature."""
    signature: str | None
    """Decoded; None if there was none."""

    def get(self, name: str) -> str | None:
        """The value; an empty one is none."""
        return self.values.get(name) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """What a borrow or repayment asks for."""

    kind: Kind
    asset: str
    amount: str
    """As it was written."""
    symbol: str | None


def read(query: str, body: bytes) -> Form:
    """The parameters of one request."""
    in_query, query_signature = _unsigned(query.encode("utf-8", "surrogateescape"))
    in_body, body_signature = _unsigned(body)
    if query_signature is not None and body_signature is not None:
        raise Refused(replies.bad_signature())
    values = {**_decoded(in_body), **_decoded(in_query)}
    if "signature" in values:  # only the last parameter can be one
        raise Refused(replies.bad_signature())
    signature = query_signature if body_signature is None else body_signature
    return Form(values, in_query + in_body, signature)


def check_time(form: Form, now_ms: int) -> None:
    """The exchange's rule: not a second ahead of its clock, not older than the window."""
    timestamp_ms = _number(form, "timestamp", None)
    recv_window_ms = _number(form, "recvWindow", RECV_WINDOW_MS)
    if recv_window_ms > RECV_WINDOW_MAX_MS:
        said = f"recvWindow must be less than {RECV_WINDOW_MAX_MS}"
        raise Refused(replies.refusal(400, -1131, said))
    if timestamp_ms >= now_ms + AHEAD_MAX_MS:
        raise Refused(replies.bad_timestamp(is_ahead=True))
    if now_ms - timestamp_ms > recv_window_ms:
        raise Refused(replies.bad_timestamp(is_ahead=False))


def loan(form: Form) -> Loan:
    """The borrow or repayment that the parameters name."""
    asset = _matching(form, "asset", ASSET)
    is_isolated = _one_of(form, "isIsolated", "TRUE", "FALSE") == "TRUE"
    amount = _amount(form)
    kind = Kind(_one_of(form, "type", *Kind))
    if is_isolated:
        return Loan(kind=kind, asset=asset, amount=amount, symbol=_matching(form, "symbol", SYMBOL))
    if form.get("symbol") is not None:
        # Whoever names a pair means isolated margin, and this would be a loan on another account.
        raise Refused(replies.missing("isIsolated"))
    return Loan(kind=kind, asset=asset, amount=amount, symbol=None)


def checked_key(value: str, length_max: int) -> str:
    """The client's own key from its header."""
    if 1 <= len(value) <= length_max and re.fullmatch(KEY, value, re.ASCII):
        return value
    legal_range = f"{KEY}, at most {length_max}"
    raise Refused(replies.illegal("X-Scheduler-Key", legal_range))


def _unsigned(part: bytes) -> tuple[bytes, str | None]:
    rest, _, last = part.rpartition(b"&")
    if not last.startswith(_SIGNATURE):
        return part, None
    return rest, unquote(last.removeprefix(_SIGNATURE).decode("ascii", "replace"))


def _decoded(part: bytes) -> dict[str, str]:
    if not part:
        return {}
    try:
        pairs = _pairs(part.decode("ascii"))
    except UnicodeDecodeError:
        said = "Illegal characters found in a parameter; it must be percent-encoded."
        raise Refused(replies.refusal(400, -1100, said)) from None
    except ValueError:
        said = "Too many parameters sent for this endpoint."
        raise Refused(replies.refusal(400, -1101, said)) from None
    values = dict(pairs)
    if len(values) < len(pairs):
        said = "Duplicate values for a parameter detected."
        raise Refused(replies.refusal(400, -1101, said))
    return values


def _pairs(text: str) -> list[tuple[str, str]]:
    """Raises ValueError: too many of them, or something in them that is no UTF-8."""
    if "%" in text or "+" in text or text.count("&") >= FIELDS_MAX:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    # The same where nothing is encoded, which is nearly always, at a sixth of the cost.
    split = [piece.partition("=") for piece in text.split("&") if piece]
    return [(name, value) for name, _, value in split]


def _given(form: Form, name: str) -> str:
    value = form.get(name)
    if value is None:
        raise Refused(replies.missing(name))
    return value


def _matching(form: Form, name: str, legal_range: str) -> str:
    value = _given(form, name)
    if not re.fullmatch(legal_range, value, re.ASCII):
        raise Refused(replies.illegal(name, legal_range))
    return value


def _one_of(form: Form, name: str, *choices: str) -> str:
    value = _given(form, name)
    if value not in choices:
        raise Refused(replies.missing(name))
    return value


def _amount(form: Form) -> str:
    amount = _matching(form, "amount", AMOUNT)
    digits, _, decimals = amount.partition(".")
    if len(decimals) > DECIMALS_MAX:
        raise Refused(replies.too_precise())
    if len(digits) + len(decimals) > DIGITS_MAX or Decimal(amount) == 0:
        raise Refused(replies.missing("amount"))
    return amount


def _number(form: Form, name: str, default: int | None) -> int:
    if default is not None and form.get(name) is None:
        return default
    return int(_matching(form, name, NUMBER))
