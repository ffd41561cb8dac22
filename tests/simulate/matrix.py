"""Each kind of trouble at each place on the way of a loan, of a look, and of a recovery.

`python -m tests.simulate.matrix` runs every cell, and with `--pairs N` so many pairs of cells (all
of them if it is 0), the second cell after the first.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from ..pipes import Kind, Place, Trouble
from .oracle import violations
from .plan import Disturbance, Job
from .stack import live_stack
from .stack_plan import Crash, StackPlan, Strike

TARGETS = ("loan", "look", "recovery")
ARMED_S = 1.0
"""When the troubles begin: the clock has been read by then, over a connection that is idle."""
LOST = Strike("loan", Trouble(Kind.RESET, Place.BEFORE_EXECUTION))
"""An answer that is lost, so that there is something to look for."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of trouble in one place."""

    target: str
    kind: Kind
    place: Place

    def __str__(self) -> str:
        return f"{self.target}: {self.kind} at {self.place}"


CELLS = tuple(Cell(*each) for each in product(TARGETS, Kind, Place))


def run_cell(*cells: Cell, seed: int = 0) -> list[str]:
    """One life in which the cells' troubles strike in order; what was wrong with it."""
    plan = plan_of(*cells, seed=seed)
    story, simulator = live_stack(plan)
    wrong = violations(story, simulator)
    # Of two, the first may end what the second was waiting for.
    if len(cells) == 1 and story.counts["strikes"] < len(plan.script):
        wrong.append(f"{story.counts['strikes']} of {len(plan.script)} troubles struck")
    if len(plan.crashes) != story.counts["crash"]:
        wrong.append("it did not crash")
    return wrong


def plan_of(*cells: Cell, seed: int = 0) -> StackPlan:
    """Loans and repayments of which two are equal, and the cells' troubles for the first."""
    is_recovered = any(cell.target == "recovery" for cell in cells)
    needs_lost = is_recovered or any(cell.target == "look" for cell in cells)
    troubles = [Strike(c.target, Trouble(c.kind, c.place, 0.6)) for c in cells]
    # A loan has to strike before the process dies, and a recovery after that.
    troubles.sort(key=lambda strike: TARGETS.index(strike.target))
    script = (LOST, *troubles) if needs_lost else tuple(troubles)
    return StackPlan(
        seed=seed,
        exchange={"seed": seed, "late_ms": (12_000, 16_000)},
        accounts={"main": {"exclusive": True, "confirm": "reply", "key_type": "hmac"}},
        jobs=[
            _job("BORROW", "1", 1.1),
            _job("BORROW", "1", 1.1),
            _job("REPAY", "2", 1.2),
            _job("BORROW", "3", 1.3),
            _job("REPAY", "2", 30.0),
            _job("BORROW", "1", 31.0),
        ],
        disturbances=[Disturbance(at_s=ARMED_S, name="close_idle")],
        loan_faults={},
        read_faults={},
        quiet_at_s=60.0,
        wall_skew_ms=0,
        script=script,
        armed_s=ARMED_S,
        crashes=(Crash(at_s=1.5, pause_s=0.3),) if is_recovered else (),
    )


def _job(kind: str, amount: str, at_s: float) -> Job:
    return Job(
        at_s=at_s,
        account="main",
        kind=kind,
        asset="USDT",
        amount=amount,
        symbol=None,
        priority="normal",
        send_within=None,
        cancel_after_s=None,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate.matrix",
        description="Let every kind of trouble strike in every place, alone or in pairs.",
        epilog="example: python -m tests.simulate.matrix --pairs 500 --jobs 2",
    )
    parser.add_argument("--pairs", type=int, help="run so many pairs, drawn at random; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (the cores)")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    tasks = [(options.seed, cells) for cells in _chosen(options)]
    bad = 0
    tally: Counter[str] = Counter()
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for cells, wrong in pool.imap_unordered(run_task, tasks, chunksize=4):
            tally.update(str(cell.kind) for cell in cells)
            bad += bool(wrong)
            for line in wrong:
                print(f"{', then '.join(map(str, cells))}: {line}", flush=True)
    took_s = time.perf_counter() - began
    print(f"{len(tasks)} runs in {took_s:.1f} s, {bad} with violations")
    print(", ".join(f"{kind} {times}" for kind, times in sorted(tally.items())))
    return 1 if bad else 0


def _chosen(options: argparse.Namespace) -> list[tuple[Cell, ...]]:
    cells: list[tuple[Cell, ...]] = [(cell,) for cell in CELLS if options.only in str(cell)]
    if options.pairs is None:
        return cells
    pairs = list(_pairs())
    if not options.pairs:
        return [*pairs]
    return [*random.Random(options.seed).sample(pairs, min(options.pairs, len(pairs)))]


def _pairs() -> Iterator[tuple[Cell, Cell]]:
    for first, second in product(CELLS, CELLS):
        if TARGETS.index(first.target) <= TARGETS.index(second.target):
            yield first, second


def run_task(task: tuple[int, tuple[Cell, ...]]) -> tuple[tuple[Cell, ...], list[str]]:
    seed, cells = task
    try:
        return cells, run_cell(*cells, seed=seed)
    except Exception as error:
        return cells, ["".join(traceback.format_exception(error)[-8:])]


if __name__ == "__main__":
    sys.exit(main())
