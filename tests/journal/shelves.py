"""What journals are kept on, so that a test can open one again, or have its process die."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from scheduler.journal import Journal
from scheduler.journal.memory import MemoryJournal
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.timed import TimedJournal

from .shared_memory import Database, HostJournal


class Shelf(Protocol):
    """One place where one journal is kept."""

    is_durable: bool
    """Whether what was acknowledged outlives the process."""

    def journal(self) -> Journal:
        """A journal over what the place holds, not yet opened."""

    def kill(self, journal: Journal) -> None:
        """What becomes of the place when the process that has the journal open dies."""


class MemoryShelf:
    is_durable = False

    def journal(self) -> Journal:
        return MemoryJournal()

    def kill(self, journal: Journal) -> None:
        """It is gone."""


class TimedShelf(MemoryShelf):
    def journal(self) -> Journal:
        return TimedJournal(super().journal(), lambda seconds: None)


class SqliteShelf:
    is_durable = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def journal(self) -> Journal:
        return SqliteJournal(str(self.path))

    def kill(self, journal: Journal) -> None:
        assert isinstance(journal, SqliteJournal)
        kill(journal)


class PostgresShelf:
    is_durable = True

    def __init__(self, url: str) -> None:
        self.url = url

    def journal(self) -> Journal:
        return PostgresJournal(self.url)

    def kill(self, journal: Journal) -> None:
        assert isinstance(journal, PostgresJournal)
        journal.terminate()


class SharedMemoryShelf:
    """A database that outlives its clients."""

    is_durable = True

    def __init__(self) -> None:
        self._database = Database()

    def journal(self) -> Journal:
        return HostJournal(self._database)

    def kill(self, journal: Journal) -> None:
        """Nothing is left of it."""


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteJournal]:
    """A journal over a file, open as long as the block lasts."""
    journal = SqliteJournal(str(path))
    await journal.open()
    try:
        yield journal
    finally:
        await journal.aclose()


def kill(journal: SqliteJournal) -> None:
    """Closes the file as the system does for a dead process: as it is, its WAL unmerged.

    Only in virtual time, where the connection belongs to the one thread there is.
    """
    left = [Path(journal.path + suffix) for suffix in ("", "-wal")]
    as_it_is = {each: each.read_bytes() for each in left if each.exists()}
    journal._store.close()  # merges the WAL into the file, which nobody would have done
    for each, content in as_it_is.items():
        each.write_bytes(content)
        os.chmod(each, 0o600)
