"""A program to be killed: writes to a journal and says what was acknowledged, a line each.

    python -m tests.journal.writer FILE NAME

A line is `key version`. With `--file-max BYTES` its files may grow no further, as on a full disk:
it says `full` and the error, gets its room back, and goes on to say `done`.
"""

import argparse
import asyncio
import os
import resource
import signal
from itertools import count

from scheduler.errors import JournalUnavailable
from scheduler.journal.sqlite import SqliteJournal

from .entries import NOW_MS, confirmed, new, sent

CALLERS = 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("name", help="what its keys begin with")
    parser.add_argument("--file-max", type=int)
    arguments = parser.parse_args()
    if arguments.file_max is None:
        asyncio.run(write_for_ever(arguments.file, arguments.name))
    else:
        asyncio.run(write_until_full(arguments.file, arguments.name, arguments.file_max))


async def write_for_ever(file: str, name: str) -> None:
    journal = SqliteJournal(file)
    await journal.open()
    await asyncio.gather(*(caller(journal, f"{name}-{number}") for number in range(CALLERS)))


async def caller(journal: SqliteJournal, name: str) -> None:
    for number in count():
        entry = await journal.add(new(f"{name}-{number}"))
        say(f"{entry.key} 1")
        in_air = sent(entry, exclusion=entry.key)
        await journal.update(in_air, at_ms=NOW_MS)
        say(f"{entry.key} 2")
        await journal.update(confirmed(in_air, entry.seq), at_ms=NOW_MS)
        say(f"{entry.key} 3")


async def write_until_full(file: str, name: str, file_max: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write too far is an error, not the end
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_max, most))
    journal = SqliteJournal(file)
    await journal.open()
    key = ""
    try:
        for number in count():
            key = f"{name}-{number}"
            await journal.add(new(key))
            say(f"{key} 1")
    except JournalUnavailable as error:
        assert await journal.get(key) is None
        say(f"full {error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await journal.add(new(key))
    say(f"{key} 1")
    await journal.aclose()
    say("done")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
