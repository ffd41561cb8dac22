"""What grows with a journal on disk: `python -m benchmarks.growth`.

A file is filled as a scheduler would have left it, with 1,000 submissions unfinished. Then a
scheduler starts on it, and what it does with the file is timed, call by call. Ready means: the file
is taken, everything unfinished is back in its queue, and submissions are taken. The simulated
exchange is in the same process, so that no network stands in the way.
"""

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from scheduler import Scheduler, State
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.verify import verify
from scheduler.simulator import Simulator
from tests.journal.test_sqlite import fill

from .arguments import sizes

STARTS = 5
CALLS = 300
TOGETHER = 64
ACCOUNT = "main"
"""Of everything that `fill` makes."""
WITHIN_S = 7 * 86_400


async def measure(entries: int, unfinished: int, seed: int) -> dict[str, Any]:
    """One size: a row of the report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scheduler.db"
        journal = SqliteJournal(str(path))
        await journal.open()
        await journal.aclose()
        await asyncio.to_thread(fill, path, finished=entries - unfinished, unfinished=unfinished)
        size = path.stat().st_size
        starts = [await _start_s(path) for _ in range(STARTS)]
        calls = await _calls(path, entries, Random(seed))
        began_s = time.perf_counter()
        problems = await asyncio.to_thread(verify, str(path))
        verify_s = time.perf_counter() - began_s
        assert not problems, problems[:3]
    return {
        "entries": entries,
        "unfinished": unfinished,
        "ready_s": round(median(starts), 4),
        **calls,
        "verify_s": round(verify_s, 3),
        "bytes_an_entry": round(size / entries),
    }


async def _start_s(path: Path) -> float:
    """Seconds from the call of `start` until it returns."""
    async with Simulator() as sim:
        scheduler = _scheduler(path, sim)
        gc.collect()
        began_s = time.perf_counter()
        await scheduler.start()
        took_s = time.perf_counter() - began_s
        await scheduler.aclose()
    return took_s


async def _calls(path: Path, entries: int, random: Random) -> dict[str, float]:
    """Milliseconds of each call that a program makes; the account is paused, so that nothing else
    uses the file meanwhile."""
    async with Simulator() as sim, _scheduler(path, sim) as scheduler:
        await scheduler.pause(ACCOUNT)

        async def submit() -> None:
            await scheduler.submit(ACCOUNT, "BORROW", "USDT", "1.5", send_within=WITHIN_S)

        async def get() -> None:
            await scheduler.get(f"key-{random.randint(1, entries)}")

        async def newest() -> None:
            await scheduler.list(limit=100)

        async def narrowed() -> None:
            await scheduler.list(account=ACCOUNT, state=State.CONFIRMED, limit=100)

        submits = await _each_ms(submit)
        together = await _each_ms(
            lambda: asyncio.gather(*(submit() for _ in range(TOGETHER))), CALLS // 10
        )
        return {
            "submit_ms": round(median(submits), 3),
            "submit_p99_ms": round(quantiles(submits, n=100)[-1], 3),
            "submit_together_ms": round(median(together) / TOGETHER, 4),
            "get_ms": round(median(await _each_ms(get)), 3),
            "list_ms": round(median(await _each_ms(newest)), 3),
            "list_narrowed_ms": round(median(await _each_ms(narrowed)), 3),
        }


def _scheduler(path: Path, sim: Simulator) -> Scheduler:
    return Scheduler([sim.account(ACCOUNT)], journal=f"sqlite:///{path}", transport=sim.transport)


async def _each_ms(call: Callable[[], Awaitable[object]], calls: int = CALLS) -> list[float]:
    took = []
    gc.collect()
    for _ in range(calls):
        began_s = time.perf_counter()
        await call()
        took.append(1000 * (time.perf_counter() - began_s))
    return took


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="What a scheduler's start and its calls take as its journal on disk grows. "
        "All of it takes about 2 minutes and 1 GB of disk.",
        epilog="example: python -m benchmarks.growth --entries 1000,100000 --unfinished 1000",
    )
    parser.add_argument(
        "--entries",
        type=sizes,
        default=[1_000, 10_000, 100_000, 1_000_000],
        metavar="N,N,...",
    )
    parser.add_argument("--unfinished", type=int, default=1_000, help="of them (1000)")
    parser.add_argument("--seed", type=int, default=5, help="of which are read (5)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    rows = []
    for entries in options.entries:
        row = asyncio.run(measure(entries, min(entries, options.unfinished), options.seed))
        rows.append(row)
        print(", ".join(f"{name} {value:,}" for name, value in row.items()), file=sys.stderr)
    if options.json:
        print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
