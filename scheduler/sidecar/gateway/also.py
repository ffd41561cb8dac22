"""Which calls a client's configuration may have forwarded unscheduled."""

import re

from ...errors import ConfigurationError

METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})

DENIED = (
    "/sapi/v1/asset/",
    "/sapi/v1/broker/",
    "/sapi/v1/capital/withdraw",
    "/sapi/v1/convert/",
    "/sapi/v1/fiat/",
    "/sapi/v1/futures/",
    "/sapi/v1/giftcard/",
    "/sapi/v1/lending/",
    "/sapi/v1/loan/",
    "/sapi/v2/loan/",
    "/sapi/v1/localentity/",
    "/sapi/v1/managed-subaccount/",
    "/sapi/v1/margin/borrow-repay",
    "/sapi/v1/margin/exchange-small-liability",
    "/sapi/v1/margin/isolated/transfer",
    "/sapi/v1/margin/loan",
    "/sapi/v1/margin/manual-liquidation",
    "/sapi/v1/margin/repay",
    "/sapi/v1/margin/transfer",
    "/sapi/v1/portfolio/",
    "/sapi/v1/simple-earn/",
    "/sapi/v1/sub-account/",
)
"""What moves or lends money begins with one of these."""

DENIED_WORDS = ("borrow", "liabilit", "liquidat", "loan", "repay", "transfer", "withdraw")
"""A path with one of these in it is refused as well: the exchange adds calls faster than any list
of them is kept."""

_PATH = re.compile(r"/(?:sapi|api)(?:/[A-Za-z0-9][A-Za-z0-9_-]*)+", re.ASCII)


def checked_also(call: str) -> tuple[str, str]:
    """Method and path of an entry of `also`, such as `POST /sapi/v1/margin/order`.

    Never a loan, a repayment or a transfer, whatever the method. Raises ConfigurationError.
    """
    method, _, path = call.partition(" ")
    if method not in METHODS or not _PATH.fullmatch(path):
        raise ConfigurationError(
            f"also: {call!r} must be a method and a path, such as 'POST /sapi/v1/margin/order'"
        )
    lowered = path.lower()
    if f"{lowered}/".startswith(DENIED) or any(word in lowered for word in DENIED_WORDS):
        raise ConfigurationError(
            f"also: {call!r} lends, repays or moves funds; it is not forwarded"
        )
    return method, path
