"""The rows of one SQLite file. Everything in here belongs to the journal's one thread."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..errors import JournalUnavailable
from ..model import Entry, Evidence, Kind, State, revised
from . import file
from .access import take
from .archive import Archive, archive_path
from .codec import (
    ATTEMPT_COLUMNS,
    CHANGING_COLUMNS,
    SELECT_ENTRY,
    SELECT_PAST_ATTEMPT,
    SUBMISSION_COLUMNS,
    attempt_values,
    changing_values,
    entry_of,
    evidence_text,
    history_row_of,
    past_attempt_of,
    storable,
    submission_values,
)
from .connection import Connect, Connection, Cursor, Value, close, connect
from .group_commit import Outcome, Work
from .protocol import AlreadyInAir, HistoryRow, PastAttempt, StaleVersion, TranIdClaimed
from .rows import history_detail, minted_ms

T = TypeVar("T")


def _slots(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


def _set(columns: str) -> str:
    return ", ".join(f"{name.strip()} = ?" for name in columns.split(","))


INSERT_ENTRY = (
    f"INSERT INTO entries ({SUBMISSION_COLUMNS}) VALUES ({_slots(SUBMISSION_COLUMNS)})"  # noqa: S608
    " ON CONFLICT (key) DO NOTHING"
)
IS_NEXT = "WHERE seq = ? AND key = ? AND version = ? AND archived_at_ms IS NULL"
UPDATE_ENTRY = f"UPDATE entries SET {_set(CHANGING_COLUMNS)} {IS_NEXT}"  # noqa: S608
GIVE_UP_CLAIMS = f"UPDATE entries SET tran_id = NULL, in_air = NULL {IS_NEXT}"  # noqa: S608
REPLACE_ATTEMPT = (
    f"INSERT OR REPLACE INTO attempts (seq, account, {ATTEMPT_COLUMNS})"  # noqa: S608
    f" VALUES (?, ?, {_slots(ATTEMPT_COLUMNS)})"
)
INSERT_HISTORY = "INSERT INTO history (seq, version, at_ms, state, detail) VALUES (?, ?, ?, ?, ?)"
SELECT_CLAIM = "SELECT key FROM entries WHERE account = ? AND kind = ? AND tran_id = ?"
SELECT_IN_AIR = "SELECT key FROM entries WHERE in_air = ?"
SELECT_ARCHIVABLE = """
    SELECT * FROM entries
    WHERE archived_at_ms IS NULL
      AND state IN ('CONFIRMED', 'REJECTED', 'NOT_EXECUTED', 'EXPIRED', 'CANCELLED')
      AND finished_at_ms < ?
    LIMIT ?
"""
MARK_ARCHIVED = "UPDATE entries SET archived_at_ms = ?, attempt = NULL, evidence = ? WHERE seq = ?"
ARCHIVED_AT_ONCE = 200
"""Entries moved in one transaction, in which nothing else can be written."""


class Store:
    """One connection and what is kept behind it.

    Errors of SQLite come out as JournalUnavailable, and nothing of the failed transaction is left.
    """

    def __init__(self, path: str, connect: Connect = connect) -> None:
        self.path = path
        self._connect = connect
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self, *, create: bool = True) -> None:
        """Takes the file for this process alone, and brings its tables up to date.

        Raises ConfigurationError where it must not be used.
        """
        self.path = os.path.realpath(self.path)
        self._connection = take(self.path, self._connect, create=create)
        self._identity = file.identity(self.path)

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def open_archive(self) -> Archive:
        return Archive(archive_path(self.path), self._connect)

    def close(self) -> None:
        """Releases the file; harmless if it was never opened."""
        connection, self._connection = self._connection, None
        if connection is not None:
            close(connection)

    def commit(self, works: Sequence[Work]) -> list[Outcome]:
        """Carries the writes out in one transaction, each for itself: a refused one leaves nothing.

        Where the transaction fails, all of them get JournalUnavailable.
        """
        try:
            execute = self._at_rest().execute
            self._check_file()
            execute("BEGIN IMMEDIATE")
            outcomes = self._all_together(works) or [self._carry_out(work) for work in works]
            execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            return [(None, self._unavailable(error)) for _ in works]
        return outcomes

    def read(self, work: Callable[[], T]) -> T:
        """The result of a read."""
        try:
            self._at_rest()
            return work()
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    # Writes, inside a transaction

    def add(self, entry: Entry, sent: Entry | None) -> Entry:
        cursor = self._execute(INSERT_ENTRY, submission_values(entry.submission))
        if cursor.rowcount == 0:
            kept = self.get(entry.key)
            assert kept is not None
            return kept
        kept = Entry(submission=entry.submission, seq=cursor.lastrowid or 0)
        self._note(kept, kept.submitted_at_ms)
        if sent is None:
            return kept
        sent = revised(sent, seq=kept.seq)
        try:
            self.update((sent,), minted_ms(sent))
        except AlreadyInAir:  # of this statement alone, which is undone
            return kept
        return sent

    def update(self, entries: tuple[Entry, ...], at_ms: int) -> None:
        assert len({entry.key for entry in entries}) == len(entries), "an entry changes once"
        if len(entries) > 1:  # what one of them gives up, another may take
            for entry in entries:
                self._change(GIVE_UP_CLAIMS, (), entry)
        for entry in entries:
            self._change(UPDATE_ENTRY, changing_values(entry), entry)
            if entry.attempt is not None:
                values = (entry.seq, entry.account, *attempt_values(entry.attempt))
                self._execute(REPLACE_ATTEMPT, values)
            self._note(entry, at_ms)

    def set_mark(self, scope: str, name: str, value: str | None) -> None:
        if value is None:
            self._execute("DELETE FROM marks WHERE scope = ? AND name = ?", (scope, name))
        else:
            self._execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (scope, name, value))

    def archive(self, archive: Archive, before_ms: int, at_ms: int) -> int:
        """Moves the next few entries that were finished before `before_ms`; tells how many."""
        values = (before_ms, ARCHIVED_AT_ONCE)
        entries = self._execute(SELECT_ARCHIVABLE, values).fetchall()
        attempts, history = [], []
        for seq, *_ in entries:
            attempts += self._execute("SELECT * FROM attempts WHERE seq = ?", (seq,)).fetchall()
            history += self._execute("SELECT * FROM history WHERE seq = ?", (seq,)).fetchall()
        # Durable there before it is gone here. Cut off in between, it is in both, and goes again.
        archive.keep(entries, attempts, history)
        where = f"archived to {os.path.basename(archive.path)}"
        evidence = evidence_text((Evidence(at_ms=at_ms, source="journal", detail=where),))
        for seq, *_ in entries:
            self._execute(MARK_ARCHIVED, (at_ms, evidence, seq))
            self._execute("DELETE FROM attempts WHERE seq = ?", (seq,))
            self._execute("DELETE FROM history WHERE seq = ?", (seq,))
        return len(entries)

    # Reads

    def get(self, key: str) -> Entry | None:
        rows = self._execute(f"{SELECT_ENTRY} WHERE key = ?", (key,)).fetchall()
        return entry_of(rows[0]) if rows else None

    def find(
        self,
        account: str | None,
        state: State | None,
        asset: str | None,
        limit: int,
        before_seq: int | None,
    ) -> list[Entry]:
        asked: dict[str, Value] = {
            "entries.account = ?": account,
            "state = ?": state and state.value,
            "asset = ?": asset,
            "entries.seq < ?": before_seq,
        }
        wanted = {term: value for term, value in asked.items() if value is not None}
        where = " AND ".join(["archived_at_ms IS NULL", *wanted])
        sql = f"{SELECT_ENTRY} WHERE {where} ORDER BY entries.seq DESC LIMIT ?"
        rows = self._execute(sql, (*wanted.values(), limit)).fetchall()
        return [entry_of(row) for row in rows]

    def unfinished(self) -> list[Entry]:
        sql = (
            f"{SELECT_ENTRY} WHERE archived_at_ms IS NULL"
            " AND state IN ('QUEUED', 'SENT', 'ACCEPTED', 'UNKNOWN', 'UNRESOLVED')"
            " ORDER BY entries.seq"
        )
        return [entry_of(row) for row in self._execute(sql).fetchall()]

    def history(self, key: str) -> list[HistoryRow]:
        sql = (
            "SELECT key, history.version, at_ms, history.state, detail"
            " FROM entries JOIN history ON history.seq = entries.seq"
            " WHERE key = ? ORDER BY history.version"
        )
        return [history_row_of(row) for row in self._execute(sql, (key,)).fetchall()]

    def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        sql = (
            f"{SELECT_PAST_ATTEMPT} WHERE attempts.account = ?"
            " AND max(timestamp_ms, ifnull(ended_at_ms, 9223372036854775807)) >= ?"
            " ORDER BY timestamp_ms, attempts.seq, number"
        )
        return [past_attempt_of(row) for row in self._execute(sql, (account, since_ms)).fetchall()]

    def lost_since(self, since_ms: int) -> list[PastAttempt]:
        sql = (
            f"{SELECT_PAST_ATTEMPT} WHERE outcome = 'LOST' AND timestamp_ms >= ?"
            " ORDER BY timestamp_ms, attempts.seq, number"
        )
        return [past_attempt_of(row) for row in self._execute(sql, (since_ms,)).fetchall()]

    def claimed(self, account: str, kind: Kind, tran_ids: Iterable[int]) -> dict[int, str]:
        holders = {}
        for tran_id in tran_ids:
            rows = self._execute(SELECT_CLAIM, (account, kind.value, tran_id)).fetchall()
            if rows:
                holders[tran_id] = rows[0][0]
        return holders

    def marks(self) -> dict[tuple[str, str], str]:
        rows = self._execute("SELECT scope, name, value FROM marks").fetchall()
        return {(scope, name): value for scope, name, value in rows}

    def back_up(self, path: str) -> None:
        with file.appearing(path) as part:
            self._execute("VACUUM INTO ?", (part,))

    # Inside

    def _execute(self, sql: str, values: Sequence[Value] = ()) -> Cursor:
        assert self._connection is not None
        return self._connection.execute(sql, values)

    def _at_rest(self) -> Connection:
        """The connection, with what a failed transaction left behind rolled back."""
        if self._connection is None:
            raise OSError("it is not open")
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        return self._connection

    def _check_file(self) -> None:
        """What is written to a file that was removed is lost when the process ends."""
        if file.identity(self.path) != self._identity:
            raise OSError("the file was moved or removed")

    def _all_together(self, works: Sequence[Work]) -> list[Outcome] | None:
        """Nearly always none is refused, and then none needs a savepoint. None, and nothing was
        written, where one is: the others are then to be made without it."""
        try:
            return [(work(), None) for work in works]
        except Exception as error:
            if _is_of_the_file(error):
                raise
        self._execute("ROLLBACK")
        self._execute("BEGIN IMMEDIATE")
        return None

    def _carry_out(self, work: Work) -> Outcome:
        outcome: Outcome
        self._execute("SAVEPOINT item")
        try:
            outcome = work(), None
        except Exception as error:
            if _is_of_the_file(error):
                raise
            self._execute("ROLLBACK TO item")
            outcome = None, error
        self._execute("RELEASE item")
        return outcome

    def _change(self, sql: str, values: tuple[Value, ...], entry: Entry) -> None:
        try:
            cursor = self._execute(sql, (*values, entry.seq, entry.key, entry.version - 1))
        except sqlite3.IntegrityError:
            self._raise_conflict(entry)
            raise
        if cursor.rowcount == 0:
            raise StaleVersion(entry.key)

    def _raise_conflict(self, entry: Entry) -> None:
        """The contract's word for a unique index that was hit."""
        if entry.tran_id is not None:
            values = (entry.account, entry.kind.value, entry.tran_id)
            for (holder,) in self._execute(SELECT_CLAIM, values).fetchall():
                if holder != entry.key:
                    raise TranIdClaimed(entry.tran_id, holder)
        if entry.attempt is not None:
            exclusion = entry.attempt.exclusion
            for (holder,) in self._execute(SELECT_IN_AIR, (exclusion,)).fetchall():
                if holder != entry.key:
                    raise AlreadyInAir(f"{holder} is in the air on {exclusion}")

    def _note(self, entry: Entry, at_ms: int) -> None:
        detail = storable(history_detail(entry))
        values = (entry.seq, entry.version, at_ms, entry.state.value, detail)
        self._execute(INSERT_HISTORY, values)

    def _unavailable(self, error: Exception) -> JournalUnavailable:
        unavailable = JournalUnavailable(f"journal {self.path}: {error}")
        unavailable.__cause__ = error
        return unavailable


def _is_of_the_file(error: Exception) -> bool:
    """Whether an error says something about the file, and not about one write."""
    of_one_write = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)
    return isinstance(error, sqlite3.Error) and not isinstance(error, of_one_write)
