"""Whether a PostgreSQL journal is sound: what must hold between its rows."""

import re
from collections.abc import AsyncIterator
from typing import Any

from .codec import ENTRY_COLUMNS, FROM_ENTRIES
from .postgres_codec import plain_row
from .postgres_schema import check_version
from .postgres_server import TROUBLE, close, server
from .verify import BETWEEN_ROWS, PAGE, Change, of_row


async def verify(url: str) -> list[str]:
    """What is wrong with the journal that `url` names, a line each; nothing if it is sound.

    It reads one snapshot, so schedulers may be at work meanwhile. Raises ConfigurationError where
    there is no journal of this version, JournalUnavailable where it cannot be read to its end.
    """
    where = server(url)
    connection = await where.connect()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await check_version(connection, where.schema, where.where)
            return [finding async for finding in _wrong_rows(connection)]
    except TROUBLE as error:
        raise where.unavailable(error) from None
    finally:
        await close(connection)


async def _wrong_rows(connection: Any) -> AsyncIterator[str]:
    for what, sql in BETWEEN_ROWS:
        for (which,) in await connection.fetch(_translated(sql)):
            yield f"{which}: {what}"
    last_seq = 0
    while rows := await _page(connection, last_seq):
        first_seq, last_seq = rows[0]["seq"], rows[-1]["seq"]
        histories = await _histories(connection, first_seq, last_seq)
        for archived_at_ms, *row in rows:
            seq, key, *_ = row
            is_archived = archived_at_ms is not None
            for what in of_row(plain_row(row), is_archived, histories.get(seq, [])):
                yield f"{key}: {what}"


def _translated(sql: str) -> str:
    """SQLite's words in PostgreSQL's."""
    return re.sub(r"\bIS NOT (?!NULL)", "IS DISTINCT FROM ", sql.replace("NOT INDEXED", ""))


async def _page(connection: Any, after_seq: int) -> list[Any]:
    sql = (
        f"SELECT archived_at_ms, {ENTRY_COLUMNS} {FROM_ENTRIES}"
        " WHERE entries.seq > $1 ORDER BY entries.seq LIMIT $2"
    )
    rows: list[Any] = await connection.fetch(sql, after_seq, PAGE)
    return rows


async def _histories(connection: Any, first_seq: int, last_seq: int) -> dict[int, list[Change]]:
    histories: dict[int, list[Change]] = {}
    sql = (
        "SELECT seq, version, state FROM history WHERE seq BETWEEN $1 AND $2 ORDER BY seq, version"
    )
    for seq, version, state in await connection.fetch(sql, first_seq, last_seq):
        histories.setdefault(seq, []).append(Change(version, state))
    return histories
