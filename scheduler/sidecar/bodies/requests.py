"""What callers send, read strictly."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from ...errors import InvalidRequest
from ..json_body import read_object
from .fields import (
    SEND_WITHIN_MAX_MS,
    SETTLE_MAX_MS,
    TRAN_ID_MAX,
    Asset,
    BorrowAmount,
    GivenTranId,
    Key,
    PriorityWord,
    Reason,
    RepayAmount,
    Symbol,
)


class Submission(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What borrows and repayments have in common."""

    account: Annotated[str, Meta(min_length=1, max_length=64, description="a configured account")]
    asset: Asset
    key: Key
    symbol: Symbol | None = None
    priority: PriorityWord = "normal"
    send_within_ms: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=SEND_WITHIN_MAX_MS,
                description="0 to 604800000 (a week): no attempt starts later than that from now",
            ),
        ]
        | None
    ) = None
    at_most: Annotated[
        bool, Meta(description="true or false: take less than `amount` if that is what there is")
    ] = False
    precheck: Annotated[
        bool,
        Meta(
            description="true or false: refuse a borrow of an asset that the exchange does not "
            "lend now without sending it"
        ),
    ] = False


class Borrow(Submission, frozen=True, kw_only=True, tag_field="kind", tag="BORROW"):
    """A borrow to be queued."""

    amount: BorrowAmount


class Repay(Submission, frozen=True, kw_only=True, tag_field="kind", tag="REPAY"):
    """A repayment to be queued."""

    amount: RepayAmount


class Confirmed(Struct, forbid_unknown_fields=True, frozen=True, tag_field="as", tag="CONFIRMED"):
    """A person found that it was executed."""

    tran_id: GivenTranId
    because: Reason


class NotExecuted(
    Struct, forbid_unknown_fields=True, frozen=True, tag_field="as", tag="NOT_EXECUTED"
):
    """A person found that it was not executed."""

    because: Reason
    tran_id: None = None


Resolution = Confirmed | NotExecuted


class SettleDebt(Struct, forbid_unknown_fields=True, frozen=True):
    """A debt to be seen through to its end."""

    asset: Asset
    symbol: Symbol | None = None
    within_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=SETTLE_MAX_MS,
            description="1 to 60000 (a minute): how long to look, wait and repay",
        ),
    ] = SETTLE_MAX_MS
    report_only: Annotated[
        bool, Meta(description="true or false: repay nothing, only say what is left")
    ] = False


# Reading


Request = TypeVar("Request", Borrow, Repay, Confirmed, NotExecuted, SettleDebt)

_WORDS = {
    "priority": "urgent or normal",
    "tran_id": f"a whole number of 0 to {TRAN_ID_MAX}, or the same in digits as a string, "
    "with CONFIRMED, and absent with NOT_EXECUTED",
}


def read_submission(body: bytes) -> Borrow | Repay:
    """Raises InvalidRequest, which names the field."""
    given = read_object(body)
    match given.get("kind"):
        case "BORROW":
            return _read(given, Borrow)
        case "REPAY":
            return _read(given, Repay)
    raise InvalidRequest("kind", "kind_invalid", "kind: is required, BORROW or REPAY")


def read_resolution(body: bytes) -> Resolution:
    """Raises InvalidRequest, which names the field."""
    given = read_object(body)
    match given.get("as"):
        case "CONFIRMED":
            return _read(given, Confirmed)
        case "NOT_EXECUTED":
            return _read(given, NotExecuted)
    message = "as: must be CONFIRMED, with a tran_id, or NOT_EXECUTED"
    raise InvalidRequest("as", "resolution_invalid", message)


def read_settle_debt(body: bytes) -> SettleDebt:
    """Raises InvalidRequest, which names the field."""
    return _read(read_object(body), SettleDebt)


def _read(given: dict[str, Any], kind: type[Request]) -> Request:
    given = {name: _whole(value) for name, value in given.items()}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError:
        raise _wrong(given, kind) from None


def _whole(value: Any) -> Any:
    """JSON knows no integers, so `5.0` is 5; beyond 2^53 digits may be lost already."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if is_whole else value


def _wrong(given: Mapping[str, Any], kind: type[Request]) -> InvalidRequest:
    """The first thing that is wrong, found without relying on the words of a library."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in given:
        if name not in fields and name != kind.__struct_config__.tag_field:
            return InvalidRequest(
                name[:64], "unknown_field", f"{name[:64]}: there is no such field"
            )
    for name, field in fields.items():
        if name not in given:
            if field.required:
                return _missing(name, field.type)
            continue
        try:
            msgspec.convert(given[name], field.type)
        except msgspec.ValidationError:
            return _unfit(name, given[name], field.type)
    raise AssertionError("what was refused as a whole is refused in a part")


def _missing(name: str, form: Any) -> InvalidRequest:
    if name == "key":
        message = "key: is required; whoever tries again must send the same one"
        return InvalidRequest("key", "key_missing", message)
    return InvalidRequest(name, f"{name}_invalid", f"{name}: is required, {_form(name, form)}")


def _unfit(name: str, value: Any, form: Any) -> InvalidRequest:
    if name == "amount" and isinstance(value, (int, float)):
        message = 'amount: must be a string, such as "0.1", never a number'
        return InvalidRequest(name, "amount_not_string", message)
    code = f"{name.removesuffix('_ms')}_invalid"
    return InvalidRequest(name, code, f"{name}: must be {_form(name, form)}")


def _form(name: str, form: Any) -> str:
    """The allowed form in words."""
    if name in _WORDS:
        return _WORDS[name]
    described: str = _description(form) or "of another type"
    return described


def _description(form: Any) -> str | None:
    for meta in getattr(form, "__metadata__", ()):
        if meta.description:
            return str(meta.description)
    inner = (_description(each) for each in getattr(form, "__args__", ()))
    return next((each for each in inner if each), None)
