"""Whether a journal is sound: what SQLite says of its file, and what must hold between its rows."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from ..errors import ConfigurationError, JournalUnavailable
from ..lifecycle import MOVES, UNDECIDED
from ..model import ALL, MAX, Entry, Kind, Outcome, State
from .access import lock
from .codec import ENTRY_COLUMNS, FROM_ENTRIES, entry_of
from .connection import Connect, Connection, Row, close, connect
from .schema import JOURNAL_ID, STEPS, migrate, objects, version_of

PAGE = 1_000
"""Entries looked at together."""


def verify(path: str, *, connect: Connect = connect) -> list[str]:
    """What is wrong with the journal at `path`, a line each; nothing if it is sound.

    It takes the file for itself, as a program that runs on it would. What a killed program left in
    the WAL is recovered and so is seen; beyond that nothing is changed. Raises ConfigurationError
    where the file is missing, in use or no journal of this version, and JournalUnavailable where it
    cannot be read to its end.
    """
    path = os.path.realpath(path)
    connection = lock(path, connect, create=False, application_id=JOURNAL_ID)
    try:
        if (version := version_of(connection)) != len(STEPS):
            raise ConfigurationError(
                f"journal {path}: its schema version is {version}; the program brings it to"
                f" {len(STEPS)} when it starts on it"
            )
        # Where the file itself is damaged, what its rows say proves nothing.
        return list(_damage(connection)) or [*_changes(connection), *_wrong_rows(connection)]
    except sqlite3.Error as error:
        raise JournalUnavailable(f"journal {path}: {error}") from error
    finally:
        close(connection)


def contradictions(entry: Entry) -> Iterator[str]:
    """What an entry, not archived, says against itself."""
    for what, is_so in _CONTRADICTIONS:
        if is_so(entry):
            yield what


@dataclass(frozen=True, slots=True)
class Change:
    """One row of an entry's history."""

    version: int
    state: str


def _damage(connection: Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check(100)").fetchall():
        if line != "ok":
            yield f"the file is damaged: {line}"


def _changes(connection: Connection) -> Iterator[str]:
    found, expected = objects(connection), _expected_objects()
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield f"{name} is missing from the schema"
        elif found[name] != expected.get(name):
            yield f"{name} is not as this version declares it"


def _expected_objects() -> dict[str, str | None]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        return objects(connection)


def _wrong_rows(connection: Connection) -> Iterator[str]:
    for what, sql in BETWEEN_ROWS:
        for (which,) in connection.execute(sql).fetchall():
            yield f"{which}: {what}"
    last_seq = 0
    while rows := _page(connection, last_seq):
        first_seq, last_seq = rows[0][1], rows[-1][1]
        histories = _histories(connection, first_seq, last_seq)
        for archived_at_ms, *row in rows:
            seq, key, *_ = row
            for what in of_row(row, archived_at_ms is not None, histories.get(seq, [])):
                yield f"{key}: {what}"


def _page(connection: Connection, after_seq: int) -> list[Row]:
    sql = (
        f"SELECT archived_at_ms, {ENTRY_COLUMNS} {FROM_ENTRIES}"
        " WHERE entries.seq > ? ORDER BY entries.seq LIMIT ?"
    )
    return connection.execute(sql, (after_seq, PAGE)).fetchall()


def _histories(connection: Connection, first_seq: int, last_seq: int) -> dict[int, list[Change]]:
    histories: dict[int, list[Change]] = {}
    sql = "SELECT seq, version, state FROM history WHERE seq BETWEEN ? AND ? ORDER BY seq, version"
    for seq, version, state in connection.execute(sql, (first_seq, last_seq)).fetchall():
        histories.setdefault(seq, []).append(Change(version, state))
    return histories


def of_row(row: Sequence[Any], is_archived: bool, history: list[Change]) -> Iterable[str]:
    """What is wrong with one entry, given a row of ENTRY_COLUMNS and its history."""
    try:
        entry = entry_of(row)
    except (ValueError, TypeError, ArithmeticError) as error:
        return [f"cannot be read: {error}"]
    if is_archived:
        return [] if entry.is_final and not history else ["is archived, but not whole"]
    return [*contradictions(entry), *_of_history(entry, history)]


def _of_history(entry: Entry, history: list[Change]) -> Iterator[str]:
    if [change.version for change in history] != list(range(1, entry.version + 1)):
        yield f"its history does not lead to version {entry.version} without a gap"
        return
    if history[-1].state != entry.state:
        yield f"its history ends in {history[-1].state}, and it is {entry.state}"
    for before, after in pairwise(history):
        if after.state != before.state and after.state not in _MOVES.get(before.state, ()):
            yield f"its history goes from {before.state} to {after.state}"


def _is_in_air(entry: Entry) -> bool:
    return entry.attempt is not None and entry.attempt.outcome is Outcome.IN_AIR


def _is_proven_absent(entry: Entry) -> bool:
    looks = sum(1 for each in entry.evidence if each.source == "look")
    return looks >= 2 or _decided_by(entry, "operator")


def _asks_for_an_amount(entry: Entry) -> bool:
    if entry.requested == {Kind.BORROW: MAX, Kind.REPAY: ALL}[entry.kind]:
        return True
    try:
        return Decimal(entry.requested) > 0
    except InvalidOperation:
        return False


def _decided_by(entry: Entry, *sources: str) -> bool:
    return any(each.source in sources for each in entry.evidence)


_MOVES = {state.value: moves for state, moves in MOVES.items()}

_CONTRADICTIONS: tuple[tuple[str, Callable[[Entry], bool]], ...] = (
    ("asks for no amount", lambda e: not _asks_for_an_amount(e)),
    ("was tried less than never", lambda e: e.attempts < 0),
    (
        "is SENT without an attempt in the air",
        lambda e: e.state is State.SENT and not _is_in_air(e),
    ),
    (
        "has an attempt in the air without being SENT",
        lambda e: e.state is not State.SENT and _is_in_air(e),
    ),
    (
        "has an attempt in the air that has ended, or one that ended and has no end",
        lambda e: e.attempt is not None and _is_in_air(e) != (e.attempt.ended_at_ms is None),
    ),
    (
        "is undecided about no attempt",
        lambda e: e.state in UNDECIDED and e.attempt is None,
    ),
    (
        "is acknowledged without a transaction id",
        lambda e: e.state in {State.ACCEPTED, State.CONFIRMED} and e.tran_id is None,
    ),
    (
        "is final without a time, or has the time without being final",
        lambda e: e.is_final != (e.finished_at_ms is not None),
    ),
    (
        "is CONFIRMED without a reply, a record or a person that says so",
        lambda e: e.state is State.CONFIRMED and not _decided_by(e, "reply", "record", "operator"),
    ),
    (
        "is REJECTED without evidence",
        lambda e: e.state is State.REJECTED and not e.evidence,
    ),
    (
        "is NOT_EXECUTED without two looks or a person that say so",
        lambda e: e.state is State.NOT_EXECUTED and not _is_proven_absent(e),
    ),
    (
        "is EXPIRED, and was sent",
        lambda e: e.state is State.EXPIRED and e.attempts > 0,
    ),
    (
        "is EXPIRED without a deadline that says so",
        lambda e: e.state is State.EXPIRED and not _decided_by(e, "deadline"),
    ),
    (
        "is CANCELLED without a caller or a person who did it",
        lambda e: e.state is State.CANCELLED and not _decided_by(e, "caller", "operator"),
    ),
)

BETWEEN_ROWS = (
    (
        "is claimed by more than one submission",
        """
        SELECT 'transaction ' || tran_id || ' of ' || account FROM entries NOT INDEXED
        WHERE tran_id IS NOT NULL GROUP BY account, kind, tran_id HAVING count(*) > 1
        """,
    ),
    (
        "has more than one attempt in the air",
        """
        SELECT exclusion FROM attempts NOT INDEXED
        WHERE outcome = 'IN_AIR' GROUP BY exclusion HAVING count(*) > 1
        """,
    ),
    (
        "holds another exclusion than its attempt in the air",
        """
        SELECT key FROM entries
        LEFT JOIN attempts ON attempts.seq = entries.seq AND number = attempt AND state = 'SENT'
        WHERE in_air IS NOT exclusion
        """,
    ),
    (
        "lacks its latest attempt",
        """
        SELECT key FROM entries
        WHERE attempt IS NOT (SELECT max(number) FROM attempts WHERE attempts.seq = entries.seq)
        """,
    ),
    (
        "has an attempt in the air behind its latest",
        """
        SELECT key FROM entries JOIN attempts ON attempts.seq = entries.seq
        WHERE outcome = 'IN_AIR' AND number IS NOT attempt
        """,
    ),
    (
        "has an attempt of another account",
        """
        SELECT key FROM entries JOIN attempts ON attempts.seq = entries.seq
        WHERE attempts.account <> entries.account
        """,
    ),
    (
        "is of no entry",
        "SELECT 'attempt of ' || seq FROM attempts WHERE seq NOT IN (SELECT seq FROM entries)",
    ),
    (
        "is of no entry",
        "SELECT 'history of ' || seq FROM history WHERE seq NOT IN (SELECT seq FROM entries)",
    ),
)
