"""The tables of a SQLite journal, and files of other versions."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.journal import schema
from scheduler.journal.connection import connect
from scheduler.journal.verify import verify

from .entries import new
from .shelves import opened

pytestmark = pytest.mark.anyio


async def test_every_table_is_strict(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("PRAGMA table_list").fetchall()
    ours = {name: strict for _, name, _, _, _, strict in tables if not name.startswith("sqlite_")}
    assert ours == {"entries": 1, "attempts": 1, "history": 1, "marks": 1}


async def test_history_can_neither_be_changed_nor_removed(path: Path) -> None:
    async with opened(path) as journal:
        await journal.add(new())
    with closing(sqlite3.connect(path)) as connection:
        for sql in ("UPDATE history SET detail = 'x'", "DELETE FROM history"):
            with pytest.raises(sqlite3.IntegrityError, match="history"):
                connection.execute(sql)


ADDED_LATER = ("ALTER TABLE marks ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",)


async def test_a_file_of_an_older_version_is_brought_forward(path: Path) -> None:
    async with opened(path) as journal:
        kept = await journal.add(new())
        await journal.set_mark("address", "paused", "until 17")
    with closing(connect(str(path))) as connection:
        schema.migrate(connection, steps=(*schema.STEPS, ADDED_LATER))
        assert schema.version_of(connection) == len(schema.STEPS) + 1
        marks = connection.execute("SELECT scope, value, note FROM marks").fetchall()
        assert marks == [("address", "until 17", "none")]
        assert connection.execute("SELECT key FROM entries").fetchall() == [(kept.key,)]


async def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    async with opened(path) as journal:
        await journal.add(new())
    broken = (*schema.STEPS, ADDED_LATER, ("ALTER TABLE nowhere ADD COLUMN x",))
    with closing(connect(str(path))) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            schema.migrate(connection, steps=broken)
        assert schema.version_of(connection) == len(schema.STEPS)
    assert verify(str(path)) == []
    async with opened(path) as journal:
        assert await journal.get("k") is not None


async def test_every_version_that_ever_was_can_be_opened(path: Path, tmp_path: Path) -> None:
    for version in range(len(schema.STEPS)):
        old = tmp_path / f"version-{version}.db"
        old.touch(mode=0o600)
        with closing(connect(str(old))) as connection:
            schema.migrate(connection, steps=schema.STEPS[:version])
        async with opened(old) as journal:
            await journal.add(new())
        assert verify(str(old)) == []
