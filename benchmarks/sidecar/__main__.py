"""`python -m benchmarks.sidecar`: requests a second and added latency of the sidecar.

The exchange is the simulator in its own process, processing 0, weight limits lifted; so are the
sidecar, with its journal on disk, and a handler that does nothing but forward. All of them and the
caller share this machine's cores, so only ratios within one run say anything.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
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
        tempfile.TemporaryDirectory() as folder,
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
        }
        with (
            stand("sidecar", **order) as sidecar,
            stand("forwarder", **order) as forwarder,
        ):
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                asks = {
                    "straight": signed(session, exchange.base_url, accounts),
                    "forwarder": signed(session, forwarder.base_url, accounts),
                    "native": native(session, sidecar.base_url, accounts, TOKEN),
                    "gateway": signed(session, sidecar.base_url, accounts),
                }
                used = {"native": sidecar, "gateway": sidecar, "forwarder": forwarder}
                return await _compare(asks, used, options)


async def _compare(
    asks: dict[str, Ask], used: dict[str, Stand], options: argparse.Namespace
) -> dict[str, Any]:
    """In turns, so that what else the machine does falls on all of them. `used` is the process in
    between, whose processor time counts."""
    cpu_us: dict[str, list[float]] = {name: [] for name in used}
    waits: dict[str, list[float]] = {name: [] for name in asks}
    rates: dict[str, list[float]] = {name: [] for name in asks}
    for ask in asks.values():
        await throughput(ask, options.accounts, options.callers)  # every account has begun
    for _ in range(options.turns):
        for name, ask in asks.items():
            waits[name] += await latencies_ms(ask, options.requests // 4)
            before_s = used[name].cpu_s() if name in used else 0.0
            rates[name].append(await throughput(ask, options.requests, options.callers))
            if name in used:
                took_s = used[name].cpu_s() - before_s
                cpu_us[name].append(1e6 * took_s / options.requests)
    base, rate = waits["straight"], {name: median(found) for name, found in rates.items()}
    return {
        "says": f"{options.accounts} accounts, {options.callers} callers, journal on disk, "
        "processing 0. The p50 and p99 are those of one caller, less those of going straight to "
        "the exchange.",
        "ways": [
            {
                "way": name,
                "per_s": round(rate[name], 1),
                "share": round(rate[name] / rate["forwarder"], 3),
                "cpu_us": round(min(cpu_us[name]), 1) if name in used else None,
                "cpu_share": round(min(cpu_us[name]) / min(cpu_us["forwarder"]), 3)
                if name in used
                else None,
                "p50_ms": round(median(waits[name]), 3),
                "p99_ms": round(_p99(waits[name]), 3),
                "added_p50_ms": round(median(waits[name]) - median(base), 3),
                "added_p99_ms": round(_p99(waits[name]) - _p99(base), 3),
            }
            for name in asks
        ],
    }


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[-1]


def _times(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f} of the forwarder's"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sidecar",
        description="Requests a second and added latency of the sidecar, beside a bare forwarder.",
        epilog="example: python -m benchmarks.sidecar --accounts 100 --requests 500 --json",
    )
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--requests", type=int, default=1_000, help="a turn and way (1000)")
    parser.add_argument("--callers", type=int, default=32, help="at the same time (32)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    result = asyncio.run(run(options))
    if options.json:
        print(json.dumps(result))
        return 0
    print(result["says"])
    for way in result["ways"]:
        print(
            f"{way['way']:10} {way['per_s']:8.0f} a second, {way['share']:5.2f} of the forwarder;"
            f" processor {_times(way['cpu_share'])};"
            f" p50 {way['p50_ms']:6.2f} ms ({way['added_p50_ms']:+.2f}),"
            f" p99 {way['p99_ms']:6.2f} ms ({way['added_p99_ms']:+.2f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
