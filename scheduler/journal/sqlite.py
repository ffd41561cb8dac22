"""A journal in one SQLite file: the embedded default.

One connection, owned by one thread; no other process can open the file meanwhile. A write that
returns is on the disk (WAL, `synchronous = FULL`). Writes that arrive while others are being synced
share the next transaction.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ..errors import JournalUnavailable
from ..model import Entry, Kind, State
from .connection import Connect, connect
from .group_commit import GroupCommit, Outcome, Work
from .protocol import HistoryRow, PastAttempt
from .store import Store

T = TypeVar("T")


class SqliteJournal:
    """Implements `Journal` over the file at `path`, which is made if it does not exist.

    Refuses, with a ConfigurationError: a file that another process has open, of a newer schema or
    of another program, on a network file system, or open to other users (0600 is asked for).
    """

    def __init__(self, path: str, *, connect: Connect = connect) -> None:
        self._store = Store(path, connect)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._group = GroupCommit(self._commit)
        self._is_closed = False

    @property
    def path(self) -> str:
        """The file; once open, its real and absolute path."""
        return self._store.path

    async def open(self) -> None:
        await self._in_thread(self._store.open)

    async def aclose(self) -> None:
        self._is_closed = True
        await self._group.wait_idle()
        if self._store.is_open:
            await self._in_thread(self._store.close)
        self._executor.shutdown(wait=False)

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        assert entry == Entry(submission=entry.submission), "a new entry has been nowhere yet"
        return await self._write(partial(self._store.add, entry, sent))

    async def update(self, *entries: Entry, at_ms: int) -> None:
        await self._write(partial(self._store.update, entries, at_ms))

    async def get(self, key: str) -> Entry | None:
        return await self._read(partial(self._store.get, key))

    async def find(
        self,
        *,
        account: str | None = None,
        state: State | None = None,
        asset: str | None = None,
        limit: int = 100,
        before_seq: int | None = None,
    ) -> list[Entry]:
        find = partial(self._store.find, account, state, asset, limit, before_seq)
        return await self._read(find)

    async def unfinished(self) -> list[Entry]:
        return await self._read(self._store.unfinished)

    async def history(self, key: str) -> list[HistoryRow]:
        return await self._read(partial(self._store.history, key))

    async def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        return await self._read(partial(self._store.attempts_since, account, since_ms))

    async def lost_since(self, since_ms: int) -> list[PastAttempt]:
        return await self._read(partial(self._store.lost_since, since_ms))

    async def claimed(self, account: str, kind: Kind, tran_ids: frozenset[int]) -> dict[int, str]:
        return await self._read(partial(self._store.claimed, account, kind, tran_ids))

    async def set_mark(self, scope: str, name: str, value: str | None) -> None:
        await self._write(partial(self._store.set_mark, scope, name, value))

    async def marks(self) -> dict[tuple[str, str], str]:
        return await self._read(self._store.marks)

    async def archive(self, before_ms: int, *, at_ms: int) -> int:
        """Moves final entries that were finished before `before_ms` to `NAME.archive.db`, next to
        the journal; returns how many.

        Key, request, final state, answer and transaction id stay for ever: `get`, `add` and
        `claimed` go on answering with them. Attempts, history and evidence go; what reads those of
        the last minutes (the weight's ledger) or of the last day (the auditor) is the caller's to
        know. Other writes go on meanwhile.
        """
        archive = await self._in_thread(self._store.open_archive)
        count = 0
        try:
            while moved := await self._write(
                partial(self._store.archive, archive, before_ms, at_ms)
            ):
                count += moved
        finally:
            await self._in_thread(archive.close)
        return count

    async def back_up(self, path: str) -> None:
        """Copies the journal as it stands to a new file that can be opened in its place.

        Writes wait meanwhile. The copy is durable when this returns; a part of one is never there.
        """
        await self._read(partial(self._store.back_up, path))

    def _commit(self, works: list[Work]) -> "asyncio.Future[list[Outcome]]":
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, self._store.commit, works)

    async def _write(self, work: Callable[[], T]) -> T:
        self._check_open()
        written: T = await self._group.write(work)
        return written

    async def _read(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await self._in_thread(partial(self._store.read, work))

    def _check_open(self) -> None:
        if self._is_closed:
            raise JournalUnavailable(f"journal {self.path}: it is closed")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
