"""One life of the whole stack: the production HTTP client and the simulator's server with bytes
between them, a journal in a real SQLite file, and processes that die and are started again."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import anyio

from scheduler import Entry, Scheduler, State, clock
from scheduler.journal import Journal
from scheduler.journal.group_commit import Outcome, Work
from scheduler.journal.sqlite import SqliteJournal
from scheduler.model import revised
from scheduler.simulator import Simulator

from .. import virtual_time
from ..journal.shelves import SqliteShelf
from ..pipes import Net, PipedTransport
from .crashes import BURIED_EVERY, Fate, MortalJournal, MortalTransport, memory_disk
from .life import SETTLES_S, Change, Story, attend, disturb, listen, open_accounts, until
from .stack_plan import Crash, DrawnTroubles, ScriptedTroubles, StackPlan

PORT = 1
TURNS_MAX = 5_000
_lives = count(1)


class Witness:
    """A journal that tells the story what became durable, and when that was asked for.

    A process that dies does not hear of what it wrote last; the story does, by `recover`.
    """

    def __init__(self, journal: Journal, story: Story, simulator: Simulator) -> None:
        self._journal = journal
        self._story = story
        self._simulator = simulator
        self._asked: dict[int, list[Change]] = {}

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        if sent is None:
            kept = await self._journal.add(entry)
            self._keep(kept)
            return kept
        number = self._ask(sent)
        kept = await self._journal.add(entry, sent=sent)
        (asked,) = self._asked.pop(number)
        is_sent = kept == revised(sent, seq=kept.seq)
        self._keep(Entry(submission=kept.submission, seq=kept.seq) if is_sent else kept)
        if is_sent:
            self._tell(replace(asked, entry=kept))
        return kept

    async def update(self, *entries: Entry, at_ms: int) -> None:
        number = self._ask(*entries)
        # What is cut off or fails here may have been made all the same.
        await self._journal.update(*entries, at_ms=at_ms)
        for change in self._asked.pop(number):
            self._tell(change)

    def _ask(self, *entries: Entry) -> int:
        now_s, now_ms = asyncio.get_running_loop().time(), self._simulator.now_ms()
        self._story.writes += 1
        number = self._story.writes
        self._asked[number] = [Change(now_s, now_ms, entry, now_s, number) for entry in entries]
        return number

    def _keep(self, kept: Entry) -> None:
        self._story.latest.setdefault(kept.key, kept)
        self._story.durable_s.setdefault(kept.key, asyncio.get_running_loop().time())

    def recover(self, kept: dict[str, Entry]) -> None:
        """Tells what was written and not heard of."""
        for change in (change for changes in self._asked.values() for change in changes):
            key = change.entry.key
            there = kept.get(key)
            if there is None or there == self._story.latest.get(key):
                continue
            if there == revised(change.entry, seq=there.seq):  # new ones do not know theirs
                self._story.counts["written and not heard of"] += 1
                self._tell(replace(change, entry=there))

    def _tell(self, change: Change) -> None:
        now_s = asyncio.get_running_loop().time()
        entry = change.entry
        told = Change(now_s, change.exchange_ms, entry, change.asked_s, change.write)
        self._story.changes.append(told)
        self._story.latest[entry.key] = entry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


@dataclass(slots=True)
class LaterFate(Fate):
    """Ends its process some time after the chosen point."""

    after_s: float = 0.0
    is_doomed: bool = field(default=False)

    async def point(self) -> None:
        if not self.after_s:
            await Fate.point(self)
            return
        self.passed += 1
        if self.passed == self.dies_at:
            asyncio.get_running_loop().call_later(self.after_s, self.strike)

    def strike(self) -> None:
        """Kills the process from without."""
        if not self.over.is_set():
            self.process.kill()
            self.over.set()


def live_stack(plan: StackPlan) -> tuple[Story, Simulator]:
    """Live it, on a loop of its own."""
    story = Story(plan)

    async def live(simulator: Simulator, shelf: SqliteShelf) -> None:
        await _live(plan, story, simulator, shelf)

    return story, with_stack(plan, live)


def with_stack(
    plan: StackPlan, live: Callable[[Simulator, SqliteShelf], Coroutine[Any, Any, None]]
) -> Simulator:
    """Runs a life with an exchange that is served over HTTP and a file for the journal."""
    simulator = Simulator(**{**plan.exchange, "port": PORT})
    epoch_ms = simulator.options.epoch_ms
    before, clock.wall_ms = clock.wall_ms, lambda: epoch_ms + plan.wall_skew_ms
    folder = Path(tempfile.mkdtemp(dir=memory_disk()))
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(setattr, clock, "wall_ms", before)
        undo.enter_context(_quiet_server())
        life = live(simulator, SqliteShelf(folder / "journal.db"))
        virtual_time.run(life, seed=plan.seed, turns_max=TURNS_MAX)
    if next(_lives) % BURIED_EVERY == 0:
        virtual_time.bury()
    return simulator


async def _live(plan: StackPlan, story: Story, simulator: Simulator, shelf: SqliteShelf) -> None:
    troubles = ScriptedTroubles(plan.script) if plan.script else DrawnTroubles(plan)
    net = Net(seed=plan.seed, latency_ms=plan.latency_ms, troubles=troubles)
    world = World(simulator, net)

    def work(witness: Any, fate: Fate) -> Coroutine[Any, Any, None]:
        return _work(plan, story, simulator, witness, fate)

    async with simulator:
        async with anyio.create_task_group() as others:
            others.start_soon(_calm, plan, world, troubles)
            if isinstance(troubles, ScriptedTroubles):
                net.loop.call_at(plan.armed_s, setattr, troubles, "is_armed", True)
            await live_through(plan, story, world, shelf, work)
            others.cancel_scope.cancel()
        await anyio.sleep(SETTLES_S)
    story.virtual_s = net.loop.time()
    story.troubles = net.counts
    story.counts["bytes that came after the close"] += net.late_arrivals
    if isinstance(troubles, ScriptedTroubles):
        story.counts["strikes"] = len(troubles.struck)
    story.kept = await kept_in(shelf)


Working: TypeAlias = Callable[[Any, Fate], Coroutine[Any, Any, None]]
"""What a process does, with a journal and a fate of its own."""


async def live_through(
    plan: StackPlan, story: Story, world: "World", shelf: SqliteShelf, work: Working
) -> None:
    """One process after the other, until one comes to its end."""
    simulator = world.simulator
    async with anyio.create_task_group() as others:
        open_accounts(plan, simulator)
        simulator.set_fault_rates(plan.loan_faults, plan.read_faults)
        others.start_soon(disturb, plan, world)
        for crash in (*plan.crashes, None):
            if not await _incarnation(story, world, shelf, crash, work):
                break
            world.recovers()
        others.cancel_scope.cancel()


class World:
    """What disturbances act on: the simulator's handles, and the net's."""

    def __init__(self, simulator: Simulator, net: Net) -> None:
        self.simulator = simulator
        self.net = net
        self.was_told_to_stop = False

    def tell_to_stop(self) -> None:
        """The process is to end in good order."""
        self.was_told_to_stop = True

    def died(self) -> None:
        """A process ended that was killed."""
        self.net.reap()

    def recovers(self) -> None:
        """The next one is about to be started."""
        self.was_told_to_stop = False
        if isinstance(self.net.troubles, ScriptedTroubles):
            self.net.troubles.is_recovering = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net if name == "close_idle" else self.simulator, name)


async def _incarnation(
    story: Story, world: World, shelf: SqliteShelf, crash: Crash | None, work: Working
) -> bool:
    """One process, from its start to its end or death; whether another is to follow."""
    loop = asyncio.get_running_loop()
    process = virtual_time.Process(f"scheduler {crash}")
    fate = LaterFate(
        crash.point if crash else None, process, after_s=crash.after_s if crash else 0.0
    )
    journal = shelf.journal()
    _count_batches(journal, story)
    witness: Any = Witness(journal, story, world.simulator)
    working = process.spawn(work(witness, fate))
    working.add_done_callback(fate.ended)
    if crash is not None and crash.at_s is not None:
        ends = world.tell_to_stop if crash.is_told else fate.strike
        loop.call_at(max(crash.at_s, loop.time()), ends)
    await fate.over.wait()
    if not process.is_dead:
        working.result()
        witness.recover(await kept_in(shelf))
        if crash is None or not world.was_told_to_stop:
            return False
        story.counts["stopped and started again"] += 1
        await anyio.sleep(crash.pause_s)
        return True
    assert crash is not None
    world.died()
    shelf.kill(journal)
    story.counts["crash"] += 1
    kept = await kept_in(shelf)
    if any(entry.state is State.SENT for entry in kept.values()):
        story.counts["SENT when the process died"] += 1
    witness.recover(kept)
    for key in kept:
        story.durable_s.setdefault(key, loop.time())
    await anyio.sleep(crash.pause_s)
    return True


def _count_batches(journal: Journal, story: Story) -> None:
    assert isinstance(journal, SqliteJournal)
    group = journal._group
    commit = group._commit

    def counted(works: list[Work]) -> asyncio.Future[list[Outcome]]:
        committed = commit(works)
        committed.add_done_callback(noted)
        return committed

    def noted(committed: asyncio.Future[list[Outcome]]) -> None:
        outcomes = committed.result()
        refused = sum(error is not None for _, error in outcomes)
        story.counts["writes that shared a commit"] += len(outcomes) > 1
        story.counts["refused writes that shared a commit"] += 0 < refused < len(outcomes)

    group._commit = counted


async def _work(
    plan: StackPlan, story: Story, simulator: Simulator, witness: Any, fate: Fate
) -> None:
    """The scheduler and its callers, who know their keys and say them again after a restart."""
    transport = PipedTransport(simulator.base_url)
    mortal: Any = MortalJournal(witness, fate)
    async with (
        Scheduler(
            [simulator.account(name, **options) for name, options in plan.accounts.items()],
            journal=mortal,
            transport=MortalTransport(transport, fate),
        ) as scheduler,
        anyio.create_task_group() as listening,
    ):
        listening.start_soon(listen, scheduler, story)
        await attend(plan, story, scheduler, simulator)
        listening.cancel_scope.cancel()
    await transport.aclose()


async def _calm(plan: StackPlan, world: World, troubles: DrawnTroubles | ScriptedTroubles) -> None:
    await until(plan.quiet_at_s)
    world.simulator.clear_faults()
    troubles.is_over = True
    world.net.end_refusals()


async def kept_in(shelf: SqliteShelf) -> dict[str, Entry]:
    """What the journal holds, while no process has it open."""
    journal = shelf.journal()
    await journal.open()
    found = await journal.find(limit=10_000)
    await journal.aclose()
    return {entry.key: entry for entry in found}


@contextmanager
def _quiet_server() -> Iterator[None]:
    """Broken requests are what this is about; aiohttp's server would print each of them."""
    logger = logging.getLogger("aiohttp.server")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
