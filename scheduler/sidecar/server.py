"""The sidecar itself: listens, refuses what must not be answered, and hands on the rest."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TypedDict, Unpack, cast

import anyio
from aiohttp import hdrs, web

from ..errors import ConfigurationError, SchedulerError
from ..scheduler import Scheduler
from . import listeners
from .api import Api
from .connection import Connection, Connections
from .dashboard import routes as dashboard_routes
from .gateway import Gateway
from .listeners import Address, SocketFile, TcpAddress
from .metrics import Metrics
from .options import Client, SidecarOptions
from .problems import (
    INTERNAL,
    NOT_FOUND,
    NOT_HTTP,
    NOT_JSON,
    TOO_LARGE,
    TOO_SLOW,
    Problem,
    not_allowed,
    problem_of,
)
from .security import OWNER_ONLY, Guard

BODY_MAX_BYTES = 16 * 1024
CLOSE_S = 1.0
"""How long what is still open when the sidecar closes may take to end by itself, and as long again
when it is told to."""

_log = logging.getLogger("margin_scheduler")


class Sidecar:
    """HTTP in front of a scheduler that somebody else starts and closes."""

    def __init__(self, scheduler: Scheduler, options: SidecarOptions) -> None:
        """Nothing is opened yet. Raises ConfigurationError."""
        self._scheduler = scheduler
        self._options = options
        self._listen = listeners.checked_addresses(options)
        self._servers: list[asyncio.Server] = []
        self._files: list[SocketFile] = []
        self._http: web.Server | None = None
        self._runner: web.AppRunner | None = None
        self.addresses: tuple[str, ...] = ()

    async def start(self) -> None:
        """Listens, once this returns. Raises ConfigurationError naming `sidecar.listen`."""
        if self._runner is not None:
            raise ConfigurationError("sidecar: it starts once; make another")
        sockets: list[socket.socket] = []
        try:
            for address in self._listen:
                sockets += self._open(address)
            self.addresses = tuple(listeners.url(sock) for sock in sockets)
            await self._assemble()
            await self._gateway.start()
            loop = asyncio.get_running_loop()
            for sock in sockets:
                is_unix = sock.family == getattr(socket, "AF_UNIX", None)
                create = loop.create_unix_server if is_unix else loop.create_server
                server = await create(self.connections, sock=sock, backlog=listeners.BACKLOG)
                self._servers.append(server)
        except BaseException:
            await self.aclose()
            for sock in sockets:
                sock.close()
            raise

    def drain(self) -> None:
        """From now on new submissions are refused with `draining`, and whoever waits is answered
        with what there is. Before the start there is nothing to drain."""
        if self._runner is None:
            return
        self._api.drain()
        self._gateway.drain()

    async def drained(self) -> None:
        """Wait, after `drain` and before the scheduler is closed, until what clients of the gateway
        had queued is taken back, within a short bound."""
        if self._runner is not None:
            await self._gateway.drained()

    async def aclose(self) -> None:
        """Stop listening, and end what is still open within a short bound."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for file in self._files:
            file.remove()
        self._files.clear()
        if self._runner is None or self._http is None:
            return
        self.drain()
        http, self._http = self._http, None
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(0)  # what has just arrived gets into a handler
            http.pre_shutdown()
            await http.shutdown(CLOSE_S)
            self.connections.abort()
            await asyncio.sleep(0)  # for the transports to let go of their sockets
            await self._gateway.aclose()  # after those it waits for have left
            self._api.close()
            self._metrics.close()
            await self._runner.cleanup()

    # Putting it together

    connections: Connections
    """Makes a protocol for each connection: for whoever has bytes travel in another way than by the
    sockets that `start` opens."""

    _api: Api
    _gateway: Gateway
    _metrics: Metrics
    _guard: Guard
    _app: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    _fixed: dict[tuple[str, str], Callable[[web.Request], Awaitable[web.StreamResponse]]]

    async def _assemble(self) -> None:
        self._gateway = Gateway(self._scheduler, self._options)
        self._metrics = Metrics(self._scheduler)
        self._api = Api(self._scheduler, self._metrics)
        await self._gateway.start()
        self._guard = Guard(
            listeners.host_values(self.addresses), self._options.hosts, self._options.token
        )
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        routes = (*self._api.routes(), *self._gateway.routes(), *dashboard_routes())
        for route in routes:
            route.kwargs["expect_handler"] = _was_told_to_go_on
            route.register(app.router)
        # What nearly every request is for is found at once; the router walks through its paths.
        self._fixed = {(route.method, route.path): route.handler for route in routes}
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        assembled = self._runner.server
        assert assembled is not None
        self._app = assembled.request_handler
        self._http = web.Server(
            self._answer,  # type: ignore[arg-type]
            request_factory=assembled.request_factory,
            handler_cancellation=True,  # whoever has left is not worked for any more
        )
        owner_only = self._options.socket_mode == OWNER_ONLY
        self.connections = Connections(self._http, owner_only=owner_only)

    def _open(self, address: Address) -> list[socket.socket]:
        if isinstance(address, TcpAddress):
            return listeners.open_tcp(address)
        sock = listeners.open_unix(address, self._options.socket_mode)
        self._files.append(listeners.socket_file(address.path))
        return [sock]

    # Answering

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Every request comes through here, and no exception but a cancellation goes out."""
        connection = cast("Connection", request.protocol)
        try:
            problem = self._guard.problem(request) or await self._read(connection, request)
            connection.was_read()
            if problem is None:
                fixed = self._fixed.get((request.method, request.rel_url.raw_path))
                return await (self._app if fixed is None else fixed)(request)
        except web.HTTPNotFound:
            problem = NOT_FOUND
        except web.HTTPMethodNotAllowed as error:
            problem = not_allowed(error.headers[hdrs.ALLOW])
        except SchedulerError as error:
            problem = problem_of(error)
        except Exception as error:
            if isinstance(error, ConnectionError) and _has_left(request):
                raise
            _log.exception("%s %s failed", request.method, request.path)
            if request.writer.output_size > 0:  # a second answer would stand inside of the first
                raise ConnectionError("the answer broke off") from None
            problem = INTERNAL
        finally:
            connection.was_answered()
        return problem.response(request.path)

    async def _read(self, connection: Connection, request: web.Request) -> Problem | None:
        """Takes the whole body in, so that no handler waits for it."""
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            return NOT_JSON
        expected = request.headers.get(hdrs.EXPECT)
        if expected is not None and expected.lower() != "100-continue":
            return NOT_HTTP
        if (request.content_length or 0) > BODY_MAX_BYTES:
            return TOO_LARGE
        if expected is not None:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # It is no part of the answer, and an answer that has begun could not be changed.
            request.writer.output_size = 0
        try:
            body = await connection.read(request)
        except web.HTTPRequestEntityTooLarge:
            return TOO_LARGE
        except web.RequestPayloadError:
            return NOT_HTTP
        return TOO_SLOW if body is None else None


class Options(TypedDict, total=False):
    """What else may be said of an embedded sidecar; see `SidecarOptions`."""

    hosts: tuple[str, ...]
    trusted_network: bool
    socket_mode: int
    drain_timeout_s: float
    gateway_patience_ms: int
    gateway_adopt_s: float
    clients: tuple[Client, ...]


async def serve(
    scheduler: Scheduler,
    *,
    listen: tuple[str, ...] | list[str] = ("127.0.0.1:8900",),
    token: str | None = None,
    **options: Unpack[Options],
) -> None:
    """Give an embedded scheduler, already started, the API, metrics and gateway over HTTP.

    Runs until it is cancelled, and then takes nothing new, ends what is open and stops listening;
    the scheduler stays open. `listen` has `HOST:PORT` and `unix:PATH`. Without a `token` everybody
    on this machine may use it. Raises ConfigurationError.
    """
    sidecar = Sidecar(scheduler, SidecarOptions(listen=tuple(listen), token=token, **options))
    await sidecar.start()
    try:
        await anyio.sleep_forever()
    finally:
        await sidecar.aclose()


def _has_left(request: web.Request) -> bool:
    """Whether nobody is there any more to be answered."""
    return request.transport is None or request.transport.is_closing()


async def _was_told_to_go_on(request: web.Request) -> None:
    """The client waits for "100 Continue" no more: its body has been read."""
