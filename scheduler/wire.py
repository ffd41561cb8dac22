"""One HTTP exchange as values: what is sent, what comes back, and the two ways it can fail.

The seam between the scheduler and whatever carries its bytes. A transport (aiohttp, the simulator,
a caller's own) takes an `HttpRequest` and returns an `HttpReply` or raises one of the two errors
here. Which of them it raises answers the one question that matters: could the request have been
executed?
"""

from collections.abc import Mapping

from msgspec import Struct, field

REPLY_MAX_BYTES = 1 << 20


class HttpRequest(Struct, frozen=True, kw_only=True):
    """One request, complete: these exact bytes go out, once, and no redirect is followed.

    `path` is absolute and without the query; `query` is percent-encoded and without the "?". A
    non-empty `body` is a percent-encoded form.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    reply_max_bytes: int = REPLY_MAX_BYTES
    """A longer reply is no reply."""

    def __repr__(self) -> str:
        # Headers carry the API key and both query and body may carry a signature.
        return f"<HttpRequest {self.method} {self.path}>"


class HttpReply(Struct, frozen=True, kw_only=True):
    """One complete reply. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class ConnectFailed(Exception):
    """No byte of the request left this machine: it was certainly not executed."""


class ReplyLost(Exception):
    """The request may have reached the exchange and no complete reply came back."""
