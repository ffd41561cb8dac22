"""Durable submissions a second: the journal against a plain SQLite insert a commit.

    python -m benchmarks.journal --callers 1 16 256 --n 2000

Both write the same submissions with the same pragmas to the same file system, in turns. The plain
loop is as short as one can be: one table with the submission's columns, prepared values, no event
loop, no history, no thread. A caller of the journal adds one submission after the other.
"""

import argparse
import asyncio
import gc
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from scheduler.journal.access import SAFE
from scheduler.journal.codec import SUBMISSION_COLUMNS, submission_values
from scheduler.journal.sqlite import SqliteJournal
from scheduler.model import Entry, Kind, Submission


def main() -> None:
    arguments = parser().parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        plain: list[float] = []
        ours: dict[int, list[float]] = {callers: [] for callers in arguments.callers}
        for turn in range(arguments.turns):
            plain.append(plain_rate(Path(directory, f"plain-{turn}.db"), arguments.n))
            for callers, rates in ours.items():
                file = Path(directory, f"journal-{turn}-{callers}.db")
                rates.append(asyncio.run(journal_rate(file, arguments.n, callers)))
    base = statistics.median(plain)
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
