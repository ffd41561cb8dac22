"""One connection: how long it may take, how long it may idle, and what ends it early.

aiohttp's server waits for ever for a request that has begun, and for ever for a client that does
not read its answer. Here both are bounded, each connection by one timer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import cast

from aiohttp import web

from .problems import FOREIGN_PEER, FULL, INTERNAL, NOT_HTTP, TOO_SLOW, Problem
from .security import is_foreign_peer, is_unix

REQUEST_S = 5.0
"""For a whole request, its head and its body, from its first byte; the first one of a connection
from when it was made."""
MARGIN_S = 0.25
"""The refusal is on its way this much earlier, so that it is there in time."""
KEEP_ALIVE_S = 15.0
"""Between two requests."""
STALL_S = 10.0
"""How long a client may leave what was sent to it unread."""
LINGER_S = 1.0
"""How long the rest of a refused body is read and thrown away, so that the refusal is not lost."""
CONNECTIONS_MAX = 512
"""At once, on all addresses together."""


class Phase(Enum):
    """Where a connection stands between one request and the next."""

    WAITING = auto()
    """For the first byte of the next request."""
    READING = auto()
    ANSWERING = auto()
    """The request was read, or refused before."""
    LEAVING = auto()
    """The last word was said."""


class Connections:
    """Makes connections and counts them. To a listening socket it is the protocol factory."""

    def __init__(self, server: web.Server, *, owner_only: bool) -> None:
        """`owner_only`: the other end of a Unix socket has to belong to our own user."""
        self._server = server
        self._owner_only = owner_only
        self._loop = asyncio.get_running_loop()
        self._open: dict[Connection, asyncio.Transport] = {}

    def __call__(self) -> "Connection":
        return Connection(self, self._server, self._loop)

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def abort(self) -> None:
        """End what is still open, refused connections included."""
        for transport in tuple(self._open.values()):
            transport.abort()

    def entered(self, connection: "Connection", transport: asyncio.Transport) -> Problem | None:
        """One more. What is wrong with it?"""
        self._open[connection] = transport
        if self.count > CONNECTIONS_MAX:
            return FULL
        if self._owner_only and is_unix(transport):
            return FOREIGN_PEER if is_foreign_peer(transport.get_extra_info("socket")) else None
        return None

    def left(self, connection: "Connection") -> None:
        """One less."""
        del self._open[connection]


class Connection(web.RequestHandler):
    """aiohttp's, with deadlines. Whoever answers says when a request was read and when its answer
    is over."""

    __slots__ = (
        *("_all", "_deadline_s", "_expired", "_has_more", "_has_spoken", "_phase", "_stall"),
        "_timer",
    )

    def __init__(
        self, all_of_them: Connections, server: web.Server, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=86_400,  # ours is the shorter one
            lingering_time=LINGER_S,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
        )
        self._all = all_of_them
        self._phase = Phase.READING
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0
        self._expired: Callable[[], None] | None = None
        self._has_spoken = False
        self._has_more = False

    # What answers

    async def read(self, request: web.Request) -> bytes | None:
        """The body; None if it did not arrive in time. Raises as `request.read` does."""
        if request.content.is_eof():
            body = await request.read()
        else:
            self._disarm()
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    body = await request.read()
            except TimeoutError:
                return None
        return body

    def was_read(self) -> None:
        """Nothing more of this request is waited for."""
        self._disarm()
        self._phase = Phase.ANSWERING

    def was_answered(self) -> None:
        """The next request may come."""
        if self._phase is not Phase.ANSWERING or self.transport is None:
            return
        if self._has_more:
            self._expect_request()
        else:
            self._phase = Phase.WAITING
            self._arm(KEEP_ALIVE_S, self._idle_too_long)

    # What the transport calls

    def connection_made(self, made: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", made)  # uvloop's is none by its class
        problem = self._all.entered(self, transport)
        if problem is not None:
            self._phase = Phase.LEAVING
            if self._all.count <= 2 * CONNECTIONS_MAX:
                self._say_last(transport, problem)
            else:
                transport.abort()
            return
        # What cannot be sent at once is then noticed, and nobody can leave it lying for ever.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LEAVING:
            return
        if data:
            self._has_spoken = True
            if self._phase is Phase.WAITING:
                self._expect_request()
            elif self._phase is Phase.ANSWERING:
                self._has_more = True
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._phase = Phase.LEAVING
        self._end_timer()
        self._end_stall()
        self._all.left(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None and self._stall is None:
            self._stall = self._loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    # What aiohttp calls

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Says less than aiohttp, which quotes the request, and with it maybe a signature."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun and cannot be another any more")
        response = (NOT_HTTP if status < 500 else INTERNAL).response("/")
        response.force_close()
        return response

    # Time

    def _expect_request(self) -> None:
        self._phase = Phase.READING
        self._has_more = False
        self._arm(REQUEST_S - MARGIN_S, self._too_slow)

    def _idle_too_long(self) -> None:
        if self.writing_paused:  # it still reads its last answer, and another timer sees to that
            self._arm(KEEP_ALIVE_S, self._idle_too_long)
        else:
            self.force_close()

    def _too_slow(self) -> None:
        transport = self.transport
        if transport is None:
            return
        if not self._has_spoken or self.writing_paused:
            self.force_close()
            return
        self._phase = Phase.LEAVING
        self.close()
        self._say_last(transport, TOO_SLOW)

    def _say_last(self, transport: asyncio.Transport, problem: Problem) -> None:
        """Answers outside of any request, and hangs up once the other end had time to read it:
        closing on what it still sends would take the answer away from it."""
        transport.write(problem.raw())
        if transport.can_write_eof():
            with suppress(OSError):  # the other end has gone, and nobody has noticed yet
                transport.write_eof()
        self._arm(LINGER_S, transport.abort)

    def _arm(self, after_s: float, expired: Callable[[], None]) -> None:
        """`expired` is called then, unless something else is armed before.

        A timer that is set already and comes earlier stays: it looks then at how long there is
        still. Setting one and taking it back twice for each request would cost more than that.
        """
        self._deadline_s, self._expired = self._loop.time() + after_s, expired
        if self._timer is not None:
            if self._timer.when() <= self._deadline_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline_s, self._on_time)

    def _disarm(self) -> None:
        self._expired = None

    def _on_time(self) -> None:
        self._timer, expired = None, self._expired
        if expired is None:
            return
        if self._loop.time() < self._deadline_s:
            self._timer = self._loop.call_at(self._deadline_s, self._on_time)
            return
        self._expired = None
        expired()

    def _end_timer(self) -> None:
        self._disarm()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
