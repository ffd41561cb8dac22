"""Takes the power away in the middle of a journal's work, and asks what was promised.

    python -m tests.journal.power_cuts --cuts 2000

Each cut ends a life of its own: callers add and move entries at the same time, the power goes
before some write, sync, truncation or deletion, and the journal is opened again on what the disk
kept. Whatever was acknowledged must be there, what was not may be, but whole, and `verify` must
find nothing. The same with `--synchronous NORMAL` loses what was acknowledged: so the test can see
a loss. How this differs from production is said in `apsw_connection`.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.store import Store
from scheduler.journal.verify import verify

from ..virtual_time import run
from .apsw_connection import ApswConnection, archived
from .disk import KEEPS, Disk, PowerOff
from .entries import new
from .lives import Life, Memory, broken_promises

CHANGES = frozenset({"write", "truncate", "sync", "delete"})
"""Operations between which a cut makes a difference."""

BOUNDS = CHANGES - {"write"}
"""Those that order the others: every second cut is before one of these, or most would be missed."""

CHECKPOINTS = (2, 10, 1_000)
"""After how many pages the WAL is merged into the file."""


@dataclass
class Tally:
    losses: list[str] = field(default_factory=list)
    """A line for each cut after which something was missing or wrong."""
    reached: Counter[str] = field(default_factory=Counter)
    """How often what this is about did occur."""


def main() -> int:
    arguments = parser().parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.cuts)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        tally = campaign(Path(directory, "journal.db"), seeds, arguments.synchronous)
    took = time.perf_counter() - began
    for loss in tally.losses[:10]:
        print(loss)
    print(
        f"{len(tally.losses)} of {len(seeds)} cuts lost something"
        f" (synchronous = {arguments.synchronous}, {took:.1f} s)"
    )
    for what, count in sorted(tally.reached.items()):
        print(f"{count:6d} {what}")
    return 1 if tally.losses else 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first cut; the next adds one")
    parser.add_argument("--synchronous", choices=["FULL", "NORMAL"], default="FULL")
    return parser


def campaign(path: Path, seeds: range, synchronous: str = "FULL") -> Tally:
    """One cut a seed. `path` is the name of the file, on the disk in memory and of an empty one."""
    tally = Tally()
    for seed in seeds:
        chance = random.Random(seed)
        pages, operations = chance.choice(CHECKPOINTS), chance.choice([CHANGES, BOUNDS])
        computer = Computer(path, synchronous, pages)
        cut = Cut(operations, chance.randrange(computer.operations_in_a_life(operations)))
        life = computer.live(seed, cut)
        computer.restart(chance)
        tally.reached[cut.where] += 1
        if chance.random() < 0.3:
            again = Cut(CHANGES, chance.randrange(10))
            computer.open_and_close(again)
            computer.restart(chance)
            tally.reached["recovery cut too"] += again.is_done
        if wrong := computer.look(life.memory):
            tally.losses.append(f"seed {seed}, {cut.where}: {len(wrong)} wrong, as {wrong[0]}")
    return tally


class Cut:
    """Trouble for a disk: the power goes before the n-th of some operations, counted from 0."""

    def __init__(self, operations: frozenset[str], at: int) -> None:
        self.count = 0
        self.is_done = False
        self.where = "no cut"
        self._operations = operations
        self._at = at

    def __call__(self, operation: str, name: str) -> None:
        if operation in self._operations and not self.is_done:
            if self.count == self._at:
                self.is_done = True
                self.where = f"cut before a {operation} of {_kind(name)}"
            self.count += 1
        if self.is_done:
            raise PowerOff("no power")


class Computer:
    """A disk with a journal on it, and the programs that run on it one after the other."""

    def __init__(self, path: Path, synchronous: str, checkpoint_pages: int) -> None:
        self.path = path
        self.disk = Disk({str(path): b""})
        self._synchronous = synchronous
        self._checkpoint_pages = checkpoint_pages

    def operations_in_a_life(self, operations: frozenset[str]) -> int:
        """How many there are if nothing happens to it, give or take what the seed makes of it."""
        how = (self._synchronous, self._checkpoint_pages)
        if (*how, operations) not in _COUNTS:
            never = Cut(operations, -1)
            Computer(self.path, *how).live(0, never)
            _COUNTS[*how, operations] = never.count
        return _COUNTS[*how, operations]

    def live(self, seed: int, cut: Cut) -> Life:
        """A life that ends with the cut, or as it should if that comes later."""
        self.disk.trouble = cut
        journal = SqliteJournal(str(self.path), connect=self._connect)
        life = Life(journal, seed, retries=False)

        async def main() -> None:
            try:
                await journal.open()
                await life.run()
                if not cut.is_done:
                    await life.archive()
            except (JournalUnavailable, ConfigurationError):
                assert cut.is_done
            finally:
                await journal.aclose()

        run(main(), seed=seed)
        return life

    def open_and_close(self, cut: Cut) -> None:
        self.disk.trouble = cut
        store = Store(str(self.path), self._connect)
        try:
            store.open()
        except (JournalUnavailable, ConfigurationError):
            assert cut.is_done
        store.close()

    def restart(self, chance: random.Random) -> None:
        self.disk = self.disk.after_a_cut(chance.choice(KEEPS), chance)

    def look(self, memory: Memory) -> list[str]:
        """What the journal lacks; empty if it is all there and goes on working."""

        archive = archived(str(self.path), self.disk)

        async def main() -> list[str]:
            journal = SqliteJournal(str(self.path), connect=self._connect)
            await journal.open()
            wrong = await broken_promises(memory, journal, archive)
            await journal.add(new("after"))
            await journal.aclose()
            return wrong

        return [*run(main()), *verify(str(self.path), connect=self._connect)]

    def _connect(self, path: str) -> ApswConnection:
        return ApswConnection(
            path,
            self.disk,
            synchronous=self._synchronous,
            checkpoint_pages=self._checkpoint_pages,
        )


_COUNTS: dict[tuple[str, int, frozenset[str]], int] = {}


def _kind(name: str) -> str:
    owner = "the archive" if ".archive." in name else "the journal"
    return {"-wal": f"{owner}'s WAL", "rnal": f"{owner}'s rollback file"}.get(name[-4:], owner)


if __name__ == "__main__":
    sys.exit(main())
