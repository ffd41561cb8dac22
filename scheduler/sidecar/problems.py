"""What goes wrong, as an answer: problem+json (RFC 9457), or the exchange's shape on its paths."""

import math
from dataclasses import dataclass, replace
from http import HTTPStatus

import orjson
from aiohttp import web

from ..errors import (
    AccountStopped,
    CannotStartInTime,
    Closed,
    InvalidRequest,
    JournalUnavailable,
    KeyReused,
    LookFailed,
    NotCancellable,
    NotResolvable,
    QueueFull,
    SchedulerError,
    UnknownAccount,
    UnknownAsset,
    UnknownKey,
)

TYPE = "urn:margin-scheduler:problem:"
"""What a problem's `type` begins with; its code follows."""

SERVER = "margin-scheduler"
"""The header `Server`: without it aiohttp tells its version, and Python's."""

GATEWAY_PATHS = ("/sapi", "/api")
"""Paths whose errors have the exchange's shape begin with these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal. `code` is for programs, `detail` one sentence for people."""

    status: int
    code: str
    detail: str
    field: str | None = None
    retry_after_s: float | None = None
    allow: str | None = None
    """Of a 405: the methods there are."""
    closes: bool = False
    """Nothing more is read from the connection."""

    @property
    def body(self) -> bytes:
        told: dict[str, str | int] = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            told["field"] = self.field
        return orjson.dumps(told)

    def headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "Server": SERVER,
        }
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.allow is not None:
            headers["Allow"] = self.allow
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def response(self, path: str) -> web.Response:
        """The answer to a request of that path."""
        headers, body = self.headers(), self.body
        if is_gateway(path):
            headers["Content-Type"] = "application/json;charset=UTF-8"
            body = orjson.dumps({"code": _exchange_code(self), "msg": self.detail})
        response = web.Response(status=self.status, body=body, headers=headers)
        if self.closes:
            response.force_close()
        return response

    def raw(self) -> bytes:
        """The answer where there is no request to answer to; the connection ends with it."""
        body = self.body
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers().items()]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode() + body


def is_gateway(path: str) -> bool:
    """Whether errors on this path have the exchange's shape."""
    return any(path == root or path.startswith(root + "/") for root in GATEWAY_PATHS)


def problem_of(error: SchedulerError) -> Problem:
    """How an error of the scheduler is answered."""
    detail = str(error)
    match error:
        case InvalidRequest(code=code, field=field):
            return Problem(status=400, code=code, field=field, detail=detail)
        case UnknownAccount():
            return Problem(status=404, code="account_unknown", field="account", detail=detail)
        case UnknownKey():
            return Problem(status=404, code="key_unknown", field="key", detail=detail)
        case KeyReused():
            return Problem(status=409, code="key_reused", field="key", detail=detail)
        case NotCancellable():
            return Problem(status=409, code="not_cancellable", field="key", detail=detail)
        case NotResolvable(code="resolution_invalid"):
            return Problem(status=400, code="resolution_invalid", field="as", detail=detail)
        case NotResolvable(code=code):
            return Problem(status=409, code=code, detail=detail)
        case AccountStopped():
            return Problem(status=409, code="account_stopped", field="account", detail=detail)
        case QueueFull(retry_after_s=wait_s):
            return Problem(status=429, code="queue_full", detail=detail, retry_after_s=wait_s)
        case CannotStartInTime(retry_after_s=wait_s):
            return replace(CANNOT_START, detail=detail, retry_after_s=wait_s)
        case Closed():
            return DRAINING
        case UnknownAsset():
            return Problem(status=404, code="asset_unknown", field="asset", detail=detail)
        case LookFailed():
            return replace(LOOK_FAILED, detail=detail)
        case JournalUnavailable():
            return replace(JOURNAL, detail=detail)
    return INTERNAL


CANNOT_START = Problem(
    status=429, code="cannot_start_in_time", detail="", field="send_within_ms", retry_after_s=1
)
DRAINING = Problem(
    status=503,
    code="draining",
    detail="nothing new is taken: the sidecar is about to stop",
    retry_after_s=5,
)
JOURNAL = Problem(status=503, code="journal_unavailable", detail="", retry_after_s=5)
LOOK_FAILED = Problem(status=503, code="look_failed", detail="", retry_after_s=5)
INTERNAL = Problem(
    status=503,
    code="internal",
    detail="something went wrong here and was logged; ask for the key to learn what became of it",
    retry_after_s=1,
)
NOT_READY = Problem(status=503, code="not_ready", detail="not ready", retry_after_s=5)
FULL = Problem(
    status=503,
    code="too_many_connections",
    detail="too many connections are open",
    retry_after_s=1,
    closes=True,
)
TOO_LARGE = Problem(
    status=413, code="body_too_large", detail="the body is longer than 16 KiB", closes=True
)
TOO_SLOW = Problem(
    status=408,
    code="request_too_slow",
    detail="the whole request must arrive within 5 seconds",
    closes=True,
)
NOT_HTTP = Problem(
    status=400, code="http_invalid", detail="this is not a well-formed HTTP request", closes=True
)
NOT_FOUND = Problem(status=404, code="path_unknown", detail="there is nothing at this path")
NOT_JSON = Problem(
    status=415,
    code="content_type_not_json",
    detail="Content-Type: must be application/json, in UTF-8 and not compressed",
    field="Content-Type",
)
NO_TOKEN = Problem(
    status=401, code="token_missing", detail="Authorization: must be Bearer and the token"
)
WRONG_TOKEN = Problem(status=401, code="token_wrong", detail="Authorization: the token is wrong")
FOREIGN_HOST = Problem(
    status=403,
    code="host_foreign",
    detail="Host: is none of the sidecar's; sidecar.hosts in its configuration can add it",
    field="Host",
)
FOREIGN_ORIGIN = Problem(
    status=403, code="origin_foreign", detail="Origin: other sites have no access", field="Origin"
)
FOREIGN_PEER = Problem(
    status=403,
    code="peer_foreign",
    detail="the socket is for the user that runs the sidecar",
    closes=True,
)


def not_allowed(methods: str) -> Problem:
    """A path that has other methods."""
    return Problem(
        status=405, code="method_not_allowed", detail=f"allowed here: {methods}", allow=methods
    )


_EXCHANGE_CODES = {
    400: -1100,
    401: -2015,
    403: -2015,
    404: -1020,
    405: -1020,
    408: -1100,
    413: -1100,
    415: -1100,
    429: -1003,
}


def _exchange_code(problem: Problem) -> int:
    """The exchange's own word for it. What went wrong inside may have happened all the same, and
    -1000 says nothing else."""
    if problem.code in {DRAINING.code, JOURNAL.code}:
        return -1016
    return _EXCHANGE_CODES.get(problem.status, -1000)
