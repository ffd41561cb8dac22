"""Where the processor time of a measurement goes, by module."""

import asyncio
import cProfile
import pstats
import sysconfig
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import scheduler

from .once import MEASURES

BIAS = (
    "cProfile, which adds about the same to every call of a function: what consists of many small "
    "ones looks dearer than it is, by up to twice, and long loops and C look cheaper. Good for "
    "finding what to look at, not for saying what it costs. Start and warm-up are in it; the "
    "journal's thread is not."
)
ROWS = 30
_PACKAGE = Path(scheduler.__file__).parent
_LIBRARY = Path(sysconfig.get_path("stdlib"))


def by_module(name: str, size: int, requests: int) -> str:
    """A table: the share of each module's own time, and its calls a request."""
    profile = cProfile.Profile()

    async def measured() -> object:
        # Within the loop, so that importing and closing are not in it.
        with profile:
            return await MEASURES[name](requests, size)

    asyncio.run(measured())
    own_s, calls = summed(pstats.Stats(profile).stats)  # type: ignore[attr-defined]
    total_s = sum(own_s.values())
    rows = sorted(own_s, key=lambda module: -own_s[module])[:ROWS]
    lines = [
        f"{100 * own_s[module] / total_s:5.1f} %  {calls[module] / requests:8.1f} calls a request  "
        f"{module}"
        for module in rows
    ]
    return "\n".join([f"{name}, {size}, {requests} requests. {BIAS}", *lines])


def summed(stats: Mapping[tuple[str, int, str], Any]) -> tuple[dict[str, float], dict[str, int]]:
    """Own seconds and calls by module, of what pstats has by function. Waiting is no work."""
    own_s: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for (file, _, function), (_, count, took_s, _, _) in stats.items():
        if "select." in function and "poll" in function:
            continue
        module = module_of(file, function)
        own_s[module] += took_s
        calls[module] += count
    return dict(own_s), dict(calls)


def module_of(file: str, function: str) -> str:
    """`scheduler/worker.py` of ours, the package's name of others', "C" for what has no file."""
    path = Path(file)
    if file == "~":
        return "C: " + ("asyncio" if "_asyncio" in function else "built in")
    if path.is_relative_to(_PACKAGE):
        return f"scheduler/{path.relative_to(_PACKAGE)}"
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1]
    if path.is_relative_to(_LIBRARY):
        return path.relative_to(_LIBRARY).parts[0]
    return path.name
