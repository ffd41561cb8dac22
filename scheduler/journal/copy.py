"""A SQLite journal, copied as it stands into a PostgreSQL database."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ConfigurationError, JournalUnavailable
from .access import lock
from .connection import Connection, close, connect
from .postgres import PostgresJournal
from .postgres_codec import escaped
from .postgres_server import COPY_TIMEOUT_S, TROUBLE
from .schema import JOURNAL_ID, STEPS, version_of

TABLES = ("entries", "attempts", "history", "marks")
BATCH = 5_000
"""Rows sent at a time."""
FREE_TEXT = {"name", "message", "advice", "detail", "value"}
"""Columns whose text others wrote."""

Progress = Callable[[str, int, int], None]
"""Told a table, how many of its rows are copied, and how many it has."""


async def copy(path: str, url: str, progress: Progress = lambda *_: None) -> dict[str, int]:
    """Copies everything: submissions with their keys, attempts, history and marks; gives how many
    rows of each table.

    All of it or nothing. Takes the file's lock, so no scheduler may be running on it, and leaves
    the file as it is. Raises ConfigurationError where the file is none of this version, or where
    the database holds a journal that is not empty; JournalUnavailable where either fails.
    """
    path = os.path.realpath(path)  # noqa: ASYNC240  once, before anything waits
    source = lock(path, connect, create=False, application_id=JOURNAL_ID)
    try:
        if (version := version_of(source)) != len(STEPS):
            raise ConfigurationError(
                f"journal {path}: its schema version is {version}; the program brings it to"
                f" {len(STEPS)} when it starts on it"
            )
        target = PostgresJournal(url)
        await target.open()
        try:
            return await _copy(source, target, progress)
        finally:
            await target.aclose()
    except sqlite3.Error as error:
        raise JournalUnavailable(f"journal {path}: {error}") from error
    finally:
        close(source)


async def _copy(source: Connection, target: PostgresJournal, progress: Progress) -> dict[str, int]:
    counts = {}
    connection = await target.server.connect()
    try:
        async with connection.transaction():
            # Nobody adds anything between the look and the end.
            await connection.execute("LOCK TABLE entries, marks IN EXCLUSIVE MODE")
            for table in ("entries", "marks"):
                if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):  # noqa: S608
                    raise ConfigurationError(f"{target.where}: it holds a journal already")
            for table in TABLES:
                counts[table] = await _copy_table(source, connection, table, progress)
            await connection.execute(
                "SELECT setval(pg_get_serial_sequence('entries', 'seq'),"
                " (SELECT coalesce(max(seq), 0) + 1 FROM entries), false)"
            )
    except TROUBLE as error:
        raise target.server.unavailable(error) from None
    finally:
        connection.terminate()
    return counts


async def _copy_table(source: Connection, connection: Any, table: str, progress: Progress) -> int:
    info = source.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [name for _, name, *_ in info]
    total: int = source.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
    done = 0
    for rows in _batches(source, table, columns):
        await connection.copy_records_to_table(
            table, records=rows, columns=columns, timeout=COPY_TIMEOUT_S
        )
        done += len(rows)
        progress(table, done, total)
    return total


def _batches(source: Connection, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in an order that a page can be continued in, whatever their number."""
    order = {"entries": "seq", "attempts": "seq, number", "history": "seq, version"}
    by = order.get(table, "scope, name")
    free = [name in FREE_TEXT for name in columns]
    offset = 0
    sql = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {by} LIMIT ? OFFSET ?"  # noqa: S608
    while rows := source.execute(sql, (BATCH, offset)).fetchall():
        offset += len(rows)
        yield [
            tuple(
                escaped(value) if is_free and isinstance(value, str) else value
                for value, is_free in zip(row, free, strict=True)
            )
            for row in rows
        ]
