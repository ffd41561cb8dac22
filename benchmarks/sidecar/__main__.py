"""`python -m benchmarks.sidecar`: requests a second and added latency of the sidecar.

The exchange is the simulator in its own process, processing 0, gap 0, weight limits lifted; so are
the sidecar, with its journal on disk, and a handler that does nothing but forward. All of them and
the caller share this machine's cores, so only ratios within one round say anything.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from tests.exchange_process import exchange_process

from .callers import Ask, native, signed
from .stand import Stand, stand

TOKEN = "a token for this run only"
LIFTED = (
    *("--processing-ms", "0", "--jitter", "0", "--uid-weight-limit", "1000000000"),
    *("--ip-weight-limit", "1000000000", "--api-weight-limit", "1000000000"),
)
SYNCS = 50
QUIET_SHARE = 0.05
"""Of a core, over a second: whoever uses no more has nothing to do of its own."""
QUIET_MAX_S = 60


@dataclass(slots=True)
class Way:
    """One way to ask for a borrow, and what was measured of it, a value a round."""

    ask: Ask
    stand: Stand | None
    """The process in between; None: there is none."""
    waits_ms: list[list[float]] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """Of the process in between, a request."""

    async def measure(self, requests: int, callers: int) -> None:
        self.waits_ms.append(await latencies_ms(self.ask, requests // 4))
        before_s = self._cpu_s()
        self.per_s.append(await throughput(self.ask, requests, callers))
        self.cpu_ms.append(1000 * (self._cpu_s() - before_s) / requests)

    def _cpu_s(self) -> float:
        return 0.0 if self.stand is None else self.stand.cpu_s()


async def latencies_ms(ask: Ask, requests: int) -> list[float]:
    """One caller, one request after the other."""
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        await ask()
        took.append(1000 * (time.perf_counter() - began))
    return took


async def throughput(ask: Ask, requests: int, callers: int) -> float:
    """Requests a second of so many callers, each one request after the other."""
    left = iter(range(requests))

    async def caller() -> None:
        for _ in left:
            await ask()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return requests / (time.perf_counter() - began)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    names = tuple(f"a{number}" for number in range(options.accounts))
    with (
        exchange_process(*LIFTED, "--seed", str(options.seed), accounts=names) as exchange,
        tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.folder) as folder,
    ):
        accounts = {
            name: {"api_key": account.api_key, "secret": account.secret}
            for name, account in exchange.accounts.items()
        }
        order = {
            "base_url": exchange.base_url,
            "accounts": accounts,
            "journal": f"sqlite:///{folder}/scheduler.db",
            "token": TOKEN,
            "is_lifted": True,
            "loop": options.loop,
            "log": f"{folder}/events.log" if options.log else None,
        }
        sync_ms = _sync_ms(Path(folder))
        with stand("sidecar", **order) as sidecar, stand("forwarder", **order) as forwarder:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                ways = {
                    "straight": Way(signed(session, exchange.base_url, accounts), None),
                    "forwarder": Way(signed(session, forwarder.url, accounts), forwarder),
                    "native": Way(native(session, sidecar.url, accounts, TOKEN), sidecar),
                    "gateway": Way(signed(session, sidecar.url, accounts), sidecar),
                }
                await _measure(ways, options)
    says = (
        f"{options.accounts} accounts, {options.callers} callers, {options.rounds} rounds of "
        f"{options.requests} requests, {options.loop}, "
        f"{'with' if options.log else 'without'} a log; journal on a disk that syncs 4 KiB in "
        f"{sync_ms:.2f} ms. Shares are of the forwarder's requests a second in the same round, "
        "added milliseconds those over going straight to the exchange in the same round (one "
        "caller), processor time that of the process in between, a request: median (least to most)."
    )
    return {"says": says, "ways": [_figures(name, way, ways) for name, way in ways.items()]}


async def _measure(ways: dict[str, Way], options: argparse.Namespace) -> None:
    """Each round in another order, so that what else the machine does falls on all of them."""
    for way in ways.values():
        await throughput(way.ask, max(options.accounts, options.requests), options.callers)
    await _quiet([way.stand for way in ways.values() if way.stand is not None])
    order = list(ways.values())
    for _ in range(options.rounds):
        for way in order:
            await way.measure(options.requests, options.callers)
        order.append(order.pop(0))


async def _quiet(stands: Sequence[Stand]) -> None:
    """Until nothing is left of the start: a sidecar has then asked whose keys these are, and seen
    how long the first records took to show."""
    for _ in range(QUIET_MAX_S):
        before_s = sum(each.cpu_s() for each in stands)
        await asyncio.sleep(1)
        if sum(each.cpu_s() for each in stands) - before_s < QUIET_SHARE:
            return


def _figures(name: str, way: Way, ways: dict[str, Way]) -> dict[str, Any]:
    base, forwarder = ways["straight"], ways["forwarder"]
    rounds = range(len(way.per_s))
    added_p50 = [median(way.waits_ms[n]) - median(base.waits_ms[n]) for n in rounds]
    added_p99 = [_p99(way.waits_ms[n]) - _p99(base.waits_ms[n]) for n in rounds]
    shares = [way.per_s[each] / forwarder.per_s[each] for each in rounds]
    cpu_shares = [way.cpu_ms[each] / forwarder.cpu_ms[each] for each in rounds]
    return {
        "way": name,
        "per_s": round(median(way.per_s), 1),
        "share": round(median(shares), 3),
        "shares": _spread(shares),
        "p50_ms": round(median(map(median, way.waits_ms)), 3),
        "p99_ms": round(median(map(_p99, way.waits_ms)), 3),
        "added_p50_ms": round(median(added_p50), 3),
        "added_p50s_ms": _spread(added_p50),
        "added_p99_ms": round(median(added_p99), 3),
        "added_p99s_ms": _spread(added_p99),
        "cpu_ms": round(median(way.cpu_ms), 3),
        "cpus_ms": _spread(way.cpu_ms),
        "cpu_share": None if way.stand is None else round(median(cpu_shares), 3),
    }


def _spread(values: Sequence[float]) -> list[float]:
    """The least and the most."""
    return [round(min(values), 3), round(max(values), 3)]


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[-1]


def _sync_ms(folder: Path) -> float:
    """What the journal's disk takes to keep a page for certain."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(1000 * (time.perf_counter() - began))
    return median(took)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sidecar",
        description="Requests a second and added latency of the sidecar, beside a bare forwarder.",
        epilog="example: python -m benchmarks.sidecar --accounts 100 --requests 500 --json",
    )
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--requests", type=int, default=1_000, help="a round and way (1000)")
    parser.add_argument("--callers", type=int, default=32, help="at the same time (32)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--folder", default=".", help="of the journal; choose a real disk (.)")
    parser.add_argument(
        "--loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="what the sidecar and the forwarder run on (asyncio)",
    )
    parser.add_argument(
        "--log", action="store_true", help="have the sidecar log to a file what `serve` logs"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    result = asyncio.run(run(options))
    if options.json:
        print(json.dumps(result))
        return 0
    print(result["says"])
    for way in result["ways"]:
        print(_line(way))
    return 0


def _line(way: dict[str, Any]) -> str:
    def spread(name: str) -> str:
        least, most = way[name]
        return f"({least:.2f} to {most:.2f})"

    return (
        f"{way['way']:9} {way['per_s']:6.0f} a second, {way['share']:4.2f} {spread('shares')};"
        f" p50 {way['p50_ms']:5.2f} ms, added {way['added_p50_ms']:5.2f}"
        f" {spread('added_p50s_ms')}; p99 {way['p99_ms']:5.2f} ms, added"
        f" {way['added_p99_ms']:5.2f} {spread('added_p99s_ms')};"
        f" processor {way['cpu_ms']:4.2f} ms {spread('cpus_ms')}"
    )


if __name__ == "__main__":
    sys.exit(main())
