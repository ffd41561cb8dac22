"""One client at one work, in a process of its own; started by `python -m benchmarks.side_by_side`.

Reads the venue and the work's name from standard input, so that no key stands in the process list,
says when it is set up, begins when it is told to, and says in the end what the client was told.
"""

import asyncio
import json
import resource
import sys
import time
from contextlib import suppress

from .clients import client
from .told import UNKNOWN, Told
from .venue import Keys, Venue
from .work import Ask, works

READY, GO = "ready", "go"


async def _run(order: dict[str, object], venue: Venue) -> dict[str, object]:
    work = works(int(str(order["size"])))[str(order["work"])]
    told: list[Told | None] = [None] * len(work.asks)
    async with client(str(order["client"]))(venue) as borrow:

        async def hear(place: int, ask: Ask) -> None:
            told[place] = await borrow(ask)

        print(READY, flush=True)
        assert (await asyncio.to_thread(sys.stdin.readline)).strip() == GO
        cpu_s, began_s = _cpu_s(), time.perf_counter()
        with suppress(TimeoutError):  # what it was told by then is its result
            async with asyncio.timeout(work.patience_s):
                await asyncio.gather(*(hear(place, ask) for place, ask in enumerate(work.asks)))
        took_s, cpu_s = time.perf_counter() - began_s, _cpu_s() - cpu_s
    return {
        "took_s": took_s,
        "cpu_s": cpu_s,
        "told": [[t.says, t.tran_id, t.code] for t in (t or UNKNOWN for t in told)],
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    order = json.loads(sys.stdin.readline())
    accounts = {name: Keys(**keys) for name, keys in order["accounts"].items()}
    venue = Venue(base_url=order["base_url"], accounts=accounts, directory=order["directory"])
    json.dump(asyncio.run(_run(order, venue)), sys.stdout)


if __name__ == "__main__":
    main()
