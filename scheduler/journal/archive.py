"""The file that old entries go to: next to the journal, with the same tables."""

import os
import sqlite3
from collections.abc import Iterable

from ..errors import JournalUnavailable
from .access import take
from .connection import Connect, Row, close
from .schema import ARCHIVE_ID


def archive_path(path: str) -> str:
    """`scheduler.archive.db` for `scheduler.db`."""
    root, extension = os.path.splitext(path)
    return f"{root}.archive{extension}"


class Archive:
    """An archive, open. It belongs to the journal's thread.

    Its errors are JournalUnavailable, so that they are not taken for those of the journal's file.
    """

    def __init__(self, path: str, connect: Connect) -> None:
        self.path = path
        self._connection = take(path, connect, application_id=ARCHIVE_ID)

    def keep(self, entries: Iterable[Row], attempts: Iterable[Row], history: Iterable[Row]) -> None:
        """Keeps whole rows, durably; those that it has from a run that was cut off, once."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                self._insert("INSERT OR REPLACE INTO entries", entries)
                self._insert("INSERT OR REPLACE INTO attempts", attempts)
                self._insert("INSERT OR IGNORE INTO history", history)
                execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
        except sqlite3.Error as error:
            raise JournalUnavailable(f"journal {self.path}: {error}") from error

    def close(self) -> None:
        close(self._connection)

    def _insert(self, insert: str, rows: Iterable[Row]) -> None:
        for row in rows:
            slots = ", ".join("?" * len(row))
            self._connection.execute(f"{insert} VALUES ({slots})", row)
