"""HTTP to a sidecar: one call, one answer, and what went wrong as one line."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from ..failed import Failed
from .target import Target

CONNECT_S = 5.0
ANSWER_S = 15.0
"""For an answer, on top of what the call asked the sidecar to wait."""
ANSWER_MAX = 64 * 1024 * 1024
"""Bytes; a page of submissions with all their evidence is far below."""

Json = dict[str, Any]

_NOT_TAKEN = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""No byte of the request left."""


class Refused(Failed):
    """The sidecar said no, in its own words."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail, _exit_code(status, code))
        self.status = status
        self.code = code


class Unreachable(Failed):
    """No answer came."""

    def __init__(self, message: str, *, may_have_arrived: bool) -> None:
        super().__init__(message, 3 if may_have_arrived else 2)
        self.may_have_arrived = may_have_arrived


class Connection:
    """To one sidecar. Follows no redirect and uses no proxy: both could lead the token away."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def __aenter__(self) -> Self:
        socket, token = self._target.socket, self._target.token
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector(),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Json | None = None,
        wait_s: float = 0.0,
    ) -> Json:
        """The JSON of a successful answer. Raises Refused and Unreachable.

        A `wait` in the query, and `wait_s`, prolong how long an answer may take. What is None is
        left out.
        """
        asked = {name: str(value) for name, value in (query or {}).items() if value is not None}
        patience_s = float(asked.get("wait", 0)) + wait_s + ANSWER_S
        url = URL(self._target.base_url + path, encoded=True).with_query(asked)
        try:
            async with self._session.request(
                method,
                url,
                data=None if body is None else orjson.dumps(body),
                headers={} if body is None else {"Content-Type": "application/json"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=patience_s, connect=CONNECT_S),
            ) as reply:
                content = await _content(reply)
        except _NOT_TAKEN as error:
            number = getattr(error, "errno", None)
            why = os.strerror(number) if number else "no connection in time"
            raise Unreachable(
                f"--url: no sidecar can be reached at {self._target.name}: {why}",
                may_have_arrived=False,
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else "no complete answer"
            raise Unreachable(
                f"--url: the sidecar at {self._target.name} was asked and gave {why}",
                may_have_arrived=True,
            ) from None
        return self._read(reply.status, content)

    def _read(self, status: int, content: bytes) -> Json:
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError:
            answer = None
        if isinstance(answer, dict) and 200 <= status < 300:
            return answer
        if isinstance(answer, dict) and isinstance(answer.get("detail"), str):
            raise Refused(status, str(answer.get("code", "")), printable(answer["detail"]))
        raise Failed(f"--url: what answers at {self._target.name} is no sidecar (HTTP {status})")


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def printable(text: str) -> str:
    """What others wrote, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


async def _content(reply: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > ANSWER_MAX:
            raise aiohttp.ClientPayloadError
    return bytes(content)


def _exit_code(status: int, code: str) -> int:
    """1: it was not done. 3: the sidecar cannot say now. Else something was given wrongly."""
    if status == 503 or status == 408:
        return 3
    if status == 429 or (status == 409 and code != "key_reused"):
        return 1
    return 2
