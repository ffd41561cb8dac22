"""A journal in a PostgreSQL database, which several hosts share.

Every write is one statement, so it is one transaction that ends by itself, whatever becomes of the
process that asked for it. Writes that arrive while others are being committed share the next one.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from ..errors import ConfigurationError, JournalUnavailable
from ..model import Entry, Kind, State
from .codec import SELECT_ENTRY, SELECT_PAST_ATTEMPT, past_attempt_of
from .group_commit import GroupCommit, Outcome
from .lanes import Lanes, is_the_owners
from .postgres_codec import (
    change_fields,
    entry_from,
    escaped,
    history_from,
    submission_fields,
    text,
    unescaped,
)
from .postgres_lanes import UNFINISHED, PostgresLanes
from .postgres_schema import migrate
from .postgres_server import TROUBLE, close, make_durable, server
from .protocol import AlreadyInAir, HistoryRow, LaneLost, PastAttempt, StaleVersion, TranIdClaimed

T = TypeVar("T")

READERS_MAX = 4
"""Connections for reads, besides the one that writes."""
NOT_MINE = -1
"""No lane's epoch."""
FORGET_WRITERS = "DELETE FROM writers WHERE since < now() - interval '30 days'"
"""One that is forgotten while it lives becomes a new one when it next connects."""

_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True)
class Write:
    """One caller's write, and what tells its end from what the server answered."""

    work: dict[str, Any]
    end: Callable[[dict[str, Any]], Any]


class PostgresJournal:
    """Implements `Journal` over the tables that a `postgresql://` URL names.

    They are made if they are missing. After an error every next call connects anew, so a server may
    be restarted under it; before anything is read then, what was begun by the lost connection has
    ended, so that what is read is what became of it.
    """

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError where the URL cannot be read."""
        self.server = server(url)
        self._group = GroupCommit[Write](self._commit)
        self._connection: Any = None
        self._readers: list[Any] = []
        self._reading = asyncio.Semaphore(READERS_MAX)
        self._connecting = asyncio.Lock()
        self._writer: int | None = None
        self._session = 0
        self._commits: set[asyncio.Task[list[Outcome]]] = set()
        self._is_open = False
        self.lanes: Lanes = PostgresLanes(self)
        """Whose epochs every attempt is written at, and taken back at. An account that never had an
        owner is at epoch 0, at which anybody may write."""

    @property
    def where(self) -> str:
        return self.server.where

    async def open(self) -> None:
        self._connection = await self._begin(self._prepare)
        self._is_open = True

    async def aclose(self) -> None:
        self._is_open = False
        await self._group.wait_idle()
        connections = self._connections()
        self._readers, self._connection = [], None
        for connection in connections:
            await close(connection)

    def terminate(self) -> None:
        """Drops every connection as the system does for a dead process."""
        self._is_open = False
        for connection in self._connections():
            connection.terminate()

    def _connections(self) -> list[Any]:
        return [each for each in (*self._readers, self._connection) if each is not None]

    # Writing

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        assert entry == Entry(submission=entry.submission), "a new entry has been nowhere yet"
        work: dict[str, Any] = {"do": "add", "entry": submission_fields(entry)}
        # Whoever else owns the lane when this is written, or takes it later, has to hear of it.
        work["epoch"] = self.lanes.epochs.get(entry.account, NOT_MINE)
        seq = await self._write(work, lambda outcome: outcome.get("seq"))
        if seq is not None:
            return Entry(submission=entry.submission, seq=seq)
        kept = await self.get(entry.key)
        assert kept is not None, "no key is ever taken out"
        return kept

    async def update(self, *entries: Entry, at_ms: int) -> None:
        assert len({entry.key for entry in entries}) == len(entries), "an entry changes once"
        changes = [self._change(entry) for entry in entries]
        work = {"do": "update", "changes": changes, "at_ms": at_ms}
        await self._write(work, _refused)

    async def set_mark(self, scope: str, name: str, value: str | None) -> None:
        kept = None if value is None else escaped(value)
        work: dict[str, Any] = {"do": "mark", "scope": scope, "name": name, "value": kept}
        account = scope.removeprefix("account:")
        if account in self.lanes.epochs:
            # What one who was the owner knew of the account must not replace what its owner knows.
            work |= {"account": account, "epoch": self.lanes.epochs[account]}
        await self._write(work, _refused)

    def _change(self, entry: Entry) -> dict[str, Any]:
        change = change_fields(entry)
        if is_the_owners(entry):
            change["epoch"] = self.lanes.epochs.get(entry.account, 0)
        return change

    async def _write(self, work: dict[str, Any], end: Callable[[dict[str, Any]], T]) -> T:
        self._check_open()
        written: T = await self._group.write(Write(work, end))
        return written

    def _commit(self, writes: list[Write]) -> "asyncio.Future[list[Outcome]]":
        committing = asyncio.ensure_future(self._carry_out(writes))
        self._commits.add(committing)
        committing.add_done_callback(self._commits.discard)
        return committing

    async def _carry_out(self, writes: list[Write]) -> list[Outcome]:
        works = text([write.work for write in writes])
        try:
            connection = await self._ready()
            answer = await connection.fetchval(
                "SELECT carry_out($1, $2, $3)", self._writer, self._session, works
            )
        except (JournalUnavailable, ConfigurationError) as error:
            return [(None, JournalUnavailable(str(error))) for _ in writes]
        except TROUBLE as error:
            self._give_up()
            return [(None, self.server.unavailable(error)) for _ in writes]
        outcomes: list[dict[str, Any]] = json.loads(answer)
        return [_ended(write, outcome) for write, outcome in zip(writes, outcomes, strict=True)]

    # Reading

    async def get(self, key: str) -> Entry | None:
        rows = await self.fetch(f"{SELECT_ENTRY} WHERE key = $1", key)
        return entry_from(rows[0]) if rows else None

    async def find(
        self,
        *,
        account: str | None = None,
        state: State | None = None,
        asset: str | None = None,
        limit: int = 100,
        before_seq: int | None = None,
    ) -> list[Entry]:
        asked = {
            "entries.account =": account,
            "state =": state and state.value,
            "asset =": asset,
            "entries.seq <": before_seq,
        }
        wanted = {term: value for term, value in asked.items() if value is not None}
        terms = [f"{term} ${number}" for number, term in enumerate(wanted, start=2)]
        where = " AND ".join(["archived_at_ms IS NULL", *terms])
        sql = f"{SELECT_ENTRY} WHERE {where} ORDER BY entries.seq DESC LIMIT $1"
        return [entry_from(row) for row in await self.fetch(sql, limit, *wanted.values())]

    async def unfinished(self) -> list[Entry]:
        return [entry_from(row) for row in await self.fetch(f"{UNFINISHED} ORDER BY entries.seq")]

    async def history(self, key: str) -> list[HistoryRow]:
        sql = (
            "SELECT key, history.version, at_ms, history.state, detail"
            " FROM entries JOIN history ON history.seq = entries.seq"
            " WHERE key = $1 ORDER BY history.version"
        )
        return [history_from(row) for row in await self.fetch(sql, key)]

    async def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        sql = (
            f"{SELECT_PAST_ATTEMPT} WHERE attempts.account = $1"
            " AND greatest(timestamp_ms, coalesce(ended_at_ms, 9223372036854775807)) >= $2"
            " ORDER BY timestamp_ms, attempts.seq, number"
        )
        return [past_attempt_of(row) for row in await self.fetch(sql, account, since_ms)]

    async def lost_since(self, since_ms: int) -> list[PastAttempt]:
        sql = (
            f"{SELECT_PAST_ATTEMPT} WHERE attempts.outcome = 'LOST' AND timestamp_ms >= $1"
            " ORDER BY timestamp_ms, attempts.seq, number"
        )
        return [past_attempt_of(row) for row in await self.fetch(sql, since_ms)]

    async def claimed(self, account: str, kind: Kind, tran_ids: frozenset[int]) -> dict[int, str]:
        sql = (
            "SELECT tran_id, key FROM entries"
            " WHERE account = $1 AND kind = $2 AND tran_id = ANY ($3::bigint[])"
        )
        rows = await self.fetch(sql, account, kind.value, list(tran_ids))
        return {row["tran_id"]: row["key"] for row in rows}

    async def marks(self) -> dict[tuple[str, str], str]:
        rows = await self.fetch("SELECT scope, name, value FROM marks")
        return {(scope, name): unescaped(value) for scope, name, value in rows}

    async def fetch(self, sql: str, *values: Any) -> Sequence[Any]:
        """The rows of one statement, in a transaction of its own. Raises JournalUnavailable."""

        async def run(connection: Any) -> Sequence[Any]:
            rows: Sequence[Any] = await connection.fetch(sql, *values)
            return rows

        return await self._read(run)

    async def _read(self, work: Callable[[Any], Awaitable[T]]) -> T:
        self._check_open()
        if self._connection is None:
            try:
                await self._ready()
            except ConfigurationError as error:
                raise JournalUnavailable(str(error)) from None
        async with self._reading:
            connection = await self._reader()
            try:
                result = await work(connection)
            except BaseException as error:
                connection.terminate()
                if isinstance(error, TROUBLE):
                    raise self.server.unavailable(error) from None
                raise
            if self._is_open:
                self._readers.append(connection)
            else:
                connection.terminate()
            return result

    async def _reader(self) -> Any:
        while self._readers:
            connection = self._readers.pop()
            if not connection.is_closed():
                return connection
        try:
            return await self.server.connect()
        except ConfigurationError as error:
            raise JournalUnavailable(str(error)) from None

    # Connecting

    async def _ready(self) -> Any:
        """The connection that writes, in a session of its own: once it is there, nothing that an
        earlier one began is still under way."""
        async with self._connecting:
            if self._connection is not None and not self._connection.is_closed():
                return self._connection
            self._connection = await self._begin()
            return self._connection

    async def _begin(self, prepare: Callable[[Any], Awaitable[None]] | None = None) -> Any:
        connection = await self.server.connect()
        try:
            if prepare is not None:
                await prepare(connection)
            await make_durable(connection)
            await self._begin_session(connection)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, TROUBLE):
                raise self.server.unavailable(error) from None
            raise
        return connection

    async def _prepare(self, connection: Any) -> None:
        await self.server.check(connection)
        try:
            await migrate(connection, self.server.schema, self.where)
        except asyncpg.PostgresError as error:  # no right to make the tables, or they are others'
            raise ConfigurationError(f"{self.where}: {self.server.said(error)}") from None

    async def _begin_session(self, connection: Any) -> None:
        self._session = 0
        if self._writer is not None:
            self._session = await connection.fetchval(
                "UPDATE writers SET session = session + 1 WHERE id = $1 RETURNING session",
                self._writer,
            )
        if not self._session:
            await connection.execute(FORGET_WRITERS)
            sql = "INSERT INTO writers DEFAULT VALUES RETURNING id, session"
            self._writer, self._session = await connection.fetchrow(sql)

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _check_open(self) -> None:
        if not self._is_open:
            raise JournalUnavailable(f"{self.where}: it is closed")


def _ended(write: Write, outcome: dict[str, Any]) -> Outcome:
    try:
        return write.end(outcome), None
    except Exception as error:
        return None, error


def _refused(outcome: dict[str, Any]) -> None:
    """The contract's word for what the server refused."""
    match outcome:
        case {"stale": key}:
            raise StaleVersion(key)
        case {"claimed": tran_id, "holder": holder}:
            raise TranIdClaimed(tran_id, holder)
        case {"in_air": exclusion}:
            raise AlreadyInAir(f"another attempt is in the air on {exclusion}")
        case {"lane_lost": account}:
            raise LaneLost(account)
        case {"mark_of": account}:
            raise JournalUnavailable(f"account {account} is run by another scheduler now")
