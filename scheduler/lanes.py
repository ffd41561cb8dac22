"""Keeps this scheduler's share of the accounts of a journal that several schedulers work on.

It takes lanes that nobody runs, gives up what is more than its share, and passes on what others ask
of the accounts it runs. None of this makes anything safe: the journal does, by the lane's epoch,
and the exchange, by each attempt's fence.
"""

import asyncio
import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from . import marks
from .clock import loop_s
from .errors import ConfigurationError, JournalUnavailable
from .events import Accepted, Contradicted, Event
from .inventory import Pool, Refusal
from .journal.lanes import Board, Hint, Request, SharedJournal
from .journal.protocol import StaleVersion
from .marks import Marks
from .model import Entry, State
from .watch import Watchers
from .worker import Worker

TICK_S = 1.0
"""Between two looks at the board; what is asked of this scheduler is seen at least as often."""
HINT_GAP_S = 0.02
"""Between two looks, or two hints, however much changes."""
NAME_MAX = 100
FREE_TICKS_MAX = 5
"""A lane that nobody has taken for so many ticks is taken beyond the share."""

Move = Callable[[str], Awaitable[None]]

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """How a scheduler shares its accounts with others on the same journal."""

    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    """What others see as the owner's name: 1 to 100 characters that can be printed."""
    pinned: frozenset[str] = frozenset()
    """Accounts that nobody else is to run while this scheduler lives."""
    lease_s: float = 5.0
    """How long this scheduler may be out of touch with the journal until others take over."""

    def __post_init__(self) -> None:
        """Raises ConfigurationError."""
        if not 1 <= len(self.name) <= NAME_MAX or not self.name.isprintable():
            raise ConfigurationError(
                f"lanes.name: must be 1 to {NAME_MAX} characters that can be printed"
            )
        if not 3 * TICK_S <= self.lease_s <= 600:
            raise ConfigurationError(
                f"lanes.lease_s: must be {3 * TICK_S:.0f} to 600, not {self.lease_s}"
            )


@dataclass(frozen=True, slots=True)
class Moves:
    """What is to be done about the board as it stands."""

    lost: tuple[str, ...]
    """Run here, and somebody else's by now."""
    take: tuple[str, ...]
    give_up: tuple[str, ...]


def decide(
    board: Board,
    me: int,
    running: dict[str, int],
    busy: frozenset[str],
    free_ticks: dict[str, int],
) -> Moves:
    """The next moves of the scheduler `me`, which runs lanes at those epochs.

    `busy` lanes are given up last; `free_ticks` says for how long nobody has had a lane.
    """
    peers = {peer.id: peer for peer in board.peers}
    mine = peers.get(me)
    if mine is None:
        return Moves((), (), ())
    lost = tuple(sorted(a for a, epoch in running.items() if not _is_at(board, a, me, epoch)))
    counts = dict.fromkeys(peers, 0)
    for lane in board.lanes.values():
        if lane.owner in counts and not _pins(board, lane.account):
            counts[lane.owner] += 1
    shares = {peer: _share(board, peer) for peer in peers}
    take = []
    for account in sorted(mine.accounts, key=lambda a: (a not in mine.pinned, a)):
        row = board.lanes.get(account)
        is_forgotten = row is not None and row.owner == me and account not in running
        is_free = row is None or not row.is_live or is_forgotten
        if account in running or not is_free or _pins(board, account) - {me}:
            continue
        if account in mine.pinned:
            take.append(account)
        elif (
            is_forgotten or counts[me] < shares[me] or free_ticks.get(account, 0) >= FREE_TICKS_MAX
        ):
            take.append(account)
            counts[me] += not is_forgotten
    held = [a for a in running if a not in lost]
    give_up = [a for a in held if _pins(board, a) and me not in _pins(board, a)]
    loose = sorted((a for a in held if not _pins(board, a)), key=lambda a: (a in busy, a))
    for account in loose:
        poorest = min(
            (p.id for p in board.peers if account in p.accounts), key=lambda peer: counts[peer]
        )
        if counts[poorest] + 1 < counts[me]:
            give_up.append(account)
            counts[poorest] += 1
            counts[me] -= 1
    return Moves(lost, tuple(take), tuple(give_up))


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStatus:
    """Who runs an account, as one scheduler sees it: by itself at once, of others at its last look
    at the board."""

    account: str
    owner: str | None
    """The name of the scheduler that runs it; None: nobody whose lease runs."""
    is_here: bool
    epoch: int
    """Grows whenever the owner changes; 0: nobody ever ran it."""
    taken_free: int
    """How often it was taken here when nobody had it."""
    taken_lost: int
    """How often it was taken here because its owner's lease had run out."""


class Host(Protocol):
    """What runs the accounts' workers."""

    def begin(self, account: str, epoch: int, entries: Iterable[Entry], marks: Marks) -> None:
        """Run the account, with what is unfinished."""

    async def end(self, account: str) -> None:
        """Run it no more, once what is in the air has landed or had its time to."""

    def owned(self, account: str) -> Worker | None:
        """The worker of an account that is run here."""


class LaneKeeper:
    """One a scheduler whose journal is shared."""

    def __init__(
        self,
        journal: SharedJournal,
        accounts: Iterable[str],
        options: LaneOptions,
        host: Host,
        watchers: Watchers,
        heard: Callable[[Refusal, int], None],
    ) -> None:
        """`heard` takes what another scheduler was refused for want of inventory, and how many
        milliseconds ago. Raises ConfigurationError."""
        self._journal = journal
        self.lanes = journal.lanes
        self._accounts = frozenset(accounts)
        self._options = options
        self._host = host
        self._watchers = watchers
        self._heard = heard
        self._refusals: dict[Pool, Refusal] = {}
        self._heard_of: dict[Pool, int] = {}
        self._wake = asyncio.Event()
        self._hints: set[Hint] = set()
        self._to_hint: set[Hint] = set()
        self._has_news = asyncio.Event()
        self._renewed_at_s = 0.0
        self._free_ticks: dict[str, int] = {}
        self._moving: set[str] = set()
        self._is_leaving = False
        self._taken: Counter[tuple[str, bool]] = Counter()
        self.board = Board({}, ())
        """As it was at the last look."""
        if unknown := options.pinned - self._accounts:
            raise ConfigurationError(f"lanes.pinned: {min(unknown)} is not configured")

    # Life

    async def run(self, tasks: TaskGroup) -> None:
        """Keep the share, for ever."""
        tasks.start_soon(self._listen, name="hear hints")
        tasks.start_soon(self._give_hints, name="give hints")
        next_tick_s = loop_s()
        while True:
            self._wake.clear()
            hints, self._hints = self._hints, set()
            try:
                if is_due := loop_s() >= next_tick_s:
                    next_tick_s = loop_s() + TICK_S
                if is_due or Hint.LANE in hints:
                    await self._tick(tasks, is_due=is_due)
                elif Hint.SHORTAGE in hints:
                    await self._hear_of_shortages()
                await self._hear()
            except JournalUnavailable as error:
                _log.warning("lanes: %s", error)
                self._let_go_if_out_of_touch(tasks)
            with anyio.move_on_after(max(0.0, next_tick_s - loop_s())):
                await self._wake.wait()
            await anyio.sleep(HINT_GAP_S)

    async def leave(self) -> None:
        """Hand every lane over, once nothing of it is in the air."""
        self._is_leaving = True
        async with anyio.create_task_group() as ending:
            for account in list(self.lanes.epochs):
                ending.start_soon(self._host.end, account)
        if self.lanes.me is not None:
            with suppress(JournalUnavailable):  # then the lease runs out by itself
                await self.lanes.leave()
                await self.lanes.notify(Hint.LANE)

    def hint(self, about: Hint = Hint.CHANGE) -> None:
        """Something changed that another scheduler may be waiting for."""
        self._to_hint.add(about)
        self._has_news.set()

    def tell_refusal(self, refusal: Refusal) -> None:
        """Have the others hear of a shortage. They may not; see `inventory.py`."""
        self._refusals[refusal.pool] = refusal
        self.hint(Hint.SHORTAGE)

    def settled(self, entry: Entry) -> None:
        """An entry is decided; whoever waits for it elsewhere should look."""
        if len(self.board.peers) > 1:
            self.hint()

    def status(self) -> tuple[LaneStatus, ...]:
        """Every configured account's lane, in order of their names."""
        return tuple(self._status(account) for account in sorted(self._accounts))

    def _status(self, account: str) -> LaneStatus:
        row, here = self.board.lanes.get(account), self.lanes.epochs.get(account)
        others = row.owner_name if row is not None and row.is_live else None
        if row is not None and row.owner == self.lanes.me:
            others = None  # it is on its way here, or from here
        return LaneStatus(
            account=account,
            owner=self._options.name if here is not None else others,
            is_here=here is not None,
            epoch=max(here or 0, 0 if row is None else row.epoch),
            taken_free=self._taken[account, False],
            taken_lost=self._taken[account, True],
        )

    # Keeping the share

    async def _tick(self, tasks: TaskGroup, *, is_due: bool) -> None:
        """Look at the board and do what it calls for; `is_due` where time has come, and it is not
        that somebody gave a lane up in between."""
        began_s = loop_s()
        options = self._options
        is_known = self.lanes.me is not None and await self.lanes.renew(options.lease_s)
        if self._is_leaving:
            return
        if not is_known:
            await self.lanes.join(options.name, self._accounts, options.pinned, options.lease_s)
        await self._hear_of_shortages()  # before anything of a lane that is taken now is sent
        self._renewed_at_s = began_s  # not when the answer came: it may have taken its time
        self.board = board = await self.lanes.board()
        if is_due:
            self._count_free(board)
        me = self.lanes.me
        assert me is not None
        moves = decide(board, me, dict(self.lanes.epochs), self._busy(), self._free_ticks)
        for account in (*moves.lost, *moves.give_up):
            self._start(tasks, account, self._give_up)
        for account in moves.take:
            self._start(tasks, account, self._take)

    def _start(self, tasks: TaskGroup, account: str, move: Move) -> None:
        """One move an account at a time."""
        if account not in self._moving and not self._is_leaving:
            self._moving.add(account)
            tasks.start_soon(self._move, account, move, name=f"lane {account}")

    async def _move(self, account: str, move: Move) -> None:
        try:
            await move(account)
        except JournalUnavailable as error:
            _log.warning("lane of %s: %s", account, error)
        finally:
            self._moving.discard(account)

    async def _take(self, account: str) -> None:
        row = self.board.lanes.get(account)
        epoch = await self.lanes.take(account)
        if epoch is None:
            return
        self._taken[account, row is not None and row.owner not in {None, self.lanes.me}] += 1
        # From here on nothing is written at an earlier epoch: what is read now is what there is.
        entries = await self.lanes.unfinished_of(account)
        known = marks.read(account, await self._journal.marks())
        known = await self._steered(known)
        if self._is_leaving:
            await self.lanes.give_up(account, epoch)
            return
        self._host.begin(account, epoch, entries, known)
        _log.info("account %s is run here, epoch %d", account, epoch)
        self._wake.set()

    async def _steered(self, known: Marks) -> Marks:
        """The marks, with the pauses that were asked for while nobody ran the account."""
        asked = [
            request
            for request in await self.lanes.requests([known.account])
            if request.what in {"pause", "resume"}
        ]
        for request in asked:
            known = marks.paused(known) if request.what == "pause" else marks.resumed(known)
        if asked:
            await self._journal.set_mark(*known.row())
            await self.lanes.done([request.id for request in asked])
        return known

    async def _give_up(self, account: str) -> None:
        epoch = self.lanes.epochs.get(account)
        await self._host.end(account)
        if epoch is not None:
            await self.lanes.give_up(account, epoch)
            self.hint(Hint.LANE)
        _log.info("account %s is run here no more", account)

    def _let_go_if_out_of_touch(self, tasks: TaskGroup) -> None:
        """Others may have taken over by now: there is nothing more to do here."""
        if self.lanes.epochs and loop_s() > self._renewed_at_s + self._options.lease_s:
            for account in list(self.lanes.epochs):
                self._start(tasks, account, self._host.end)

    def _count_free(self, board: Board) -> None:
        free = [a for a in self._accounts if (row := board.lanes.get(a)) is None or not row.is_live]
        self._free_ticks = {a: self._free_ticks.get(a, 0) + 1 for a in free}

    def _busy(self) -> frozenset[str]:
        workers = {a: self._host.owned(a) for a in self.lanes.epochs}
        return frozenset(a for a, w in workers.items() if w and (w.in_air or w.settler.entries()))

    # Hearing and telling

    async def _hear(self) -> None:
        """Carry out what was asked of this scheduler, and wake those who wait for others."""
        if self.lanes.epochs:
            asked = await self.lanes.requests(self.lanes.epochs)
            if asked:
                await self._carry_out(asked)
        waiting = self._watchers.waited_for()
        if waiting:
            for entry in await self.lanes.settled_among(waiting):
                worker = self._host.owned(entry.account)
                # What is in hand here is told of by its worker, once it has acted on it.
                if worker is None or not worker.has_in_hand(entry.key):
                    self._watchers.changed(entry)

    async def _carry_out(self, asked: Sequence[Request]) -> None:
        done = []
        for request in asked:
            worker = self._host.owned(request.account)
            if worker is None:
                continue  # whoever takes the lane reads it again
            try:
                await self._carry_out_one(worker, request)
            except StaleVersion:
                continue  # it is in motion; next time
            done.append(request.id)
        await self.lanes.done(done)
        self.hint()

    async def _carry_out_one(self, worker: Worker, request: Request) -> None:
        match request.what:
            case "pause":
                await worker.standing.pause()
            case "resume":
                await worker.standing.resume()
            case "run" | "reread":
                assert request.key is not None
                kept = await self._journal.get(request.key)
                worker.follow(kept)
            case "late":
                await self._take_late(worker, request)
        worker.poke()

    async def _take_late(self, worker: Worker, request: Request) -> None:
        """An answer came to the owner before, after this one had begun to look for it."""
        assert request.key is not None
        said = json.loads(request.detail or "{}")
        entry, tran_id = await self._journal.get(request.key), said.get("tran_id")
        if entry is None or entry.attempt is None or tran_id is None:
            return
        is_open = entry.state in {State.UNKNOWN, State.UNRESOLVED}
        is_latest = entry.attempt.number == said["number"]
        if is_open and is_latest and worker.policy.confirm == "reply":
            await worker.apply(entry, Accepted(tran_id))
        elif entry.state is State.NOT_EXECUTED or (is_open and not is_latest):
            why = f"late answer: attempt {said['number']} was given tranId {tran_id}"
            worker.standing.alarm("late_record", f"{entry.key}: {why}", key=entry.key)
            if entry.state is State.NOT_EXECUTED:
                await worker.apply(entry, Contradicted(why))

    async def came_late(self, sent: Entry, event: Event, at_ms: int) -> None:
        """An answer came, and somebody else has moved the entry on: it is evidence for them."""
        tran_id = event.tran_id if isinstance(event, Accepted) else None
        with suppress(JournalUnavailable):
            await self.lanes.keep_late(sent, at_ms=at_ms, tran_id=tran_id, detail=repr(event))
            self.hint()

    async def _hear_of_shortages(self) -> None:
        for told in await self.lanes.shortages():
            refusal = told.refusal
            if self._heard_of.get(refusal.pool) != told.told:
                self._heard_of[refusal.pool] = told.told
                if told.by != self.lanes.me:
                    self._heard(refusal, told.age_ms)

    async def _listen(self) -> None:
        while True:
            with suppress(JournalUnavailable):
                await self.lanes.listen(self._hinted)
            await anyio.sleep(TICK_S)

    def _hinted(self, about: Hint) -> None:
        self._hints.add(about)
        self._wake.set()

    async def _give_hints(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            refusals, self._refusals = self._refusals, {}
            hints, self._to_hint = self._to_hint, set()
            with suppress(JournalUnavailable):
                for refusal in refusals.values():
                    await self.lanes.tell_refusal(refusal)
                for about in sorted(hints - {Hint.CHANGE}) or (Hint.CHANGE,):
                    await self.lanes.notify(about)
            await anyio.sleep(HINT_GAP_S)


def _is_at(board: Board, account: str, me: int, epoch: int) -> bool:
    row = board.lanes.get(account)
    # A lane that was taken after the board was read is not lost.
    return row is None or row.epoch < epoch or (row.owner == me and row.epoch == epoch)


def _pins(board: Board, account: str) -> set[int]:
    """The live schedulers that want an account for themselves."""
    return {peer.id for peer in board.peers if account in peer.pinned}


def _share(board: Board, me: int) -> int:
    """How many lanes one scheduler should have, besides those that are pinned."""
    total = 0.0
    for account in next(peer.accounts for peer in board.peers if peer.id == me):
        if not _pins(board, account):
            total += 1 / sum(account in peer.accounts for peer in board.peers)
    return ceil(total - 1e-9)
