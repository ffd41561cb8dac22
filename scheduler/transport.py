"""What carries a request to the exchange: aiohttp, or anything else with `Transport`'s two
methods."""

import asyncio
import ipaddress
import ssl
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .errors import ConfigurationError
from .wire import ConnectFailed, HttpReply, HttpRequest, ReplyLost

TOTAL_TIMEOUT_S = 15.0
"""For a whole call. The exchange gives its own backend 10 s before it answers -1007; giving up
before that would make unknown outcomes of answers that were on their way."""
CONNECT_TIMEOUT_S = 5.0
IDLE_MAX_S = 9.0
"""A connection that was idle for longer is not used again: a POST on one that the other side has
just closed could be lost."""
URLS_MAX = 100
"""Parsed ones that are kept; there are as many as calls without a query."""


class Transport(Protocol):
    """Sends one request, once."""

    async def send(self, request: HttpRequest) -> HttpReply:
        """The complete reply. Raises `wire.ConnectFailed` only if nothing was sent for certain, and
        `wire.ReplyLost` for everything else that can go wrong."""

    async def aclose(self) -> None:
        """Close what it holds open."""


class AiohttpTransport:
    """HTTP/1.1 over pooled connections: no redirects, no cookies, no proxy but a configured one."""

    def __init__(self, base_url: str, *, proxy: str | None = None) -> None:
        self._base_url = checked_base_url(base_url)
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    async def send(self, request: HttpRequest) -> HttpReply:
        try:
            async with self._open_session().request(
                request.method,
                self._url(request),
                data=aiohttp.BytesPayload(request.body) if request.body else None,
                headers=request.headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as reply:
                body = await _read_capped(reply, request.reply_max_bytes)
        except Exception as error:
            if isinstance(error, _NOTHING_LEFT):
                raise ConnectFailed(type(error).__name__) from None
            # Only the type is passed on: some of these errors carry the URL, and so the signature.
            raise ReplyLost(type(error).__name__) from None
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return HttpReply(status=reply.status, headers=headers, body=body)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _url(self, request: HttpRequest) -> URL:
        if request.query:
            return URL(f"{self._base_url}{request.path}?{request.query}", encoded=True)
        url = self._urls.get(request.path)
        if url is None:
            url = URL(self._base_url + request.path, encoded=True)
            if len(self._urls) < URLS_MAX:
                self._urls[request.path] = url
        return url

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S
                ),
                trust_env=False,
                auto_decompress=True,
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        # One attempt an account is in the air, so the accounts bound the connections.
        return _Connector(limit=0, keepalive_timeout=IDLE_MAX_S, force_close=False)


class Unspoilt(aiohttp.BaseConnector):
    """Reuses no connection on which something came that nobody had asked for.

    aiohttp would take it for the reply to the next request: a reply that came twice would confirm
    one loan with another one's transaction.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: "list[aiohttp.tracing.Trace]",
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.connector.Connection:
        while True:  # ends with a new connection at the latest
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class _Connector(Unspoilt, aiohttp.TCPConnector):
    pass


def checked_base_url(base_url: str) -> str:
    """The URL without a trailing slash. Plain HTTP is for this machine only: a signed request on an
    open network can be read. Raises ConfigurationError."""
    # What is refused is not repeated: a URL may hold a password.
    form = "base_url: must be of the form https://HOST[:PORT]"
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(form) from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ConfigurationError(form)
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"base_url: plain http to {host} is refused; use https")
    return base_url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


# Raised before a connection stands, so no byte of the request can have left. Everything else that
# aiohttp raises, its timeouts and plain OSErrors among them, may come after the bytes went out.
_NOTHING_LEFT: tuple[type[BaseException], ...] = (
    aiohttp.ClientConnectorError,  # refused, unreachable, no such name, no TLS
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,  # the proxy refused to open the tunnel
    aiohttp.InvalidURL,
    ssl.SSLCertVerificationError,
)


async def _read_capped(reply: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in reply.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            reply.close()
            raise asyncio.IncompleteReadError(b"", None)
        chunks.append(chunk)
    return b"".join(chunks)
