"""Whatever operation on the disk fails, and for however long: a clear error, no loss, no double."""

import errno
import os
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.verify import verify

from ..virtual_time import run
from .apsw_connection import ApswConnection, archived
from .disk import Disk, no_power, no_trouble, none
from .entries import new
from .lives import Life, Memory, broken_promises

CHECKPOINT_PAGES = 4
LONG_STRIDE = int(os.environ.get("FAILURE_STRIDE", "7"))
"""Failures that last overlap: one in so many of them is tried, all with FAILURE_STRIDE=1."""


class Failure:
    """Trouble for a disk: from its n-th operation on, `times` of them fail."""

    def __init__(self, at: int, times: int, error: int, only: frozenset[str] | None = None) -> None:
        self.operations = 0
        self.failed = 0
        self._at = at
        self._times = times
        self._error = error
        self._only = only

    def __call__(self, operation: str, name: str) -> None:
        if self._only is not None and operation not in self._only:
            return
        self.operations += 1
        if self.operations > self._at and self.failed < self._times:
            self.failed += 1
            raise OSError(self._error, os.strerror(self._error))


FAILURES = {
    "an operation fails once": (1, lambda n: Failure(n, 1, errno.EIO)),
    "a sync fails": (1, lambda n: Failure(n, 1, errno.EIO, frozenset({"sync"}))),
    "everything fails for a while": (LONG_STRIDE, lambda n: Failure(n, 25, errno.EIO)),
    "the disk is full for a while": (
        LONG_STRIDE,
        lambda n: Failure(n, 10, errno.ENOSPC, frozenset({"write"})),
    ),
}


@pytest.mark.parametrize(("stride", "failure_at"), FAILURES.values(), ids=FAILURES)
def test_every_operation_may_fail(
    path: Path, stride: int, failure_at: Callable[[int], Failure]
) -> None:
    told = 0
    for n in count(step=stride):
        disk = Disk({str(path): b""})
        disk.trouble = failure = failure_at(n)
        memory = live(path, disk)
        if not failure.failed:
            break
        told += memory.failures
        contents = {name: bytes(file.content) for name, file in disk.files.items()}
        assert look(path, Disk(contents), memory) == [], f"after a kill, {n}"
        cut = disk.after_a_cut(none, random.Random(n))
        assert look(path, cut, memory) == [], f"after a power cut, {n}"
    assert told > n / stride / 4
    assert n > 20


def live(path: Path, disk: Disk) -> Memory:
    """A life whose callers try again until they are done."""

    async def main() -> Memory:
        journal = await opened(path, disk)
        life = Life(journal, 0, retries=True, callers=2, entries=1)
        await life.run()
        await life.archive()
        disk.trouble = no_trouble
        assert await broken_promises(life.memory, journal, archived(str(path), disk)) == []
        assert all(entry.is_final for entry in life.memory.acknowledged.values())
        disk.trouble = no_power  # so that closing leaves no trace
        journal._store.close()
        return life.memory

    return run(main())


async def opened(path: Path, disk: Disk) -> SqliteJournal:
    """The journal, after as many attempts as it takes."""
    for _ in range(50):
        journal = SqliteJournal(str(path), connect=connecting(disk))
        try:
            await journal.open()
        except (JournalUnavailable, ConfigurationError) as error:
            assert str(error).startswith(f"journal {path}: ")  # noqa: PT017
            await journal.aclose()
        else:
            return journal
    raise AssertionError("it does not open any more")


def look(path: Path, disk: Disk, memory: Memory) -> list[str]:
    async def main() -> list[str]:
        journal = await opened(path, disk)
        wrong = await broken_promises(memory, journal, archived(str(path), disk))
        await journal.add(new("after"))
        await journal.aclose()
        return wrong

    return [*run(main()), *verify(str(path), connect=connecting(disk))]


def connecting(disk: Disk) -> Callable[[str], ApswConnection]:
    return lambda path: ApswConnection(path, disk, checkpoint_pages=CHECKPOINT_PAGES)
