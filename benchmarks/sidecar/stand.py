"""The sidecar or the bare forwarder in a process of its own; started by `benchmarks.sidecar`.

Reads what it is to be from standard input, prints where it listens, answers each further line with
the processor time it has used, and stops with its input.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import aiohttp
from aiohttp import web

from scheduler import Account, Limits, Scheduler
from scheduler.cli.logs import configure_logs
from scheduler.cli.process import spare_the_collector
from scheduler.sidecar import Sidecar, SidecarOptions

STOP_S = 30
LIFTED = Limits(min_gap_ms=0, uid_weight_per_minute=1500 * 10**9, urgent_reserve=0)


async def sidecar(order: dict[str, Any]) -> None:
    if order.get("log") is not None:
        configure_logs("info")
    accounts = [
        Account(name, api_key=keys["api_key"], secret=keys["secret"])
        for name, keys in order["accounts"].items()
    ]
    limits = LIFTED if order["is_lifted"] else Limits()
    async with Scheduler(
        accounts, base_url=order["base_url"], journal=order["journal"], limits=limits
    ) as scheduler:
        front = Sidecar(scheduler, SidecarOptions(listen=("127.0.0.1:0",), token=order["token"]))
        await front.start()
        spare_the_collector()  # as `serve` does
        try:
            print(front.addresses[0], flush=True)
            await _until_closed()
        finally:
            await front.aclose()


async def forwarder(order: dict[str, Any]) -> None:
    """As little as can be done: takes the request in, posts it on, hands the answer back."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.read()
            headers = {
                "X-MBX-APIKEY": request.headers["X-MBX-APIKEY"],
                "Content-Type": "application/x-www-form-urlencoded",
            }
            url = order["base_url"] + request.path
            async with session.post(url, data=body, headers=headers) as response:
                return web.Response(status=response.status, body=await response.read())

        runner = web.ServerRunner(web.Server(forward, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await _until_closed()
        await runner.cleanup()


async def _until_closed() -> None:
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)


@dataclass(frozen=True, slots=True)
class Stand:
    """A sidecar or a forwarder that runs."""

    url: str
    asks: IO[str]
    answers: IO[str]

    def cpu_s(self) -> float:
        """The processor time that its process has used, all threads together."""
        self.asks.write("cpu\n")
        self.asks.flush()
        return float(self.answers.readline())


@contextmanager
def stand(kind: str, **order: Any) -> Iterator[Stand]:
    """A sidecar or a forwarder that runs meanwhile."""
    command = [sys.executable, "-m", "benchmarks.sidecar.stand"]
    log = order.get("log")
    with (
        nullcontext() if log is None else Path(log).open("ab") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        # Not as an argument: there are keys in it, and anybody can read a process's arguments.
        process.stdin.write(json.dumps({**order, "stand": kind}) + "\n")
        process.stdin.flush()
        try:
            url = process.stdout.readline().strip()
            yield Stand(url, process.stdin, process.stdout)
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    order = json.loads(sys.stdin.readline())
    kind = {"sidecar": sidecar, "forwarder": forwarder}[order["stand"]]
    with asyncio.Runner(loop_factory=_loop_factory(order.get("loop", "asyncio"))) as runner:
        runner.run(kind(order))


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module(name).new_event_loop
    return factory


if __name__ == "__main__":
    main()
