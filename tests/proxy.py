"""A TCP proxy that can cut what goes through it: a network between a client and its server."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536
SSL_REQUEST = 8
"""Bytes by which a PostgreSQL client asks for TLS."""


class Proxy:
    """Passes bytes on, until told otherwise."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.is_open = True
        self.tls: ssl.SSLContext | None = None
        """How it speaks to clients that ask for TLS as PostgreSQL's do; the server is not asked."""
        self.on_request: Callable[[bytes], bool] | None = None
        """Asked with what a client sends; True lets it through and cuts all connections before the
        answer."""

    def cut(self) -> None:
        """Break every connection, without a farewell."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_open:
            writer.transport.abort()
            return
        if self.tls is not None:
            await reader.readexactly(SSL_REQUEST)
            writer.write(b"S")
            with suppress(OSError):
                await writer.start_tls(self.tls)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:  # the server is gone, so its clients find nobody either
            writer.transport.abort()
            return
        self._writers |= {writer, to_writer}
        for source, target, is_request in ((reader, to_writer, True), (to_reader, writer, False)):
            task = asyncio.ensure_future(self._pump(source, target, is_request=is_request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_request: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                target.write(data)
                await target.drain()
                if is_request and self.on_request is not None and self.on_request(data):
                    self.cut()
                    break
        self._writers.discard(target)
        target.close()

    async def stop(self) -> None:
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """One in front of a port of this machine."""
    passing = Proxy(port)
    server = await asyncio.start_server(passing.serve, "127.0.0.1", 0)
    passing.port = server.sockets[0].getsockname()[1]
    try:
        yield passing
    finally:
        server.close()
        await passing.stop()
        await server.wait_closed()
