"""A sidecar with everything around it: a simulated exchange, a scheduler, and ways to ask."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from scheduler import Limits, Scheduler
from scheduler.journal import Journal
from scheduler.sidecar import Sidecar, SidecarOptions
from scheduler.simulator import Simulator

TOKEN = "canary-token-5d1c"
LOOPBACK = ("127.0.0.1:0",)
QUICK = Limits(min_gap_ms=0)
"""For tests that wait in real time and are not about pace."""


@dataclass(frozen=True)
class House:
    """Whatever a test may want to reach into."""

    sim: Simulator
    scheduler: Scheduler
    sidecar: Sidecar

    @property
    def address(self) -> str:
        return self.sidecar.addresses[0]


@asynccontextmanager
async def house(
    *names: str,
    listen: tuple[str, ...] = LOOPBACK,
    token: str | None = TOKEN,
    journal: str | Journal = "memory:",
    limits: Limits = QUICK,
    sim: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[House]:
    """A running sidecar; in the end it is closed before its scheduler is."""
    async with Simulator(**{"port": None, "processing_ms": 0, **(sim or {})}) as simulator:
        accounts = [simulator.account(name) for name in names or ("main",)]
        async with Scheduler(
            accounts, journal=journal, transport=simulator.transport, limits=limits
        ) as scheduler:
            sidecar = Sidecar(scheduler, SidecarOptions(listen=listen, token=token, **options))
            await sidecar.start()
            try:
                yield House(simulator, scheduler, sidecar)
            finally:
                await sidecar.aclose()


@dataclass(frozen=True)
class Answer:
    """One complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        code: str = self.json["code"]
        return code


@dataclass
class Asker:
    """Writes requests byte by byte as it is told, on one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str
    token: str | None = TOKEN

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | object = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Sends a request as a decent client does, but for `headers`; None leaves one out."""
        self.writer.write(self.request(method, path, body, headers))
        return await self.answer()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | object = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> bytes:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given: dict[str, str | None] = {"Host": self.host}
        if self.token is not None:
            given["Authorization"] = f"Bearer {self.token}"
        if raw:
            given |= {"Content-Type": "application/json"}
        if raw or method == "POST":
            given |= {"Content-Length": str(len(raw))}
        given |= headers or {}
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode() + raw

    async def answer(self) -> Answer:
        status, headers = await self.head()
        length = int(headers.get("content-length", 0))
        return Answer(status, headers, await self.reader.readexactly(length))

    async def head(self) -> tuple[int, dict[str, str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.splitlines()[:-1]
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}

    async def event(self) -> dict[str, str]:
        """The next block of a stream of events: its fields, comments under ""."""
        fields: dict[str, str] = {}
        while (line := await self._line()) != "":
            name, _, value = line.partition(": ")
            fields[name.removesuffix(":")] = value
        return fields

    async def _line(self) -> str:
        """A line of a chunked body."""
        while b"\n" not in self._rest:
            size = int(await self.reader.readline(), 16)
            chunk = await self.reader.readexactly(size + 2)
            if size == 0:
                raise EOFError
            self._rest += chunk[:-2]
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    _rest: bytes = b""


@asynccontextmanager
async def asking(address: str, *, token: str | None = TOKEN) -> AsyncIterator[Asker]:
    """A connection to where a sidecar listens."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        host = "localhost"
    else:
        host = address.removeprefix("http://")
        name, _, port = host.rpartition(":")
        reader, writer = await asyncio.open_connection(name.strip("[]"), int(port))
    try:
        yield Asker(reader, writer, host, token)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


BORROW = {"account": "main", "kind": "BORROW", "asset": "USDT", "amount": "1"}


def borrow(key: object = "k1", **changes: object) -> dict[str, object]:
    """The body of a submission; what is None is left out."""
    whole: dict[str, object] = {**BORROW, "key": key, **changes}
    return {name: value for name, value in whole.items() if value is not None}
