"""The sidecar that is loaded, and the refusal to load anything but this machine unasked."""

import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson


class BadTarget(Exception):
    """No sidecar's address, or one that is not this machine and that nobody said may be loaded."""


def check(url: str, *, anywhere: bool) -> None:
    """Raises BadTarget."""
    if url.startswith("unix:"):
        return
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadTarget(f"--url: http://HOST:PORT or unix:PATH, not {url!r}")
    if anywhere:
        return
    try:
        found = {info[4][0] for info in socket.getaddrinfo(parts.hostname, None)}
    except OSError:
        raise BadTarget(f"--url: {parts.hostname!r} is not known") from None
    if not all(ipaddress.ip_address(address).is_loopback for address in found):
        raise BadTarget(f"--url: {parts.hostname} is not this machine; --anywhere if that is meant")


class Target:
    """One sidecar over HTTP. As many connections as there are requests open: an open loop does not
    wait for a free one."""

    def __init__(self, url: str, token: str | None) -> None:
        path = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._base = "http://localhost" if path else url.rstrip("/")
        connector = aiohttp.UnixConnector(path, limit=0) if path else aiohttp.TCPConnector(limit=0)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            json_serialize=lambda value: orjson.dumps(value).decode(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
        )

    async def aclose(self) -> None:
        await self._session.close()

    async def accounts(self) -> list[str]:
        answer = await self._get("/v1/accounts")
        return [account["account"] for account in answer["accounts"]]

    async def submit(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        async with self._session.post(f"{self._base}/v1/submissions", json=body) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, key: str) -> dict[str, Any]:
        entry: dict[str, Any] = await self._get(f"/v1/submissions/{key}")
        return entry

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Entries as they change from now on, until the stream ends."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with self._session.get(f"{self._base}/v1/events", timeout=timeout) as stream:
            stream.raise_for_status()
            yield _entries(stream.content)

    async def _get(self, path: str) -> Any:
        async with self._session.get(f"{self._base}{path}") as response:
            response.raise_for_status()
            return await response.json(content_type=None)


async def _entries(lines: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    kind = ""
    async for line in lines:
        if line.startswith(b"event:"):
            kind = line[6:].strip().decode()
        elif line.startswith(b"data:") and kind == "entry":
            yield orjson.loads(line[5:])
