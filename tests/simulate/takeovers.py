"""Takeovers in virtual time: `python -m tests.simulate.takeovers --takeovers 10000`.

Three hosts share two accounts through a database in memory that passes the tests of the real one.
Hosts freeze for up to a minute and wake, die and are born; statements and requests take up to half
a minute; the hosts' own clocks are wrong. The exchange's ledger judges: nothing is executed that
somebody said was settled otherwise, nothing twice, nothing is lost, and everything ends.

`--defect` plants a defect that has to be found.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from scheduler import Entry, LaneOptions, Scheduler, SchedulerError, State, clock
from scheduler import exchange as exchange_module
from scheduler.events import Sent
from scheduler.journal.protocol import LaneLost
from scheduler.model import Attempt, revised
from scheduler.simulator import Simulator
from scheduler.simulator.faults import Fault
from scheduler.wire import HttpReply, HttpRequest

from .. import virtual_time
from ..journal.shared_memory import Database, HostJournal

ACCOUNTS = ("main", "hedge")
HOSTS = 3
LEASE_S = 5.0
TROUBLE_S = 240.0
PATIENCE_S = 3_600
LONG_S = 30.0
FROZEN_MAX_S = 60.0
SKEW_MS = 90_000
FAULTS: dict[Fault | int | str, float] = {
    "lost_after": 0.03,
    "lost_before": 0.02,
    "late_execution": 0.02,
}
BURIED_EVERY = 10


@dataclass(slots=True)
class Told:
    """What one life came to."""

    takeovers: int
    submitted: int
    states: Counter[str] = field(default_factory=Counter)
    late: int = 0
    frozen: int = 0
    died: int = 0
    violations: list[str] = field(default_factory=list)


class Way:
    """A host's way to the exchange, on which a request may be held up before it leaves."""

    def __init__(self, inner: Any, delay: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._delay = delay

    async def send(self, request: HttpRequest) -> HttpReply:
        await self._delay()
        reply: HttpReply = await self._inner.send(request)
        return reply

    async def aclose(self) -> None:
        """The exchange outlives its clients."""


class World:
    """The exchange, the database, and the hosts that come and go."""

    def __init__(self, seed: int, simulator: Simulator, defect: str | None) -> None:
        self.rng = random.Random(f"world {seed}")
        self.simulator = simulator
        self.database = Database()
        self.submitted: set[str] = set()
        self.is_quiet = False
        self.frozen = self.died = 0
        self.skews: dict[str, int] = {}
        self._seed = seed
        self._defect = defect
        self._count = 0
        self._lives: list[asyncio.Task[None]] = []  # nothing else holds one that waits for ever

    def bear(self) -> virtual_time.Process:
        """A new host, at work."""
        self._count += 1
        name = f"h{self._count}"
        process = virtual_time.Process(name)
        self.skews[name] = self.rng.randint(-SKEW_MS, SKEW_MS)
        self._lives.append(process.spawn(self._live(name), name=name))
        return process

    async def _live(self, name: str) -> None:
        rng = random.Random(f"{name} {self._seed}")

        async def delay() -> None:
            await asyncio.sleep(0 if self.is_quiet else _delay_s(rng))

        journal = _JOURNALS[self._defect](self.database, delay)
        accounts = [self.simulator.account(account) for account in ACCOUNTS]
        way = Way(self.simulator.transport, delay)
        options = LaneOptions(name=name, lease_s=LEASE_S)
        scheduler = Scheduler(accounts, journal=journal, transport=way, lanes=options)
        await scheduler.start()
        for number in range(10**9):
            await anyio.sleep(rng.expovariate(0.4))
            if self.is_quiet:
                await asyncio.get_running_loop().create_future()
            key = f"{name}-{number}"
            kind = rng.choice(("BORROW", "REPAY"))
            account, amount = rng.choice(ACCOUNTS), rng.choice(("1", "2"))
            try:
                await scheduler.submit(account, kind, "USDT", amount, key=key)
            except SchedulerError:
                continue
            self.submitted.add(key)


def _delay_s(rng: random.Random) -> float:
    luck = rng.random()
    if luck < 0.002:
        return rng.uniform(0, LONG_S)
    return rng.uniform(0, 1) if luck < 0.02 else rng.uniform(0, 0.005)


async def _trouble(world: World) -> list[virtual_time.Process]:
    """Freeze, wake and kill hosts until it is enough; gives those that live then."""
    rng, loop = world.rng, asyncio.get_running_loop()
    hosts = [world.bear() for _ in range(HOSTS)]
    waking: dict[virtual_time.Process, float] = {}
    while loop.time() < TROUBLE_S:
        await anyio.sleep(rng.uniform(0.5, 6))
        for host in [host for host, at_s in waking.items() if at_s <= loop.time()]:
            host.thaw()
            del waking[host]
        host = rng.choice(hosts)
        if rng.random() < 0.15:
            waking.pop(host, None)
            host.kill()
            world.died += 1
            hosts[hosts.index(host)] = world.bear()
        elif host not in waking:
            host.freeze()
            world.frozen += 1
            frozen_s = rng.choice((rng.uniform(0, 8), rng.uniform(0, FROZEN_MAX_S)))
            waking[host] = loop.time() + frozen_s
    for host in waking:
        host.thaw()
    return hosts


def live(seed: int, defect: str | None = None) -> Told:
    """One life, on a loop of its own."""
    simulator = Simulator(port=None, seed=seed, processing_ms=200)
    world = World(seed, simulator, defect)
    epoch_ms = simulator.options.epoch_ms

    def wall_ms() -> float:
        process = virtual_time.running_process()
        skew_ms = 0 if process is None else world.skews.get(process.name, 0)
        return epoch_ms + asyncio.get_running_loop().time() * 1000 + skew_ms

    before, clock.wall_ms = clock.wall_ms, wall_ms
    try:
        with _planted(defect):
            return virtual_time.run(_live(world), seed=seed)
    finally:
        clock.wall_ms = before


async def _live(world: World) -> Told:
    simulator, journal = world.simulator, world.database.journal
    async with simulator:
        for name in ACCOUNTS:
            simulator.set_debt(simulator.account(name), "USDT", "100000")
        simulator.set_fault_rates(FAULTS, {})
        hosts = await _trouble(world)
        world.is_quiet = True
        simulator.clear_faults()
        with anyio.move_on_after(PATIENCE_S):
            while await journal.unfinished():  # noqa: ASYNC110  nobody here is told
                await anyio.sleep(1)
        for host in hosts:
            host.kill()
        entries = await journal.find(limit=10**9)
        pasts = [past for name in ACCOUNTS for past in await journal.attempts_since(name, 0)]
        keys = {(past.account, past.attempt.timestamp_ms): past.key for past in pasts}
    told = Told(sum(world.database.takes.values()) - len(ACCOUNTS), len(world.submitted))
    told.states.update(entry.state.value for entry in entries)
    told.late, told.frozen, told.died = len(world.database.late), world.frozen, world.died
    told.violations += _violations(world, entries, keys)
    return told


def _violations(
    world: World, entries: list[Entry], keys: dict[tuple[str, int], str]
) -> Iterator[str]:
    booked: dict[str, list[int]] = defaultdict(list)
    for transaction in world.simulator.ledger.booked():
        stamp = transaction.request_timestamp_ms
        stamp = _RESTAMPED.get((transaction.account, stamp or 0), stamp)
        key = None if stamp is None else keys.get((transaction.account, stamp))
        if key is None:
            yield f"{transaction.tran_id} was booked for no known attempt"
        else:
            booked[key].append(transaction.tran_id)
    for key in world.submitted - {entry.key for entry in entries}:
        yield f"{key} was lost"
    for entry in entries:
        ids = booked[entry.key]
        if len(ids) > 1:
            yield f"{entry.key} was executed {len(ids)} times"
        if not entry.is_final:
            yield f"{entry.key} is still {entry.state}"
        elif (entry.state is State.CONFIRMED) != bool(ids) or (ids and entry.tran_id not in ids):
            yield f"{entry.key} is {entry.state} {entry.tran_id}, and the ledger has {ids}"
    for stale in world.database.stale:
        yield f"an attempt was put into the air on {stale}, which was over"
    if overlaps := world.simulator.ledger.overlaps():
        yield f"{len(overlaps)} transactions overlapped another of their account"


# Defects


class CheckedOutside(HostJournal):
    """Reads the epoch first, and writes the attempt in another transaction."""

    async def update(self, *entries: Entry, at_ms: int) -> None:
        epochs = _epochs(self, entries)
        now = await self.call(lambda: {account: self.database.epoch(account) for account in epochs})
        if now != epochs:
            raise LaneLost(min(epochs))
        await self._carried_out(lambda: self._write(entries, at_ms, epochs))


class TrustsItsLease(HostJournal):
    """Goes by what it knows of its own lease, on its own clock."""

    async def update(self, *entries: Entry, at_ms: int) -> None:
        epochs = _epochs(self, entries)
        await self._carried_out(lambda: self._write(entries, at_ms, epochs))


def _epochs(journal: HostJournal, entries: tuple[Entry, ...]) -> dict[str, int]:
    sent = (entry for entry in entries if entry.state is State.SENT)
    return {entry.account: journal.lanes.epochs.get(entry.account, 0) for entry in sent}


async def _stamped_at_the_socket(self: exchange_module.Exchange, attempt: Attempt) -> Sent:
    now_ms = self._clock.now_ms()
    _RESTAMPED[attempt.exclusion, now_ms] = attempt.timestamp_ms
    body = attempt.body.replace(f"timestamp={attempt.timestamp_ms}", f"timestamp={now_ms}")
    return await _send(self, revised(attempt, timestamp_ms=now_ms, body=body))


_RESTAMPED: dict[tuple[str, int], int] = {}
_send = exchange_module.Exchange.send
_JOURNALS: dict[str | None, type[HostJournal]] = {
    None: HostJournal,
    "stamp at the socket": HostJournal,
    "epoch checked outside the transaction": CheckedOutside,
    "lease by the local clock": TrustsItsLease,
}
DEFECTS = {
    "stamp at the socket": 39,
    "epoch checked outside the transaction": 194,
    "lease by the local clock": 0,
}
"""Each with the first seed that finds it."""


@contextmanager
def _planted(defect: str | None) -> Iterator[None]:
    _RESTAMPED.clear()
    if defect == "stamp at the socket":
        exchange_module.Exchange.send = _stamped_at_the_socket  # type: ignore[method-assign]
    try:
        yield
    finally:
        exchange_module.Exchange.send = _send  # type: ignore[method-assign]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate.takeovers",
        description="Take lanes over in virtual time, and judge by the exchange's ledger.",
        epilog="example: python -m tests.simulate.takeovers --takeovers 10000",
    )
    parser.add_argument("--takeovers", type=int, default=200, help="to live through (200)")
    parser.add_argument("--seed", type=int, default=0, help="the first (0)")
    parser.add_argument("--defect", choices=DEFECTS, help="plant it, and end where it is found")
    options = parser.parse_args()
    began_s, seed, sums = time.monotonic(), options.seed, Counter[str]()
    violated = 0
    while sums["takeovers"] < options.takeovers:
        told = live(seed, options.defect)
        for violation in told.violations[:5]:
            print(f"seed {seed}: {violation}", flush=True)
        violated += len(told.violations)
        sums.update(takeovers=told.takeovers, submitted=told.submitted, late=told.late)
        sums.update(frozen=told.frozen, died=told.died)
        sums.update(told.states)
        if options.defect and violated:
            print(f"{options.defect}: found at seed {seed}")
            return 0
        seed += 1
        if seed % BURIED_EVERY == 0:
            virtual_time.bury()
    took_s = time.monotonic() - began_s
    counts = ", ".join(f"{name} {count}" for name, count in sums.items())
    print(f"{counts}; {violated} violations; {sums['takeovers'] / took_s:.0f} takeovers/s")
    return 1 if violated or options.defect else 0


if __name__ == "__main__":
    sys.exit(main())
