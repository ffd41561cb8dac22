"""`python -m benchmarks.side_by_side`: this scheduler beside what people use today."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from .clients import CLIENTS
from .judge import Score
from .match import ClientFailed, play
from .table import HEAD, row
from .work import Work, works

TOGETHER = frozenset({"over_the_minute", "starved"})
"""Works that are mostly waiting: their clients run at the same time, each at its own exchange."""


async def scores(
    clients: list[str], work: Work, *, size: int, seed: int, console: Console
) -> list[Score]:
    """Every client's score at one work."""
    if work.name in TOGETHER:
        return list(
            await asyncio.gather(*(play(name, work, size=size, seed=seed) for name in clients))
        )
    done = []
    for name in clients:
        console.print(f"{work.name}: {CLIENTS[name]} ...", style="dim")
        done.append(await play(name, work, size=size, seed=seed))
    return done


async def run(options: argparse.Namespace) -> list[tuple[Work, list[Score]]]:
    console = Console(stderr=True)
    listed = works(options.size)
    results = []
    for name in options.work:
        console.print(f"{name}: {listed[name].says}")
        found = await scores(
            options.clients, listed[name], size=options.size, seed=options.seed, console=console
        )
        results.append((listed[name], found))
    return results


def _print(results: list[tuple[Work, list[Score]]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 180)
    for work, found in results:
        table = Table(*HEAD, title=f"{work.name}: {work.says}", title_justify="left")
        for score in found:
            table.add_row(*row(score))
        console.print(table)


def _choices(kind: str, known: Iterable[str]) -> Callable[[str], list[str]]:
    names = list(known)

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(
                    f"no {kind} {name!r}; there are {', '.join(names)}"
                )
        return chosen

    return parse


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side",
        description="The same work for this scheduler and for others, each at a simulated exchange "
        "of its own, judged by the exchange's ledger.",
        epilog="example: python -m benchmarks.side_by_side --work burst,lost_answers "
        "--clients embedded,ccxt,tenacity --size 100 --seed 3 --json",
    )
    names = list(works())
    parser.add_argument(
        "--work", type=_choices("work", names), default=names, help=f"of {', '.join(names)} (all)"
    )
    parser.add_argument(
        "--clients",
        type=_choices("client", list(CLIENTS)),
        default=list(CLIENTS),
        help=f"of {', '.join(CLIENTS)} (all)",
    )
    parser.add_argument("--size", type=int, default=100, help="borrows in the plain burst (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the exchange (0)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    try:
        results = asyncio.run(run(options))
    except ClientFailed as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        works_done = [
            {"name": work.name, "says": work.says, "scores": [asdict(score) for score in found]}
            for work, found in results
        ]
        print(json.dumps(works_done))
    else:
        _print(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
