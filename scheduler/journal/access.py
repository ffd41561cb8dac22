"""Taking a SQLite file for this process alone, or saying in one line why not."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConfigurationError, JournalUnavailable
from . import file
from .connection import Connect, Connection, close
from .schema import JOURNAL_ID, check_header, migrate

SQLITE_MIN = (3, 37, 0)
"""The first with STRICT tables."""

SAFE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit is on the disk when it returns
    "PRAGMA fullfsync = ON",  # and past the disk's own cache, on macOS
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA cache_size = -16000",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
)


def take(
    path: str, connect: Connect, *, create: bool = True, application_id: int = JOURNAL_ID
) -> Connection:
    """A connection to the file at a real path: `lock`ed, and with the tables of this version."""
    connection = lock(path, connect, create=create, application_id=application_id)
    with _closing_if_refused(connection, path):
        for pragma in SAFE:
            connection.execute(pragma)
        migrate(connection, application_id)
    return connection


def lock(path: str, connect: Connect, *, create: bool, application_id: int) -> Connection:
    """A connection to the file at a real path, recovered and otherwise unchanged.

    No other connection, of this process or another, can read or write it until this one is closed.
    Raises ConfigurationError where the file must not be used, JournalUnavailable where it fails.
    """
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        raise ConfigurationError(
            f"journal {path}: it takes SQLite 3.37, and this is {sqlite3.sqlite_version}"
        )
    try:
        file.prepare(path, create=create)
        connection = connect(path)
    except OSError as error:
        raise ConfigurationError(f"journal {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    with _closing_if_refused(connection, path):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Of two that come at once, the first transaction goes to one. Its lock then stays.
        connection.execute("BEGIN EXCLUSIVE")
        check_header(connection, path, application_id)
        connection.execute("ROLLBACK")  # a COMMIT would write a header to an empty file
    return connection


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its refinements; 0 for what the Python module says by itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


@contextmanager
def _closing_if_refused(connection: Connection, path: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        close(connection)
        if isinstance(error, sqlite3.Error):
            raise _refusal(path, error) from error
        raise


def _refusal(path: str, error: sqlite3.Error) -> ConfigurationError | JournalUnavailable:
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return ConfigurationError(f"journal {path}: it is in use by {file.holder(path)}")
        case sqlite3.SQLITE_NOTADB:
            return ConfigurationError(f"journal {path}: this is no SQLite file")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
            return ConfigurationError(f"journal {path}: {error}")
    return JournalUnavailable(f"journal {path}: {error}")
