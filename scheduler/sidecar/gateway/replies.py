"""What clients are told, in the exchange's own shape."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ...wire import HttpReply

JSON = "application/json;charset=UTF-8"
KEPT_HEADERS = frozenset(
    {
        "retry-after",
        "x-mbx-used-weight",
        "x-mbx-used-weight-1m",
        "x-sapi-used-ip-weight-1m",
        "x-sapi-used-uid-weight-1m",
    }
)
"""Of the exchange's headers, those that clients go by."""
RETRY_AFTER_MAX_S = 3 * 86_400


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer to a client."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request goes no further; the client gets `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply


def answer(status: int, content: Any) -> Reply:
    return Reply(status, orjson.dumps(content), {"Content-Type": JSON})


def refusal(status: int, code: int, message: str, *, retry_after_s: float | None = None) -> Reply:
    """An error as the exchange writes it."""
    reply = answer(status, {"code": code, "msg": message})
    if retry_after_s is None:
        return reply
    seconds = min(max(1, math.ceil(retry_after_s)), RETRY_AFTER_MAX_S)
    return Reply(status, reply.body, {**reply.headers, "Retry-After": str(seconds)})


def passed_on(reply: HttpReply) -> Reply:
    """The exchange's own reply. A body that is no JSON (a firewall's page) stays what it is, but
    is never handed to a browser as a page of this origin."""
    is_json = reply.body.lstrip()[:1] in {b"{", b"["}
    kept = {name: value for name, value in reply.headers.items() if name in KEPT_HEADERS}
    headers = {**kept, "Content-Type": JSON if is_json else "text/plain"}
    return Reply(reply.status, reply.body, {**headers, "X-Content-Type-Options": "nosniff"})


# The exchange's own words, where it has them.


def no_such_call() -> Reply:
    return refusal(404, -1020, "This operation is not supported.")


def bad_key() -> Reply:
    return refusal(401, -2015, "Invalid API-key, IP, or permissions for action.")


def account_stopped() -> Reply:
    message = "The exchange refuses the account's key; it is stopped until an operator resumes it."
    return refusal(401, -2015, message)


def bad_signature() -> Reply:
    return refusal(400, -1022, "Signature for this request is not valid.")


def bad_timestamp(*, is_ahead: bool) -> Reply:
    if is_ahead:
        said = "Timestamp for this request was 1000ms ahead of the server's time."
    else:
        said = "Timestamp for this request is outside of the recvWindow."
    return refusal(400, -1021, said)


def missing(name: str) -> Reply:
    said = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return refusal(400, -1102, said)


def illegal(name: str, legal_range: str) -> Reply:
    said = f"Illegal characters found in parameter '{name}'; legal range is '{legal_range}'."
    return refusal(400, -1100, said)


def too_precise() -> Reply:
    return refusal(400, -1111, "Precision is over the maximum defined for this asset.")


def not_now(why: str, retry_after_s: float) -> Reply:
    """It was not executed, and may be sent again after a while."""
    return refusal(429, -1003, why, retry_after_s=retry_after_s)


def not_known(why: str) -> Reply:
    """It may have been executed."""
    said = f"{why} Send status unknown; execution status unknown."
    return refusal(504, -1007, said)


def out_of_service(why: str) -> Reply:
    return refusal(503, -1016, f"This service is no longer available: {why}")
