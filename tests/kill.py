"""`kill -9`, for real: `python -m tests.kill --cycles 5000`.

A real process with a real SQLite file talks over real HTTP to the simulated exchange in a process
of its own. It is killed at a random moment, and the next one goes on with the same file. The
exchange's ledger is the judge: no submission booked twice, none lost, every label true, and the
file sound.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler import Account, Limits, Scheduler, SchedulerError, State
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.verify import verify
from scheduler.model import Entry

from .exchange_process import ExchangeProcess, exchange_process

ACCOUNTS = tuple(f"a{n}" for n in range(24))
"""Many: an account whose process died with an attempt in the air is held until the fence."""

LIMITS = Limits(
    uid_weight_per_minute=10**9,
    ip_weight_per_minute=10**9,
    min_gap_ms=1,
    processing_max_ms=1_000,
    visibility_max_ms=1_000,
)
RECV_WINDOW_MS = 1_000
FAULTS = ("lost_after=0.03", "lost_before=0.01", "503_after=0.01", "-3007=0.02")
EXCHANGE = (
    *("--processing-ms", "5", "--record-lag-ms", "0,300"),
    *("--uid-weight-limit", str(10**9), "--ip-weight-limit", str(10**9)),
    *("--api-weight-limit", str(10**9)),
    *(part for fault in FAULTS for part in ("--fault", fault)),
)


@dataclass(slots=True)
class Tally:
    """What the cycles came to."""

    killed: int = 0
    acknowledged: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)
    booked: int = 0
    cut_off: int = 0
    """Attempts that were in the air when their process was killed."""
    violations: list[str] = field(default_factory=list)


def cycle(exchange: ExchangeProcess, path: Path, number: int, life_s: float, tally: Tally) -> None:
    """One process: forked, at work for a while, and killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(exchange, path, number, writing)
    os.close(writing)
    time.sleep(life_s)
    os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as lines:
        tally.acknowledged.update(line.strip() for line in lines if line.endswith("\n"))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        tally.killed += 1
    else:
        tally.violations.append(f"process {number} ended by itself: {status}")


def _be_the_child(exchange: ExchangeProcess, path: Path, number: int, writing: int) -> None:
    code = 1
    try:
        asyncio.run(_work(exchange, path, number, writing))
        code = 0
    finally:
        os._exit(code)


async def _work(exchange: ExchangeProcess, path: Path, number: int, writing: int) -> None:
    rng = random.Random(number)
    async with _scheduler(exchange, path) as scheduler:
        for count in range(10**9):
            kind = rng.choice(("BORROW", "REPAY"))
            amount = rng.choice(("1", "2", "0.5"))
            key = f"p{number}-{count}"
            try:
                await scheduler.submit(rng.choice(ACCOUNTS), kind, _asset(rng), amount, key=key)
            except SchedulerError:
                await asyncio.sleep(0.01)
                continue
            os.write(writing, f"{key}\n".encode())


def _asset(rng: random.Random) -> str:
    return rng.choice(("USDT", "BTC", "ETH", "BNB"))


def _scheduler(exchange: ExchangeProcess, path: Path) -> Scheduler:
    return Scheduler(
        [Account(n, api_key=a.api_key, secret=a.secret) for n, a in exchange.accounts.items()],
        base_url=exchange.base_url,
        journal=f"sqlite:///{path}",
        limits=LIMITS,
        recv_window_ms=RECV_WINDOW_MS,
    )


async def settle(exchange: ExchangeProcess, path: Path, patience_s: float) -> list[Entry]:
    """Start once more, take nothing new, and let everything be decided."""
    async with _scheduler(exchange, path) as scheduler:
        until_s = time.monotonic() + patience_s
        while time.monotonic() < until_s:
            entries = await scheduler.list(limit=10**9)
            if all(entry.is_final for entry in entries):
                break
            await asyncio.sleep(0.5)
        return list(entries)


async def judge(exchange: ExchangeProcess, path: Path, tally: Tally, entries: list[Entry]) -> None:
    """Hold the journal against the exchange's ledger."""
    journal = SqliteJournal(str(path))
    await journal.open()
    keys = {
        (name, past.attempt.timestamp_ms): past.key
        for name in ACCOUNTS
        for past in await journal.attempts_since(name, 0)
    }
    await journal.aclose()
    booked: dict[str, list[int]] = defaultdict(list)
    for loan in _transactions(exchange):
        if loan["status"] == "CONFIRMED":
            tally.booked += 1
            key = keys.get((loan["account"], loan["request_timestamp_ms"]))
            if key is None:
                tally.violations.append(f"{loan['tran_id']} was booked for no known attempt")
            else:
                booked[key].append(loan["tran_id"])
    by_key = {entry.key: entry for entry in entries}
    for key in tally.acknowledged - set(by_key):
        tally.violations.append(f"{key} was acknowledged and is lost")
    for entry in entries:
        tally.states[entry.state] += 1
        tally.cut_off += sum("process ended" in e.detail for e in entry.evidence)
        ids = booked[entry.key]
        if len(ids) > 1:
            tally.violations.append(f"{entry.key} was executed {len(ids)} times")
        if not entry.is_final:
            tally.violations.append(f"{entry.key} is {entry.state}")
        elif (entry.state is State.CONFIRMED) != bool(ids) or (ids and entry.tran_id not in ids):
            tally.violations.append(f"{entry.key} is {entry.state} {entry.tran_id}: {ids}")
    tally.violations += [str(finding) for finding in verify(str(path))]


def _transactions(exchange: ExchangeProcess) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{exchange.base_url}/simulator/ledger", timeout=60) as reply:
        transactions: list[dict[str, Any]] = json.load(reply)["transactions"]
    return transactions


def run(cycles: int, seed: int, *, show: bool) -> Tally:
    """Kill that many processes and judge what is left."""
    rng, tally = random.Random(seed), Tally()
    folder = tempfile.TemporaryDirectory()
    with folder as where, exchange_process(*EXCHANGE, accounts=ACCOUNTS) as exchange:
        path = Path(where) / "scheduler.db"
        for account in ACCOUNTS:
            for asset in ("USDT", "BTC", "ETH", "BNB"):
                exchange.control("set_debt", account=account, asset=asset, amount="1000000")
        for number in range(cycles):
            # Mostly short lives, which die busy, and now and then one long enough to settle things.
            life_s = rng.choice((rng.uniform(0.03, 0.2),) * 19 + (rng.uniform(0.5, 2.0),))
            cycle(exchange, path, number, life_s, tally)
            if show and number % 50 == 49:
                print(f"{number + 1} cycles, {len(tally.acknowledged)} taken", flush=True)
        entries = asyncio.run(settle(exchange, path, patience_s=600))
        asyncio.run(judge(exchange, path, tally, entries))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill",
        description="Kill a working process again and again, and judge what is left by the ledger.",
        epilog="example: python -m tests.kill --cycles 5000",
    )
    parser.add_argument("--cycles", type=int, default=100, help="processes to kill (100)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    tally = run(options.cycles, options.seed, show=True)
    for violation in tally.violations[:20]:
        print(violation)
    states = ", ".join(f"{state} {count}" for state, count in sorted(tally.states.items()))
    print(
        f"{tally.killed} killed in {time.monotonic() - began:.0f} s, {len(tally.acknowledged)} "
        f"acknowledged, {tally.cut_off} cut off in the air, {tally.booked} booked; "
        f"{states}; {len(tally.violations)} violations"
    )
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
