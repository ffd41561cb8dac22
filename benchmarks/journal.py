"""Durable submissions a second: the journal against a plain insert a commit.

    python -m benchmarks.journal --callers 1 16 256 --n 2000
    PGPASSWORD=... python -m benchmarks.journal --postgres postgresql://USER@HOST/DATABASE

On SQLite both write the same submissions with the same pragmas to the same file system, in turns.
The plain loop is as short as one can be: one table with the submission's columns, prepared values,
no event loop, no history, no thread. On PostgreSQL, in schemas of their own that are dropped again,
the plain insert is the driver's, with a connection a caller. A caller of the journal adds one
submission after the other.
"""

import argparse
import asyncio
import gc
import json
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from scheduler.journal.access import SAFE
from scheduler.journal.codec import SUBMISSION_COLUMNS, submission_values
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.sqlite import SqliteJournal
from scheduler.model import Entry, Kind, Submission

CONNECTIONS_MAX = 32
"""Of the plain inserts."""


def main() -> None:
    arguments = parser().parse_args()
    if arguments.postgres is not None:
        sizes = (arguments.callers, arguments.n, arguments.turns)
        rows = asyncio.run(postgres_rows(arguments.postgres, *sizes, show=not arguments.json))
        if arguments.json:
            print(json.dumps({"rows": rows}))
        return
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        plain: list[float] = []
        ours: dict[int, list[float]] = {callers: [] for callers in arguments.callers}
        for turn in range(arguments.turns):
            plain.append(plain_rate(Path(directory, f"plain-{turn}.db"), arguments.n))
            for callers, rates in ours.items():
                file = Path(directory, f"journal-{turn}-{callers}.db")
                rates.append(asyncio.run(journal_rate(file, arguments.n, callers)))
    base = statistics.median(plain)
    if arguments.json:
        rows = [
            {
                "journal": "SQLite",
                "callers": callers,
                "of_plain": round(statistics.median(rates) / base, 3),
            }
            for callers, rates in ours.items()
        ]
        print(json.dumps({"rows": rows}))
        return
    for callers, rates in ours.items():
        rate = statistics.median(rates)
        print(f"{rate / base:5.2f} x plain  {rate:8,.0f}/s  {callers:4d} callers")
    print(f" 1.00            {base:8,.0f}/s  plain insert and commit")
    print(
        f"medians of {arguments.turns} turns of {arguments.n} each; SQLite {sqlite3.sqlite_version}"
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--n", type=int, default=2_000, help="submissions a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--postgres", metavar="URL", help="of a database; default: SQLite")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--directory", help="where the files are; default: the system's for such")
    return parser


def entries(n: int) -> list[Entry]:
    return [Entry(submission=_submission(number)) for number in range(n)]


def plain_rate(file: Path, n: int) -> float:
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("PRAGMA locking_mode = EXCLUSIVE", *SAFE):
        connection.execute(pragma)
    connection.execute(f"CREATE TABLE submissions ({SUBMISSION_COLUMNS}, UNIQUE (key))")
    slots = ", ".join("?" for _ in SUBMISSION_COLUMNS.split(","))
    insert = f"INSERT INTO submissions VALUES ({slots})"
    values = [submission_values(entry.submission) for entry in entries(n)]
    gc.collect()
    began = time.perf_counter()
    for each in values:
        connection.execute(insert, each)  # commits by itself
    took = time.perf_counter() - began
    connection.close()
    return n / took


async def journal_rate(file: Path, n: int, callers: int) -> float:
    journal = SqliteJournal(str(file))
    await journal.open()
    todo = iter(entries(n))

    async def caller() -> None:
        for entry in todo:
            await journal.add(entry)

    gc.collect()
    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    took = time.perf_counter() - began
    await journal.aclose()
    return n / took


async def postgres_rows(
    url: str, callers: Sequence[int], n: int, turns: int, *, show: bool
) -> list[dict[str, Any]]:
    """The same on PostgreSQL, with the time from a call until its submission is durable, by how
    many submit at once; with `show` each row is printed as it is known."""
    rows = []
    for count in callers:
        results = [await _postgres_turn(url, n, count) for _ in range(turns)]
        row: dict[str, Any] = {"journal": "PostgreSQL", "callers": count}
        for which, name in enumerate(("plain", "ours")):
            p50_ms, p99_ms = percentiles([wait for turn in results for wait in turn[which][1]])
            row[f"{name}_a_second"] = round(statistics.median(t[which][0] for t in results), 1)
            row |= {f"{name}_p50_ms": round(p50_ms, 2), f"{name}_p99_ms": round(p99_ms, 2)}
        row["of_plain"] = round(row["ours_a_second"] / row["plain_a_second"], 3)
        rows.append(row)
        if show:
            print(
                f"{row['of_plain']:5.2f} x plain  {row['ours_a_second']:8,.0f}/s"
                f"  p50 {row['ours_p50_ms']:6.2f} ms  p99 {row['ours_p99_ms']:6.2f} ms"
                f"  {count:4d} callers\n"
                f" 1.00 plain    {row['plain_a_second']:8,.0f}/s"
                f"  p50 {row['plain_p50_ms']:6.2f} ms  p99 {row['plain_p99_ms']:6.2f} ms"
                f"  {min(count, CONNECTIONS_MAX):4d} connections",
                flush=True,
            )
    if show:
        print(f"medians of {turns} turns of {n} each")
    return rows


Result = tuple[float, list[float]]
"""Submissions a second, and how many milliseconds each took."""


async def _postgres_turn(url: str, n: int, callers: int) -> tuple[Result, Result]:
    """Plain inserts, and then the journal: each rate and the waits."""
    schema = f"benchmark_{secrets.token_hex(4)}"
    separator = "&" if urlsplit(url).query else "?"
    settings = {"search_path": schema}
    pool = await asyncpg.create_pool(
        url, min_size=1, max_size=min(callers, CONNECTIONS_MAX), server_settings=settings
    )
    journal = PostgresJournal(f"{url}{separator}schema={schema}")
    try:
        await pool.execute(f"CREATE SCHEMA {schema}_plain")
        columns = ", ".join(f"{name.strip()} text" for name in SUBMISSION_COLUMNS.split(","))
        table = f"{schema}_plain.submissions"
        await pool.execute(f"CREATE TABLE {table} ({columns}, UNIQUE (key))")
        slots = ", ".join(f"${i + 1}" for i in range(len(SUBMISSION_COLUMNS.split(","))))
        insert = f"INSERT INTO {table} VALUES ({slots})"

        async def insert_plain(entry: Entry) -> None:
            values = submission_values(entry.submission)
            await pool.execute(insert, *(None if v is None else str(v) for v in values))

        plain = await _measured(insert_plain, n, callers)
        await journal.open()
        return plain, await _measured(journal.add, n, callers)
    finally:
        await journal.aclose()
        await pool.execute(f"DROP SCHEMA IF EXISTS {schema}_plain, {schema} CASCADE")
        await pool.close()


async def _measured(write: Callable[[Entry], Awaitable[object]], n: int, callers: int) -> Result:
    todo, waits = iter(entries(n)), []

    async def caller() -> None:
        for entry in todo:
            began = time.perf_counter()
            await write(entry)
            waits.append((time.perf_counter() - began) * 1000)

    gc.collect()
    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return n / (time.perf_counter() - began), waits


def percentiles(waits: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(waits, n=100)
    return cuts[49], cuts[98]


def _submission(number: int) -> Submission:
    return Submission(
        # Scattered over the index, as made-up keys are.
        key=f"7d1f3c52-{number * 2_654_435_761 % 2**32:08x}-order",
        account="main",
        kind=Kind.BORROW,
        asset="USDT",
        requested="100.25",
        submitted_at_ms=1_700_000_000_000 + number,
        deadline_ms=1_700_000_300_000 + number,
    )


if __name__ == "__main__":
    main()
