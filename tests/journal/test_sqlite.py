"""What the SQLite journal does besides the contract: settings, odd values, URLs, speed."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal import open_journal
from scheduler.journal.connection import Value
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.verify import verify
from scheduler.model import Answer, Entry, Kind, State, revised

from .entries import NOW_MS, confirmed, new, refused, sent
from .shelves import opened

pytestmark = pytest.mark.anyio


async def test_a_commit_is_synced_before_it_is_told(path: Path) -> None:
    async with opened(path) as journal:
        connection = journal._store._connection
        assert connection is not None

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        settings = {name: pragma(name) for name in ("journal_mode", "synchronous", "locking_mode")}
        assert settings == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive"}
        assert (pragma("fullfsync"), pragma("checkpoint_fullfsync")) == (1, 1)


async def test_half_a_surrogate_pair_in_a_message_does_not_stop_an_outcome(path: Path) -> None:
    message = json.loads('"half \\ud83d"')
    async with opened(path) as journal:
        in_air = sent(await journal.add(new()))
        await journal.update(in_air, at_ms=NOW_MS)
        answer = Answer(code=-1, name=message, message=message)
        outcome = revised(refused(in_air), answer=answer, advice=message)
        await journal.update(outcome, at_ms=NOW_MS)
        kept = await journal.get("k")
        assert kept is not None
        assert (kept.message, kept.name, kept.advice) == ("half \\ud83d",) * 3
        assert (await journal.history("k"))[-1].detail == "-1 half \\ud83d"


async def test_a_number_beyond_64_bits_fails_alone(path: Path) -> None:
    async with opened(path) as journal:
        kept = await journal.add(new())
        in_air = sent(kept)
        results = await asyncio.gather(
            journal.update(in_air, at_ms=NOW_MS),
            journal.update(confirmed(in_air, 2**63), at_ms=NOW_MS),
            journal.add(new("other")),
            return_exceptions=True,
        )
        assert isinstance(results[1], OverflowError)
        assert await journal.find() == [results[2], in_air]


async def test_a_value_that_no_column_takes_fails_alone(path: Path) -> None:
    async with opened(path) as journal:
        results = await asyncio.gather(
            journal.add(new("one")),
            journal.add(new("null", asset=None)),
            journal.add(new("decimal", asset=Decimal(1))),
            journal.add(new("other")),
            return_exceptions=True,
        )
        expected = [Entry, sqlite3.IntegrityError, sqlite3.ProgrammingError, Entry]
        assert [type(result) for result in results] == expected
        assert [entry.key for entry in await journal.find()] == ["other", "one"]


async def test_amounts_are_plain_decimals_in_the_file(path: Path) -> None:
    async with opened(path) as journal:
        in_air = sent(await journal.add(new()))
        assert in_air.attempt is not None
        tiny = revised(in_air.attempt, amount=Decimal("1E-8"))
        await journal.update(revised(in_air, attempt=tiny), at_ms=NOW_MS)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT amount FROM attempts").fetchall() == [("0.00000001",)]


async def test_an_error_of_the_file_in_mid_batch_leaves_nothing_of_the_batch(path: Path) -> None:
    async with opened(path) as journal:
        connection = journal._store._connection
        assert connection is not None
        connection.execute("ALTER TABLE marks RENAME TO gone")  # an error that SQLite goes on after
        results = await asyncio.gather(
            journal.add(new("one")),
            journal.set_mark("address", "paused", "until 17"),
            journal.add(new("other")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [JournalUnavailable] * 3
        assert str(results[0]) == f"journal {path}: no such table: marks"
        assert await journal.find() == []
        assert (await journal.add(new("one"))).seq == 1


@pytest.mark.real_time
async def test_a_closed_journal_has_no_thread_left(path: Path) -> None:
    async with opened(path) as journal:
        kept = await journal.add(new())
    with pytest.raises(JournalUnavailable, match="it is closed"):
        await journal.update(sent(kept), at_ms=NOW_MS)
    with pytest.raises(JournalUnavailable, match="it is closed"):
        await journal.get("k")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///x.db", "x.db"),
        ("sqlite:////var/x.db", "/var/x.db"),
        ("sqlite:///a/b.db", "a/b.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    journal = open_journal(url)
    assert isinstance(journal, SqliteJournal)
    assert journal.path == path


@pytest.mark.parametrize(
    "url", ["", "x.db", "sqlite:", "sqlite:///", "sqlite://x.db", "sqlite:///x\0y", "mysql://x"]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="use sqlite:///FILE"):
        open_journal(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_journal("mysql://user:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


class Explaining:
    """A connection that notes how each statement would look for its rows."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.plans: dict[str, list[str]] = {}

    def execute(self, sql: str, values: Sequence[Value] = (), /) -> sqlite3.Cursor:
        plan = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        self.plans[sql] = [line for *_, line in plan]
        return self.connection.execute(sql, values)

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def close(self) -> None:
        self.connection.close()


async def test_no_read_or_write_looks_at_every_row(path: Path) -> None:
    connections: list[Explaining] = []

    def connect(path: str) -> Explaining:
        connections.append(Explaining(sqlite3.connect(path, isolation_level=None)))
        return connections[-1]

    journal = SqliteJournal(str(path), connect=connect)
    await journal.open()
    (connection,) = connections
    connection.plans.clear()
    in_air = sent(await journal.add(new()))
    await journal.update(in_air, at_ms=NOW_MS)
    done = confirmed(in_air, 7)
    await journal.update(done, at_ms=NOW_MS)
    await journal.get("k")
    await journal.find(account="main")
    await journal.find(state=State.QUEUED)
    await journal.find(account="main", state=State.QUEUED, before_seq=9)
    await journal.unfinished()
    await journal.history("k")
    await journal.attempts_since("main", 0)
    await journal.claimed("main", Kind.BORROW, frozenset({7}))
    await journal.lost_since(0)
    await journal.archive(NOW_MS + 10**9, at_ms=NOW_MS)
    await journal.aclose()
    scans = [
        (sql, line) for sql, plan in connection.plans.items() for line in plan if "SCAN" in line
    ]
    assert scans == []
    assert len(connection.plans) > 15


async def test_a_large_journal_gives_what_is_unfinished_and_what_still_weighs(path: Path) -> None:
    async with opened(path):
        pass
    fill(path, finished=99_000, unfinished=1_000)
    async with opened(path) as journal:
        unfinished = await journal.unfinished()
        attempts = await journal.attempts_since("main", NOW_MS + 95_000)
    assert (len(unfinished), len(attempts)) == (1_000, 4_001)


async def test_what_fills_a_journal_here_is_what_it_would_write(path: Path) -> None:
    async with opened(path):
        pass
    fill(path, finished=200, unfinished=20)
    assert verify(str(path)) == []


def fill(path: Path, *, finished: int, unfinished: int) -> None:
    """Makes entries, the finished ones first and a ms apart, as the journal would write them."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            f"""
            WITH RECURSIVE numbers (n) AS (
                SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {finished + unfinished}
            )
            INSERT INTO entries
                (key, account, kind, asset, requested, priority, at_most, precheck,
                 submitted_at_ms, deadline_ms)
            SELECT 'key-' || n, 'main', 'BORROW', 'USDT', '1.50', 'normal', 0, 0,
                   {NOW_MS} + n, {NOW_MS} + 300000 + n
            FROM numbers
            """
        )
        connection.execute(
            f"""
            UPDATE entries
            SET version = 3, state = 'CONFIRMED', attempt = 1, attempts = 1, tran_id = seq,
                finished_at_ms = {NOW_MS} + seq, evidence = '[[1, "reply", "tranId"]]'
            WHERE seq <= {finished}
            """
        )
        for version, state in enumerate(("QUEUED", "SENT", "CONFIRMED"), start=1):
            connection.execute(
                "INSERT INTO history SELECT seq, ?, submitted_at_ms, ?, '' FROM entries"
                " WHERE version >= ?",
                (version, state, version),
            )
        connection.execute(
            f"""
            INSERT INTO attempts
            SELECT seq, 1, account, {NOW_MS} + seq, 5000, '1.50', account, 'amount=1.50',
                   {NOW_MS} + seq, 'ANSWERED'
            FROM entries WHERE seq <= {finished}
            """
        )
