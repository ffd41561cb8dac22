"""A SQLite journal in PostgreSQL is the same journal; and one that is not sound is told."""

from pathlib import Path

import pytest

from scheduler.errors import ConfigurationError
from scheduler.journal.copy import copy
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.postgres_verify import verify
from scheduler.model import Entry, Kind

from ..postgres import PostgresServer
from .entries import NOW_MS, cancelled, confirmed, filled, full, new, sent, unknown
from .shelves import opened

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

KEYS = ("open", "done", "lost", "gone", "full")


async def fill(path: Path) -> None:
    async with opened(path) as journal:
        entries: dict[str, Entry] = {}
        for key in KEYS:
            entries[key] = await journal.add(full() if key == "full" else new(key))
        for key, end in (("done", confirmed), ("lost", unknown)):
            in_air = sent(entries[key])
            await journal.update(in_air, at_ms=NOW_MS)
            ended = confirmed(in_air, 7) if end is confirmed else unknown(in_air)
            await journal.update(ended, at_ms=NOW_MS)
        await journal.update(cancelled(entries["gone"]), at_ms=NOW_MS)
        in_air = sent(entries["full"], exclusion="x")
        await journal.update(in_air, at_ms=NOW_MS)
        await journal.update(filled(in_air), at_ms=NOW_MS)
        await journal.set_mark("account:main", "marks", '{"stopped": "-2015 \\\\ \0"}')
        await journal.archive(NOW_MS + 2, at_ms=NOW_MS + 9)  # takes "gone"


async def test_everything_is_there_in_the_same_words(path: Path, postgres: PostgresServer) -> None:
    await fill(path)
    url, told = postgres.url(), []
    counts = await copy(str(path), url, lambda *progress: told.append(progress))
    assert counts["entries"] == 5
    assert counts["marks"] == 1
    assert told[-1] == ("marks", 1, 1)
    assert [finding for finding in await verify(url) if not finding.startswith("full:")] == []
    there = PostgresJournal(url)
    await there.open()
    async with opened(path) as here:
        for key in KEYS:
            assert await there.get(key) == await here.get(key)
            assert await there.history(key) == await here.history(key)
        assert await there.find() == await here.find()
        assert await there.marks() == await here.marks()
        assert await there.attempts_since("main", 0) == await here.attempts_since("main", 0)
        assert await there.claimed("main", Kind.BORROW, frozenset({7})) == {7: "done"}
    assert (await there.add(new("next"))).seq == 6
    assert (await there.add(new("gone"))).seq == 4
    await there.aclose()


async def test_a_database_that_holds_a_journal_is_refused(
    path: Path, postgres: PostgresServer
) -> None:
    await fill(path)
    url = postgres.url()
    await copy(str(path), url)
    with pytest.raises(ConfigurationError, match="holds a journal already"):
        await copy(str(path), url)


async def test_a_sound_journal_has_no_findings_and_a_broken_one_has(
    postgres: PostgresServer,
) -> None:
    url = postgres.url()
    journal = PostgresJournal(url)
    await journal.open()
    in_air = sent(await journal.add(new()))
    await journal.update(in_air, at_ms=NOW_MS)
    await journal.update(confirmed(in_air, 7), at_ms=NOW_MS)
    assert await verify(url) == []
    await journal.fetch("UPDATE entries SET tran_id = NULL RETURNING key")
    assert await verify(url) == ["k: is acknowledged without a transaction id"]
    await journal.fetch("UPDATE entries SET tran_id = 7, in_air = 'x' RETURNING key")
    (found,) = await verify(url)
    assert found == "k: holds another exclusion than its attempt in the air"
    await journal.aclose()


async def test_what_is_no_journal_cannot_be_verified(postgres: PostgresServer) -> None:
    with pytest.raises(ConfigurationError, match="there is no journal in the schema"):
        await verify(postgres.url())
