"""A journal's server that dies, and connections that break: `python -m tests.server_kill`.

A scheduler is at work on a real PostgreSQL, through a proxy, in front of the simulated exchange in
a process of its own. In each cycle the server is killed with -9 and started again, or connections
are cut when a write has just gone out, so that nobody hears whether it was made. Then the
exchange's ledger is the judge, as in `tests.takeover`.
"""

import argparse
import asyncio
import random
import sys
import time

from scheduler import Scheduler, SchedulerError

from .exchange_process import ExchangeProcess, exchange_process
from .postgres import OwnServer, own
from .proxy import Proxy, proxy
from .takeover import ACCOUNTS, EXCHANGE, Tally, host, judge, settle

CALLERS = 8
CUTS = 10
"""Writes that are cut off in one cycle."""


async def _submit(scheduler: Scheduler, name: str, tally: Tally, is_over: asyncio.Event) -> None:
    rng = random.Random(name)
    for count in range(10**9):
        if is_over.is_set():
            return
        key = f"{name}-{count}"
        try:
            await scheduler.submit(rng.choice(ACCOUNTS), "BORROW", "USDT", "1", key=key)
            tally.acknowledged.add(key)
        except SchedulerError:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.02)


async def _kill(server: OwnServer, rng: random.Random) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(rng.uniform(0, 1))
    await asyncio.to_thread(server.start)


async def _cut(network: Proxy, rng: random.Random) -> None:
    for _ in range(CUTS):
        went_out = asyncio.Event()

        def is_write(data: bytes, went_out: asyncio.Event = went_out) -> bool:
            if b'"do"' not in data or rng.random() < 0.5:
                return False
            went_out.set()
            return True

        network.on_request = is_write
        async with asyncio.timeout(30):
            await went_out.wait()
        network.on_request = None
        await asyncio.sleep(rng.uniform(0, 0.3))


async def run(server: OwnServer, exchange: ExchangeProcess, cycles: int, seed: int) -> Tally:
    """So many troubles, and what is left."""
    rng, tally, url = random.Random(seed), Tally(), server.url()
    async with proxy(server.port) as network:
        is_over = asyncio.Event()
        async with host(exchange, server.through(url, network.port), "one") as scheduler:
            callers = [
                asyncio.ensure_future(_submit(scheduler, f"c{number}", tally, is_over))
                for number in range(CALLERS)
            ]
            for number in range(cycles):
                await asyncio.sleep(rng.uniform(0.5, 2))
                if number % 2:
                    await _cut(network, rng)
                else:
                    await _kill(server, rng)
                    tally.killed += 1
            await asyncio.sleep(1)
            is_over.set()
            await asyncio.gather(*callers)
    entries = await settle(exchange, url, patience_s=600)
    await judge(exchange, url, tally, entries)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.server_kill",
        description="Kill the journal's server and cut its connections; judge by the ledger.",
        epilog="example: python -m tests.server_kill --cycles 40",
    )
    parser.add_argument("--cycles", type=int, default=4, help="kills and cuts, in turn (4)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began_s = time.monotonic()
    with own() as server, exchange_process(*EXCHANGE, accounts=ACCOUNTS) as exchange:
        tally = asyncio.run(run(server, exchange, options.cycles, options.seed))
    for violation in tally.violations[:20]:
        print(violation)
    print(describe(tally, options.cycles, time.monotonic() - began_s))
    return 1 if tally.violations else 0


def describe(tally: Tally, cycles: int, took_s: float) -> str:
    states = ", ".join(f"{state} {count}" for state, count in sorted(tally.states.items()))
    return (
        f"the server killed {tally.killed} times, {(cycles - tally.killed) * CUTS} writes cut off, "
        f"in {took_s:.0f} s; {len(tally.acknowledged)} acknowledged, {tally.booked} booked; "
        f"{states}; {len(tally.violations)} violations"
    )


if __name__ == "__main__":
    sys.exit(main())
