"""A process that dies at every point of its work, alone and in pairs, and is started again.

`python -m tests.simulate.crashes --pairs 0` dies once at each point, and without `--pairs` also at
every second point after each first, in an order that `--start` can go on in. A point is a moment
before or after a journal write or a request to the exchange. Dying drops the process's callbacks as
`kill -9` does: nothing of it runs any more, and no clean-up either.
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import anyio

from scheduler import Entry, Scheduler, State, clock
from scheduler.journal import Journal
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import Simulator
from scheduler.transport import Transport
from scheduler.wire import HttpReply, HttpRequest

from .. import virtual_time
from ..journal.shelves import Shelf, SqliteShelf

T = TypeVar("T")

WORK = (
    ("BORROW", "1", "normal"),
    ("BORROW", "1", "normal"),
    ("REPAY", "2", "normal"),
    ("BORROW", "2", "urgent"),
    ("REPAY", "2", "normal"),
    ("REPAY", "1", "urgent"),
    ("BORROW", "1", "normal"),
    ("BORROW", "3", "normal"),
    ("REPAY", "3", "normal"),
    ("BORROW", "2", "normal"),
)
WORK_WITH_LOOKS = (
    ("BORROW", "1", "normal"),
    ("REPAY", "all", "urgent"),
    ("BORROW", "at most 5", "normal"),
    ("REPAY", "at most 2", "normal"),
    ("BORROW", "7", "urgent"),
    ("REPAY", "all", "normal"),
)
"""Begun just before interest is added, so that some is left."""
BEFORE_THE_HOUR_MS = 150
HOUR_MS = 3_600_000
Work = tuple[tuple[str, str, str], ...]
PATIENCE_S = 3_600
BURIED_EVERY = 25
"""Runs after which what the dead left is let go of: collecting it takes longer than a run."""
FRESH = 25
"""Batches after which a process is replaced by a new one: what the dead leave makes it slow."""
_runs = count(1)


class SurvivingShelf:
    """A journal in memory that outlives the processes of a simulation: durable at once."""

    is_durable = True

    def __init__(self) -> None:
        self._journal = MemoryJournal()

    def journal(self) -> Journal:
        return self._journal

    def kill(self, journal: Journal) -> None:
        """What was written stays."""


@dataclass(slots=True)
class Fate:
    """Counts the points of one process, and ends it at the chosen one."""

    dies_at: int | None
    process: virtual_time.Process
    passed: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)

    def ended(self, _: object) -> None:
        self.over.set()

    async def point(self) -> None:
        self.passed += 1
        if self.passed == self.dies_at:
            self.over.set()
            await self.process.die()

    async def around(self, step: Callable[[], Awaitable[T]]) -> T:
        await self.point()
        result = await step()
        await self.point()
        return result


class MortalJournal:
    """A journal whose every write has a point before and one after."""

    def __init__(self, journal: Journal, fate: Fate) -> None:
        self._journal = journal
        self._fate = fate

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        return await self._fate.around(lambda: self._journal.add(entry, sent=sent))

    async def update(self, *entries: Entry, at_ms: int) -> None:
        await self._fate.around(lambda: self._journal.update(*entries, at_ms=at_ms))

    async def set_mark(self, scope: str, name: str, value: str | None) -> None:
        await self._fate.around(lambda: self._journal.set_mark(scope, name, value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


class MortalTransport:
    """A transport with a point before each request and one after each reply."""

    def __init__(self, transport: Transport, fate: Fate) -> None:
        self._transport = transport
        self._fate = fate

    async def send(self, request: HttpRequest) -> HttpReply:
        return await self._fate.around(lambda: self._transport.send(request))

    async def aclose(self) -> None:
        """It is the simulator's."""


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    points: list[int] = field(default_factory=list)
    """How many points each process passed."""
    violations: list[str] = field(default_factory=list)


def run(dies_at: tuple[int, ...], shelf: Shelf, seed: int = 0, *, work: Work = WORK) -> Outcome:
    """One run: a process for each death, and one that lives."""
    options: dict[str, Any] = {}
    if work == WORK_WITH_LOOKS:
        options = {"epoch_ms": 472_222 * HOUR_MS - BEFORE_THE_HOUR_MS, "debt_min": "0"}
    simulator = Simulator(port=None, seed=seed, **options)
    epoch_ms = simulator.options.epoch_ms
    before, clock.wall_ms = clock.wall_ms, lambda: epoch_ms
    try:
        outcome = virtual_time.run(_run(dies_at, shelf, simulator, work), seed=seed)
    finally:
        clock.wall_ms = before
        if next(_runs) % BURIED_EVERY == 0:
            virtual_time.bury()
    return outcome


async def _run(dies_at: tuple[int, ...], shelf: Shelf, simulator: Simulator, work: Work) -> Outcome:
    outcome = Outcome()
    acknowledged: set[str] = set()
    async with simulator:
        account = simulator.account("main")
        simulator.set_debt(account, "USDT", "1000")
        if work == WORK:
            # One loan whose answer is lost, one request that is, and an order in the way.
            simulator.fail_next("never_left")
            simulator.fail_next("lost_after")
            simulator.fail_next("lost_before")
        for death in (*dies_at, None):
            process = virtual_time.Process(f"scheduler {death}")
            fate = Fate(death, process)
            lost = acknowledged - set(await _entries(shelf))
            if lost:
                outcome.violations.append(f"{sorted(lost)} were acknowledged and are gone")
            journal = shelf.journal()
            working = process.spawn(_work(simulator, journal, fate, acknowledged, work))
            working.add_done_callback(fate.ended)
            with anyio.move_on_after(PATIENCE_S):
                await fate.over.wait()
            outcome.points.append(fate.passed)
            if process.is_dead:
                shelf.kill(journal)
                await anyio.sleep(0.05)
        if not working.done():
            outcome.violations.append("not everything was decided in an hour")
        else:
            working.result()
        outcome.violations += await _judge(simulator, shelf, work)
    return outcome


async def _work(
    simulator: Simulator, journal: Journal, fate: Fate, acknowledged: set[str], work: Work
) -> None:
    """A caller that knows its keys, and says them again after every restart."""
    mortal: Any = MortalJournal(journal, fate)
    async with Scheduler(
        [simulator.account("main")],
        journal=mortal,
        transport=MortalTransport(simulator.transport, fate),
    ) as scheduler:
        for number, (kind, amount, priority) in enumerate(work):
            entry = await scheduler.submit(
                "main",
                kind,
                "USDT",
                amount.removeprefix("at most "),
                key=f"k{number}",
                priority=priority,
                at_most=amount.startswith("at most "),
            )
            acknowledged.add(entry.key)
        for number in range(len(work)):
            await scheduler.wait(f"k{number}")
        await anyio.sleep(1)  # for a look at what is left
        for entry in await scheduler.list():
            await scheduler.wait(entry.key)


async def _entries(shelf: Shelf) -> dict[str, Entry]:
    journal = shelf.journal()
    await journal.open()
    found = await journal.find(limit=500)
    await journal.aclose()
    return {entry.key: entry for entry in found}


async def _judge(simulator: Simulator, shelf: Shelf, work: Work) -> list[str]:
    entries = await _entries(shelf)
    journal = shelf.journal()
    await journal.open()
    attempts = await journal.attempts_since("main", 0)
    await journal.aclose()
    keys = {(past.attempt.timestamp_ms, past.kind.value): past.key for past in attempts}
    booked: dict[str, list[int]] = defaultdict(list)
    found = []
    for loan in simulator.ledger.booked():
        assert loan.request_timestamp_ms is not None
        key = keys.get((loan.request_timestamp_ms, loan.kind))
        if key is None:
            found.append(f"{loan.tran_id} was booked and no attempt is known for it")
        else:
            booked[key].append(loan.tran_id)
    if work is WORK_WITH_LOOKS and (left := simulator.ledger.debt("main", "USDT")):
        found.append(f"{left} is still owed")
    for key in sorted({*entries, *(f"k{number}" for number in range(len(work)))}):
        entry = entries.get(key)
        if entry is None:
            found.append(f"{key} is lost")
            continue
        ids = booked[entry.key]
        if len(ids) > 1:
            found.append(f"{entry.key} was executed {len(ids)} times")
        if not entry.is_final:
            found.append(f"{entry.key} is {entry.state}")
        elif (entry.state is State.CONFIRMED) != bool(ids):
            found.append(f"{entry.key} is {entry.state}, and the ledger has {ids}")
        elif ids and entry.tran_id not in ids:
            found.append(f"{entry.key} is CONFIRMED as {entry.tran_id}, not {ids}")
    return found


def run_task(task: tuple[tuple[int, ...], str, Work]) -> tuple[tuple[int, ...], Outcome]:
    """One run over a journal of its own, `memory` or `sqlite`."""
    dies_at, kind, work = task
    try:
        if kind == "memory":
            return dies_at, run(dies_at, SurvivingShelf(), work=work)
        with tempfile.TemporaryDirectory(dir=memory_disk()) as folder:
            return dies_at, run(dies_at, SqliteShelf(Path(folder) / "journal.db"), work=work)
    except Exception as error:
        last = traceback.format_exception(error)[-4:]
        return dies_at, Outcome(violations=["".join(last)])


class Campaign:
    """Runs many deaths and tells what came of them as it goes."""

    def __init__(self, kind: str, jobs: int, work: Work) -> None:
        self.kind = kind
        self.jobs = jobs
        self.work = work
        self.ran = 0
        self.bad = 0
        self._began = time.perf_counter()

    def outcomes(self, deaths: Sequence[tuple[int, ...]]) -> Iterator[tuple[Any, Outcome]]:
        """In order; violations are printed at once."""
        tasks = [(dies_at, self.kind, self.work) for dies_at in deaths]
        with multiprocessing.get_context("fork").Pool(self.jobs, maxtasksperchild=FRESH) as pool:
            for dies_at, outcome in pool.imap(run_task, tasks, chunksize=4):
                self.ran += 1
                if outcome.violations:
                    self.bad += 1
                    print(f"dead at {dies_at}: {outcome.violations}", flush=True)
                yield dies_at, outcome

    @property
    def took_s(self) -> float:
        return time.perf_counter() - self._began


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate.crashes",
        description="Kill the process at every point of its work, and at every pair of points.",
        epilog="example: python -m tests.simulate.crashes --pairs 500 --journal sqlite",
    )
    parser.add_argument("--journal", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--pairs", type=int, help="how many; all if not given")
    parser.add_argument("--start", type=int, default=0, help="skip so many pairs, to go on there")
    parser.add_argument("--seed", type=int, default=0, help="decides the order of the pairs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (the cores)")
    parser.add_argument("--progress", type=int, default=0, help="say how far it is every N pairs")
    parser.add_argument("--looks", action="store_true", help="repay all, borrow at most something")
    options = parser.parse_args(arguments)
    work = WORK_WITH_LOOKS if options.looks else WORK
    campaign = Campaign(options.journal, options.jobs, work)
    _, whole = run_task(((), options.journal, work))
    points = whole.points[0] if whole.points else 0
    singles = list(campaign.outcomes([(), *((point,) for point in range(1, points + 1))]))
    pairs = [
        (*dies_at, second)
        for dies_at, outcome in singles[1:]
        for second in range(1, (outcome.points or [0])[-1] + 1)
    ]
    # In an order of its own, so that a part of them is a fair part.
    random.Random(options.seed).shuffle(pairs)
    last = None if options.pairs is None else options.start + options.pairs
    chosen = pairs[options.start : last]
    for done, _ in enumerate(campaign.outcomes(chosen), options.start + 1):
        if options.progress and done % options.progress == 0:
            print(f"{done} of {len(pairs)} pairs, {campaign.bad} with violations", flush=True)
    print(
        f"{points} points, {len(chosen)} of {len(pairs)} pairs, {campaign.ran} runs "
        f"in {campaign.took_s:.1f} s, {campaign.bad} with violations"
    )
    return 1 if campaign.bad else 0


def memory_disk() -> str | None:
    """Three synced writes a submission would otherwise be most of the time."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
