"""A connection without a socket, for time that is virtual: one client, byte by byte."""

import asyncio
from collections.abc import Callable
from typing import Any

from scheduler.sidecar import Sidecar

from .house import TOKEN


class Pipe(asyncio.Transport):
    """Both ends: the server's transport, and the client's hands on it."""

    def __init__(self, sidecar: Sidecar) -> None:
        super().__init__()
        self.got = b""
        self.sent = b""
        self.closed_at_s: float | None = None
        self.is_deaf = False
        """The client does not read: whatever is written stays where it is."""
        self._unread = b""
        self._is_closing = False
        self._loop = asyncio.get_running_loop()
        self._protocol = sidecar.connections()
        self._began_s = self._loop.time()
        self._protocol.connection_made(self)

    # The client's

    def send(self, data: bytes) -> None:
        self.sent += data
        if self.closed_at_s is None:
            self._protocol.data_received(data)

    def ask(
        self, method: str, path: str, *lines: str, body: bytes = b"", whole: bool = True
    ) -> None:
        """Sends a head, with the rest of a good one added, and the body."""
        head = [f"{method} {path} HTTP/1.1", "Host: localhost:80", *lines]
        head += [f"Authorization: Bearer {TOKEN}"]
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.send("\r\n".join([*head, "", ""]).encode() + (body if whole else b""))

    def leave(self) -> None:
        """Hangs up."""
        self._lost()

    async def closed(self, within_s: float = 200) -> float:
        """Seconds from the beginning until the server hung up."""
        await self.until(lambda: self.closed_at_s is not None, within_s)
        assert self.closed_at_s is not None
        return self.closed_at_s

    async def answered(self, within_s: float = 200) -> float:
        """Seconds from the beginning until there is an answer."""
        await self.until(lambda: bool(self.got), within_s)
        return self._loop.time() - self._began_s

    async def until(self, holds: Callable[[], bool], within_s: float = 200) -> None:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - in virtual time it costs nothing
                await asyncio.sleep(0.01)

    def statuses(self) -> list[int]:
        """Of all answers so far."""
        return [int(part[2:5]) for part in self.got.split(b"HTTP/1.")[1:]]

    # The server's

    def write(self, data: Any) -> None:
        if self._is_closing:
            return
        if not self.is_deaf:
            self.got += bytes(data)
        else:
            if not self._unread:
                self._protocol.pause_writing()
            self._unread += bytes(data)

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._unread:  # what was not read yet is waited for
                self._loop.call_soon(self._lost)

    def abort(self) -> None:
        self._is_closing = True
        self._loop.call_soon(self._lost)

    def write_eof(self) -> None:
        """The client sees the end of what it reads."""

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        """What comes is taken all the same."""

    def resume_reading(self) -> None:
        """It was never paused."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def _lost(self) -> None:
        if self.closed_at_s is None:
            self._is_closing = True
            self.closed_at_s = self._loop.time() - self._began_s
            self._protocol.connection_lost(None)
