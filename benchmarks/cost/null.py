"""An exchange that costs nothing: every borrow is answered at once.

In process as a transport, and over HTTP in a process of its own.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from urllib.parse import parse_qs

from aiohttp import web

from scheduler.wire import HttpReply, HttpRequest

KEY_HEADER = "X-MBX-APIKEY"


class NullExchange:
    """Confirms whatever is borrowed, and tells the time."""

    def __init__(self) -> None:
        self._tran_ids = count(1)
        self._first: dict[str, int] = {}

    def answer(self, method: str, path: str, key: str, query: str) -> HttpReply:
        if method == "POST":
            tran_id = next(self._tran_ids)
            self._first.setdefault(key, tran_id)
            return HttpReply(status=200, body=b'{"tranId":%d}' % tran_id)
        if path == "/api/v3/time":
            return HttpReply(status=200, body=b'{"serverTime":%d}' % (time.time_ns() // 1_000_000))
        if path == "/sapi/v1/margin/borrow-repay":
            return HttpReply(status=200, body=self._record(key, query))
        return HttpReply(status=404, body=b'{"code":-1020,"msg":"not here"}')

    def _record(self, key: str, query: str) -> bytes:
        """An account's first borrow: how long its record takes to show is what a scheduler that
        has begun looks for, and it would go on looking."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        record = {
            "type": "MANUAL",
            "asset": asked.get("asset", "USDT"),
            "amount": "10",
            "principal": "10",
            "interest": "0",
            "status": "CONFIRMED",
            "timestamp": int(asked.get("startTime", "0")) + 2_000,
            "txId": self._first.get(key, 0),
        }
        return json.dumps({"rows": [record], "total": 1}).encode()


class NullTransport:
    """In process. Once it is held, each borrow's answer has to be let through."""

    def __init__(self) -> None:
        self._exchange = NullExchange()
        self._answers: asyncio.Semaphore | None = None

    def hold(self) -> None:
        """Keep whoever borrows waiting."""
        self._answers = asyncio.Semaphore(0)

    def let_one_through(self) -> None:
        assert self._answers is not None
        self._answers.release()

    async def send(self, request: HttpRequest) -> HttpReply:
        if request.method == "POST" and self._answers is not None:
            await self._answers.acquire()
        key = request.headers.get(KEY_HEADER, "")
        return self._exchange.answer(request.method, request.path, key, request.query)

    async def aclose(self) -> None:
        pass


async def _serve() -> None:
    exchange = NullExchange()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        key = request.headers.get(KEY_HEADER, "")
        reply = exchange.answer(request.method, request.path, key, request.query_string)
        return web.Response(status=reply.status, body=reply.body, headers=_typed(reply.headers))

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def _typed(headers: Mapping[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


@contextmanager
def null_server() -> Iterator[str]:
    """The base URL of one that runs meanwhile, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cost.null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
