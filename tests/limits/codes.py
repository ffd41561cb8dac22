"""The exchange's codes, what they are called, and what each is to come to.

The names are written down here once more, from the official lists, so that a wrong one in the
scheduler's own table is found.
"""

from dataclasses import dataclass

QUICK_S = 0.3
"""An answer, or an answer and a first short back-off."""
PROVEN_S = (32.0, 33.0)
"""recvWindow 5 s, processing 10 s, visibility 15 s, and 2 s between two looks."""

FINAL = {
    -1016: "SERVICE_SHUTTING_DOWN",
    -1020: "UNSUPPORTED_OPERATION",
    -1100: "ILLEGAL_CHARS",
    -1101: "TOO_MANY_PARAMETERS",
    -1102: "MANDATORY_PARAM_EMPTY_OR_MALFORMED",
    -1103: "UNKNOWN_PARAM",
    -1104: "UNREAD_PARAMETERS",
    -1105: "PARAM_EMPTY",
    -1106: "PARAM_NOT_REQUIRED",
    -1111: "BAD_PRECISION",
    -1121: "BAD_SYMBOL",
    -1128: "OPTIONAL_PARAMS_BAD_COMBO",
    -1130: "INVALID_PARAMETER",
    -1131: "BAD_RECV_WINDOW",
    -3002: "ASSET_DEFICIENCY",
    -3004: "TRADE_NOT_ALLOWED",
    -3006: "EXCEED_MAX_BORROWABLE",
    -3008: "BORROW_NOT_ALLOWED",
    -3009: "ASSET_NOT_MORTGAGEABLE",
    -3010: "REPAY_NOT_ALLOWED",
    -3011: "BAD_DATE_RANGE",
    -3012: "ASSET_ADMIN_BAN_BORROW",
    -3013: "LT_MIN_BORROWABLE",
    -3015: "REPAY_EXCEED_LIABILITY",
    -3016: "LT_MIN_REPAY",
    -3021: "PAIR_ADMIN_BAN_TRADE",
    -3022: "ACCOUNT_BAN_TRADE",
    -3023: "WARNING_MARGIN_LEVEL",
    -3024: "FEW_LIABILITY_LEFT",
    -3025: "INVALID_EFFECTIVE_TIME",
    -3026: "VALIDATION_FAILED",
    -3027: "NOT_VALID_MARGIN_ASSET",
    -3028: "NOT_VALID_MARGIN_PAIR",
    -3041: "BALANCE_NOT_CLEARED",
    -3042: "PRICE_INDEX_NOT_FOUND",
    -3043: "TRANSFER_IN_NOT_ALLOWED",
    -3999: "NOT_WHITELIST_USER",
    -11008: "ISOLATED_BORROW_REFUSED",
}
STOPPING = {
    -1002: "UNAUTHORIZED",
    -1022: "INVALID_SIGNATURE",
    -1099: "NOT_FOUND_OR_AUTHORIZED",
    -2008: "BAD_API_ID",
    -2014: "BAD_API_KEY_FMT",
    -2015: "REJECTED_MBX_KEY",
    -3001: "NEED_ENABLE_2FA",
    -3003: "NO_OPENED_MARGIN_ACCOUNT",
    -3014: "ACCOUNT_BAN_BORROW",
    -3036: "ACCOUNT_BAN_REPAY",
    -11001: "NO_ISOLATED_MARGIN_ACCOUNT",
}
UNKNOWN = {
    -1000: "UNKNOWN",
    -1001: "DISCONNECTED",
    -1004: "SERVER_BUSY",
    -1006: "UNEXPECTED_RESP",
    -1007: "TIMEOUT",
    -1008: "SERVER_OVERLOADED",
    -3000: "INNER_FAILURE",
    -3029: "TRANSFER_FAILED",
    -3044: "SYSTEM_BUSY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A code that goes away: once, then for ever within ten minutes."""

    name: str
    once_s: tuple[float, float]
    attempts: int
    """While it lasts, at most."""
    lasts_s: tuple[float, float]
    """Until its caller is told, while it lasts."""
    weight_besides: int = 0
    """At most: what the gate's inventory calls weigh."""


PASSING = {
    # 100 ms, doubling to 5 s, each with up to a quarter more.
    -3007: Passing(
        name="HAS_PENDING_TRANSACTION", once_s=(0, QUICK_S), attempts=125, lasts_s=(600, 601)
    ),
    -3037: Passing(name="PNL_CLEARING", once_s=(0, QUICK_S), attempts=125, lasts_s=(600, 601)),
    # 1 s, doubling to 5 min, and a question to the inventory call before each attempt.
    -3045: Passing(
        name="INSUFFICIENT_INVENTORY",
        once_s=(1, 1.5),
        attempts=10,
        lasts_s=(600, 601),
        weight_besides=10 * 50,
    ),
    # At once with a clock set anew, then as -3007; five in all.
    -1021: Passing(name="INVALID_TIMESTAMP", once_s=(0, QUICK_S), attempts=5, lasts_s=(0.7, 2.5)),
    # To the end of the clock minute, which is 40 s away, and twice as long with each in a row.
    -1003: Passing(name="TOO_MANY_REQUESTS", once_s=(40, 40.5), attempts=4, lasts_s=(600, 601)),
}
