"""Memory that a queued submission takes: `python -m benchmarks.cost.memory`.

Both with the journal on disk, as in use, and with the one in memory, which keeps the entries
themselves and their histories besides. Each measurement is a process of its own.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import tracemalloc

from benchmarks.arguments import sizes
from scheduler import Account, Scheduler

from .null import NullTransport
from .once import LIFTED, SUBMIT_TOGETHER, WITHIN_S

JOURNALS = ("sqlite", "memory")


async def bytes_each(queued: int, kind: str) -> float:
    """Python's own allocations for each submission that waits."""
    account = Account("a0", api_key="key", secret="secret")
    with tempfile.TemporaryDirectory() as folder:
        journal = {"sqlite": f"sqlite:///{folder}/scheduler.db", "memory": "memory:"}[kind]
        async with Scheduler(
            [account], journal=journal, transport=NullTransport(), limits=LIFTED
        ) as scheduler:
            await scheduler.borrow("a0", "USDT", "10")
            await scheduler.pause("a0")

            async def submit(number: int) -> None:
                amount = f"{10 + number}.5"
                await scheduler.submit("a0", "BORROW", "USDT", amount, send_within=WITHIN_S)

            # What is kept for good once, however many follow, is not a submission's.
            await asyncio.gather(*(submit(-1 - number) for number in range(8)))
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for first in range(0, queued, SUBMIT_TOGETHER):
                together = min(SUBMIT_TOGETHER, queued - first)
                await asyncio.gather(*(submit(first + number) for number in range(together)))
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    return (after - before) / queued


def measured(queued: int, kind: str) -> int:
    """The same in a process of its own. Raises CalledProcessError."""
    program = (
        "import asyncio; from benchmarks.cost.memory import bytes_each;"
        f" print(asyncio.run(bytes_each({queued}, {kind!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    return round(float(done.stdout))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost.memory",
        description="Memory for each submission that waits.",
        epilog="example: python -m benchmarks.cost.memory --queued 1000,100000 --json",
    )
    parser.add_argument(
        "--queued",
        type=sizes,
        default=[1_000, 10_000, 100_000],
        metavar="N,N,...",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    rows = [
        {"queued": queued, **{kind: measured(queued, kind) for kind in JOURNALS}}
        for queued in options.queued
    ]
    if options.json:
        print(json.dumps({"rows": rows}))
        return 0
    for row in rows:
        print(
            f"{row['queued']:9,} queued: {row['sqlite']:,} bytes each, journal on disk;"
            f" {row['memory']:,} with the journal in memory"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
