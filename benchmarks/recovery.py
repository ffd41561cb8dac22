"""How soon a scheduler is ready on a journal that has grown: `python -m benchmarks.recovery`.

Ready means: the file is taken, everything unfinished is back in its queue, and submissions are
taken. The simulated exchange is in the same process, so that no network stands in the way.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from scheduler import Scheduler
from scheduler.journal.sqlite import SqliteJournal
from scheduler.simulator import Simulator
from tests.journal.test_sqlite import fill


async def measure(entries: int, unfinished: int) -> float:
    """Seconds from the call of `start` until it returns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scheduler.db"
        journal = SqliteJournal(str(path))
        await journal.open()
        await journal.aclose()
        fill(path, finished=entries - unfinished, unfinished=unfinished)
        async with Simulator() as sim:
            scheduler = Scheduler(
                [sim.account("main")], journal=f"sqlite:///{path}", transport=sim.transport
            )
            began = time.perf_counter()
            await scheduler.start()
            took_s = time.perf_counter() - began
            await scheduler.aclose()
    return took_s


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recovery",
        description="Start a scheduler on a journal of a given size.",
        epilog="example: python -m benchmarks.recovery --entries 1000000 --unfinished 1000",
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--unfinished", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3, help="the median is printed (3)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    starts = []
    for entries in options.entries:
        unfinished = min(entries, options.unfinished)
        runs = sorted(asyncio.run(measure(entries, unfinished)) for _ in range(options.runs))
        ready_s = round(runs[len(runs) // 2], 4)
        starts.append({"entries": entries, "unfinished": unfinished, "ready_s": ready_s})
        if not options.json:
            print(f"{entries:9,} entries, {unfinished:,} unfinished: ready in {ready_s:.3f} s")
    if options.json:
        print(json.dumps({"starts": starts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
