"""The command itself: two exchanges, two clients, one verdict on each."""

from typing import Annotated, Any

import typer
from rich.console import Console

from ..help import examples
from ..output import console as open_console
from ..output import counted, say_json
from ..signals import run_until_stopped
from . import naive, scheduled
from .burst import Burst, make_burst
from .live import watched
from .progress import Progress
from .report import print_report
from .stage import Venue, exchanges
from .verdict import Verdict, judge

EXAMPLES = examples(
    "margin-scheduler demo",
    "margin-scheduler demo --accounts 1 --requests 100",
    "margin-scheduler demo --naive-retries 10",
    "margin-scheduler demo --json | python3 -m json.tool",
)


def demo(
    *,
    accounts: Annotated[
        int, typer.Option(min=1, max=20, metavar="N", help="How many accounts.")
    ] = 4,
    requests: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Requests of each account.")
    ] = 60,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed draws the same run.")] = 0,
    naive_retries: Annotated[
        int,
        typer.Option(
            min=0,
            max=10,
            metavar="N",
            help="How often the naive client sends a refused request again, 100 ms later.",
        ),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print no colours.")] = False,
) -> None:
    """Shows what it does, at a simulated exchange.

    A burst of borrows and repayments goes to two equal exchanges: from a naive client, which sends
    everything at once, and through the scheduler. Some answers are lost on purpose. Nothing leaves
    this machine. The exit code is 0 if each scheduled request was carried out exactly once.
    """
    burst = make_burst(seed, accounts, requests)
    console = None if as_json else open_console(no_color=no_color)
    if console is not None:
        console.print(
            f"{counted(burst.size, 'request')} of {counted(accounts, 'account')}, all at once\n"
        )
    with exchanges(burst, 2) as (for_naive, for_scheduled):
        of_naive, of_scheduled = run_until_stopped(
            _both(burst, for_naive, for_scheduled, naive_retries, console)
        )
    if console is None:
        say_json(_results(burst, of_naive, of_scheduled))
    else:
        print_report(console, burst, of_naive, of_scheduled)
    if of_scheduled.problems:
        raise typer.Exit(1)


async def _both(
    burst: Burst,
    for_naive: Venue,
    for_scheduled: Venue,
    naive_retries: int,
    console: Console | None,
) -> tuple[Verdict, Verdict]:
    progress = Progress("naive client", burst)
    async with watched(console, progress):
        told = await naive.run(for_naive, burst, progress, naive_retries)
    of_naive = await judge(for_naive, burst, told, progress)
    progress = Progress("scheduler", burst)
    async with watched(console, progress):
        told = await scheduled.run(for_scheduled, burst, progress)
    return of_naive, await judge(for_scheduled, burst, told, progress)


def _results(burst: Burst, of_naive: Verdict, of_scheduled: Verdict) -> dict[str, Any]:
    naive_json = of_naive.as_json()
    # Nearly every request would have a line of its own.
    naive_json["problems"] = len(of_naive.problems)
    return {
        "ok": not of_scheduled.problems,
        "seed": burst.seed,
        "accounts": len(burst.accounts),
        "requests": burst.size,
        "lost_answers": burst.lost_answers,
        "naive": naive_json,
        "scheduled": of_scheduled.as_json(),
    }
