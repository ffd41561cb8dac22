"""Defects planted on purpose, to show that the simulation finds such things.

Each is one small change to the rules. `python -m tests.simulate.defects` plants every one in a copy
of the package and tells which seed finds it; the tests run each at its recorded seed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One change: `sound` stands exactly once in the file and is replaced by `broken`."""

    name: str
    file: str
    sound: str
    broken: str
    seed: int
    """The first seed that finds it."""


DEFECTS = (
    Defect(
        name="a lost answer is sent again blindly",
        file="lifecycle.py",
        sound="return _unknown(entry, event.answer, reason, policy, now_ms), Settle()",
        broken="return _next(_ended(entry, Outcome.LOST, now_ms), State.QUEUED), Release()",
        seed=0,
    ),
    Defect(
        name="one look proves absence",
        file="lifecycle.py",
        sound="if entry.absent_at_ms is None:",
        broken="entry = revised(entry, absent_at_ms=entry.absent_at_ms or 0)\n    if False:",
        seed=1490,
    ),
    Defect(
        name="absence is concluded before the fence",
        file="lifecycle.py",
        sound="if not look.is_trusted or look.as_of_ms <= conclusive_ms:",
        broken="if not look.is_trusted:",
        seed=1,
    ),
    Defect(
        name="no bound for processing",
        file="policy.py",
        sound="return self.processing_max_ms + self.visibility_max_ms",
        broken="return self.visibility_max_ms",
        seed=12,
    ),
    Defect(
        name="no bound for visibility",
        file="policy.py",
        sound="return self.processing_max_ms + self.visibility_max_ms",
        broken="return self.processing_max_ms",
        seed=12,
    ),
    Defect(
        name="absence is concluded from a clock in doubt",
        file="lifecycle.py",
        sound="if not look.is_trusted or look.as_of_ms <= conclusive_ms:",
        broken="if look.as_of_ms <= conclusive_ms:",
        seed=5292,
    ),
    Defect(
        name="a FAILED record counts as success",
        file="lifecycle.py",
        sound='case [Transaction(status="CONFIRMED") as record]:',
        broken='case [Transaction(status="CONFIRMED" | "FAILED") as record]:',
        seed=1,
    ),
    Defect(
        name="a PENDING record counts as none",
        file="lifecycle.py",
        sound="""            entry = revised(entry, absent_at_ms=None)
            return _look_again(entry, policy, now_ms, f"txId {record.tran_id} pending"), Settle()
""",
        broken="""            pass
""",
        seed=931,
    ),
    Defect(
        name="a match proves something on a shared account",
        file="lifecycle.py",
        sound="if found and not look.is_exclusive:",
        broken="if False:",
        seed=638,
    ),
    Defect(
        name="-3007 is passed on as final",
        file="lifecycle.py",
        sound="case Disposition.TERMINAL:",
        broken="case Disposition.TERMINAL | Disposition.BUSY:",
        seed=1,
    ),
    Defect(
        name="a borrow is dropped when its deadline comes, whatever is known of it",
        file="lifecycle.py",
        sound="case State.SENT, Lost(reason):",
        broken="""case State.SENT, Lost(reason) if now_ms >= entry.deadline_ms:
            return _final(entry, State.NOT_EXECUTED, now_ms, "deadline", "too late"), Finish()
        case State.SENT, Lost(reason):""",
        seed=27,
    ),
    Defect(
        name="equal attempts may overlap",
        file="account_queue.py",
        sound="if _asks_equal(other, entry):",
        broken="if False:",
        seed=457,
    ),
    Defect(
        name="an unknown attempt does not hold its account",
        file="account_queue.py",
        sound="if attempt.exclusion == self._exclusion(entry):",
        broken="if False:",
        seed=1,
    ),
    Defect(
        name="the newest goes first",
        file="account_queue.py",
        sound="            row.append(entry)\n",
        broken="            row.appendleft(entry)\n",
        seed=0,
    ),
    Defect(
        name="no gap between starts",
        file="pace.py",
        sound="return max(0, free_ms - now_ms)",
        broken="return 0",
        seed=0,
    ),
    Defect(
        name="a 200 without a transaction id is success",
        file="binance.py",
        sound='return Lost("200 without a transaction id")',
        broken="return Accepted(1)",
        seed=0,
    ),
    Defect(
        name="a lost connection is taken for one that never stood",
        file="exchange.py",
        sound="return Sent(Lost(str(error)), None)",
        broken="return Sent(NotSent(str(error)), None)",
        seed=7,
    ),
    Defect(
        name="records of orders are matched",
        file="reconcile.py",
        sound="record.origin == OURS",
        broken="record.origin != ''",
        seed=50,
    ),
    Defect(
        name="a transaction may be claimed twice",
        file="reconcile.py",
        sound="if record.tran_id not in claimed",
        broken="if record.tran_id",
        seed=25,
    ),
    Defect(
        name="the look begins before the clock is read",
        file="exchange.py",
        sound="return Look(tuple(found.values()), as_of_ms, is_trusted)",
        broken="return Look(tuple(found.values()), self._clock.now_ms() + 20_000, True)",
        seed=12,
    ),
    Defect(
        name="a look that failed counts as an empty one",
        file="exchange.py",
        sound="return LookUpFailed(str(error) or type(error).__name__)",
        broken="return Look((), as_of_ms, is_trusted)",
        seed=4826,
    ),
)


def plant(defect: Defect, where: Path) -> None:
    """Copy the project to `where` with the defect in it."""
    for part in ("scheduler", "tests"):
        shutil.copytree(ROOT / part, where / part, ignore=shutil.ignore_patterns("__pycache__"))
    file = where / "scheduler" / defect.file
    source = file.read_text("utf-8")
    assert source.count(defect.sound) == 1, f"{defect.name}: its place in {defect.file} is gone"
    file.write_text(source.replace(defect.sound, defect.broken), "utf-8")


def first_finding(defect: Defect, first: int, seeds: int) -> tuple[int, str] | None:
    """The first of the seeds that finds the defect, and what it says; None if none does."""
    with tempfile.TemporaryDirectory() as where:
        plant(defect, Path(where))
        command = ["-m", "tests.simulate", "--first", str(first), "--seeds", str(seeds)]
        done = subprocess.run(
            [sys.executable, *command, "--jobs", "1", "--fail-fast"],
            cwd=where,
            capture_output=True,
            text=True,
            check=False,
        )
    lines = done.stdout.splitlines()
    for place, line in enumerate(lines):
        if line.startswith("seed "):
            return int(line.split()[1]), lines[place + 1].strip()
    assert done.returncode == 0, done.stderr
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate.defects",
        description="Plant each defect and search for the first seed that finds it.",
        epilog="example: python -m tests.simulate.defects --seeds 2000 --only fence",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many to try (1000)")
    parser.add_argument("--only", default="", help="defects whose name contains this")
    options = parser.parse_args()
    missed = 0
    for defect in DEFECTS:
        if options.only not in defect.name:
            continue
        found = first_finding(defect, 0, options.seeds)
        missed += found is None
        said = "NOT FOUND" if found is None else f"seed {found[0]}: {found[1][:90]}"
        print(f"{defect.name:60} {said}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
