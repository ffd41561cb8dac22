"""The forms of single values: they validate, and the OpenAPI document is made from them."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

WAIT_MAX_S = 60
LIMIT_MAX = 500
LIMIT_DEFAULT = 100
SEND_WITHIN_MAX_MS = 7 * 86_400_000
SETTLE_MAX_MS = WAIT_MAX_S * 1000
"""No longer than any other answer is waited for; who wants more asks again."""
TRAN_ID_MAX = 2**63 - 1

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


def plain(amount: Decimal) -> str:
    """Without an exponent."""
    return format(amount, "f")
