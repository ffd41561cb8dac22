"""Hosts that die and hosts that freeze, for real: `python -m tests.takeover --cycles 50`.

Three sidecars (`margin-scheduler serve`) share thirty accounts through one real PostgreSQL and talk
over real HTTP to the simulated exchange in a process of its own. Programs submit to any of them,
over HTTP too. In each cycle one sidecar is killed and another is stopped in its tracks and woken
later, while all of them are at work. The exchange's ledger is the judge: no submission booked
twice, none lost, every label true, and never two of an account in the air. How soon an account goes
on is told by an urgent repayment that is submitted to the survivors as soon as its owner is gone.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg

from scheduler import Account, LaneOptions, Limits, Scheduler, State
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.postgres_server import server as server_of
from scheduler.lanes import TICK_S
from scheduler.model import Entry

from .cli.configuration import TOKEN, configured
from .exchange_process import ExchangeProcess, exchange_process
from .kill import _transactions
from .postgres import PASSWORD, PostgresServer, running
from .sidecar.fleet import Body, Caller, Host, session
from .sidecar.kill import ASSETS, LIMITED

ACCOUNTS = tuple(f"a{n}" for n in range(30))
HOSTS = 3
LEASE_S = 3.0
PROBED = "SOL"
"""Which nobody else borrows or repays."""
CALLERS = 40
PAUSE_S = 0.5
"""Between two submissions of one caller."""

LIMITS = Limits(
    uid_weight_per_minute=10**9,
    ip_weight_per_minute=10**9,
    min_gap_ms=1,
    processing_max_ms=1_000,
    visibility_max_ms=1_000,
)
RECV_WINDOW_MS = 1_000
GOES_ON_WITHIN_S = LEASE_S + RECV_WINDOW_MS / 1000 + 2 * TICK_S + 2.0
"""The lease, the fence, two looks at the board, and what a busy machine adds."""
GOES_ON_MAX_S = 90.0
"""Later than this is never."""
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
    takeovers_s: list[float] = field(default_factory=list)
    """From the loss of each account's owner until the account sent again."""
    slow: list[str] = field(default_factory=list)
    """Those that took longer than they should, which is no harm to anybody's money."""
    violations: list[str] = field(default_factory=list)


def host(exchange: ExchangeProcess, url: str, name: str) -> Scheduler:
    return Scheduler(
        [Account(n, api_key=a.api_key, secret=a.secret) for n, a in exchange.accounts.items()],
        base_url=exchange.base_url,
        journal=url,
        limits=LIMITS,
        recv_window_ms=RECV_WINDOW_MS,
        lanes=LaneOptions(name=name, lease_s=LEASE_S),
    )


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


@dataclass(frozen=True, slots=True)
class World:
    """What the hosts have in common."""

    exchange: ExchangeProcess
    postgres: PostgresServer
    url: str
    """Of the journal."""
    folder: Path

    def born(self, number: int) -> Host:
        """A sidecar that is not started yet."""
        name = f"h{number}"
        folder = self.folder / name
        folder.mkdir()
        limits = {limit: getattr(LIMITS, limit) for limit in LIMITED}
        lanes = {"name": name, "lease_s": LEASE_S}
        configuration = configured(
            *(folder, self.exchange),
            recv_window_ms=RECV_WINDOW_MS,
            journal=self.url,
            lanes=lanes,
            limits=limits,
        )
        return Host(name, configuration)

    def secrets(self) -> list[bytes]:
        """What no log may hold."""
        accounts = [account.secret.encode() for account in self.exchange.accounts.values()]
        return [*accounts, TOKEN.encode(), b"signature=", PASSWORD.encode()]


@asynccontextmanager
async def _looking(world: World) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the journal's tables."""
    connection: asyncpg.Connection = await world.postgres.connect()
    try:
        await connection.execute(f"SET search_path = {server_of(world.url).schema}")
        yield connection
    finally:
        await connection.close()


async def owners(world: World) -> dict[str, str]:
    """Which host's each account is, whether or not that host lives."""
    sql = "SELECT account, schedulers.name FROM lanes JOIN schedulers ON id = owner"
    async with _looking(world) as connection:
        return {row["account"]: row["name"] for row in await connection.fetch(sql)}


async def first_sent(world: World, keys: list[str]) -> dict[str, int]:
    """When each was first put into the air, once all were; what was not in time is not there."""
    sql = (
        "SELECT key, timestamp_ms FROM entries JOIN attempts USING (seq)"
        " WHERE number = 1 AND key = ANY ($1)"
    )
    until_s = time.monotonic() + GOES_ON_MAX_S
    async with _looking(world) as connection:
        while True:
            rows = await connection.fetch(sql, keys)
            sent = {row["key"]: row["timestamp_ms"] for row in rows}
            if len(sent) == len(keys) or time.monotonic() > until_s:
                return sent
            await asyncio.sleep(0.1)


class Campaign:
    """Cycles of death and sleep among hosts that are at work."""

    def __init__(self, world: World, seed: int, freeze_max_s: float) -> None:
        self.tally = Tally()
        self._world = world
        self._rng = random.Random(seed)
        self._freeze_max_s = freeze_max_s
        self._hosts: list[Host] = []
        self._past: list[Host] = []
        self._told: dict[str, Body] = {}

    async def run(self, cycles: int, *, show: bool) -> None:
        """So many, and what is left of the work is left."""
        async with session() as http:
            callers = [self._caller(http, f"c{number}") for number in range(CALLERS)]
            working: list[asyncio.Task[None]] = []
            try:
                for number in range(HOSTS):
                    await self._begin(number)
                working += [asyncio.create_task(caller.run()) for caller in callers]
                for number in range(cycles):
                    await self._cycle(http, number)
                    if show:
                        print(f"cycle {number + 1}: {self._so_far()}", flush=True)
            finally:
                for task in working:
                    task.cancel()
                for ended in await asyncio.gather(*working, return_exceptions=True):
                    if not isinstance(ended, asyncio.CancelledError):
                        self.tally.violations.append(f"a caller gave up: {ended!r}")
                for host_ in list(self._hosts):
                    await self._kill(host_)

    async def judge(self) -> None:
        """Let the rest be decided, and hold it against the exchange's ledger."""
        world, tally = self._world, self.tally
        entries = await settle(world.exchange, world.url, patience_s=600)
        await judge(world.exchange, world.url, tally, entries)
        for entry in entries:
            told = self._told.get(entry.key)
            if told is not None and (told["state"], told["tran_id"]) != (
                entry.state,
                entry.tran_id,
            ):
                tally.violations.append(f"{entry.key}: told {told['state']}, is {entry.state}")
        for past in self._past:
            tally.violations += past.findings(world.secrets())

    async def _cycle(self, http: aiohttp.ClientSession, number: int) -> None:
        rng, tally = self._rng, self.tally
        await asyncio.sleep(rng.uniform(0.2, 1.5))
        dying, freezing, *_ = rng.sample(self._hosts, len(self._hosts))
        freeze_s = min(rng.choice((rng.uniform(1, 6), rng.uniform(1, 60))), self._freeze_max_s)
        had = await owners(self._world)
        freezing.freeze()
        frozen_at_s = time.monotonic()
        tally.frozen += 1
        tally.frozen_s += freeze_s
        await asyncio.sleep(rng.uniform(0, 0.3))
        await self._kill(dying)
        tally.killed += 1
        lost = [account for account, name in had.items() if name in {dying.name, freezing.name}]
        lost_at_ms = time.time_ns() // 1_000_000
        going_on = asyncio.create_task(self._goes_on(http, number, lost, lost_at_ms))
        beginning = asyncio.create_task(self._begin(HOSTS + number))
        await asyncio.sleep(max(0.0, frozen_at_s + freeze_s - time.monotonic()))
        freezing.wake()
        await beginning
        await going_on

    async def _goes_on(
        self, http: aiohttp.ClientSession, number: int, accounts: list[str], lost_at_ms: int
    ) -> None:
        """How long it takes until each of the accounts sends again."""
        prober = self._caller(http, f"p{number}", only_awake=True)
        bodies = [
            {
                "account": account,
                "kind": "REPAY",
                "asset": PROBED,
                "amount": str(number + 1),  # equal ones would wait for each other's fences
                "priority": "urgent",
                "key": f"probe-{number}-{account}",
            }
            for account in accounts
        ]
        await asyncio.gather(*(prober.submit(body) for body in bodies))
        sent = await first_sent(self._world, [body["key"] for body in bodies])
        for body in bodies:
            at_ms = sent.get(body["key"])
            if at_ms is None:
                self.tally.violations.append(f"{body['key']} was not sent in {GOES_ON_MAX_S} s")
                continue
            took_s = max(0, at_ms - lost_at_ms) / 1000
            self.tally.takeovers_s.append(took_s)
            if took_s > GOES_ON_WITHIN_S:
                self.tally.slow.append(f"{body['account']} went on after {took_s:.1f} s")

    async def _begin(self, number: int) -> None:
        new = self._world.born(number)
        await new.start()
        self._hosts.append(new)

    async def _kill(self, dying: Host) -> None:
        self._hosts.remove(dying)
        self._past.append(dying)
        wrong = await dying.kill()
        if wrong is not None:
            self.tally.violations.append(wrong)

    def _caller(
        self, http: aiohttp.ClientSession, name: str, *, only_awake: bool = False
    ) -> Caller:
        return Caller(
            name,
            http,
            lambda: [each for each in self._hosts if not (only_awake and each.is_frozen)],
            draw=_drawn,
            taken=self._taken,
            wrong=self.tally.violations.append,
            pause_s=PAUSE_S,
        )

    def _taken(self, key: str, entry: Body) -> None:
        self.tally.acknowledged.add(key)
        if entry["is_final"]:
            self._told[key] = entry

    def _so_far(self) -> str:
        tally = self.tally
        return (
            f"{len(tally.acknowledged)} acknowledged, {len(tally.violations)} violations,"
            f" slowest takeover {max(tally.takeovers_s):.1f} s"
        )


def _drawn(rng: random.Random) -> Body:
    return {
        "account": rng.choice(ACCOUNTS),
        "kind": rng.choice(("BORROW", "REPAY")),
        "asset": rng.choice(ASSETS),
        "amount": rng.choice(("1", "2", "0.5")),
    }


def run(cycles: int, seed: int, freeze_max_s: float, *, show: bool) -> Tally:
    """Kill and freeze that many times, and judge what is left."""
    with (
        running() as postgres,
        exchange_process(*EXCHANGE, accounts=ACCOUNTS) as exchange,
        tempfile.TemporaryDirectory() as folder,
    ):
        for account in ACCOUNTS:
            for asset in (*ASSETS, PROBED):
                exchange.control("set_debt", account=account, asset=asset, amount="1000000")
        world = World(exchange, postgres, postgres.url(), Path(folder))
        return asyncio.run(_live(world, cycles, seed, freeze_max_s, show=show))


async def _live(world: World, cycles: int, seed: int, freeze_max_s: float, *, show: bool) -> Tally:
    campaign = Campaign(world, seed, freeze_max_s)
    await campaign.run(cycles, show=show)
    await campaign.judge()
    return campaign.tally


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.takeover",
        description="Kill and freeze sidecars that share a journal, and judge by the ledger.",
        epilog="example: python -m tests.takeover --cycles 50",
    )
    parser.add_argument("--cycles", type=int, default=2, help="to kill and to freeze (2)")
    parser.add_argument("--freeze-max", type=float, default=60, help="seconds (60)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    tally = run(options.cycles, options.seed, options.freeze_max, show=True)
    for finding in (*tally.violations[:20], *tally.slow[:20]):
        print(finding)
    print(describe(tally, time.monotonic() - began))
    return 1 if tally.violations or tally.slow else 0


def describe(tally: Tally, took_s: float) -> str:
    states = ", ".join(f"{state} {count}" for state, count in sorted(tally.states.items()))
    waits = sorted(tally.takeovers_s)
    return (
        f"{tally.killed} killed and {tally.frozen} frozen for {tally.frozen_s:.0f} s in all, in "
        f"{took_s:.0f} s; {len(tally.acknowledged)} acknowledged, {tally.cut_off} cut off in the "
        f"air, {tally.booked} booked, {tally.epochs} epochs, {tally.late} late answers; "
        f"{len(waits)} accounts went on after {waits[len(waits) // 2]:.1f} s (median), at most "
        f"{waits[-1]:.1f} s, {len(tally.slow)} of them later than {GOES_ON_WITHIN_S:.0f} s; "
        f"{states}; {len(tally.violations)} violations"
    )


if __name__ == "__main__":
    sys.exit(main())
