"""Who may ask: no page of another site, no name of another host, nobody without the token."""

import hmac
import os
import socket
import struct
import sys
from collections.abc import Iterable

from aiohttp import hdrs, web

from .problems import (
    FOREIGN_HOST,
    FOREIGN_ORIGIN,
    NO_TOKEN,
    WRONG_TOKEN,
    Problem,
    is_gateway,
)

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
"""For probes, which know neither the token nor what the host is called."""

PAGE_PATH = "/"
"""Holds no data: whatever it shows it asks for, with the token that it asks its reader for."""

OWNER_ONLY = 0o600
"""The mode at which a Unix socket is for the user that runs the sidecar alone."""


class Guard:
    """Judges a request by its head alone."""

    def __init__(self, hosts: Iterable[str], configured: Iterable[str], token: str | None) -> None:
        """`hosts` are the values of `Host` for where it listens; `configured` come on top, and may
        be served with TLS by somebody in front."""
        also = {host.lower() for host in configured}
        self._hosts = {*hosts, *also}
        self._origins = {f"http://{host}" for host in self._hosts} | {
            f"https://{host}" for host in also
        }
        self._token = None if token is None else _bytes(token)

    def problem(self, request: web.BaseRequest) -> Problem | None:
        """Why the request is refused; None: it may be answered."""
        headers, path = request.headers, request.path
        origin = headers.get(hdrs.ORIGIN)
        if origin is not None and origin.lower() not in self._origins:
            return FOREIGN_ORIGIN
        if path in HEALTH_PATHS:
            return None
        if not self._is_known_host(request):
            return FOREIGN_HOST
        if self._token is None or path == PAGE_PATH or is_gateway(path):
            return None
        return self._token_problem(headers.get(hdrs.AUTHORIZATION))

    def _is_known_host(self, request: web.BaseRequest) -> bool:
        """A page that has its name resolve to this machine (DNS rebinding) sends its own name.
        No page reaches a Unix socket, and its clients have no common name for it."""
        host = request.headers.get(hdrs.HOST)
        return (host is not None and host.lower() in self._hosts) or is_unix(request.transport)

    def _token_problem(self, authorization: str | None) -> Problem | None:
        assert self._token is not None
        if authorization is None:
            return NO_TOKEN
        scheme, _, given = authorization.partition(" ")
        is_right = hmac.compare_digest(_bytes(given.strip()), self._token)
        return None if is_right and scheme.lower() == "bearer" else WRONG_TOKEN


def is_unix(transport: object) -> bool:
    """Whether a connection came over a Unix socket."""
    sock = getattr(transport, "get_extra_info", lambda _: None)("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", None)


def is_foreign_peer(sock: socket.socket) -> bool:
    """Whether the other end of a Unix socket belongs to another user; root is none."""
    uid = peer_uid(sock)
    return uid is None or uid not in {0, os.geteuid()}


def peer_uid(sock: socket.socket) -> int | None:
    """Who connected, as the kernel noted it; None where that cannot be learned."""
    try:
        if sys.platform == "linux":
            size = struct.calcsize("3i")
            told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return int(struct.unpack("3i", told)[1])
        # The BSDs and macOS: `struct xucred` by LOCAL_PEERCRED; its second word is the uid.
        told = sock.getsockopt(0, 1, 76)
        return int(struct.unpack_from("II", told)[1])
    except (OSError, struct.error):
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
