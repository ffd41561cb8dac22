"""Old entries leave whole, keys and transactions stay; and a running journal can be copied."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal.archive import Archive
from scheduler.journal.connection import Row
from scheduler.journal.protocol import StaleVersion, TranIdClaimed
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.store import ARCHIVED_AT_ONCE
from scheduler.journal.verify import verify
from scheduler.model import Entry, Evidence, Kind

from .entries import NOW_MS, cancelled, confirmed, new, sent, unclaimed, unknown
from .shelves import opened

pytestmark = pytest.mark.anyio

LATER_MS = NOW_MS + 1_000


async def add_confirmed(journal: SqliteJournal, key: str, tran_id: int, at_ms: int) -> Entry:
    in_air = sent(await journal.add(new(key)))
    await journal.update(in_air, at_ms=at_ms)
    done = confirmed(in_air, tran_id, at_ms=at_ms)
    await journal.update(done, at_ms=at_ms)
    return done


async def add_unknown(journal: SqliteJournal, key: str) -> Entry:
    in_air = sent(await journal.add(new(key)))
    await journal.update(in_air, at_ms=NOW_MS)
    lost = unknown(in_air)
    await journal.update(lost, at_ms=NOW_MS)
    return lost


def rows(path: Path, sql: str) -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def archive(path: Path) -> Path:
    return path.with_name("journal.archive.db")


@pytest.fixture
def no_archive(archive: Path) -> Path:
    archive.write_text("no database " * 100)
    archive.chmod(0o600)
    return archive


async def test_what_was_finished_before_goes_and_the_rest_stays(path: Path, archive: Path) -> None:
    async with opened(path) as journal:
        await add_confirmed(journal, "old", 1, NOW_MS)
        lost = await add_unknown(journal, "lost")
        young = await add_confirmed(journal, "young", 2, LATER_MS)
        assert await journal.archive(LATER_MS, at_ms=LATER_MS + 5) == 1
        assert await journal.find() == [young, lost]
        assert await journal.unfinished() == [lost]
        assert await journal.history("old") == []
        assert [past.key for past in await journal.attempts_since("main", 0)] == ["lost", "young"]
    assert rows(archive, "SELECT key FROM entries") == [("old",)]
    assert verify(str(path)) == []


async def test_the_archive_has_the_whole_entry(path: Path, archive: Path) -> None:
    tables = {
        "entries": "SELECT * FROM entries WHERE seq = 1",
        "attempts": "SELECT * FROM attempts WHERE seq = 1 ORDER BY number",
        "history": "SELECT * FROM history WHERE seq = 1 ORDER BY version",
    }
    async with opened(path) as journal:
        await add_confirmed(journal, "old", 1, NOW_MS)
    before = {table: rows(path, sql) for table, sql in tables.items()}
    async with opened(path) as journal:
        await journal.archive(LATER_MS, at_ms=LATER_MS)
    assert {table: rows(archive, sql) for table, sql in tables.items()} == before
    assert [len(each) for each in before.values()] == [1, 1, 3]


async def test_an_archived_key_still_answers(path: Path) -> None:
    async with opened(path) as journal:
        done = await add_confirmed(journal, "old", 2**63 - 1, NOW_MS)
        await journal.archive(LATER_MS, at_ms=LATER_MS + 5)
        kept = await journal.get("old")
        assert kept is not None
        assert kept.submission == done.submission
        assert (kept.seq, kept.version) == (done.seq, done.version)
        assert (kept.state, kept.tran_id) == (done.state, done.tran_id)
        assert (kept.attempts, kept.finished_at_ms) == (1, done.finished_at_ms)
        where = "archived to journal.archive.db"
        assert kept.evidence == (Evidence(at_ms=LATER_MS + 5, source="journal", detail=where),)
        assert await journal.add(new("old", requested="7")) == kept
        assert await journal.find() == []


async def test_an_archived_transaction_stays_claimed(path: Path) -> None:
    async with opened(path) as journal:
        await add_confirmed(journal, "old", 7, NOW_MS)
        await journal.archive(LATER_MS, at_ms=LATER_MS)
        assert await journal.claimed("main", Kind.BORROW, frozenset({7})) == {7: "old"}
        with pytest.raises(TranIdClaimed, match="old"):
            await add_confirmed(journal, "new", 7, LATER_MS)


async def test_an_archived_entry_no_longer_changes(path: Path) -> None:
    async with opened(path) as journal:
        done = await add_confirmed(journal, "old", 7, NOW_MS)
        await journal.archive(LATER_MS, at_ms=LATER_MS)
        with pytest.raises(StaleVersion):
            await journal.update(unclaimed(done), at_ms=LATER_MS)


async def test_later_entries_come_after_archived_ones(path: Path) -> None:
    async with opened(path) as journal:
        old = await add_confirmed(journal, "old", 7, NOW_MS)
        await journal.archive(LATER_MS, at_ms=LATER_MS)
    async with opened(path) as journal:
        assert (await journal.add(new("new"))).seq > old.seq


async def test_archiving_goes_on_where_it_ended(path: Path, archive: Path) -> None:
    for turn, tran_id in enumerate((1, 2)):
        async with opened(path) as journal:
            await add_confirmed(journal, f"k{turn}", tran_id, NOW_MS)
            assert await journal.archive(LATER_MS, at_ms=LATER_MS) == 1
            assert await journal.archive(LATER_MS, at_ms=LATER_MS) == 0
    assert rows(archive, "SELECT key FROM entries ORDER BY seq") == [("k0",), ("k1",)]


async def test_others_write_while_much_is_archived(path: Path) -> None:
    count = ARCHIVED_AT_ONCE * 3
    async with opened(path) as journal:
        entries = await asyncio.gather(*(journal.add(new(f"k{n}")) for n in range(count)))
        await asyncio.gather(*(journal.update(cancelled(entry), at_ms=NOW_MS) for entry in entries))
        archiving = asyncio.ensure_future(journal.archive(LATER_MS, at_ms=LATER_MS))
        added = 0
        while not archiving.done():
            await journal.add(new(f"meanwhile{added}"))
            added += 1
        assert archiving.result() == count
        assert added > 1
    assert verify(str(path)) == []


async def test_a_kill_between_the_two_files_loses_and_doubles_nothing(
    path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Archive.keep

    def keep_and_die(self: Archive, *rows: list[Row]) -> None:
        keep(self, *rows)
        raise JournalUnavailable("dead")

    async with opened(path) as journal:
        done = await add_confirmed(journal, "old", 7, NOW_MS)
        monkeypatch.setattr(Archive, "keep", keep_and_die)
        with pytest.raises(JournalUnavailable, match="dead"):
            await journal.archive(LATER_MS, at_ms=LATER_MS)
        monkeypatch.undo()
        assert rows(archive, "SELECT key FROM entries") == [("old",)]
        assert await journal.find() == [done]
        assert await journal.archive(LATER_MS, at_ms=LATER_MS) == 1
    assert rows(archive, "SELECT key FROM entries") == [("old",)]
    assert rows(archive, "SELECT count(*) FROM history") == [(3,)]
    assert verify(str(path)) == []


async def test_a_broken_archive_leaves_the_entries_where_they_are(
    path: Path, no_archive: Path
) -> None:
    async with opened(path) as journal:
        done = await add_confirmed(journal, "old", 7, NOW_MS)
        with pytest.raises(ConfigurationError, match=str(no_archive)):
            await journal.archive(LATER_MS, at_ms=LATER_MS)
        assert await journal.find() == [done]
        await journal.add(new("other"))


async def test_an_archive_is_no_journal_and_a_journal_no_archive(path: Path, archive: Path) -> None:
    async with opened(path) as journal:
        await journal.archive(LATER_MS, at_ms=LATER_MS)
        with pytest.raises(ConfigurationError, match="this is an archive"):
            verify(str(archive))
    other = path.with_name("other.db")
    async with opened(other), opened(path.with_name("other.archive.db")):
        pass
    async with opened(other) as journal:
        with pytest.raises(ConfigurationError, match="this is a journal"):
            await journal.archive(LATER_MS, at_ms=LATER_MS)


# Copies


def files(directory: Path) -> dict[str, int]:
    """The files there, with their modes."""
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()}


async def test_a_copy_of_a_running_journal_opens_in_its_place(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with opened(path) as journal:
        done = await add_confirmed(journal, "k", 7, NOW_MS)
        await journal.set_mark("address", "paused", "until 17")
        await journal.back_up(str(copy))
        await journal.add(new("later"))
    assert files(tmp_path) == {"copy.db": 0o600, "journal.db": 0o600}
    assert verify(str(copy)) == []
    async with opened(copy) as journal:
        assert await journal.find() == [done]
        assert await journal.marks() == {("address", "paused"): "until 17"}


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "precious.db"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


async def test_a_copy_replaces_nothing(path: Path, precious: Path) -> None:
    async with opened(path) as journal:
        with pytest.raises(ConfigurationError, match="exists already"):
            await journal.back_up(str(precious))
        with pytest.raises(ConfigurationError, match="exists already"):
            await journal.back_up(str(path))
        await journal.add(new())


async def test_a_copy_that_cannot_be_made_leaves_nothing(path: Path, tmp_path: Path) -> None:
    async with opened(path) as journal:
        with pytest.raises(ConfigurationError, match="No such file or directory"):
            await journal.back_up(str(tmp_path / "missing" / "copy.db"))
    assert list(files(tmp_path)) == ["journal.db"]


async def test_a_copy_that_is_cut_off_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError("the disk is full")

    async with opened(path) as journal:
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(JournalUnavailable, match="the disk is full"):
            await journal.back_up(str(tmp_path / "copy.db"))
    assert list(files(tmp_path)) == ["journal.db"]
