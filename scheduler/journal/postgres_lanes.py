"""The lanes of a PostgreSQL journal.

Each call is one statement: a process that is frozen or cut off in the middle of one holds no lock.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..inventory import Refusal
from ..model import Entry
from .codec import SELECT_ENTRY
from .lanes import SHORTAGE_MAX_S, Board, Hint, LaneRow, Peer, Request, ToldRefusal
from .postgres_codec import entry_from, escaped, unescaped
from .postgres_server import TROUBLE

if TYPE_CHECKING:
    from .postgres import PostgresJournal

REQUESTS_MAX = 1_000
"""Requests read at once; the rest waits for the next time."""
HEARTBEAT_S = 10.0
"""Between two proofs that the connection which hears hints still stands."""

UNFINISHED = (
    f"{SELECT_ENTRY} WHERE archived_at_ms IS NULL"
    " AND state IN ('QUEUED', 'SENT', 'ACCEPTED', 'UNKNOWN', 'UNRESOLVED')"
)

_UNTIL = "clock_timestamp() + make_interval(secs => {})"
_FORGET = "DELETE FROM schedulers WHERE expires_at < clock_timestamp() - interval '1 day'"
_JOIN = (
    "INSERT INTO schedulers (name, accounts, pinned, expires_at)"  # noqa: S608
    f" VALUES ($1, $2, $3, {_UNTIL.format('$4')}) RETURNING id"
)
_RENEW = f"UPDATE schedulers SET expires_at = {_UNTIL.format('$2')} WHERE id = $1 RETURNING id"  # noqa: S608
_BOARD = """
    SELECT account, epoch, owner, name, coalesce(expires_at > clock_timestamp(), false) AS is_live
    FROM lanes LEFT JOIN schedulers ON id = owner
"""
_PEERS = """
    SELECT id, name, accounts, pinned FROM schedulers
    WHERE expires_at > clock_timestamp() ORDER BY id
"""
# The row's lock waits for every attempt that is being written at the epoch before (FOR SHARE).
_TAKE = """
    INSERT INTO lanes (account, owner, epoch) VALUES ($1, $2, 1)
    ON CONFLICT (account) DO UPDATE SET owner = excluded.owner, epoch = lanes.epoch + 1
    WHERE lanes.owner IS NULL OR lanes.owner = excluded.owner OR NOT EXISTS (
        SELECT FROM schedulers WHERE id = lanes.owner AND expires_at > clock_timestamp()
    )
    RETURNING epoch
"""
_GIVE_UP = """
    UPDATE lanes SET owner = NULL, epoch = epoch + 1
    WHERE account = $1 AND owner = $2 AND epoch = $3 RETURNING epoch
"""
_LEAVE = """
    WITH mine AS (SELECT account FROM lanes WHERE owner = $1 ORDER BY account FOR UPDATE),
    free AS (
        UPDATE lanes SET owner = NULL, epoch = epoch + 1
        WHERE account IN (SELECT account FROM mine) RETURNING account
    )
    DELETE FROM schedulers WHERE id = $1 RETURNING id
"""
_DONE = """
    DELETE FROM requests USING lanes
    WHERE id = ANY ($1) AND lanes.account = requests.account AND lanes.owner = $2
"""
_TELL = "INSERT INTO requests (account, what, key, detail) VALUES ($1, $2, $3, $4) RETURNING id"
_TELL_REFUSAL = """
    INSERT INTO shortages (asset, is_isolated, refused, wait_ms, doubted, by)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (asset, is_isolated) DO UPDATE SET (refused, wait_ms, doubted, by, told_at)
        = ROW(excluded.refused, excluded.wait_ms, excluded.doubted, excluded.by, excluded.told_at)
    RETURNING asset
"""
_SHORTAGES = """
    SELECT asset, is_isolated, refused, wait_ms, doubted, by,
        floor(extract(epoch FROM told_at) * 1000000)::bigint AS told,
        floor(extract(epoch FROM clock_timestamp() - told_at) * 1000)::bigint AS age_ms
    FROM shortages WHERE told_at > clock_timestamp() - make_interval(secs => $1)
"""
_KEEP_LATE = """
    WITH kept AS (
        INSERT INTO late_answers (account, key, number, at_ms, tran_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING account
    )
    INSERT INTO requests (account, what, key, detail) SELECT $1, 'late', $2, $7 FROM kept
    RETURNING id
"""


class PostgresLanes:
    """Implements `Lanes`."""

    def __init__(self, journal: "PostgresJournal") -> None:
        self._journal = journal
        self._me: int | None = None
        self.epochs: dict[str, int] = {}

    @property
    def me(self) -> int | None:
        return self._me

    async def join(
        self, name: str, accounts: Iterable[str], pinned: Iterable[str], lease_s: float
    ) -> None:
        fetch = self._journal.fetch
        await fetch(_FORGET)
        rows = await fetch(_JOIN, name, sorted(accounts), sorted(pinned), lease_s)
        self._me = rows[0]["id"]

    async def renew(self, lease_s: float) -> bool:
        return bool(await self._journal.fetch(_RENEW, self._me, lease_s))

    async def leave(self) -> None:
        await self._journal.fetch(_LEAVE, self._me)

    async def board(self) -> Board:
        lanes = await self._journal.fetch(_BOARD)
        peers = await self._journal.fetch(_PEERS)
        return Board(
            {row["account"]: LaneRow(*row) for row in lanes},
            tuple(Peer(i, name, frozenset(a), frozenset(p)) for i, name, a, p in peers),
        )

    async def take(self, account: str) -> int | None:
        rows = await self._journal.fetch(_TAKE, account, self._me)
        return rows[0]["epoch"] if rows else None

    async def give_up(self, account: str, epoch: int) -> None:
        await self._journal.fetch(_GIVE_UP, account, self._me, epoch)

    async def unfinished_of(self, account: str) -> list[Entry]:
        sql = f"{UNFINISHED} AND entries.account = $1 ORDER BY entries.seq"
        return [entry_from(row) for row in await self._journal.fetch(sql, account)]

    async def backlog(self, account: str) -> int:
        sql = (
            "SELECT count(*) FROM entries"
            " WHERE archived_at_ms IS NULL AND state = 'QUEUED' AND account = $1"
        )
        count: int = (await self._journal.fetch(sql, account))[0][0]
        return count

    async def settled_among(self, keys: Iterable[str]) -> list[Entry]:
        sql = (
            f"{SELECT_ENTRY} WHERE key = ANY ($1)"
            " AND state NOT IN ('QUEUED', 'SENT', 'ACCEPTED', 'UNKNOWN')"
        )
        return [entry_from(row) for row in await self._journal.fetch(sql, list(keys))]

    async def tell(
        self, account: str, what: str, *, key: str | None = None, detail: str | None = None
    ) -> int:
        said = None if detail is None else escaped(detail)
        told: int = (await self._journal.fetch(_TELL, account, what, key, said))[0][0]
        return told

    async def requests(self, accounts: Iterable[str]) -> Sequence[Request]:
        sql = (
            "SELECT id, account, what, key, detail FROM requests"
            " WHERE account = ANY ($1) ORDER BY id LIMIT $2"
        )
        rows = await self._journal.fetch(sql, list(accounts), REQUESTS_MAX)
        return [
            Request(id_, account, what, key, None if detail is None else unescaped(detail))
            for id_, account, what, key, detail in rows
        ]

    async def is_open(self, request: int) -> bool:
        return bool(await self._journal.fetch("SELECT FROM requests WHERE id = $1", request))

    async def done(self, requests: Iterable[int]) -> None:
        await self._journal.fetch(_DONE, list(requests), self._me)

    async def keep_late(
        self, entry: Entry, *, at_ms: int, tran_id: int | None, detail: str
    ) -> None:
        assert entry.attempt is not None
        number = entry.attempt.number
        said = json.dumps({"number": number, "tran_id": tran_id})
        values = (entry.account, entry.key, number, at_ms, tran_id, escaped(detail), said)
        await self._journal.fetch(_KEEP_LATE, *values)

    async def tell_refusal(self, refusal: Refusal) -> None:
        (asset, is_isolated), doubted = refusal.pool, refusal.doubted
        values = (
            *(asset, is_isolated, f"{refusal.amount:f}", refusal.wait_ms),
            *(None if doubted is None else f"{doubted:f}", self._me),
        )
        await self._journal.fetch(_TELL_REFUSAL, *values)

    async def shortages(self) -> Sequence[ToldRefusal]:
        rows = await self._journal.fetch(_SHORTAGES, SHORTAGE_MAX_S)
        return [_told(row) for row in rows]

    async def notify(self, about: Hint = Hint.CHANGE) -> None:
        await self._journal.fetch("SELECT pg_notify($1, $2)", self._channel, about.value)

    async def listen(self, wake: Callable[[Hint], None]) -> None:
        server = self._journal.server
        try:
            connection = await server.connect()
        except ConfigurationError as error:
            raise server.unavailable(error) from None
        has_ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: has_ended.set())
            await connection.add_listener(self._channel, lambda *said: wake(_hint(str(said[-1]))))
            wake(Hint.LANE)  # hints may have been missed until now
            while not has_ended.is_set():
                try:
                    await asyncio.wait_for(has_ended.wait(), HEARTBEAT_S)
                except TimeoutError:
                    await connection.execute("SELECT 1")
        except TROUBLE as error:
            raise server.unavailable(error) from None
        finally:
            connection.terminate()
        raise server.unavailable(ConnectionResetError("the connection ended"))

    @property
    def _channel(self) -> str:
        return f"margin_scheduler.{self._journal.server.schema}"


def _told(row: Any) -> ToldRefusal:
    doubted = row["doubted"]
    refusal = Refusal(
        pool=(row["asset"], row["is_isolated"]),
        amount=Decimal(row["refused"]),
        wait_ms=row["wait_ms"],
        doubted=None if doubted is None else Decimal(doubted),
    )
    return ToldRefusal(refusal, row["age_ms"], row["told"], row["by"])


def _hint(said: str) -> Hint:
    """One that another version gave means that something changed."""
    return Hint(said) if said in set(Hint) else Hint.CHANGE
