"""The command: `python -m tests.limits --minutes 60 --jobs 2` runs the campaigns in full."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from .codes import FINAL, PASSING, STOPPING, UNKNOWN
from .minute import (
    FAR_MS,
    NEAR_MS,
    Figures,
    at_any_moment,
    burst,
    busy,
    evenly,
    on_the_minute,
    restarted,
    scattered,
    thrice_a_minute,
    urgent,
)
from .pace import blocked, gaps, jumps
from .starved import COMMON, DRAINED_S, SCARCE, Life, plain_back_off, starve, waiting_line
from .told import ALWAYS, told

Cells = Sequence[object]
Run = Callable[[], list[Cells]]
"""Lives something and gives rows of figures. Picklable."""

WINDOWS = ("rolling", "fixed")
WAYS = {"1-3 ms": NEAR_MS, "5-400 ms": FAR_MS}


@dataclass(frozen=True, slots=True)
class Table:
    """One campaign."""

    title: str
    head: Cells
    runs: list[Run]


def tables(minutes: float) -> dict[str, Table]:
    """All campaigns by name, each as long as `minutes` asks."""
    return {
        "alone": _alone(minutes),
        "others": _others(minutes),
        "reserve": _reserve(minutes),
        "burst": _bursts(),
        "urgent": _urgents(),
        "restart": _restarts(minutes),
        "pace": _paces(minutes),
        "inventory": _inventories(minutes),
        "codes": _codes(),
    }


# The minute

_FIGURES = ("used", "confirmed", "most in 60 s", "429", "a minute", "bans", "-3007")


def _figures(figures: Figures, reserve: int = 0) -> Cells:
    return (
        f"{figures.used(reserve):.2%}",
        f"{figures.useful(reserve):.2%}",
        figures.most,
        figures.refused,
        f"{figures.most_refused_by_clock} ({figures.most_refused} in 60 s)",
        figures.banned,
        figures.collisions,
    )


def _alone(minutes: float) -> Table:
    runs: list[Run] = [
        partial(_run_alone, minutes, window, charged, answers, way, headers)
        for way, (answers, headers), charged, window in product(
            WAYS, (("at_end", True), ("at_once", True), ("at_once", False)), (True, False), WINDOWS
        )
    ]
    head = ("window", "refusals", "answers", "headers", "round trip", *_FIGURES)
    return Table(f"Alone, endless work, {minutes:g} min, no reserve", head, runs)


def _run_alone(
    minutes: float, window: str, charged: bool, answers: str, way: str, headers: bool
) -> list[Cells]:
    figures = busy(
        minutes,
        window=window,
        charge_refusals=charged,
        answers=answers,
        headers_on_refusals=headers,
        round_trip_ms=WAYS[way],
    )
    weigh = "weigh" if charged else "are free"
    return [(window, weigh, answers, _yes(headers), way, *_figures(figures))]


SPENDINGS = {
    "evenly": evenly,
    "24 a minute at once": on_the_minute,
    "8 at once each 20 s": thrice_a_minute,
    "24 scattered": scattered,
    "24 at any moment": at_any_moment,
}
DRAWN = ("24 scattered", "24 at any moment")
SEEDS = range(2)


def _others(minutes: float) -> Table:
    runs: list[Run] = [
        partial(_run_beside, minutes, name, window, told_how_long, headers, seed)
        for name, window, told_how_long, headers in product(
            SPENDINGS, WINDOWS, (True, False), (True, False)
        )
        for seed in (SEEDS if name in DRAWN else SEEDS[:1])
    ]
    head = ("the other's 20 %", "seed", "window", "Retry-After", "headers", *_FIGURES)
    return Table(f"Beside another program, {minutes:g} min, of what it leaves", head, runs)


def _run_beside(
    minutes: float, name: str, window: str, told_how_long: bool, headers: bool, seed: int
) -> list[Cells]:
    figures = busy(
        minutes,
        spending=SPENDINGS[name],
        window=window,
        retry_after=told_how_long,
        headers_on_refusals=headers,
        seed=seed,
    )
    return [(name, seed, window, _yes(told_how_long), _yes(headers), *_figures(figures))]


def _reserve(minutes: float) -> Table:
    runs: list[Run] = [
        partial(_run_reserved, minutes, window, way) for window, way in product(WINDOWS, WAYS)
    ]
    head = ("window", "round trip", *_FIGURES)
    return Table(f"The default reserve, {minutes:g} min, of the unreserved", head, runs)


def _run_reserved(minutes: float, window: str, way: str) -> list[Cells]:
    figures = busy(minutes, reserve=6, window=window, round_trip_ms=WAYS[way])
    return [(window, way, *_figures(figures, 6))]


def _bursts() -> Table:
    runs: list[Run] = [
        partial(_run_burst, reserve, way, window)
        for reserve, way, window in product((0, 6), WAYS, WINDOWS)
    ]
    head = ("reserve", "round trip", "window", "took s", "ideal s", "ratio", "most in 60 s", "429")
    return Table("400 borrows at once", head, runs)


def _run_burst(reserve: int, way: str, window: str) -> list[Cells]:
    done = burst(400, reserve=reserve, window=window, round_trip_ms=WAYS[way])
    ratio = f"{done.took_s / done.ideal_s:.4f}"
    times = (f"{done.took_s:.2f}", f"{done.ideal_s:.2f}", ratio)
    return [(reserve, way, window, *times, done.most, done.refused)]


def _urgents() -> Table:
    runs: list[Run] = [partial(_run_urgent, way, n) for way, n in product(WAYS, (1, 6, 7))]
    head = ("round trip", "urgent", "queued", "spent", "last starts after s", "normal after s")
    return Table("Urgent repayments into a queue of 1,000 and a spent minute", head, runs)


def _run_urgent(way: str, count: int) -> list[Cells]:
    done = urgent(1_000, count=count, round_trip_ms=WAYS[way])
    times = (f"{done.started_after_s:.3f}", f"{done.next_normal_after_s:.1f}")
    return [(way, count, done.waiting, done.spent, *times)]


def _restarts(minutes: float) -> Table:
    runs: list[Run] = [
        partial(_run_restarted, minutes, every_s, is_killed, window)
        for every_s, is_killed, window in product((7.3, 25.0, 61.0), (False, True), WINDOWS)
    ]
    head = ("a process lives", "and is", "window", *_FIGURES)
    return Table(f"One process after the other, {minutes:g} min", head, runs)


def _run_restarted(minutes: float, every_s: float, is_killed: bool, window: str) -> list[Cells]:
    figures = restarted(minutes, every_s=every_s, is_killed=is_killed, window=window)
    how = "killed" if is_killed else "closed"
    return [(f"{every_s:g} s", how, window, *_figures(figures))]


# Pace


def _paces(minutes: float) -> Table:
    runs: list[Run] = [
        *(partial(_run_blocked, minutes, way) for way in WAYS),
        *(partial(_run_gaps, collisions) for collisions in (1, 3, 30)),
        *(partial(_run_jumps, minutes, n, way) for n, way in product((1, 20), WAYS)),
    ]
    return Table(f"Pace, {minutes:g} min", ("what", "figures"), runs)


def _run_blocked(minutes: float, way: str) -> list[Cells]:
    seen = blocked(minutes, round_trip_ms=WAYS[way])
    return [
        (
            f"{seen.blocks} blocks of 5 s, a borrow a second, {way}",
            f"{seen.confirmed} of {seen.submitted} confirmed; -3007: {seen.refused}, at most "
            f"{seen.most_refused} a block, weight {seen.weight_refused}; goes on at most "
            f"{seen.longest_s:.2f} s after a block began",
        )
    ]


def _run_gaps(collisions: int) -> list[Cells]:
    seen = gaps(collisions=collisions)
    return [
        (
            f"gap before, after {collisions} collisions, {seen.later_after_min:g} min later",
            f"{seen.before_ms:.0f}, {seen.after_ms:.0f}, {seen.later_ms:.0f} ms",
        )
    ]


def _run_jumps(minutes: float, accounts: int, way: str) -> list[Cells]:
    seen = jumps(minutes, accounts=accounts, round_trip_ms=WAYS[way])
    return [
        (
            f"{seen.jumps} clock jumps, {accounts} accounts, {way}",
            f"{seen.confirmed} of {seen.submitted} confirmed; -1021: {seen.refused}, at most "
            f"{seen.most_refused} a jump, {seen.most_attempts} attempts a request at most; "
            f"{seen.samples} clock samples",
        )
    ]


# Inventory

LINES = {
    "the same": ["10"] * 20,
    "more and more": [str(amount) for amount in range(10, 30)],
    "less and less": [str(amount) for amount in range(29, 9, -1)],
}


def _inventories(minutes: float) -> Table:
    until_s = minutes * 60
    runs: list[Run] = [
        *(partial(_run_latencies, until_s, is_drained) for is_drained in (False, True)),
        *(partial(_run_line, line, spread_s) for line, spread_s in product(LINES, (0.0, 0.5))),
        partial(_run_line, "the same", 0.5, inventory_critical="500"),
    ]
    return Table(f"A starved asset, 20 accounts, {minutes:g} min", ("what", "figures"), runs)


def _refills(until_s: float) -> dict[float, str]:
    return {until_s * 0.3: "35", until_s * 0.6: "60", until_s * 0.9: "1000"}


def _run_latencies(until_s: float, is_drained: bool) -> list[Cells]:
    line = waiting_line(LINES["the same"], DRAINED_S + 1, 0.0)
    life = starve(line, _refills(until_s), until_s=until_s, is_drained=is_drained)
    state = "starved" if is_drained else "not starved"
    return [
        (
            f"{state}: latency of {kind} {asset}",
            _distribution(life.latencies_s(kind, asset)),
        )
        for kind, asset in (("BORROW", COMMON), ("REPAY", COMMON), ("REPAY", SCARCE))
    ]


def _distribution(latencies_s: list[float]) -> str:
    shares = {"median": 0.5, "90 %": 0.9, "99 %": 0.99, "99.9 %": 0.999}
    places = {name: int(len(latencies_s) * share) for name, share in shares.items()}
    told = [f"{name} {latencies_s[place] * 1_000:.1f}" for name, place in places.items()]
    mean_ms = sum(latencies_s) / len(latencies_s) * 1_000
    return ", ".join((f"{len(latencies_s)}: mean {mean_ms:.1f}", *told)) + " ms"


def _run_line(line: str, spread_s: float, **exchange: Any) -> list[Cells]:
    jobs = waiting_line(LINES[line], DRAINED_S + 1, spread_s)
    gated = starve(jobs, _refills(1_000), **exchange)
    plain = plain_back_off(jobs, _refills(1_000), **exchange)
    label = f"20 borrows of {line}, {spread_s:g} s apart{', overstated' if exchange else ''}"
    return [(f"{label}: gate", _cost(gated)), (f"{label}: plain back-off", _cost(plain))]


def _cost(life: Life) -> str:
    by_refill = ", ".join(map(str, life.refusals_by_refill()))
    return (
        f"-3045 at first and after each refill {by_refill}; weight {life.weight()}; "
        f"{len(life.lent())} lent, {life.waited_s() / 20:.0f} s each"
    )


# Codes


def _codes() -> Table:
    codes = [*FINAL, *STOPPING, *UNKNOWN, *PASSING]
    runs: list[Run] = [partial(_run_code, code, kind) for code in codes for kind in _KINDS]
    head = ("code", "kind", "lasts", "caller sees", "name", "attempts", "weight", "s", "stopped")
    return Table("Codes", head, runs)


_KINDS = ("BORROW", "REPAY")


def _run_code(code: int, kind: str) -> list[Cells]:
    rows: list[Cells] = []
    for lasts, times in (("once", 1), ("10 min", ALWAYS)):
        if times == ALWAYS and code not in PASSING:
            continue
        seen = told(code, kind=kind, times=times)
        sees, took = seen.raised or "confirmed", f"{seen.took_s:.2f}"
        cost = (seen.attempts, seen.weight, took)
        rows.append((code, kind, lasts, sees, seen.name or "", *cost, _yes(seen.is_stopped)))
    return rows


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


# Running


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    chosen = tables(options.minutes)
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for name in options.only or chosen:
            table, began = chosen[name], time.perf_counter()
            rows = [row for part in pool.imap(_run, table.runs, chunksize=1) for row in part]
            print(f"\n{table.title} ({time.perf_counter() - began:.0f} s)")
            _print(table.head, rows)
    return 0


def _run(run: Run) -> list[Cells]:
    return run()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.limits",
        description="Run the scheduler at the exchange's limits in virtual time.",
        epilog="example: python -m tests.limits --minutes 60 --only alone others",
    )
    parser.add_argument("--minutes", type=float, default=60, help="of virtual time each (60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (the cores)")
    parser.add_argument(
        "--only", nargs="+", choices=tables(1), default=[], metavar="CAMPAIGN", help="which (all)"
    )
    return parser.parse_args(arguments)


def _print(head: Cells, rows: list[Cells]) -> None:
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
