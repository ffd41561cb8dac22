"""A database in memory that several schedulers share: PostgreSQL as the simulations know it.

It passes the same tests of journal and lanes as the real one. Its clock is the event loop's; its
answers take as long as `delay` says, before the statement is carried out and after.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from scheduler.errors import JournalUnavailable
from scheduler.inventory import Pool, Refusal
from scheduler.journal.lanes import (
    SHORTAGE_MAX_S,
    Board,
    Hint,
    LaneRow,
    Lanes,
    Peer,
    Request,
    ToldRefusal,
    is_the_owners,
)
from scheduler.journal.memory import MemoryJournal
from scheduler.journal.protocol import HistoryRow, LaneLost, PastAttempt
from scheduler.model import Entry, Kind, State

T = TypeVar("T")

SETTLED = frozenset(State) - {State.QUEUED, State.SENT, State.ACCEPTED, State.UNKNOWN}


async def at_once() -> None:
    """No delay."""


class Database:
    """What all hosts share. A statement is carried out in one go, as a transaction."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.peers: dict[int, tuple[Peer, float]] = {}
        self.names: dict[int, str] = {}
        self.lanes: dict[str, tuple[int | None, int]] = {}
        self.requests: dict[int, Request] = {}
        self.late: list[tuple[str, int, int | None]] = []
        self.stale: list[str] = []
        """Attempts that were put into the air at an epoch that was over: there must be none."""
        self.listeners: set[Callable[[Hint], None]] = set()
        self.refusals: dict[Pool, tuple[Refusal, float, int, int | None]] = {}
        self.takes: Counter[str] = Counter()
        self._count = 0

    def next_id(self) -> int:
        self._count += 1
        return self._count

    def now_s(self) -> float:
        """The database's own clock, by which alone leases run."""
        return asyncio.get_running_loop().time()

    def is_live(self, owner: int | None) -> bool:
        return owner in self.peers and self.peers[owner][1] > self.now_s()

    def epoch(self, account: str) -> int:
        return self.lanes.get(account, (None, 0))[1]


class MemoryLanes:
    """Implements `Lanes`."""

    def __init__(self, database: Database, host: "HostJournal") -> None:
        self.epochs: dict[str, int] = {}
        self._database = database
        self._host = host
        self._me: int | None = None

    @property
    def me(self) -> int | None:
        return self._me

    async def join(
        self, name: str, accounts: Iterable[str], pinned: Iterable[str], lease_s: float
    ) -> None:
        def join() -> int:
            me = database.next_id()
            peer = Peer(me, name, frozenset(accounts), frozenset(pinned))
            database.peers[me] = (peer, database.now_s() + lease_s)
            database.names[me] = name
            return me

        database = self._database
        self._me = await self._host.call(join)

    async def renew(self, lease_s: float) -> bool:
        def renew() -> bool:
            known = database.peers.get(me)
            if known is not None:
                database.peers[me] = (known[0], database.now_s() + lease_s)
            return known is not None

        database, me = self._database, self._mine()
        return await self._host.call(renew)

    async def leave(self) -> None:
        def leave() -> None:
            for account, (owner, epoch) in database.lanes.items():
                if owner == me:
                    database.lanes[account] = (None, epoch + 1)
            database.peers.pop(me, None)

        database, me = self._database, self._mine()
        await self._host.call(leave)

    async def board(self) -> Board:
        def board() -> Board:
            lanes = {
                account: LaneRow(
                    account, epoch, owner, database.names.get(owner or 0), database.is_live(owner)
                )
                for account, (owner, epoch) in database.lanes.items()
            }
            peers = [peer for id_, (peer, _) in database.peers.items() if database.is_live(id_)]
            return Board(lanes, tuple(peers))

        database = self._database
        return await self._host.call(board)

    async def take(self, account: str) -> int | None:
        def take() -> int | None:
            owner, epoch = database.lanes.get(account, (None, 0))
            if owner != me and database.is_live(owner):
                return None
            database.lanes[account] = (me, epoch + 1)
            database.takes[account] += 1
            return epoch + 1

        database, me = self._database, self._mine()
        return await self._host.call(take)

    async def give_up(self, account: str, epoch: int) -> None:
        def give_up() -> None:
            if database.lanes.get(account) == (me, epoch):
                database.lanes[account] = (None, epoch + 1)

        database, me = self._database, self._mine()
        await self._host.call(give_up)

    async def unfinished_of(self, account: str) -> list[Entry]:
        entries = await self._host.unfinished()
        return [entry for entry in entries if entry.account == account]

    async def backlog(self, account: str) -> int:
        entries = await self.unfinished_of(account)
        return sum(entry.state is State.QUEUED for entry in entries)

    async def settled_among(self, keys: Iterable[str]) -> list[Entry]:
        entries = [await self._database.journal.get(key) for key in keys]
        await self._host.call(lambda: None)
        return [entry for entry in entries if entry is not None and entry.state in SETTLED]

    async def tell(
        self, account: str, what: str, *, key: str | None = None, detail: str | None = None
    ) -> int:
        return await self._host.call(lambda: self._put(account, what, key, detail))

    def _put(self, account: str, what: str, key: str | None, detail: str | None) -> int:
        told = self._database.next_id()
        self._database.requests[told] = Request(told, account, what, key, detail)
        return told

    async def requests(self, accounts: Iterable[str]) -> Sequence[Request]:
        wanted = set(accounts)
        return await self._host.call(
            lambda: [r for r in self._database.requests.values() if r.account in wanted]
        )

    async def is_open(self, request: int) -> bool:
        return await self._host.call(lambda: request in self._database.requests)

    async def done(self, requests: Iterable[int]) -> None:
        def done() -> None:
            for request in requests:
                known = self._database.requests.get(request)
                if known is not None and self._database.lanes.get(known.account, (0,))[0] == me:
                    del self._database.requests[request]

        me = self._me
        await self._host.call(done)

    async def keep_late(
        self, entry: Entry, *, at_ms: int, tran_id: int | None, detail: str
    ) -> None:
        def keep() -> None:
            assert entry.attempt is not None
            number, told = entry.attempt.number, "null" if tran_id is None else tran_id
            self._database.late.append((entry.key, number, tran_id))
            said = f'{{"number": {number}, "tran_id": {told}}}'
            self._put(entry.account, "late", entry.key, said)

        await self._host.call(keep)

    async def tell_refusal(self, refusal: Refusal) -> None:
        def tell() -> None:
            told = database.next_id()
            database.refusals[refusal.pool] = (refusal, database.now_s(), told, me)

        database, me = self._database, self._me
        await self._host.call(tell)

    async def shortages(self) -> Sequence[ToldRefusal]:
        def shortages() -> list[ToldRefusal]:
            now_s = database.now_s()
            return [
                ToldRefusal(refusal, round((now_s - at_s) * 1000), told, by)
                for refusal, at_s, told, by in database.refusals.values()
                if now_s - at_s < SHORTAGE_MAX_S
            ]

        database = self._database
        return await self._host.call(shortages)

    async def notify(self, about: Hint = Hint.CHANGE) -> None:
        def notify() -> None:
            for wake in database.listeners:
                wake(about)

        database = self._database
        await self._host.call(notify)

    async def listen(self, wake: Callable[[Hint], None]) -> None:
        self._database.listeners.add(wake)
        try:
            wake(Hint.LANE)
            await asyncio.get_running_loop().create_future()
        finally:
            self._database.listeners.discard(wake)

    def _mine(self) -> int:
        assert self._me is not None
        return self._me


class HostJournal:
    """One host's way to the database. Implements `SharedJournal`."""

    def __init__(self, database: Database, delay: Callable[[], Awaitable[None]] = at_once) -> None:
        self.database = database
        self.lanes: Lanes = MemoryLanes(database, self)
        self._delay = delay
        self._kept = database.journal
        self._pending: set[asyncio.Future[Any]] = set()
        self._is_closed = False

    async def open(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        self._is_closed = True
        if self._pending:
            await asyncio.wait(self._pending)

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        epoch = self.lanes.epochs.get(entry.account)

        async def add() -> Entry:
            kept = await self._kept.add(entry)
            is_new = kept.submission is entry.submission
            if is_new and epoch != self.database.epoch(entry.account):
                told = self.database.next_id()
                request = Request(told, entry.account, "run", entry.key, None)
                self.database.requests[told] = request
            return kept

        assert entry == Entry(submission=entry.submission), "a new entry has been nowhere yet"
        return await self._carried_out(add)

    async def update(self, *entries: Entry, at_ms: int) -> None:
        epochs = {
            entry.account: self.lanes.epochs.get(entry.account, 0)
            for entry in entries
            if is_the_owners(entry)
        }

        async def update() -> None:
            for account, epoch in epochs.items():
                if self.database.epoch(account) != epoch:
                    raise LaneLost(account)
            await self._write(entries, at_ms, epochs)

        await self._carried_out(update)

    async def _write(self, entries: tuple[Entry, ...], at_ms: int, epochs: dict[str, int]) -> None:
        await self._kept.update(*entries, at_ms=at_ms)
        for account, epoch in epochs.items():
            if self.database.epoch(account) != epoch:
                self.database.stale.append(f"{account} at {epoch}")

    async def get(self, key: str) -> Entry | None:
        return await self._carried_out(lambda: self._kept.get(key))

    async def find(self, **asked: Any) -> list[Entry]:
        return await self._carried_out(lambda: self._kept.find(**asked))

    async def unfinished(self) -> list[Entry]:
        return await self._carried_out(self._kept.unfinished)

    async def history(self, key: str) -> list[HistoryRow]:
        return await self._carried_out(lambda: self._kept.history(key))

    async def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        return await self._carried_out(lambda: self._kept.attempts_since(account, since_ms))

    async def lost_since(self, since_ms: int) -> list[PastAttempt]:
        return await self._carried_out(lambda: self._kept.lost_since(since_ms))

    async def claimed(self, account: str, kind: Kind, tran_ids: frozenset[int]) -> dict[int, str]:
        return await self._carried_out(lambda: self._kept.claimed(account, kind, tran_ids))

    async def set_mark(self, scope: str, name: str, value: str | None) -> None:
        account = scope.removeprefix("account:")
        epoch = self.lanes.epochs.get(account)

        async def set_mark() -> None:
            if epoch is not None and epoch != self.database.epoch(account):
                raise JournalUnavailable(f"account {account} is run by another scheduler now")
            await self._kept.set_mark(scope, name, value)

        await self._carried_out(set_mark)

    async def marks(self) -> dict[tuple[str, str], str]:
        return await self._carried_out(self._kept.marks)

    async def call(self, work: Callable[[], T]) -> T:
        """One statement of the lanes."""

        async def run() -> T:
            return work()

        return await self._carried_out(run)

    async def _carried_out(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of a statement, which is carried out even if its caller is gone."""
        if self._is_closed:
            raise JournalUnavailable("journal: it is closed")
        running = asyncio.ensure_future(self._run(work))
        self._pending.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: "asyncio.Future[Any]") -> None:
        self._pending.discard(running)
        if not running.cancelled():
            running.exception()  # its caller may be gone

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        await self._delay()
        result = await work()  # in memory, so in one go
        await self._delay()
        return result
