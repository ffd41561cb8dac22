"""The exchange over HTTP, on this machine only, with faults that are real on the wire."""

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from ..wire import HttpReply, HttpRequest
from .control import NoSuchCall, call
from .exchange import Exchange
from .faults import Answer, Delivery
from .ledger import rows_as_json
from .replies import json_reply

if TYPE_CHECKING:
    from .simulator import Simulator

LEDGER_PATH = "/simulator/ledger"
CONTROL_PATH = "/simulator/control"

# Handlers are cut off before; this only bounds what nobody foresaw.
SHUTDOWN_TIMEOUT_S = 1.0

_CUT = Answer(HttpReply(status=0), Delivery.CUT)


class Server:
    """Serves one simulator on a loopback address."""

    def __init__(self, simulator: "Simulator", exchange: Exchange) -> None:
        self._simulator = simulator
        self._exchange = exchange
        self._waiting: dict[asyncio.Future[Answer], None] = {}
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> str:
        """Listens, and gives the base URL."""
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=SHUTDOWN_TIMEOUT_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound = self._runner.addresses[0][1]
        return f"http://{host}:{bound}"

    async def close(self) -> None:
        for waiting in list(self._waiting):
            _settle(waiting, _CUT)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        path, _, query = request.raw_path.partition("?")
        if path in (LEDGER_PATH, CONTROL_PATH):
            return _response(self._answer_test(path, request.method, query, body))
        sent = HttpRequest(
            method=request.method, path=path, query=query, headers=request.headers, body=body
        )
        answer = await self._ask(sent, request.remote or "")
        await asyncio.sleep(answer.delay_ms / 1_000)
        return _deliver(request, answer)

    async def _ask(self, request: HttpRequest, address: str) -> Answer:
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        affliction = self._exchange.afflict(request)
        self._exchange.receive(request, address, affliction, 0.0, partial(_settle, waiting))
        try:
            return await waiting
        finally:
            del self._waiting[waiting]

    def _answer_test(self, path: str, method: str, query: str, body: bytes) -> HttpReply:
        """What a test in another process asks for: the truth, or a handle to be used."""
        if path == LEDGER_PATH and method == "GET":
            return json_reply(200, self._ledger("arrivals" in query))
        if path == CONTROL_PATH and method == "POST":
            return self._control(body)
        return json_reply(405, {"error": f"{method} is not for {path}"})

    def _ledger(self, with_arrivals: bool) -> Mapping[str, Any]:
        ledger = self._simulator.ledger
        told: dict[str, Any] = {
            "now_ms": self._simulator.now_ms(),
            "statistics": ledger.statistics(),
            "transactions": list(rows_as_json(ledger.transactions)),
        }
        if with_arrivals:
            told["arrivals"] = list(rows_as_json(ledger.arrivals))
        return told

    def _control(self, body: bytes) -> HttpReply:
        try:
            arguments = orjson.loads(body)
            name = arguments.pop("call")
            result = call(self._simulator, name, arguments)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return json_reply(400, {"error": 'expected {"call": NAME, and its arguments}'})
        except NoSuchCall as error:
            return json_reply(400, {"error": str(error)})
        return json_reply(200, {"result": result})


def _settle(waiting: asyncio.Future[Answer], answer: Answer) -> None:
    if not waiting.done():
        waiting.set_result(answer)


def _deliver(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Answers, or breaks the connection so that the answer given back here goes nowhere."""
    transport = request.transport
    if transport is None or answer.delivery is Delivery.WHOLE:
        return _response(answer.reply)
    raw = _raw(answer.reply)
    match answer.delivery:
        case Delivery.CUT:
            transport.abort()
        case Delivery.TRUNCATED:
            transport.write(raw[: len(raw) - max(1, len(answer.reply.body) // 2)])
            transport.close()
        case Delivery.TWICE:
            transport.write(raw * 2)
            transport.close()
    return _response(answer.reply)


def _response(reply: HttpReply) -> web.Response:
    return web.Response(status=reply.status or 500, headers=reply.headers, body=reply.body)


def _raw(reply: HttpReply) -> bytes:
    if not reply.status:
        return b""
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines += [f"content-length: {len(reply.body)}", "", ""]
    return "\r\n".join(lines).encode() + reply.body
