"""The command: `python -m tests.simulate --seeds N --jobs J`."""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from .life import live
from .oracle import violations
from .plan import draw, with_looks

YEAR_S = 365.25 * 86_400


@dataclass(slots=True)
class Result:
    """One seed's outcome, small enough to send between processes."""

    seed: int
    lives: int = 0
    virtual_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    branches: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    digest: str = ""


def run_seed(seed: int, *, looks: bool = False) -> Result:
    """Live and judge one seed; whatever it raises is a violation too."""
    try:
        plan = draw(seed)
        story, simulator = live(with_looks(plan) if looks else plan)
        return Result(
            seed,
            lives=len(story.plan.jobs),
            virtual_s=story.virtual_s,
            faults=Counter(simulator.ledger.faults),
            branches=story.branches(),
            violations=violations(story, simulator),
            digest=story.digest(),
        )
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.format_exception(error)[-8:]
        return Result(seed, violations=[f"{type(error).__name__}: {error}\n{''.join(last)}"])


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    began = time.perf_counter()
    total = Result(-1)
    bad: list[Result] = []
    seeds = range(options.first, options.first + options.seeds)
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        run = partial(run_seed, looks=options.looks)
        for done, result in enumerate(pool.imap_unordered(run, seeds, chunksize=4), 1):
            _add(total, result)
            if result.violations:
                bad.append(result)
                _print_violation(result, " --looks" if options.looks else "")
                if options.fail_fast:
                    break
            if options.digests:
                print(f"seed {result.seed} digest {result.digest}")
            if sys.stderr.isatty() and done % 20 == 0:
                print(f"\r{done} of {options.seeds} seeds", end="", file=sys.stderr)
    _print_report(options, total, bad, time.perf_counter() - began)
    return 1 if bad else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate",
        description="Live whole lives of the scheduler in virtual time and judge them.",
        epilog="example: python -m tests.simulate --seeds 1000 --jobs 2",
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many lives (200)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (the cores)")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first violation")
    parser.add_argument("--digests", action="store_true", help="print each life's digest")
    parser.add_argument(
        "--looks", action="store_true", help="most amounts are all, max or at most something"
    )
    return parser.parse_args(arguments)


def _add(total: Result, result: Result) -> None:
    total.lives += result.lives
    total.virtual_s += result.virtual_s
    total.faults.update(result.faults)
    total.branches.update(result.branches)


def _print_violation(result: Result, option: str) -> None:
    print(f"seed {result.seed} at commit {_commit()}:")
    for violation in result.violations:
        print(f"  {violation}")
    print(f"  again: python -m tests.simulate --first {result.seed} --seeds 1 --jobs 1{option}")


def _print_report(
    options: argparse.Namespace, total: Result, bad: list[Result], took_s: float
) -> None:
    print(f"{options.seeds} seeds, {total.lives} request lives in {took_s:.1f} s")
    print(f"{total.lives / took_s:.0f} lives a second with {options.jobs} processes")
    print(f"{total.virtual_s / YEAR_S:.3f} simulated years")
    print("faults: " + _counts(total.faults))
    print("branches: " + _counts(total.branches))
    print(f"{len(bad)} seeds with violations: {sorted(result.seed for result in bad)[:20]}")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
