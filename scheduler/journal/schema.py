"""The tables of a SQLite journal, and how a file of an older version becomes one of this.

A file carries our `application_id` in its header, so that no other program's database is taken for
a journal, and its schema's version as `user_version`: the number of steps it has gone through. An
archive has the same tables under an id of its own.
"""

from collections.abc import Sequence

from ..errors import ConfigurationError
from .connection import Connection

JOURNAL_ID = 0x6D73_6A31  # msj1
ARCHIVE_ID = 0x6D73_6131  # msa1

Step = tuple[str, ...]

STEPS: tuple[Step, ...] = (
    (
        """
        CREATE TABLE entries (
            seq                INTEGER PRIMARY KEY,
            key                TEXT    NOT NULL UNIQUE,
            account            TEXT    NOT NULL,
            kind               TEXT    NOT NULL,
            asset              TEXT    NOT NULL,
            requested          TEXT    NOT NULL,
            symbol             TEXT,
            priority           TEXT    NOT NULL,
            at_most            INTEGER NOT NULL,
            precheck           INTEGER NOT NULL,
            submitted_at_ms    INTEGER NOT NULL,
            deadline_ms        INTEGER NOT NULL,
            version            INTEGER NOT NULL DEFAULT 1,
            state              TEXT    NOT NULL DEFAULT 'QUEUED',
            in_air             TEXT,              -- the exclusion it holds while it is SENT
            attempt            INTEGER,           -- the number of the latest one
            attempts           INTEGER NOT NULL DEFAULT 0,
            code               INTEGER,
            name               TEXT,
            message            TEXT,
            advice             TEXT,
            tran_id            INTEGER,
            finished_at_ms     INTEGER,
            clock_refusals     INTEGER NOT NULL DEFAULT 0,
            was_absent         INTEGER NOT NULL DEFAULT 0,
            absent_at_ms       INTEGER,
            looks              INTEGER NOT NULL DEFAULT 0,
            searching_since_ms INTEGER,
            look_not_before_ms INTEGER,
            needs_person       INTEGER NOT NULL DEFAULT 0,
            evidence           TEXT    NOT NULL DEFAULT '[]',  -- JSON: [at_ms, source, detail], ...
            archived_at_ms     INTEGER            -- attempts, history and evidence are elsewhere
        ) STRICT
        """,
        """
        CREATE TABLE attempts (
            seq            INTEGER NOT NULL REFERENCES entries,
            number         INTEGER NOT NULL,
            account        TEXT    NOT NULL,
            timestamp_ms   INTEGER NOT NULL,
            recv_window_ms INTEGER NOT NULL,
            amount         TEXT    NOT NULL,
            exclusion      TEXT    NOT NULL,
            body           TEXT    NOT NULL,
            ended_at_ms    INTEGER,
            outcome        TEXT    NOT NULL,
            PRIMARY KEY (seq, number)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE history (
            seq     INTEGER NOT NULL REFERENCES entries,
            version INTEGER NOT NULL,
            at_ms   INTEGER NOT NULL,
            state   TEXT    NOT NULL,
            detail  TEXT    NOT NULL,
            PRIMARY KEY (seq, version)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE marks (
            scope TEXT NOT NULL,
            name  TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (scope, name)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE UNIQUE INDEX one_claim_a_transaction ON entries (account, kind, tran_id)
        WHERE tran_id IS NOT NULL
        """,
        "CREATE UNIQUE INDEX one_in_air ON entries (in_air) WHERE in_air IS NOT NULL",
        # Every index ends in the row's seq: these list a state's or an account's entries in order.
        "CREATE INDEX by_state ON entries (state) WHERE archived_at_ms IS NULL",
        "CREATE INDEX by_account ON entries (account) WHERE archived_at_ms IS NULL",
        """
        CREATE INDEX attempts_until ON attempts
        (account, max(timestamp_ms, ifnull(ended_at_ms, 9223372036854775807)))
        """,
        """
        CREATE INDEX lost_attempts ON attempts (timestamp_ms) WHERE outcome = 'LOST'
        """,
        """
        CREATE TRIGGER history_never_changes BEFORE UPDATE ON history
        BEGIN SELECT raise(ABORT, 'history never changes'); END
        """,
        """
        CREATE TRIGGER history_stays BEFORE DELETE ON history
        WHEN (SELECT archived_at_ms FROM entries WHERE seq = OLD.seq) IS NULL
        BEGIN SELECT raise(ABORT, 'history stays until its entry is archived'); END
        """,
    ),
)
"""What takes a file from each version to the next; from 0, an empty one. Never edit a step that was
released: files have gone through it."""


def check_header(connection: Connection, path: str, application_id: int = JOURNAL_ID) -> None:
    """Raises ConfigurationError if the file is another program's, or a newer version's."""
    found, version = _pragma(connection, "application_id"), version_of(connection)
    is_empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if found != application_id and not (is_empty and found == version == 0):
        raise ConfigurationError(f"journal {path}: {_WHAT.get(found, _FOREIGN)}")
    if version > len(STEPS):
        raise ConfigurationError(
            f"journal {path}: its schema version {version} is newer than this program's,"
            f" {len(STEPS)}"
        )


def version_of(connection: Connection) -> int:
    return _pragma(connection, "user_version")


def migrate(
    connection: Connection, application_id: int = JOURNAL_ID, steps: Sequence[Step] = STEPS
) -> None:
    """Takes the file through the steps it lacks, all of them or none."""
    version = version_of(connection)
    if version == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def objects(connection: Connection) -> dict[str, str | None]:
    """The tables, indexes and triggers of a file, by name, as they were declared."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
    return {name: sql for name, sql in rows if not name.startswith("sqlite_stat")}


_FOREIGN = "this is another program's SQLite file"
_WHAT = {JOURNAL_ID: "this is a journal, not an archive", ARCHIVE_ID: "this is an archive"}


def _pragma(connection: Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
