"""The exchange's codes as one table: what each is called and what it means for a submission.

Only the code decides. The message is read where one code has two meanings (-3015, -3008), and then
only for the name a caller sees. Sources: the official page of the borrow/repay call and the
official list of margin error codes.
"""

from dataclasses import dataclass
from enum import Enum

from .model import Answer


class Disposition(Enum):
    """What a refusal means for the submission that got it."""

    TERMINAL = "the request is refused for good"
    STOPS_ACCOUNT = "the key or the account is refused: nothing of this account can succeed"
    BUSY = "not executed: the account is occupied for a moment"
    STARVED = "not executed: the exchange has not enough of the asset"
    CLOCK = "not executed: the timestamp was outside the window"
    LIMITED = "not executed: a rate limit"
    UNKNOWN = "it may have been executed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row: the exchange's name for a code, its disposition, and what helps next."""

    name: str
    disposition: Disposition
    advice: str | None = None


def refusal(code: int, http_status: int) -> Refusal:
    """The row of `code`; a code that is not listed is terminal under 4xx and unknown under 5xx."""
    known = TABLE.get(code)
    if known is not None:
        return known
    is_refused = 400 <= http_status < 500
    return Refusal("UNLISTED", Disposition.TERMINAL if is_refused else Disposition.UNKNOWN)


def answer(code: int, message: str, http_status: int) -> Answer:
    """The refusal as a caller sees it: code and message word for word, the name by the table."""
    name = refusal(code, http_status).name
    for part, meant in _BY_MESSAGE.get(code, ()):
        if part in message:
            name = meant
    return Answer(code=code, name=name, message=message)


def advice(said: Answer) -> str | None:
    """What helps next after a refusal; by its name, because one code can mean two things."""
    return next((row.advice for row in TABLE.values() if row.name == said.name), None)


_BY_MESSAGE: dict[int, tuple[tuple[str, str], ...]] = {
    -3015: (("unpaid debt is too small", "FEW_LIABILITY_LEFT"),),
    -3008: (("max", "EXCEED_MAX_BORROWABLE"),),
}

_T, _S, _B = Disposition.TERMINAL, Disposition.STOPS_ACCOUNT, Disposition.BUSY
_U, _L = Disposition.UNKNOWN, Disposition.LIMITED

TABLE: dict[int, Refusal] = {
    # Passing: the request was not executed and may go again.
    -3007: Refusal("HAS_PENDING_TRANSACTION", _B),
    -3037: Refusal("PNL_CLEARING", _B),
    -3045: Refusal(
        "INSUFFICIENT_INVENTORY",
        Disposition.STARVED,
        "the exchange has too little of the asset; a smaller amount or a later time may succeed",
    ),
    -1021: Refusal("INVALID_TIMESTAMP", Disposition.CLOCK),
    -1003: Refusal("TOO_MANY_REQUESTS", _L),
    # The request is refused for what it asks.
    -3006: Refusal(
        "EXCEED_MAX_BORROWABLE", _T, "ask for no more than the account's maximum borrowable amount"
    ),
    -3012: Refusal(
        "ASSET_ADMIN_BAN_BORROW", _T, "the exchange has suspended borrowing of this asset"
    ),
    -3015: Refusal("REPAY_EXCEED_LIABILITY", _T, "repay no more than the debt, or repay all of it"),
    -3024: Refusal(
        "FEW_LIABILITY_LEFT", _T, "repay all of the debt, or leave more than the minimum"
    ),
    -3013: Refusal("LT_MIN_BORROWABLE", _T, "ask for at least the asset's minimum"),
    -3016: Refusal("LT_MIN_REPAY", _T, "repay at least the asset's minimum, or all of the debt"),
    -3002: Refusal("ASSET_DEFICIENCY", _T),
    -3004: Refusal("TRADE_NOT_ALLOWED", _T),
    -3008: Refusal("BORROW_NOT_ALLOWED", _T),
    -3009: Refusal("ASSET_NOT_MORTGAGEABLE", _T),
    -3010: Refusal("REPAY_NOT_ALLOWED", _T),
    -3011: Refusal("BAD_DATE_RANGE", _T),
    -3021: Refusal("PAIR_ADMIN_BAN_TRADE", _T),
    -3022: Refusal("ACCOUNT_BAN_TRADE", _T),
    -3023: Refusal("WARNING_MARGIN_LEVEL", _T),
    -3025: Refusal("INVALID_EFFECTIVE_TIME", _T),
    -3026: Refusal("VALIDATION_FAILED", _T),
    -3027: Refusal("NOT_VALID_MARGIN_ASSET", _T),
    -3028: Refusal("NOT_VALID_MARGIN_PAIR", _T),
    -3041: Refusal("BALANCE_NOT_CLEARED", _T),
    -3042: Refusal("PRICE_INDEX_NOT_FOUND", _T),
    -3043: Refusal("TRANSFER_IN_NOT_ALLOWED", _T),
    -3999: Refusal("NOT_WHITELIST_USER", _T),
    -11008: Refusal("ISOLATED_BORROW_REFUSED", _T),
    -1016: Refusal("SERVICE_SHUTTING_DOWN", _T),
    -1020: Refusal("UNSUPPORTED_OPERATION", _T),
    -1100: Refusal("ILLEGAL_CHARS", _T),
    -1101: Refusal("TOO_MANY_PARAMETERS", _T),
    -1102: Refusal("MANDATORY_PARAM_EMPTY_OR_MALFORMED", _T),
    -1103: Refusal("UNKNOWN_PARAM", _T),
    -1104: Refusal("UNREAD_PARAMETERS", _T),
    -1105: Refusal("PARAM_EMPTY", _T),
    -1106: Refusal("PARAM_NOT_REQUIRED", _T),
    -1111: Refusal("BAD_PRECISION", _T),
    -1121: Refusal("BAD_SYMBOL", _T),
    -1128: Refusal("OPTIONAL_PARAMS_BAD_COMBO", _T),
    -1130: Refusal("INVALID_PARAMETER", _T),
    -1131: Refusal("BAD_RECV_WINDOW", _T),
    # The key or the account is refused.
    -1002: Refusal("UNAUTHORIZED", _S),
    -1022: Refusal("INVALID_SIGNATURE", _S),
    -1099: Refusal("NOT_FOUND_OR_AUTHORIZED", _S),
    -2008: Refusal("BAD_API_ID", _S),
    -2014: Refusal("BAD_API_KEY_FMT", _S),
    -2015: Refusal("REJECTED_MBX_KEY", _S),
    -3001: Refusal("NEED_ENABLE_2FA", _S),
    -3003: Refusal("NO_OPENED_MARGIN_ACCOUNT", _S),
    -3014: Refusal("ACCOUNT_BAN_BORROW", _S),
    -3036: Refusal("ACCOUNT_BAN_REPAY", _S),
    -11001: Refusal("NO_ISOLATED_MARGIN_ACCOUNT", _S),
    # The exchange itself does not say whether it happened.
    -1000: Refusal("UNKNOWN", _U),
    -1001: Refusal("DISCONNECTED", _U),
    -1006: Refusal("UNEXPECTED_RESP", _U),
    -1007: Refusal("TIMEOUT", _U),
    -3000: Refusal("INNER_FAILURE", _U),
    -3029: Refusal("TRANSFER_FAILED", _U),
    # No official text says that these were not executed; the safe reading is that they may have
    # been.
    -1004: Refusal("SERVER_BUSY", _U),
    -1008: Refusal("SERVER_OVERLOADED", _U),
    -3044: Refusal("SYSTEM_BUSY", _U),
}
