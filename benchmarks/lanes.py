"""Several schedulers on one PostgreSQL: `python -m benchmarks.lanes`.

First what the journal costs: submissions a second and the time until one is durable, beside plain
inserts of the driver in the same run (`benchmarks.journal` on PostgreSQL). Then what more hosts
bring: the same borrows over the same accounts by one, two and three processes, which share the
accounts through the database. The simulated exchange is in a process of its own, answers at once
and has no limits, so that nothing but this machine bounds them. Everything runs on it: the server,
the exchange and all hosts, so more hosts than cores bring nothing here, and the table says how many
cores were busy.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scheduler import Account, LaneOptions, Limits, Scheduler, State
from scheduler.lanes import LaneStatus
from tests.exchange_process import ExchangeProcess, exchange_process
from tests.postgres import PostgresServer, running

from .journal import percentiles, postgres_rows

READY_S = 120.0
RUN_S = 600.0
"""A host that takes longer is a defect, here or there."""
UNLIMITED = 10**9
LIMITS = Limits(uid_weight_per_minute=UNLIMITED, ip_weight_per_minute=UNLIMITED, min_gap_ms=1)
EXCHANGE = (
    *("--processing-ms", "0"),
    *("--uid-weight-limit", str(UNLIMITED), "--ip-weight-limit", str(UNLIMITED)),
    *("--api-weight-limit", str(UNLIMITED)),
)
IN_LINE = 2
"""Submissions of each account that are waited for at any time: one in the air and one behind it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one host is to do."""

    name: str
    base_url: str
    journal: str
    accounts: dict[str, tuple[str, str]]
    """Name: key and secret."""
    mine: list[str]
    """Those that this host runs: pinned, so that the same work is shared the same way each time."""
    each: int
    """Borrows of every account."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one host has done."""

    borrows: int
    began_s: float
    """By the machine's steady clock, which all processes share."""
    ended_s: float
    cpu_s: float
    waits_ms: list[float]
    """From each submission until it was confirmed."""


def host(order: Order, pipe: Connection) -> None:
    """One process: takes its share, waits for the word, and borrows for the accounts it runs."""
    pipe.send(asdict(asyncio.run(_host(order, pipe))))


async def _host(order: Order, pipe: Connection) -> Done:
    scheduler = Scheduler(
        [Account(n, api_key=key, secret=secret) for n, (key, secret) in order.accounts.items()],
        base_url=order.base_url,
        journal=order.journal,
        limits=LIMITS,
        lanes=LaneOptions(name=order.name, pinned=frozenset(order.mine)),
    )
    async with scheduler:
        async with asyncio.timeout(READY_S):
            while not all(lane.is_here for lane in _lanes(scheduler, order)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)
        waits_ms: list[float] = []
        began_s, cpu_s = time.monotonic(), time.process_time()
        async with asyncio.timeout(RUN_S):
            await asyncio.gather(
                *(
                    _borrow(scheduler, account, range(first, order.each, IN_LINE), waits_ms)
                    for account in order.mine
                    for first in range(IN_LINE)
                )
            )
        ended_s, cpu_s = time.monotonic(), time.process_time() - cpu_s
        pipe.send(len(waits_ms))
        await asyncio.to_thread(pipe.recv)  # nothing is handed over while others are measured
    return Done(len(waits_ms), began_s, ended_s, cpu_s, waits_ms)


def _lanes(scheduler: Scheduler, order: Order) -> list[LaneStatus]:
    return [lane for lane in scheduler.overview().lanes if lane.account in order.mine]


async def _borrow(
    scheduler: Scheduler, account: str, numbers: range, waits_ms: list[float]
) -> None:
    for _ in numbers:
        began_s = time.perf_counter()
        entry = await scheduler.borrow(account, "USDT", "1")
        assert entry.state is State.CONFIRMED
        waits_ms.append((time.perf_counter() - began_s) * 1000)


def over(
    hosts: int, each: int, exchange: ExchangeProcess, postgres: PostgresServer
) -> dict[str, Any]:
    """So many borrows of every account by so many processes."""
    accounts = {n: (a.api_key, a.secret) for n, a in exchange.accounts.items()}
    journal, spawning = postgres.url(), multiprocessing.get_context("spawn")
    pipes, processes = [], []
    before = exchange.statistics()["booked"]
    try:
        for number in range(hosts):
            name = f"host {number + 1} of {hosts}"
            mine = list(accounts)[number::hosts]
            order = Order(name, exchange.base_url, journal, accounts, mine, each)
            here, there = spawning.Pipe()
            process = spawning.Process(target=host, args=(order, there), daemon=True)
            process.start()
            there.close()  # or its end would go unnoticed
            pipes.append(here)
            processes.append(process)
        for pipe in pipes:
            _received(pipe)
        busy_s, began_s = _busy_s(), time.monotonic()
        for pipe in pipes:
            pipe.send("go")
        for pipe in pipes:
            _received(pipe)
        busy_s, took_s = _busy_s() - busy_s, time.monotonic() - began_s
        for pipe in pipes:
            pipe.send("enough")
        done = [Done(**_received(pipe)) for pipe in pipes]
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    borrows = sum(each_host.borrows for each_host in done)
    booked = exchange.statistics()["booked"] - before
    assert borrows == booked == each * len(accounts), f"{borrows} done, {booked} booked"
    lasted_s = max(d.ended_s for d in done) - min(d.began_s for d in done)
    p50_ms, p99_ms = percentiles([wait for d in done for wait in d.waits_ms])
    return {
        "processes": hosts,
        "accounts": len(accounts),
        "borrows": borrows,
        "a_second": round(borrows / lasted_s, 1),
        "p50_ms": round(p50_ms, 2),
        "p99_ms": round(p99_ms, 2),
        "cpu_ms_a_borrow": round(1000 * sum(d.cpu_s for d in done) / borrows, 3),
        "busy_cores": round(busy_s / took_s, 2) if busy_s else None,
        "cores": os.cpu_count(),
    }


def _received(pipe: Connection) -> Any:
    if not pipe.poll(READY_S + RUN_S):
        raise TimeoutError("a host says nothing")
    return pipe.recv()


def _busy_s() -> float:
    """Seconds for which all cores together have been busy, with anybody's work; 0 where nobody
    tells."""
    told = Path("/proc/stat")
    if not told.exists():
        return 0.0
    user, nice, system, *_ = map(int, told.read_text().split()[1:8])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def spread(options: argparse.Namespace, postgres: PostgresServer) -> list[dict[str, Any]]:
    """The same work over ever more processes."""
    rows: list[dict[str, Any]] = []
    names = tuple(f"a{number}" for number in range(options.accounts))
    exchange_options = ("--seed", str(options.seed), *EXCHANGE)
    with exchange_process(*exchange_options, accounts=names) as exchange:
        for hosts in options.processes:
            runs = [over(hosts, options.each, exchange, postgres) for _ in range(options.turns)]
            row = sorted(runs, key=lambda run: run["a_second"])[len(runs) // 2]
            row["of_first"] = round(row["a_second"] / (rows[0] if rows else row)["a_second"], 3)
            rows.append(row)
            if not options.json:
                busy = "?" if row["busy_cores"] is None else f"{row['busy_cores']:.1f}"
                print(
                    f"{hosts} processes  {row['a_second']:7,.0f} borrows/s"
                    f"  {row['of_first']:5.2f} of the first  p50 {row['p50_ms']:7.2f} ms"
                    f"  p99 {row['p99_ms']:7.2f} ms  {row['cpu_ms_a_borrow']:.2f} ms of the hosts'"
                    f" time each  {busy} of {row['cores']} cores busy",
                    flush=True,
                )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lanes",
        description="The PostgreSQL journal beside plain inserts, and accounts over processes.",
        epilog="example: python -m benchmarks.lanes --accounts 60 --each 50 --processes 1 2 3 4",
    )
    parser.add_argument("--n", type=int, default=1_000, help="submissions a turn (1000)")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--accounts", type=int, default=30, help="shared by the processes (30)")
    parser.add_argument("--each", type=int, default=40, help="borrows of every account (40)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--turns", type=int, default=3, help="the median is told (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated exchange (0)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    if min(options.accounts, options.each, options.turns, *options.processes) < 1:
        parser.error("sizes must be at least 1")
    if max(options.processes) > options.accounts:
        parser.error("--processes: there must be an account for each")
    with running() as postgres:
        durable = asyncio.run(
            postgres_rows(
                *(postgres.base_url, options.callers, options.n, options.turns),
                show=not options.json,
            )
        )
        hosts = spread(options, postgres)
    if options.json:
        print(json.dumps({"durable": durable, "hosts": hosts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
