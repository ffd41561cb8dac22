"""The command: `python -m tests.simulate --seeds N --jobs J --stack plain|looks|http|sidecar`."""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

from scheduler.simulator import Simulator

from .callers import SidecarStory
from .life import Story, live
from .oracle import violations
from .plan import draw, with_looks
from .profile import profile
from .sidecar import live_sidecar
from .sidecar_oracle import told_wrongly
from .sidecar_plan import draw_sidecar
from .stack import live_stack
from .stack_plan import draw_stack

STACKS = ("plain", "looks", "http", "sidecar")
YEAR_S = 365.25 * 86_400


@dataclass(slots=True)
class Result:
    """One seed's outcome, small enough to send between processes."""

    seed: int
    stack: str = "plain"
    lives: int = 0
    virtual_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    branches: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    digest: str = ""


def run_seed(seed: int, stack: str = "plain") -> Result:
    """Live and judge one seed; whatever it raises is a violation too."""
    try:
        story, simulator = _live(seed, stack)
        return Result(
            seed,
            stack,
            lives=len(story.plan.jobs) or len(story.latest),
            virtual_s=story.virtual_s,
            faults=simulator.ledger.faults + story.troubles,
            branches=story.branches(),
            violations=[*violations(story, simulator), *_of_callers(story, simulator)],
            digest=story.digest(),
        )
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.format_exception(error)[-8:]
        said = f"{type(error).__name__}: {error}\n{''.join(last)}"
        return Result(seed, stack, violations=[said])


def _live(seed: int, stack: str) -> tuple[Story, Simulator]:
    if stack == "http":
        return live_stack(draw_stack(seed))
    if stack == "sidecar":
        return live_sidecar(draw_sidecar(seed))
    return live(with_looks(draw(seed)) if stack == "looks" else draw(seed))


def _of_callers(story: Story, simulator: Simulator) -> list[str]:
    return told_wrongly(story, simulator) if isinstance(story, SidecarStory) else []


def _run(task: tuple[int, str]) -> Result:
    return run_seed(*task)


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if options.profile:
        return _profile(options)
    began = time.perf_counter()
    total = Result(-1)
    bad: list[Result] = []
    done = 0
    seeds = range(options.first, options.first + options.seeds)
    stacks = STACKS if options.stack == "all" else (options.stack,)
    tasks = [(seed, stack) for seed in seeds for stack in stacks]
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for done, result in enumerate(pool.imap_unordered(_run, tasks, chunksize=4), 1):
            _add(total, result)
            if result.violations:
                bad.append(result)
                _print_violation(result)
                if options.fail_fast:
                    break
            if options.minutes and time.perf_counter() - began > options.minutes * 60:
                break
            if options.digests:
                print(f"{result.stack} seed {result.seed} digest {result.digest}")
            if sys.stderr.isatty() and done % 20 == 0:
                print(f"\r{done} of {len(tasks)} seeds", end="", file=sys.stderr)
    _print_report(options, done, total, bad, time.perf_counter() - began)
    return 1 if bad else 0


def _profile(options: argparse.Namespace) -> int:
    stack = "http" if options.stack == "all" else options.stack
    seeds = range(options.first, options.first + options.seeds)
    profile(lambda seed: run_seed(seed, stack).lives, seeds, stack)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate",
        description="Live whole lives of the scheduler in virtual time and judge them.",
        epilog="example: python -m tests.simulate --seeds 1000 --jobs 2",
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many lives (200)")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (the cores)")
    parser.add_argument(
        "--stack",
        choices=(*STACKS, "all"),
        default="all",
        help="in memory, the same with amounts that are looked up, with real HTTP, a SQLite file "
        "and crashes, or the same with a sidecar and its callers in front (all)",
    )
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first violation")
    parser.add_argument("--profile", action="store_true", help="tell what bounds the lives")
    parser.add_argument("--digests", action="store_true", help="print each life's digest")
    return parser.parse_args(arguments)


def _add(total: Result, result: Result) -> None:
    total.lives += result.lives
    total.virtual_s += result.virtual_s
    total.faults.update(result.faults)
    total.branches.update(result.branches)


def _print_violation(result: Result) -> None:
    print(f"seed {result.seed} of {result.stack} at commit {_commit()}:")
    for violation in result.violations:
        print(f"  {violation}")
    print(
        f"  again: python -m tests.simulate --stack {result.stack} --first {result.seed} --seeds 1"
        " --jobs 1"
    )


def _print_report(
    options: argparse.Namespace, done: int, total: Result, bad: list[Result], took_s: float
) -> None:
    print(f"{done} lives ({options.stack}), {total.lives} request lives in {took_s:.1f} s")
    print(f"{total.lives / took_s:.0f} request lives a second with {options.jobs} processes")
    print(f"{total.virtual_s / YEAR_S:.5f} simulated years")
    print(f"{total.faults.total()} faults: " + _counts(total.faults))
    print("branches: " + _counts(total.branches))
    seeds = sorted((result.stack, result.seed) for result in bad)
    print(f"{len(bad)} seeds with violations: {seeds[:20]}")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
