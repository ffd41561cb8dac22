"""`verify` finds nothing in a sound journal, and each thing that is wrong in another."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.store import Store
from scheduler.journal.verify import verify
from scheduler.model import Entry, revised

from ..virtual_time import run
from .entries import (
    NOW_MS,
    accepted,
    cancelled,
    confirmed,
    new,
    refused,
    sent,
    unclaimed,
    unknown,
    unresolved,
)
from .shelves import kill, opened


async def fill(path: Path) -> None:
    """One entry in nearly every state, each under a key of that name."""
    lives: dict[str, list[Callable[[Entry], Entry]]] = {
        "queued": [],
        "refused": [sent, refused],
        "unknown": [sent, unknown],
        "unresolved": [sent, unknown, unresolved],
        "accepted": [sent, lambda entry: accepted(entry, 1)],
        "confirmed": [sent, lambda entry: confirmed(entry, 2)],
        "matched": [sent, lambda entry: confirmed(entry, 3), unclaimed],
        "cancelled": [cancelled],
        "sent": [sent],
    }
    async with opened(path) as journal:
        for key, life in lives.items():
            entry = await journal.add(new(key))
            for change in life:
                entry = change(entry)
                await journal.update(entry, at_ms=NOW_MS)


@pytest.fixture
def filled(path: Path) -> Path:
    run(fill(path))
    return path


def damage(path: Path, *statements: str) -> None:
    """Does to the rows what the journal never does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)


def test_a_sound_journal_has_no_findings(filled: Path) -> None:
    assert verify(str(filled)) == []


def test_an_empty_journal_has_no_findings(path: Path) -> None:
    store = Store(str(path))
    store.open()
    store.close()
    assert verify(str(path)) == []


AN_ENTRY_IS_WRONG = [
    ("requested = 'x'", "queued", "asks for no amount"),
    ("requested = '0'", "queued", "asks for no amount"),
    ("requested = 'all'", "queued", "asks for no amount"),
    ("attempts = -1", "queued", "was tried less than never"),
    ("state = 'LOST'", "queued", "cannot be read"),
    ("kind = 'LEND'", "queued", "cannot be read"),
    ("evidence = '['", "queued", "cannot be read"),
    ("evidence = '[[1]]'", "queued", "cannot be read"),
    ("in_air = 'x'", "queued", "holds another exclusion than its attempt in the air"),
    ("in_air = NULL", "sent", "holds another exclusion than its attempt in the air"),
    ("in_air = NULL, state = 'UNKNOWN'", "sent", "has an attempt in the air without being SENT"),
    ("in_air = 'x', state = 'SENT'", "unknown", "is SENT without an attempt in the air"),
    ("attempt = NULL", "unknown", "is undecided about no attempt"),
    ("attempt = NULL", "unknown", "lacks its latest attempt"),
    ("attempt = 2", "unknown", "lacks its latest attempt"),
    ("attempt = 1", "queued", "lacks its latest attempt"),
    ("tran_id = NULL", "confirmed", "is acknowledged without a transaction id"),
    ("tran_id = NULL", "accepted", "is acknowledged without a transaction id"),
    ("finished_at_ms = NULL", "confirmed", "is final without a time"),
    ("finished_at_ms = 1", "queued", "is final without a time"),
    ("evidence = '[]'", "confirmed", "is CONFIRMED without a reply"),
    ('evidence = \'[[1, "look", "x"]]\'', "confirmed", "is CONFIRMED without a reply"),
    ("evidence = '[]'", "cancelled", "is CANCELLED without a caller"),
    ("state = 'REJECTED', evidence = '[]'", "confirmed", "is REJECTED without evidence"),
    ("state = 'NOT_EXECUTED'", "unresolved", "is NOT_EXECUTED without two looks"),
    ("state = 'EXPIRED'", "refused", "is EXPIRED, and was sent"),
    ("state = 'EXPIRED'", "cancelled", "is EXPIRED without a deadline"),
    ("state = 'CONFIRMED'", "queued", "its history ends in QUEUED, and it is CONFIRMED"),
    ("version = 9", "queued", "its history does not lead to version 9"),
    ("archived_at_ms = 1", "confirmed", "is archived, but not whole"),
    ("archived_at_ms = 1", "queued", "is archived, but not whole"),
]


@pytest.mark.parametrize(("change", "key", "finding"), AN_ENTRY_IS_WRONG)
def test_a_wrong_entry_is_found(filled: Path, change: str, key: str, finding: str) -> None:
    damage(filled, f"UPDATE entries SET {change} WHERE key = '{key}'")
    assert any(line.startswith(f"{key}: {finding}") for line in verify(str(filled)))


def of(key: str) -> str:
    return f"WHERE seq = (SELECT seq FROM entries WHERE key = '{key}')"


SOMETHING_ELSE_IS_WRONG = [
    (f"UPDATE attempts SET outcome = 'IN_AIR' {of('unknown')}", "main: has more than one attempt"),
    (
        f"UPDATE attempts SET outcome = 'IN_AIR', ended_at_ms = NULL {of('unknown')}",
        "unknown: has an attempt in the air without being SENT",
    ),
    (f"UPDATE attempts SET ended_at_ms = NULL {of('unknown')}", "unknown: has an attempt in the"),
    (f"UPDATE attempts SET ended_at_ms = 1 {of('sent')}", "sent: has an attempt in the air that"),
    (f"UPDATE attempts SET account = 'x' {of('sent')}", "sent: has an attempt of another account"),
    (f"UPDATE attempts SET exclusion = 'x' {of('sent')}", "sent: holds another exclusion"),
    (f"UPDATE attempts SET amount = 'x' {of('sent')}", "sent: cannot be read"),
    (f"UPDATE attempts SET outcome = 'x' {of('sent')}", "sent: cannot be read"),
    (f"UPDATE attempts SET number = 2 {of('sent')}", "sent: has an attempt in the air behind"),
    (f"DELETE FROM attempts {of('unknown')}", "unknown: lacks its latest attempt"),
    (f"DELETE FROM history {of('queued')}", "queued: its history does not lead to version 1"),
    (f"DELETE FROM history {of('confirmed')} AND version = 2", "confirmed: its history does not"),
    (f"DELETE FROM history {of('confirmed')} AND version = 1", "confirmed: its history does not"),
    (
        f"UPDATE history SET state = 'QUEUED' {of('confirmed')} AND version = 2",
        "confirmed: its history goes from QUEUED to CONFIRMED",
    ),
    (f"UPDATE history SET state = 'x' {of('confirmed')} AND version = 2", "confirmed: its history"),
    ("INSERT INTO history VALUES (99, 1, 1, 'QUEUED', '')", "history of 99: is of no entry"),
    (f"UPDATE attempts SET seq = 99 {of('unknown')}", "attempt of 99: is of no entry"),
    ("DROP INDEX one_in_air", "one_in_air is missing from the schema"),
    ("CREATE TABLE theirs (x)", "theirs is not as this version declares it"),
]


@pytest.mark.parametrize(("statement", "finding"), SOMETHING_ELSE_IS_WRONG)
def test_what_else_is_wrong_is_found(filled: Path, statement: str, finding: str) -> None:
    damage(filled, statement)
    assert any(line.startswith(finding) for line in verify(str(filled)))


def test_two_claims_on_one_transaction_are_found(filled: Path) -> None:
    damage(
        filled,
        "DROP INDEX one_claim_a_transaction",
        "UPDATE entries SET tran_id = 2 WHERE key = 'accepted'",
    )
    assert verify(str(filled)) == [
        "one_claim_a_transaction is missing from the schema",
        "transaction 2 of main: is claimed by more than one submission",
    ]


def spoil(path: Path, name: str, old: bytes, new: bytes) -> None:
    """Changes bytes in the first page of a table or index."""
    with closing(sqlite3.connect(path)) as connection:
        root = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (number,) = connection.execute(root, (name,)).fetchone()
    with path.open("r+b") as file:
        file.seek((number - 1) * 4096)
        page = file.read(4096)
        assert old in page
        file.seek((number - 1) * 4096)
        file.write(page.replace(old, new))


def test_a_row_that_an_index_lost_is_found(filled: Path) -> None:
    spoil(filled, "by_account", b"main", b"pain")
    found = verify(str(filled))
    assert "the file is damaged: row 1 missing from index by_account" in found


def test_a_damaged_page_is_found(filled: Path) -> None:
    spoil(filled, "history", b"QUEUED", bytes(6))
    assert verify(str(filled)) != []
    with filled.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096 * 3))
    try:
        found = verify(str(filled))
    except JournalUnavailable as error:
        found = [str(error)]
    assert "damaged" in found[0] or "malformed" in found[0]


def test_every_page_of_a_long_journal_is_looked_at(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.journal.verify.PAGE", 2)
    assert verify(str(filled)) == []
    damage(filled, "UPDATE entries SET attempts = -1")
    assert len(verify(str(filled))) == 9


async def die_contradicting(path: Path) -> None:
    """Writes what `verify` finds, and dies before it is anywhere but in the WAL."""
    journal = SqliteJournal(str(path))
    await journal.open()
    in_air = sent(await journal.add(new()))
    await journal.update(in_air, at_ms=NOW_MS)
    await journal.update(revised(confirmed(in_air, 7), evidence=()), at_ms=NOW_MS)
    kill(journal)


def test_what_is_only_in_the_wal_is_seen(path: Path) -> None:
    run(die_contradicting(path))
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as past_the_wal:
        assert past_the_wal.execute("SELECT * FROM sqlite_schema").fetchall() == []
    (finding,) = verify(str(path))
    assert finding.startswith("k: is CONFIRMED without")


def test_nothing_is_changed(filled: Path) -> None:
    before = filled.read_bytes(), filled.stat().st_mtime_ns
    verify(str(filled))
    assert (filled.read_bytes(), filled.stat().st_mtime_ns) == before
    assert list(filled.parent.iterdir()) == [filled]


def test_a_missing_file_is_refused_and_not_made(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        verify(str(path))
    assert not path.exists()


def test_an_older_schema_is_refused(path: Path) -> None:
    path.touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="its schema version is 0"):
        verify(str(path))
    assert path.read_bytes() == b""
