"""Both outcomes side by side, with what has to be known to read them."""

from collections.abc import Iterator
from textwrap import fill

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ..output import counted
from .burst import Burst
from .verdict import Verdict

IN_WORDS = {
    "lost_after": "connection cut",
    "1007_after": "-1007",
    "503_after": "503",
}
"""How the answers of `LOST_ANSWERS` are lost."""

WIDTH_MAX = 100
PROBLEMS_SHOWN = 5

Row = tuple[str, str, str]


def print_report(console: Console, burst: Burst, naive: Verdict, scheduled: Verdict) -> None:
    """The table, its footnotes, and the verdict in a line."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("")
    table.add_column("naive client", justify="right")
    table.add_column("scheduler", justify="right", style="bold")
    for section in (_told(naive, scheduled), _seen(naive, scheduled), _timed(naive, scheduled)):
        for label, of_naive, of_scheduled in section:
            table.add_row(label, of_naive, of_scheduled)
        table.add_section()
    console.print(table)
    width = min(console.width, WIDTH_MAX)
    for note in _footnotes(burst, scheduled):
        console.print(fill(note, width, subsequent_indent=" " * 4), style="dim", markup=False)
    console.print()
    for line in _conclusion(scheduled):
        style = "red" if scheduled.problems else "green"
        console.print(line, style=style, markup=False, soft_wrap=True)


def _told(naive: Verdict, scheduled: Verdict) -> Iterator[Row]:
    yield (
        "confirmed to the client",
        f"{naive.confirmed} of {naive.requests}",
        f"{scheduled.confirmed} of {scheduled.requests}",
    )
    for code in sorted({*naive.refused, *scheduled.refused}, reverse=True):
        counts = naive.refused.get(code, 0), scheduled.refused.get(code, 0)
        yield f"refused with {code}", str(counts[0]), str(counts[1])
    if naive.unanswered or scheduled.unanswered:
        yield "left without an answer", str(naive.unanswered), str(scheduled.unanswered)


def _seen(naive: Verdict, scheduled: Verdict) -> Iterator[Row]:
    yield "calls that reached the exchange", str(naive.sent), str(scheduled.sent)
    yield "  answered -3007, account busy", str(naive.busy), str(scheduled.busy)
    yield "  answered 429, too many", str(naive.limited), str(scheduled.limited)
    if naive.banned or scheduled.banned:
        yield "  answered 418, address banned", str(naive.banned), str(scheduled.banned)
    yield "weight spent a confirmed request", _weight(naive), _weight(scheduled)
    yield "transactions booked", str(naive.booked), str(scheduled.booked)
    yield "  a second time for one request [1]", str(naive.repeated), str(scheduled.repeated)
    yield "  that the client does not know of [1]", str(naive.unknown), str(scheduled.unknown)


def _timed(naive: Verdict, scheduled: Verdict) -> Iterator[Row]:
    yield "time", f"{naive.elapsed_s:.1f} s", f"{scheduled.elapsed_s:.1f} s"
    yield "  the least possible [2]", "-", f"{scheduled.ideal_s:.1f} s"
    yield "  ratio of the two", "-", f"{scheduled.elapsed_s / scheduled.ideal_s:.2f}"
    yield "exactly once each, by the ledger [3]", _checked(naive), _checked(scheduled)


def _weight(verdict: Verdict) -> str:
    return "-" if verdict.weight_each is None else f"{verdict.weight_each:,.0f}"


def _checked(verdict: Verdict) -> str:
    return "no" if verdict.problems else "yes"


def _footnotes(burst: Burst, scheduled: Verdict) -> Iterator[str]:
    lost = list(burst.lost_answers.values())
    how = ", ".join(IN_WORDS[fault] for fault in dict.fromkeys(lost))
    yield (
        f"[1] {counted(len(lost), 'answer')} lost on purpose ({how}), after the exchange has done "
        "what was asked. The naive client sends a failed call again, and takes any code for a "
        "refusal. The scheduler looks in the exchange's records."
    )
    calm = burst.accounts[-1]
    apart = (
        ""
        if calm in burst.lost_answers
        else f"; {calm}, which lost none, took {scheduled.lanes[calm].ratio:.2f} of its own least"
    )
    yield (
        "[2] The exchange works through an account's requests one by one, so no client is faster "
        "than the sum of their processing times, here of the busiest account. To look for a lost "
        f"answer takes a second or so{apart}."
    )
    yield (
        "[3] The ledger is the simulated exchange's own, kept in another process: each request has "
        "exactly one transaction, under the id that the client was told, and debts agree."
    )


def _conclusion(scheduled: Verdict) -> Iterator[str]:
    if not scheduled.problems:
        yield f"All as it should be: {counted(scheduled.requests, 'request')}, each exactly once."
        return
    yield f"{len(scheduled.problems)} things are not as they should be:"
    yield from (f"  {problem}" for problem in scheduled.problems[:PROBLEMS_SHOWN])
