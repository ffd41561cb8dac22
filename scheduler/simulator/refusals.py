"""The simulator's own table of the exchange's codes: message and HTTP status of each.

Written from the official error list, apart from the scheduler's table, so that a wrong row in one
is found by the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FEW_LIABILITY_LEFT = "The unpaid debt is too small after this repayment."
TIMESTAMP_AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."


@dataclass(frozen=True, slots=True)
class Refusal:
    """The exchange says no. Nothing was executed; a 5xx `status` does not promise it, though."""

    code: int
    message: str
    status: int = 400


MESSAGES: Mapping[int, str] = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1002: "You are not authorized to execute this request.",
    -1003: "Too many requests queued.",
    -1004: "Server is busy, please wait and try again",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: (
        "Timeout waiting for response from backend server. "
        "Send status unknown; execution status unknown."
    ),
    -1008: "Spot server is currently overloaded with other requests. "
    "Please try again in a few minutes.",
    -1015: "Too many new orders.",
    -1016: "This service is no longer available.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1099: "Not found, authenticated, or authorized",
    -1100: "Illegal characters found in a parameter.",
    -1101: "Too many parameters sent for this endpoint.",
    -1102: "A mandatory parameter was not sent, was empty/null, or malformed.",
    -1103: "An unknown parameter was sent.",
    -1104: "Not all sent parameters were read.",
    -1105: "A parameter was empty.",
    -1106: "A parameter was sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1121: "Invalid symbol.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Invalid data sent for a parameter.",
    -1131: "recvWindow must be less than 60000",
    -2008: "Invalid Api-Key ID.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -3000: "Internal server error.",
    -3001: "Please enable 2FA first.",
    -3002: "We don't have this asset.",
    -3003: "Margin account does not exist.",
    -3004: "Trade not allowed.",
    -3006: "Your borrow amount has exceed maximum borrow amount.",
    -3007: "You have pending transaction, please try again later.",
    -3008: "Borrow not allowed.",
    -3009: "This asset are not allowed to transfer into margin account currently.",
    -3010: "Repay not allowed.",
    -3011: "Your input date is invalid.",
    -3012: "Borrow is banned for this asset.",
    -3013: "Borrow amount less than minimum borrow amount.",
    -3014: "Borrow is banned for this account.",
    -3015: "Repay amount exceeds borrow amount.",
    -3016: "Repay amount less than minimum repay amount.",
    -3021: "Margin account are not allowed to trade this trading pair.",
    -3022: "You account's trading is banned.",
    -3023: "You can't transfer out/place order under current margin level.",
    -3024: FEW_LIABILITY_LEFT,
    -3025: "Your input date is invalid.",
    -3026: "Your input param is invalid.",
    -3027: "Not a valid margin asset.",
    -3028: "Not a valid margin pair.",
    -3029: "Transfer failed.",
    -3036: "This account is not allowed to repay.",
    -3037: "PNL is clearing. Wait a second.",
    -3041: "Balance is not enough",
    -3042: "PriceIndex not available for this margin pair.",
    -3043: "Transferring in not allowed.",
    -3044: "System busy.",
    -3045: "The system does not have enough asset now.",
    -3999: "This function is only available for invited users.",
    -11001: "Isolated margin account doesn't exist.",
    -11008: "Exceeding the account's maximum borrowable limit.",
}

# Everything else comes with 400.
STATUSES: Mapping[int, int] = {
    -1000: 500,
    -1001: 503,
    -1002: 401,
    -1003: 429,
    -1004: 503,
    -1006: 500,
    -1007: 504,
    -1008: 503,
    -1016: 503,
    -1020: 404,
    -2008: 401,
    -2014: 401,
    -2015: 401,
    -3000: 500,
    -3029: 500,
    -3044: 503,
}


def refuse(code: int, message: str | None = None, status: int | None = None) -> Refusal:
    """The refusal of this code, as the table has it unless told otherwise."""
    return Refusal(
        code,
        message if message is not None else MESSAGES.get(code, "Unknown error."),
        status if status is not None else STATUSES.get(code, 400),
    )


def missing(parameter: str) -> Refusal:
    return refuse(
        -1102,
        f"Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed.",
    )


def illegal(parameter: str, legal_range: str) -> Refusal:
    return refuse(
        -1100,
        f"Illegal characters found in parameter '{parameter}'; legal range is '{legal_range}'.",
    )


def invalid(parameter: str) -> Refusal:
    return refuse(-1130, f"Data sent for parameter '{parameter}' is not valid.")
