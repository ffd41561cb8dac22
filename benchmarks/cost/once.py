"""One measurement of processor time, in the process that is asked for it and used for it alone.

Started by `benchmarks.cost.cpu` with the measurement's name and sizes on the command line; prints
the result as JSON. A process of its own, because garbage and warm caches of one measurement belong
to no other. The garbage collector is as every program has it.
"""

import argparse
import asyncio
import gc
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import aiohttp

from benchmarks.side_by_side.clients.signed_post import signed_post
from benchmarks.side_by_side.venue import Keys, Venue
from benchmarks.side_by_side.work import Ask
from scheduler import Account, Entry, Limits, Scheduler

from .collecting import Collecting
from .null import NullTransport, null_server

LIFTED = Limits(min_gap_ms=0, uid_weight_per_minute=1500 * 10**9, urgent_reserve=0, queue_max=10**7)
SUBMIT_TOGETHER = 1_000
SETTLE_S = 1.0
"""Until what a scheduler does once when it starts is over."""
WARM_UP = 500
WITHIN_S = 7 * 86_400
"""So that nothing queued runs out of time, however slow the machine is."""

Result = dict[str, float]


async def bare_post(requests: int, _: int) -> Result:
    """One signed post with aiohttp, and its answer: this side of it only."""
    keys = {"a0": Keys(api_key="key", secret="secret")}
    ask = Ask(account="a0", asset="USDT", amount="10")
    with null_server() as base_url:
        venue = Venue(base_url=base_url, accounts=keys, directory="")
        async with aiohttp.ClientSession() as session:
            return await _each_us(lambda: signed_post(session, venue, ask), requests)


async def borrow(requests: int, accounts: int) -> Result:
    """The scheduler itself for one borrow from call to CONFIRMED, nothing waiting: journal in
    memory, and no network. The accounts take turns."""
    async with _scheduler(accounts, "memory:", transport=NullTransport()) as scheduler:
        return await _borrow_us(scheduler, requests, accounts)


async def over_http(requests: int, _: int) -> Result:
    """The same with the journal on disk and real HTTP, both threads counted."""
    with null_server() as base_url, tempfile.TemporaryDirectory() as folder:
        journal = f"sqlite:///{folder}/scheduler.db"
        async with _scheduler(1, journal, base_url=base_url) as scheduler:
            return await _borrow_us(scheduler, requests, 1)


async def queued(requests: int, queued: int) -> Result:
    """One account: filling its queue to `queued`, for each submission; then, for each, carrying one
    borrow out and submitting another, so that as many wait all the time."""
    transport, finished = NullTransport(), asyncio.Semaphore(0)

    def changed(entry: Entry) -> None:
        if entry.is_final:
            finished.release()

    async with _scheduler(1, "memory:", transport=transport, on_change=changed) as scheduler:
        for _ in range(WARM_UP):
            await scheduler.borrow("a0", "USDT", "10")
            await finished.acquire()
        await asyncio.sleep(SETTLE_S)
        transport.hold()

        async def submit() -> None:
            await scheduler.submit("a0", "BORROW", "USDT", "10", send_within=WITHIN_S)

        gc.collect()
        with Collecting() as filling:
            began_s = time.process_time()
            for first in range(0, queued, SUBMIT_TOGETHER):
                together = min(SUBMIT_TOGETHER, queued - first)
                await asyncio.gather(*(submit() for _ in range(together)))
            fill_us = 1e6 * (time.process_time() - began_s) / queued

        async def one() -> None:
            transport.let_one_through()
            await finished.acquire()
            await submit()

        for _ in range(WARM_UP):
            await one()
        gc.collect()  # what filling has left is told with filling
        with Collecting() as steady:
            each_us = await _loop_us(one, requests)
    return {
        "us": each_us,
        "collecting_us": 1e6 * steady.took_s / requests,
        "submit_us": fill_us,
        "submit_collecting_us": 1e6 * filling.took_s / queued,
    }


MEASURES: dict[str, Callable[[int, int], Awaitable[Result]]] = {
    "bare_post": bare_post,
    "borrow": borrow,
    "over_http": over_http,
    "queued": queued,
}


@asynccontextmanager
async def _scheduler(
    accounts: int,
    journal: str,
    *,
    transport: NullTransport | None = None,
    base_url: str = "http://127.0.0.1:9",
    on_change: Callable[[Entry], None] | None = None,
) -> AsyncIterator[Scheduler]:
    named = [Account(f"a{n}", api_key=f"key{n}", secret="secret") for n in range(accounts)]
    async with Scheduler(
        named,
        journal=journal,
        base_url=base_url,
        transport=transport,
        limits=LIFTED,
        on_change=on_change,
    ) as scheduler:
        yield scheduler


async def _borrow_us(scheduler: Scheduler, requests: int, accounts: int) -> Result:
    for name in scheduler.accounts:  # each starts when it is first used
        await scheduler.borrow(name, "USDT", "10")
    await asyncio.sleep(SETTLE_S)
    numbers = count()

    async def one() -> None:
        await scheduler.borrow(f"a{next(numbers) % accounts}", "USDT", "10")

    return await _each_us(one, requests)


async def _each_us(call: Callable[[], Awaitable[object]], requests: int) -> Result:
    """Microseconds of this process for each call, less those of a loop that calls nothing."""

    async def nothing() -> None:
        pass

    for _ in range(WARM_UP):
        await call()
    gc.collect()
    empty_us = await _loop_us(nothing, requests)
    with Collecting() as collecting:
        each_us = await _loop_us(call, requests)
    return {"us": each_us - empty_us, "collecting_us": 1e6 * collecting.took_s / requests}


async def _loop_us(call: Callable[[], Awaitable[object]], requests: int) -> float:
    began_s = time.process_time()
    for _ in range(requests):
        await call()
    return 1e6 * (time.process_time() - began_s) / requests


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.once")
    parser.add_argument("measure", choices=list(MEASURES))
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--size", type=int, default=1)
    options = parser.parse_args()

    async def measured() -> Result:
        return await MEASURES[options.measure](options.requests, options.size)

    print(json.dumps(asyncio.run(measured())))


if __name__ == "__main__":
    main()
