"""Processor time of the scheduler for one borrow, beside a bare signed post, and how it grows.

`python -m benchmarks.cost.cpu`. Each measurement is a process of its own (`once.py`), and all of
them are repeated in turns, so that what else the machine does falls on all. The least of a
measurement's rounds is what it costs; the median says how far the machine let it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.arguments import sizes

from .profile import by_module

MANY = 1_000
"""Filling a queue with fewer is too short to be measured."""
FEW = 200_000
"""Queues beyond this take minutes to fill: fewer rounds."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What `once.py` is asked for."""

    name: str
    size: int = 1
    requests: int = 5_000


Rounds = Mapping[Measure, Sequence[Mapping[str, float]]]


def planned(options: argparse.Namespace) -> list[list[Measure]]:
    """What each round measures. A queue that takes long to fill is left out of later ones."""
    requests = options.requests
    usual = [
        Measure("bare_post", requests=requests),
        Measure("over_http", requests=max(1, requests // 5)),
        *(Measure("borrow", size, requests) for size in options.accounts),
    ]
    return [
        [
            *usual,
            *(
                Measure("queued", size, requests)
                for size in options.queued
                if not number or size * number < FEW
            ),
        ]
        for number in range(options.rounds)
    ]


def measured(measure: Measure) -> dict[str, float]:
    """Raises CalledProcessError."""
    command = [sys.executable, "-m", "benchmarks.cost.once", measure.name]
    command += ["--size", str(measure.size), "--requests", str(measure.requests)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def summed_up(rounds: Rounds) -> dict[str, Any]:
    """The report's figures. Growth is relative to the smallest size."""
    return {
        "rounds": max(len(found) for found in rounds.values()),
        "bare_post": _figure(rounds, "bare_post", "us"),
        "over_http": _figure(rounds, "over_http", "us"),
        "borrow": _grown(rounds, "borrow", "us"),
        "queued": _grown(rounds, "queued", "us"),
        "submit": _grown(rounds, "queued", "submit_us", smallest=MANY),
        "of_a_bare_post": _ratio(rounds, "borrow"),
        "over_http_of_a_bare_post": _ratio(rounds, "over_http"),
    }


def _figure(rounds: Rounds, name: str, key: str) -> dict[str, float]:
    (found,) = (found for measure, found in rounds.items() if measure.name == name)
    return _least_and_median([each[key] for each in found])


def _least_and_median(values: Sequence[float]) -> dict[str, float]:
    return {"us": round(min(values), 1), "median_us": round(median(values), 1)}


def _grown(rounds: Rounds, name: str, key: str, smallest: int = 1) -> list[dict[str, Any]]:
    found = sorted(
        (m.size, each) for m, each in rounds.items() if m.name == name and m.size >= smallest
    )
    collecting = key.removesuffix("us") + "collecting_us"
    rows = [
        {
            "size": size,
            "rounds": len(each),
            **_least_and_median([one[key] for one in each]),
            "collecting_us": round(median(one[collecting] for one in each), 1),
        }
        for size, each in found
    ]
    return [{**row, "growth": round(row["us"] / rows[0]["us"], 3)} for row in rows]


def _ratio(rounds: Rounds, name: str) -> dict[str, float]:
    """The least against the least, and the medians against each other."""
    bare = _figure(rounds, "bare_post", "us")
    smallest = min((m for m in rounds if m.name == name), key=lambda m: m.size)
    ours = _least_and_median([each["us"] for each in rounds[smallest]])
    return {
        "least": round(ours["us"] / bare["us"], 3),
        "median": round(ours["median_us"] / bare["median_us"], 3),
    }


def run(rounds: Iterable[Iterable[Measure]]) -> dict[str, Any]:
    found: dict[Measure, list[dict[str, float]]] = {}
    for measures in rounds:
        for measure in measures:
            said = measured(measure)
            found.setdefault(measure, []).append(said)
            told = f"{measure.name} {measure.size}: {said['us']:.1f} us"
            print(told, file=sys.stderr)
    return summed_up(found)


def _print(result: Mapping[str, Any]) -> None:
    bare, http = result["of_a_bare_post"], result["over_http_of_a_bare_post"]
    print(f"bare signed post {result['bare_post']['us']:.1f} us, the least of {result['rounds']}")
    print(f"scheduler itself {bare['least']:.2f} of it (medians {bare['median']:.2f})")
    print(f"with journal on disk and HTTP {http['least']:.2f} of it (medians {http['median']:.2f})")
    for name, what in (("borrow", "accounts"), ("queued", "queued"), ("submit", "being queued")):
        for row in result[name]:
            print(
                f"{name:7} {row['size']:9,} {what:12} {row['growth']:5.2f} x {row['us']:8.1f} us,"
                f" of which {row['collecting_us']:6.1f} us collecting garbage"
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost.cpu",
        description="Processor time of the scheduler for one borrow, beside a bare signed post, "
        "as accounts and queue grow. All of it takes about 5 minutes and 3 GB.",
        epilog="example: python -m benchmarks.cost.cpu --accounts 1,100 --queued 10,10000 --json",
    )
    parser.add_argument("--requests", type=int, default=3_000, help="a measurement (3000)")
    parser.add_argument("--rounds", type=int, default=3, help="of every measurement (3)")
    parser.add_argument(
        "--accounts", type=sizes, default=[1, 10, 100, 1_000, 10_000], metavar="N,N,..."
    )
    parser.add_argument(
        "--queued", type=sizes, default=[10, 1_000, 100_000, 1_000_000], metavar="N,N,..."
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--profile",
        nargs="?",
        const="borrow",
        choices=["bare_post", "borrow", "over_http", "queued"],
        help="instead: where the time of this one goes, by module (borrow)",
    )
    options = parser.parse_args()
    if options.profile:
        size = {"borrow": options.accounts, "queued": options.queued}.get(options.profile, [1])[0]
        print(by_module(options.profile, size, options.requests))
        return 0
    result = run(planned(options))
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
