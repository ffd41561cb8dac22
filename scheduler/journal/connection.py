"""What the journal needs of a SQLite connection: the part of `sqlite3.Connection` that it uses.

Tests bring another one that runs over a disk of their own, to take the power away from it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

Value = str | int | None
Row = tuple[Any, ...]


class Cursor(Protocol):
    """What a statement left: its rows, how many it changed, and the rowid it gave."""

    @property
    def rowcount(self) -> int: ...
    @property
    def lastrowid(self) -> int | None: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A connection that opens no transaction by itself. Errors are those of `sqlite3`."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Sequence[Value] = ..., /) -> Cursor: ...
    def close(self) -> None: ...


Connect = Callable[[str], Connection]


def connect(path: str) -> Connection:
    """A connection to an existing file, for the thread that calls."""
    # Without a timeout: who holds the file holds it until it ends.
    return sqlite3.connect(
        f"file:{_quoted(path)}?mode=rw", uri=True, timeout=0, isolation_level=None
    )


def close(connection: Connection) -> None:
    """Closes it. What can go wrong then is merging the WAL, and that is done when it is opened."""
    with suppress(sqlite3.Error):
        connection.close()


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
