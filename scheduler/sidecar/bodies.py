"""What goes in and out of the native API, as types: they validate, and the OpenAPI document is
made from them.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..errors import InvalidRequest
from ..figures import AssetStatus, Debt, Debts, Inventory, MaxBorrowable, Settlement
from ..journal.protocol import HistoryRow
from ..model import Alarm, Entry
from ..status import AccountStatus
from .json_body import read_object

WAIT_MAX_S = 60
LIMIT_MAX = 500
LIMIT_DEFAULT = 100
SEND_WITHIN_MAX_MS = 7 * 86_400_000
SETTLE_MAX_MS = WAIT_MAX_S * 1000
"""No longer than any other answer is waited for; who wants more asks again."""
TRAN_ID_MAX = 2**63 - 1
UNDECIDED_MAX = 20
"""Undecided entries shown with an account; how many there are is told besides."""

# `\Z`-like ends are missing from JSON Schema's patterns; that none of these takes a line feed at
# the end is seen to where the rules are (`scheduler.request`).
KEY = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
ASSET = r"^[A-Z0-9]{1,64}$"
SYMBOL = r"^[A-Z0-9]{1,20}$"
BORROW_AMOUNT = r"^(max|(?=[0-9.]*[1-9])(?=(\.?[0-9]){1,30}$)[0-9]+(\.[0-9]{1,8})?)$"
REPAY_AMOUNT = BORROW_AMOUNT.replace("max", "all")

Key = Annotated[
    str, Meta(pattern=KEY, description="1 to 64 of A-Z a-z 0-9 . _ : -, first a letter or digit")
]
_NUMBER = "a positive plain decimal as a string, at most 8 decimals and 30 digits"
BorrowAmount = Annotated[
    str,
    Meta(
        pattern=BORROW_AMOUNT,
        max_length=31,
        description=f'{_NUMBER}; or "max": as much as can be borrowed when it is sent',
        examples=["0.1", "max"],
    ),
]
RepayAmount = Annotated[
    str,
    Meta(
        pattern=REPAY_AMOUNT,
        max_length=31,
        description=f'{_NUMBER}; or "all": what is owed when it is sent, interest included',
        examples=["0.1", "all"],
    ),
]
Asset = Annotated[
    str, Meta(pattern=ASSET, description="1 to 64 of A-Z 0-9, as the exchange spells it")
]
Symbol = Annotated[
    str, Meta(pattern=SYMBOL, description="1 to 20 of A-Z 0-9, such as BTCUSDT; isolated margin")
]
KindWord = Literal["BORROW", "REPAY"]
PriorityWord = Literal["urgent", "normal"]
StateWord = Literal[
    "QUEUED",
    "SENT",
    "ACCEPTED",
    "UNKNOWN",
    "UNRESOLVED",
    "CONFIRMED",
    "REJECTED",
    "NOT_EXECUTED",
    "EXPIRED",
    "CANCELLED",
]
EpochMs = Annotated[
    int, Meta(description="milliseconds since 1970", extra_json_schema={"format": "int64"})
]
AsOfMs = Annotated[
    EpochMs, Meta(description="when it was asked for, by the exchange's clock: from then it is")
]
OutcomeWord = Literal["clear", "repaid", "left", "pending"]
TranId = Annotated[
    int,
    Meta(
        ge=0,
        le=TRAN_ID_MAX,
        description="the exchange's transaction id. It can be beyond 2^53, which JavaScript's "
        "numbers do not hold: `tran_id_text` has the same digits as a string",
        extra_json_schema={"format": "int64"},
    ),
]
TranIdText = Annotated[str, Meta(pattern="^[0-9]{1,19}$", description="`tran_id` as a string")]
GivenTranId = (
    TranId | Annotated[str, Meta(pattern="^([0-9]{1,18}|[1-8][0-9]{18})$", description="in digits")]
)
Reason = Annotated[
    str, Meta(min_length=1, max_length=500, description="1 to 500 characters: how that is known")
]
Cursor = Annotated[
    str, Meta(pattern="^s[0-9]{1,18}$", description="the `next` of the list before, as it was")
]
Decimals = Annotated[str, Meta(description="a plain decimal", examples=["0.1"])]


# Requests


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


# Answers


class EvidenceBody(Struct, frozen=True):
    """One observation that an outcome rests on."""

    at_ms: EpochMs
    source: str
    detail: str


class EntryBody(Struct, frozen=True):
    """A submission and what is known of it."""

    key: str
    account: str
    kind: KindWord
    asset: str
    requested: Annotated[str, Meta(description="what was asked")]
    amount: Annotated[
        str | None, Meta(description="what was sent, or before that what was asked, if a number")
    ]
    symbol: str | None
    priority: PriorityWord
    state: StateWord
    is_final: bool
    tran_id: TranId | None
    tran_id_text: TranIdText | None
    code: Annotated[int | None, Meta(description="of the latest refusal, as the exchange sent it")]
    name: str | None
    message: str | None
    advice: str | None
    attempts: int
    submitted_at_ms: EpochMs
    sent_at_ms: EpochMs | None
    ended_at_ms: Annotated[
        EpochMs | None,
        Meta(description="when the latest attempt was answered or given up; null in the air"),
    ]
    finished_at_ms: EpochMs | None
    deadline_ms: EpochMs
    version: Annotated[int, Meta(description="counts the changes; the highest is the latest")]
    evidence: tuple[EvidenceBody, ...]
    replayed: Annotated[
        bool | UnsetType, Meta(description="true: the key was there before, with the same request")
    ] = UNSET


class EntryList(Struct, frozen=True):
    """Entries, newest first."""

    submissions: list[EntryBody]
    next: Annotated[str | None, Meta(description="for `after`; null: these were the last")]


class ChangeBody(Struct, frozen=True):
    """One durable change of one submission."""

    version: int
    at_ms: EpochMs
    state: StateWord
    detail: str


class History(Struct, frozen=True):
    """Every change of one submission, oldest first."""

    key: str
    changes: list[ChangeBody]


class QueuedBody(Struct, frozen=True):
    """Submissions that wait."""

    urgent: int
    normal: int
    oldest_submitted_at_ms: EpochMs | None


class WeightBody(Struct, frozen=True):
    """The minute's weight of the borrow/repay call."""

    limit: int
    used: int
    foreign: Annotated[int, Meta(description="spent by others on the account")]
    reserved: Annotated[int, Meta(description="kept for urgent submissions")]
    left: Annotated[int, Meta(description="for normal submissions")]


class HoldBody(Struct, frozen=True):
    """Why the account, or an asset of it, waits."""

    cause: str
    asset: str | None
    until_ms: Annotated[EpochMs | None, Meta(description="null: no time ends it")]


class NextStartBody(Struct, frozen=True):
    """When a normal submission made now would start, counting only certain waits."""

    starts_at_ms: EpochMs
    ahead: int
    causes: tuple[str, ...]


class AlarmBody(Struct, frozen=True):
    """Something a person should know of."""

    at_ms: EpochMs
    account: str | None
    key: str | None
    cause: str
    message: str


class AccountBody(Struct, frozen=True):
    """What an account is doing now."""

    account: str
    as_of_ms: EpochMs
    queued: QueuedBody
    in_air: Annotated[
        list[EntryBody], Meta(description="SENT now, each since its `sent_at_ms`; mostly one")
    ]
    undecided: Annotated[
        list[EntryBody], Meta(description="ACCEPTED, UNKNOWN or UNRESOLVED; the first 20")
    ]
    undecided_count: int
    weight: WeightBody
    gap_ms: Annotated[int, Meta(description="between two starts at present")]
    holds: list[HoldBody]
    is_paused: bool
    stopped: Annotated[str | None, Meta(description="the refusal that stopped the account")]
    next_start: NextStartBody
    is_exclusive: bool
    record_delay_max_ms: int
    alarms: list[AlarmBody]
    owner: Annotated[
        str | None,
        Meta(description="which scheduler runs it, where several share a journal; null: nobody"),
    ]
    epoch: Annotated[
        int | None,
        Meta(description="grows with every change of owner; null where no journal is shared"),
    ]


class AccountList(Struct, frozen=True):
    """All accounts, in the order of the configuration."""

    accounts: list[AccountBody]


class DebtBody(Struct, frozen=True):
    """What an account owes of an asset."""

    account: str
    asset: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    principal: Decimals
    interest: Decimals
    total: Annotated[str, Meta(description="both together: what repaying all of it takes")]
    as_of_ms: AsOfMs


class DebtList(Struct, frozen=True):
    """All that an account owes in cross margin, or in the pair that was asked for, by asset."""

    account: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    debts: list[DebtBody]
    as_of_ms: AsOfMs


class MaxBorrowableBody(Struct, frozen=True):
    """What an account could borrow of an asset."""

    account: str
    asset: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    amount: Annotated[str, Meta(description="what collateral and inventory allow")]
    limit: Annotated[
        str | None, Meta(description="what the account's tier allows; null: it was not said")
    ]
    as_of_ms: AsOfMs


class InventoryBody(Struct, frozen=True):
    """What the exchange has left to lend of an asset, to all its customers together."""

    amount: Decimals
    as_of_ms: AsOfMs


class AssetBody(Struct, frozen=True):
    """What the exchange allows with an asset, and what it has left of it."""

    asset: str
    is_borrowable: bool
    min_borrow: Decimals
    min_repay: Decimals
    as_of_ms: Annotated[EpochMs, Meta(description="from when the four above are")]
    inventory: Annotated[InventoryBody, Meta(description="for cross margin")]
    isolated_inventory: Annotated[InventoryBody, Meta(description="for isolated margin")]


class SettlementBody(Struct, frozen=True):
    """What became of a debt that was to be gone."""

    account: str
    asset: str
    symbol: Annotated[str | None, Meta(description="the isolated pair; null: cross margin")]
    outcome: Annotated[
        OutcomeWord,
        Meta(
            description="clear: gone without anything sent for it; repaid: it had stayed and is "
            "repaid now; left: it stays, and nothing is under way; pending: the time ran out while "
            "something was under way"
        ),
    ]
    debt: Annotated[DebtBody, Meta(description="as it was looked up last")]
    keys: Annotated[tuple[str, ...], Meta(description="the repayments submitted for it")]
    as_of_ms: AsOfMs


class Health(Struct, frozen=True):
    """It runs."""

    status: Literal["ok"]


class ProblemBody(Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Meta(description="for programs; it stays the same")]
    field: str | UnsetType = UNSET


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


# Writing

_encoder = msgspec.json.Encoder()


def encode(answer: Struct) -> bytes:
    return _encoder.encode(answer)


def entry_body(entry: Entry, *, replayed: bool | UnsetType = UNSET) -> EntryBody:
    submission, amount, tran_id = entry.submission, entry.amount, entry.tran_id
    return EntryBody(
        submission.key,
        submission.account,
        submission.kind.value,
        submission.asset,
        submission.requested,
        None if amount is None else plain(amount),
        submission.symbol,
        submission.priority.value,
        entry.state.value,
        entry.is_final,
        tran_id,
        None if tran_id is None else str(tran_id),
        entry.code,
        entry.name,
        entry.message,
        entry.advice,
        entry.attempts,
        submission.submitted_at_ms,
        entry.sent_at_ms,
        None if entry.attempt is None else entry.attempt.ended_at_ms,
        entry.finished_at_ms,
        submission.deadline_ms,
        entry.version,
        tuple(EvidenceBody(e.at_ms, e.source, e.detail) for e in entry.evidence),
        replayed,
    )


def history_body(key: str, rows: Sequence[HistoryRow]) -> History:
    return History(
        key, [ChangeBody(row.version, row.at_ms, row.state.value, row.detail) for row in rows]
    )


def debt_body(debt: Debt) -> DebtBody:
    return DebtBody(
        debt.account,
        debt.asset,
        debt.symbol,
        plain(debt.principal),
        plain(debt.interest),
        plain(debt.total),
        debt.as_of_ms,
    )


def debt_list(debts: Debts) -> DebtList:
    return DebtList(
        debts.account, debts.symbol, [debt_body(debt) for debt in debts.debts], debts.as_of_ms
    )


def max_borrowable_body(most: MaxBorrowable) -> MaxBorrowableBody:
    return MaxBorrowableBody(
        most.account,
        most.asset,
        most.symbol,
        plain(most.amount),
        None if most.limit is None else plain(most.limit),
        most.as_of_ms,
    )


def asset_body(status: AssetStatus, cross: Inventory, isolated: Inventory) -> AssetBody:
    return AssetBody(
        asset=status.asset,
        is_borrowable=status.is_borrowable,
        min_borrow=plain(status.min_borrow),
        min_repay=plain(status.min_repay),
        as_of_ms=status.as_of_ms,
        inventory=InventoryBody(plain(cross.amount), cross.as_of_ms),
        isolated_inventory=InventoryBody(plain(isolated.amount), isolated.as_of_ms),
    )


def settlement_body(settlement: Settlement) -> SettlementBody:
    return SettlementBody(
        account=settlement.account,
        asset=settlement.asset,
        symbol=settlement.symbol,
        outcome=settlement.outcome.value,
        debt=debt_body(settlement.debt),
        keys=settlement.keys,
        as_of_ms=settlement.as_of_ms,
    )


def plain(amount: Decimal) -> str:
    """Without an exponent."""
    return format(amount, "f")


def alarm_body(alarm: Alarm) -> AlarmBody:
    return AlarmBody(alarm.at_ms, alarm.account, alarm.key, alarm.cause, alarm.message)


def account_body(status: AccountStatus) -> AccountBody:
    first = status.next_start
    return AccountBody(
        account=status.account,
        as_of_ms=status.as_of_ms,
        queued=QueuedBody(status.queued_urgent, status.queued_normal, status.oldest_queued_at_ms),
        in_air=[entry_body(entry) for entry in status.in_air],
        undecided=[entry_body(entry) for entry in status.undecided[:UNDECIDED_MAX]],
        undecided_count=len(status.undecided),
        weight=WeightBody(
            status.weight_limit,
            status.weight_used,
            status.weight_foreign,
            status.weight_reserved,
            status.weight_left,
        ),
        gap_ms=status.gap_ms,
        holds=[HoldBody(hold.cause, hold.asset, hold.until_ms) for hold in status.holds],
        is_paused=any(hold.cause == "paused" for hold in status.holds),
        stopped=status.stopped,
        next_start=NextStartBody(first.starts_at_ms, first.ahead, first.causes),
        is_exclusive=status.is_exclusive,
        record_delay_max_ms=status.record_delay_max_ms,
        alarms=[alarm_body(alarm) for alarm in status.alarms],
        owner=status.owner,
        epoch=status.epoch,
    )
