"""A journal that tells how long each of its writes took."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ..errors import JournalUnavailable
from ..model import Entry, Kind, State
from .protocol import HistoryRow, Journal, PastAttempt

Result = TypeVar("Result")


class TimedJournal:
    """Implements `Journal` over another; `committed` gets the seconds of each write that was made,
    waiting for others included."""

    def __init__(self, journal: Journal, committed: Callable[[float], None]) -> None:
        self._journal = journal
        self._committed = committed
        self._loop_s = asyncio.get_running_loop().time
        self.is_up = True
        """Whether the latest write was made."""

    async def open(self) -> None:
        await self._journal.open()

    async def aclose(self) -> None:
        await self._journal.aclose()

    # Not coroutines that await another: each is called several times in every life.

    def add(self, entry: Entry, *, sent: Entry | None = None) -> Coroutine[Any, Any, Entry]:
        return self._timed(self._journal.add(entry, sent=sent))

    def update(self, *entries: Entry, at_ms: int) -> Coroutine[Any, Any, None]:
        return self._timed(self._journal.update(*entries, at_ms=at_ms))

    def set_mark(self, scope: str, name: str, value: str | None) -> Coroutine[Any, Any, None]:
        return self._timed(self._journal.set_mark(scope, name, value))

    async def get(self, key: str) -> Entry | None:
        return await self._journal.get(key)

    async def find(
        self,
        *,
        account: str | None = None,
        state: State | None = None,
        asset: str | None = None,
        limit: int = 100,
        before_seq: int | None = None,
    ) -> list[Entry]:
        return await self._journal.find(
            account=account, state=state, asset=asset, limit=limit, before_seq=before_seq
        )

    async def unfinished(self) -> list[Entry]:
        return await self._journal.unfinished()

    async def history(self, key: str) -> list[HistoryRow]:
        return await self._journal.history(key)

    async def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        return await self._journal.attempts_since(account, since_ms)

    async def lost_since(self, since_ms: int) -> list[PastAttempt]:
        return await self._journal.lost_since(since_ms)

    async def claimed(self, account: str, kind: Kind, tran_ids: frozenset[int]) -> dict[int, str]:
        return await self._journal.claimed(account, kind, tran_ids)

    async def marks(self) -> dict[tuple[str, str], str]:
        return await self._journal.marks()

    async def _timed(self, write: Awaitable[Result]) -> Result:
        began_s = self._loop_s()
        try:
            result = await write
        except JournalUnavailable:
            self.is_up = False
            raise
        self.is_up = True
        self._committed(self._loop_s() - began_s)
        return result
