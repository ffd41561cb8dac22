"""Memory that a queued submission takes: `python -m benchmarks.cost.memory`.

The journal is on disk, as in use; what is counted is what the process holds besides.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import tracemalloc

from scheduler import Account, Scheduler

from .cpu import LIFTED
from .null import NullTransport

TOGETHER = 1_000


async def bytes_each(queued: int) -> float:
    """Python's own allocations for each submission that waits."""
    transport = NullTransport()
    with tempfile.TemporaryDirectory() as folder:
        account = Account("a0", api_key="key", secret="secret")
        journal = f"sqlite:///{folder}/scheduler.db"
        async with Scheduler(
            [account], journal=journal, transport=transport, limits=LIFTED
        ) as scheduler:
            await scheduler.borrow("a0", "USDT", "10")
            await scheduler.pause("a0")
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for first in range(0, queued, TOGETHER):
                size = min(TOGETHER, queued - first)
                submits = (
                    scheduler.submit("a0", "BORROW", "USDT", f"{10 + first + n}.5")
                    for n in range(size)
                )
                await asyncio.gather(*submits)
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    return (after - before) / queued


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost.memory",
        description="Memory for each submission that waits, with the journal on disk.",
        epilog="example: python -m benchmarks.cost.memory --queued 1000,100000 --json",
    )
    parser.add_argument(
        "--queued",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[1_000, 10_000, 100_000],
        metavar="N,N,...",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    result = {n: round(asyncio.run(bytes_each(n))) for n in options.queued}
    if options.json:
        print(json.dumps({"bytes_a_queued_submission": result}))
        return 0
    for queued, size in result.items():
        print(f"{queued:9,} queued: {size:,} bytes each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
