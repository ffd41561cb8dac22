"""Processor time of the scheduler itself for one borrow, and how it grows.

`python -m benchmarks.cost.cpu`: journal in memory, a transport that costs nothing, limits lifted.
Beside it, in the same run, one signed post with aiohttp to a server in another process.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from statistics import median

import aiohttp

from benchmarks.side_by_side.clients.signed_post import signed_post
from benchmarks.side_by_side.venue import Keys, Venue
from benchmarks.side_by_side.work import Ask
from scheduler import Account, Entry, Limits, Scheduler

from .null import NullTransport

LIFTED = Limits(min_gap_ms=0, uid_weight_per_minute=1500 * 10**9, urgent_reserve=0, queue_max=10**7)
ROUNDS = 5
SUBMIT_TOGETHER = 1_000

_SERVER = """
import asyncio
from aiohttp import web

async def answer(request):
    await request.read()
    return web.json_response({"tranId": 1})

async def main():
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def of_a_bare_post(base_url: str, requests: int) -> float:
    """Microseconds of this process for one signed post and its answer."""
    keys = {"a0": Keys(api_key="key", secret="secret")}
    venue = Venue(base_url=base_url, accounts=keys, directory="")
    ask = Ask(account="a0", asset="USDT", amount="10")
    async with aiohttp.ClientSession() as session:
        return await _median_us(lambda: signed_post(session, venue, ask), requests)


async def of_a_borrow(requests: int, *, accounts: int) -> float:
    """Microseconds of the scheduler for one borrow from call to CONFIRMED, nothing waiting."""
    async with _scheduler(accounts, NullTransport()) as scheduler:
        for name in scheduler.accounts:  # each starts when it is first used
            await scheduler.borrow(name, "USDT", "10")
        numbers = count()

        async def borrow() -> None:
            await scheduler.borrow(f"a{next(numbers) % accounts}", "USDT", "10")

        return await _median_us(borrow, requests)


async def of_a_queued_borrow(requests: int, *, queued: int) -> tuple[float, float]:
    """Microseconds to submit one to a queue that grows to `queued`, and to carry one out while
    nearly as many wait; one account."""
    transport = NullTransport()
    async with _scheduler(1, transport) as scheduler:
        await scheduler.borrow("a0", "USDT", "10")
        transport.close()
        began_s = time.process_time()
        for first in range(0, queued, SUBMIT_TOGETHER):
            size = min(SUBMIT_TOGETHER, queued - first)
            submits = (scheduler.submit("a0", "BORROW", "USDT", "10") for _ in range(size))
            await asyncio.gather(*submits)
        submit_us = 1e6 * (time.process_time() - began_s) / queued
        # Enough of them that a collection of the long queue's garbage falls where it belongs.
        done = min(max(requests, queued // 5), queued)
        feed = asyncio.ensure_future(_confirmed(scheduler, done))
        await asyncio.sleep(0)
        began_s = time.process_time()
        transport.open()
        await feed
        return submit_us, 1e6 * (time.process_time() - began_s) / done


@contextmanager
def _server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


async def _confirmed(scheduler: Scheduler, number: int) -> None:
    left = number
    async for change in scheduler.events():
        left -= isinstance(change, Entry) and change.is_final
        if not left:
            return


def _scheduler(accounts: int, transport: NullTransport) -> Scheduler:
    named = [Account(f"a{n}", api_key=f"key{n}", secret="secret") for n in range(accounts)]
    return Scheduler(named, journal="memory:", transport=transport, limits=LIFTED)


async def _median_us(call: Callable[[], Awaitable[object]], requests: int) -> float:
    for _ in range(min(200, requests)):
        await call()
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(requests):
            await call()
        rounds.append(1e6 * (time.process_time() - began_s) / requests)
    return median(rounds)


async def run(options: argparse.Namespace) -> dict[str, object]:
    with _server() as base_url:
        bare_us = await of_a_bare_post(base_url, options.requests)
    by_accounts = {n: await of_a_borrow(options.requests, accounts=n) for n in options.accounts}
    by_queued = {n: await of_a_queued_borrow(options.requests, queued=n) for n in options.queued}
    first_us = by_accounts[options.accounts[0]]
    _, first_queued_us = by_queued[options.queued[0]]
    return {
        "bare_post_us": round(bare_us, 1),
        "borrow_us": {n: round(us, 1) for n, us in by_accounts.items()},
        "of_a_bare_post": round(first_us / bare_us, 3),
        "growth_with_accounts": {n: round(us / first_us, 3) for n, us in by_accounts.items()},
        "submit_us": {n: round(submit, 1) for n, (submit, _) in by_queued.items()},
        "queued_borrow_us": {n: round(us, 1) for n, (_, us) in by_queued.items()},
        "growth_with_queued": {
            n: round(us / first_queued_us, 3) for n, (_, us) in by_queued.items()
        },
    }


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost.cpu",
        description="Processor time of the scheduler for one borrow, beside a bare signed post.",
        epilog="example: python -m benchmarks.cost.cpu --accounts 1,100 --queued 100,10000 --json",
    )
    parser.add_argument("--requests", type=int, default=2_000, help="a round (2000)")
    parser.add_argument("--accounts", type=_sizes, default=[1, 100, 10_000], metavar="N,N,...")
    parser.add_argument(
        "--queued", type=_sizes, default=[100, 10_000, 1_000_000], metavar="N,N,..."
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    result = asyncio.run(run(options := parser.parse_args()))
    if options.json:
        print(json.dumps(result))
        return 0
    for name, value in result.items():
        print(f"{name.replace('_', ' '):24} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
