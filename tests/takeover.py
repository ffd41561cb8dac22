"""Hosts that die and hosts that freeze, for real: `python -m tests.takeover --cycles 50`.

Three processes share thirty accounts through one real PostgreSQL and talk over real HTTP to the
simulated exchange in a process of its own. In each cycle one of them is killed and another is
stopped in its tracks and woken later, while all of them are at work. The exchange's ledger is the
judge: no submission booked twice, none lost, every label true, never two of an account in the air,
and every lane with a living owner as soon as the lease of its old one is over.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import asyncpg

from scheduler import Account, LaneOptions, Limits, Scheduler, SchedulerError, State
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.postgres_server import server as server_of
from scheduler.model import Entry

from .exchange_process import ExchangeProcess, exchange_process
from .kill import _transactions
from .postgres import PostgresServer, running

ACCOUNTS = tuple(f"a{n}" for n in range(30))
HOSTS = 3
LEASE_S = 3.0
TAKEN_WITHIN_S = LEASE_S + 4.0
"""The lease, two ticks, and what a busy machine adds."""
PAUSE_S = 0.02
"""Between two submissions of one host."""

LIMITS = Limits(
    uid_weight_per_minute=10**9,
    ip_weight_per_minute=10**9,
    min_gap_ms=1,
    processing_max_ms=1_000,
    visibility_max_ms=1_000,
)
RECV_WINDOW_MS = 1_000
FAULTS = ("lost_after=0.02", "lost_before=0.01", "503_after=0.01")
EXCHANGE = (
    *("--processing-ms", "20", "--record-lag-ms", "0,300"),
    *("--uid-weight-limit", str(10**9), "--ip-weight-limit", str(10**9)),
    *("--api-weight-limit", str(10**9)),
    *(part for fault in FAULTS for part in ("--fault", fault)),
)


@dataclass(slots=True)
class Tally:
    """What the cycles came to."""

    killed: int = 0
    frozen: int = 0
    frozen_s: float = 0.0
    acknowledged: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)
    booked: int = 0
    cut_off: int = 0
    """Attempts that were in the air when their host was killed."""
    epochs: int = 0
    late: int = 0
    slowest_takeover_s: float = 0.0
    violations: list[str] = field(default_factory=list)


class HostProcess:
    """One scheduler in a process of its own, at work until it is killed."""

    def __init__(self, exchange: ExchangeProcess, url: str, number: int) -> None:
        self.name = f"h{number}"
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            _be_the_child(exchange, url, self.name, writing)
        os.close(writing)
        self._reading = reading
        self.is_frozen = False

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self.is_frozen = True

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.is_frozen = False

    def kill(self, tally: Tally) -> None:
        os.kill(self.pid, signal.SIGKILL)
        with os.fdopen(self._reading) as lines:
            tally.acknowledged.update(line.strip() for line in lines if line.endswith("\n"))
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSIGNALED(status):
            tally.violations.append(f"{self.name} ended by itself: {status}")


def _be_the_child(exchange: ExchangeProcess, url: str, name: str, writing: int) -> None:
    code = 1
    try:
        asyncio.run(_work(exchange, url, name, writing))
        code = 0
    finally:
        os._exit(code)


async def _work(exchange: ExchangeProcess, url: str, name: str, writing: int) -> None:
    rng = random.Random(name)
    os.set_blocking(writing, False)
    async with host(exchange, url, name) as scheduler:
        for count in range(10**9):
            key = f"{name}-{count}"
            try:
                await scheduler.submit(
                    rng.choice(ACCOUNTS),
                    rng.choice(("BORROW", "REPAY")),
                    rng.choice(("USDT", "BTC", "ETH", "BNB")),
                    rng.choice(("1", "2", "0.5")),
                    key=key,
                )
            except SchedulerError:
                await asyncio.sleep(0.1)
                continue
            os.write(writing, f"{key}\n".encode())
            await asyncio.sleep(PAUSE_S)


def host(exchange: ExchangeProcess, url: str, name: str) -> Scheduler:
    return Scheduler(
        [Account(n, api_key=a.api_key, secret=a.secret) for n, a in exchange.accounts.items()],
        base_url=exchange.base_url,
        journal=url,
        limits=LIMITS,
        recv_window_ms=RECV_WINDOW_MS,
        lanes=LaneOptions(name=name, lease_s=LEASE_S),
    )


async def _make_tables(url: str) -> None:
    journal = PostgresJournal(url)
    await journal.open()
    await journal.aclose()


async def until_all_are_run(postgres: PostgresServer, url: str, names: set[str]) -> float:
    """Until every lane has belonged to one of these hosts; gives how long that took."""
    connection: asyncpg.Connection = await postgres.connect()
    await connection.execute(f"SET search_path = {server_of(url).schema}")
    began_s = time.monotonic()
    seen: set[str] = set()  # a lane that is handed on has nobody for a moment
    try:
        while True:
            rows = await connection.fetch(
                "SELECT account FROM lanes JOIN schedulers ON id = owner"
                " WHERE schedulers.name = ANY ($1)",
                list(names),
            )
            seen.update(row["account"] for row in rows)
            if len(seen) == len(ACCOUNTS) or time.monotonic() > began_s + 60:
                return time.monotonic() - began_s
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def settle(exchange: ExchangeProcess, url: str, patience_s: float) -> list[Entry]:
    """One more host, that takes nothing new, until everything is decided."""
    async with host(exchange, url, "the last") as scheduler:
        until_s = time.monotonic() + patience_s
        while True:
            entries = list(await scheduler.list(limit=10**9))
            if all(entry.is_final for entry in entries) or time.monotonic() > until_s:
                return entries
            await asyncio.sleep(0.5)


async def judge(exchange: ExchangeProcess, url: str, tally: Tally, entries: list[Entry]) -> None:
    """Hold the journal against the exchange's ledger."""
    journal = PostgresJournal(url)
    await journal.open()
    keys = {
        (name, past.attempt.timestamp_ms): past.key
        for name in ACCOUNTS
        for past in await journal.attempts_since(name, 0)
    }
    tally.epochs = (await journal.fetch("SELECT sum(epoch)::bigint FROM lanes"))[0][0]
    tally.late = (await journal.fetch("SELECT count(*) FROM late_answers"))[0][0]
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
            said = entry.evidence[-1].detail if entry.evidence else ""
            tally.violations.append(f"{entry.key} is {entry.state}, {entry.looks} looks: {said}")
        elif (entry.state is State.CONFIRMED) != bool(ids) or (ids and entry.tran_id not in ids):
            tally.violations.append(f"{entry.key} is {entry.state} {entry.tran_id}: {ids}")
    statistics = exchange.statistics()
    busy, overlaps = statistics["refusals"].get("-3007", 0), statistics["overlaps"]
    if busy or overlaps:
        tally.violations.append(
            f"{busy} attempts found another of their account under way, {overlaps} overlapped it"
        )


def run(cycles: int, seed: int, freeze_max_s: float, *, show: bool) -> Tally:
    """Kill and freeze that many times, and judge what is left."""
    rng, tally = random.Random(seed), Tally()
    with running() as postgres, exchange_process(*EXCHANGE, accounts=ACCOUNTS) as exchange:
        url = postgres.url()
        for account in ACCOUNTS:
            for asset in ("USDT", "BTC", "ETH", "BNB"):
                exchange.control("set_debt", account=account, asset=asset, amount="1000000")
        asyncio.run(_make_tables(url))
        hosts = [HostProcess(exchange, url, number) for number in range(HOSTS)]
        try:
            asyncio.run(until_all_are_run(postgres, url, {each.name for each in hosts}))
            for number in range(cycles):
                hosts = _cycle(hosts, number, rng, freeze_max_s, (exchange, postgres, url), tally)
                if show:
                    print(
                        f"cycle {number + 1}: {len(tally.violations)} violations,"
                        f" slowest takeover {tally.slowest_takeover_s:.1f} s",
                        flush=True,
                    )
        finally:
            for each in hosts:
                each.kill(tally)
        entries = asyncio.run(settle(exchange, url, patience_s=600))
        asyncio.run(judge(exchange, url, tally, entries))
    return tally


def _cycle(
    hosts: list[HostProcess],
    number: int,
    rng: random.Random,
    freeze_max_s: float,
    world: tuple[ExchangeProcess, PostgresServer, str],
    tally: Tally,
) -> list[HostProcess]:
    exchange, postgres, url = world
    time.sleep(rng.uniform(0.2, 1.5))
    dying, freezing, *others = rng.sample(hosts, len(hosts))
    freeze_s = min(rng.choice((rng.uniform(1, 6), rng.uniform(1, 60))), freeze_max_s)
    freezing.freeze()
    tally.frozen += 1
    tally.frozen_s += freeze_s
    began_s = time.monotonic()
    time.sleep(rng.uniform(0, 0.3))
    dying.kill(tally)
    tally.killed += 1
    born = HostProcess(exchange, url, HOSTS + number)
    living = {each.name for each in (*others, born)}
    if freeze_s > TAKEN_WITHIN_S:
        took_s = asyncio.run(until_all_are_run(postgres, url, living))
        tally.slowest_takeover_s = max(tally.slowest_takeover_s, took_s)
        if took_s > TAKEN_WITHIN_S:
            tally.violations.append(f"after {took_s:.1f} s not every lane had a living owner")
    time.sleep(max(0.0, began_s + freeze_s - time.monotonic()))
    freezing.wake()
    if freeze_s <= TAKEN_WITHIN_S:
        took_s = asyncio.run(until_all_are_run(postgres, url, {*living, freezing.name}))
        tally.slowest_takeover_s = max(tally.slowest_takeover_s, took_s)
        if took_s > TAKEN_WITHIN_S:
            tally.violations.append(f"after {took_s:.1f} s not every lane had a living owner")
    return [*others, born, freezing]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.takeover",
        description="Kill and freeze hosts that share a journal, and judge by the ledger.",
        epilog="example: python -m tests.takeover --cycles 50",
    )
    parser.add_argument("--cycles", type=int, default=2, help="hosts to kill and to freeze (2)")
    parser.add_argument("--freeze-max", type=float, default=60, help="seconds (60)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    tally = run(options.cycles, options.seed, options.freeze_max, show=True)
    for violation in tally.violations[:20]:
        print(violation)
    print(describe(tally, time.monotonic() - began))
    return 1 if tally.violations else 0


def describe(tally: Tally, took_s: float) -> str:
    states = ", ".join(f"{state} {count}" for state, count in sorted(tally.states.items()))
    return (
        f"{tally.killed} killed and {tally.frozen} frozen for {tally.frozen_s:.0f} s in all, in "
        f"{took_s:.0f} s; {len(tally.acknowledged)} acknowledged, {tally.cut_off} cut off in the "
        f"air, {tally.booked} booked, {tally.epochs} epochs, {tally.late} late answers, slowest "
        f"takeover {tally.slowest_takeover_s:.1f} s; {states}; "
        f"{len(tally.violations)} violations"
    )


if __name__ == "__main__":
    sys.exit(main())
