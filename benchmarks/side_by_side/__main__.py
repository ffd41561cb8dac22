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
from .plan import Group, groups, starts_s
from .table import HEAD, row
from .work import Work, works


async def together(group: Group, *, size: int, seed: int, console: Console) -> list[Score]:
    """The scores of a group. Nobody begins before all are set up. Raises ClientFailed."""
    all_set_up = asyncio.Barrier(len(group))
    running = []

    async def turn_at(start_s: float, name: str) -> None:
        await all_set_up.wait()
        await asyncio.sleep(start_s)
        console.print(name, style="dim")

    try:
        async with asyncio.TaskGroup() as tasks:
            for match, start_s in zip(group, starts_s(group), strict=True):
                name = f"{match.work.name}: {CLIENTS[match.client]} ..."

                async def turn(start_s: float = start_s, name: str = name) -> None:
                    await turn_at(start_s, name)

                playing = play(match.client, match.work, size=size, seed=seed, turn=turn)
                running.append(tasks.create_task(playing))
    except* ClientFailed as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in running]


async def run(options: argparse.Namespace) -> list[tuple[Work, list[Score]]]:
    console = Console(stderr=True)
    chosen = [works(options.size)[name] for name in options.work]
    found: list[Score] = []
    for group in groups(options.clients, chosen):
        found += await together(group, size=options.size, seed=options.seed, console=console)
    places = {name: place for place, name in enumerate(CLIENTS)}
    found.sort(key=lambda score: places[score.client])
    return [(work, [score for score in found if score.work == work.name]) for work in chosen]


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
        "of its own, judged by the exchange's ledger. All of it takes about 15 minutes.",
        epilog="example: python -m benchmarks.side_by_side --work burst,lost_answers "
        "--clients embedded,ccxt,tenacity --size 100 --seed 3 --json",
    )
    listed = works()
    usual = [name for name, work in listed.items() if not work.is_optional]
    parser.add_argument(
        "--work",
        type=_choices("work", listed),
        default=usual,
        help=f"of {', '.join(listed)} ({', '.join(usual)})",
    )
    parser.add_argument(
        "--clients",
        type=_choices("client", CLIENTS),
        default=list(CLIENTS),
        help=f"of {', '.join(CLIENTS)} (all)",
    )
    parser.add_argument("--size", type=int, default=100, help="borrows in the plain burst (100)")
    parser.add_argument("--seed", type=int, default=5, help="of the exchange (5)")
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
