"""What a caller may ask, and in which form: the only place that says no before anything is kept."""

import math
import re
import secrets
from decimal import Decimal
from typing import TypedDict

from .errors import InvalidRequest
from .model import ALL, MAX, Kind, Priority, State, Submission
from .policy import Limits

SEND_WITHIN_MAX_S = 7 * 86_400.0
DECIMALS_MAX = 8
DIGITS_MAX = 30

_AMOUNT = re.compile(rf"(?=[0-9.]*[1-9])[0-9]+(?:\.[0-9]{{1,{DECIMALS_MAX}}})?", re.ASCII)
"""A plain decimal greater than zero."""
_ASSET = re.compile(r"[A-Z0-9]{1,64}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)


class Options(TypedDict, total=False):
    """What may be said of a submission besides account, kind, asset and amount."""

    symbol: str | None
    key: str | None
    priority: str
    send_within: float | None
    at_most: bool
    precheck: bool


def checked(
    account: str,
    kind: str,
    asset: str,
    amount: str | Decimal,
    options: Options,
    *,
    limits: Limits,
    now_ms: int,
) -> Submission:
    """The submission that was asked for. Raises InvalidRequest, naming the field."""
    for name in options:
        if name not in Options.__annotations__:
            raise InvalidRequest(name, "unknown_field", f"{name}: there is no such option")
    checked_kind = _kind(kind)
    within_ms = _send_within_ms(options.get("send_within"), checked_kind, limits)
    key, symbol = options.get("key"), options.get("symbol")
    return Submission(
        key=new_key() if key is None else checked_key(key),
        account=account,
        kind=checked_kind,
        asset=checked_asset(asset),
        requested=_amount(amount, checked_kind),
        symbol=checked_symbol(symbol),
        priority=checked_priority(options.get("priority", "normal")),
        at_most=_flag(options.get("at_most", False), "at_most"),
        precheck=_flag(options.get("precheck", False), "precheck"),
        submitted_at_ms=now_ms,
        deadline_ms=now_ms + within_ms,
    )


def new_key() -> str:
    """A key for a caller that has none."""
    return secrets.token_hex(12)


def checked_key(key: object) -> str:
    if isinstance(key, str) and _KEY.fullmatch(key):
        return key
    raise InvalidRequest(
        "key",
        "key_invalid",
        "key: must be 1 to 64 of A-Z a-z 0-9 . _ : - and begin with a letter or digit",
    )


_KINDS = {kind.value: kind for kind in Kind}
_PRIORITIES = {priority.value: priority for priority in Priority}
_STATES = {state.value: state for state in State}


def _kind(kind: object) -> Kind:
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is not None:
        return known
    raise InvalidRequest("kind", "kind_invalid", "kind: must be BORROW or REPAY")


def checked_priority(priority: object) -> Priority:
    """Raises InvalidRequest."""
    known = _PRIORITIES.get(priority) if isinstance(priority, str) else None
    if known is not None:
        return known
    raise InvalidRequest("priority", "priority_invalid", "priority: must be urgent or normal")


def checked_state(state: object) -> State:
    """Raises InvalidRequest."""
    known = _STATES.get(state) if isinstance(state, str) else None
    if known is not None:
        return known
    raise InvalidRequest("state", "state_invalid", f"state: must be one of {', '.join(_STATES)}")


def checked_asset(asset: object) -> str:
    """Raises InvalidRequest."""
    if isinstance(asset, str) and _ASSET.fullmatch(asset):
        return asset
    raise InvalidRequest(
        "asset", "asset_invalid", "asset: must be 1 to 64 of A-Z 0-9, as the exchange spells it"
    )


def checked_symbol(symbol: object) -> str | None:
    """Raises InvalidRequest; None is cross margin."""
    if symbol is None:
        return None
    if isinstance(symbol, str) and _SYMBOL.fullmatch(symbol):
        return symbol
    raise InvalidRequest(
        "symbol", "symbol_invalid", "symbol: must be 1 to 20 of A-Z 0-9, such as BTCUSDT"
    )


def _amount(amount: object, kind: Kind) -> str:
    if amount == _WORDS[kind]:
        return _WORDS[kind]
    if isinstance(amount, Decimal):
        amount = _plain(amount)
    if not isinstance(amount, str):
        raise InvalidRequest(
            "amount", "amount_not_string", "amount: must be a string or Decimal, never a float"
        )
    if len(amount) - ("." in amount) <= DIGITS_MAX and _AMOUNT.fullmatch(amount):
        return amount
    raise InvalidRequest(
        "amount",
        "amount_invalid",
        f"amount: must be a positive plain decimal of at most {DECIMALS_MAX} decimals and "
        f'{DIGITS_MAX} digits, such as "0.1", or "{_WORDS[kind]}" for a {kind.lower()}',
    )


_WORDS = {Kind.BORROW: MAX, Kind.REPAY: ALL}
"""An amount in a word."""


def _plain(amount: Decimal) -> str:
    """Without an exponent; a Decimal that has too many digits for one stays what it is."""
    if not amount.is_finite() or abs(amount.adjusted()) > DIGITS_MAX:
        return str(amount)
    return format(amount, "f")


def _send_within_ms(send_within: object, kind: Kind, limits: Limits) -> int:
    if send_within is None:
        is_borrow = kind is Kind.BORROW
        send_within = limits.borrow_send_within_s if is_borrow else limits.repay_send_within_s
    if (
        isinstance(send_within, (int, float))
        and not isinstance(send_within, bool)
        and math.isfinite(send_within)
        and 0 <= send_within <= SEND_WITHIN_MAX_S
    ):
        return round(send_within * 1000)
    raise InvalidRequest(
        "send_within",
        "send_within_invalid",
        f"send_within: must be 0 to {SEND_WITHIN_MAX_S:.0f} seconds",
    )


def _flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(field, f"{field}_invalid", f"{field}: must be true or false")
    return value
