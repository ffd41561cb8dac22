"""What bounds the lives on one core: `python -m tests.simulate --profile`."""

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable, Iterable

PRINTED = 25
OWNERS = (
    ("simulated exchange", ("/scheduler/simulator/",)),
    ("sidecar", ("/scheduler/sidecar/",)),
    ("scheduler", ("/scheduler/",)),
    ("harness", ("/tests/",)),
    ("aiohttp's client", ("/aiohttp/client", "/aiohttp/connector", "/yarl/")),
    ("aiohttp's server", ("/aiohttp/web", "/aiohttp/http_websocket")),
    ("aiohttp, both", ("/aiohttp/", "/multidict/", "/propcache/", "/frozenlist/")),
    ("anyio", ("/anyio/",)),
    ("asyncio", ("/asyncio/",)),
)
"""Whose a file is: the first that fits."""
SQLITE = "sqlite3"


def profile(run: Callable[[int], int], seeds: Iterable[int], what: str) -> None:
    """Prints request lives a second of one core's time, because other work may share the core;
    whose that time is; and the functions that take most of it. `run` tells how many there were in
    one life."""
    seeds = list(seeds)
    run(seeds[0])  # what is imported and compiled late is not a life's
    began_s = time.process_time()
    lives = sum(run(seed) for seed in seeds)
    took_s = time.process_time() - began_s
    profiler = cProfile.Profile()
    for seed in seeds:
        profiler.runcall(run, seed)
    print(f"{lives} request lives, {lives / took_s:.0f} a second of one core's time ({what})")
    stats = pstats.Stats(profiler)
    for owner, share in shares(stats).most_common():
        print(f"{share:7.1%}  {owner}")
    stats.strip_dirs().sort_stats("tottime").print_stats(PRINTED)


def shares(stats: pstats.Stats) -> Counter[str]:
    """Each owner's share of the time. What is written in C is whoever's that called it."""
    taken: Counter[str] = Counter()
    for (file, _, name), (_, _, own_s, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if file != "~":
            taken[_owner(file)] += own_s
        elif SQLITE in name:
            taken["SQLite"] += own_s
        else:
            for (caller, _, _), (_, _, called_s, _) in callers.items():
                taken[_owner(caller)] += called_s
    total_s = sum(taken.values()) or 1.0
    return Counter({owner: own_s / total_s for owner, own_s in taken.items()})


def _owner(file: str) -> str:
    for owner, parts in OWNERS:
        if any(part in file for part in parts):
            return owner
    return "the rest of Python"
