"""The report's text: tables in Markdown, from the results of the parts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .goals import Goal, goals
from .side_by_side.clients import CLIENTS, SETTINGS
from .side_by_side.judge import Score
from .side_by_side.table import markdown

TITLES = {
    "burst": "A burst at one account",
    "over_the_minute": "More than a minute has room for",
    "accounts": "Ten accounts",
    "starved": "An asset that is out of stock",
    "lost_answers": "Answers that get lost",
    "at_once": "Answers that come before the end",
}
"""Of the works, in the report's order."""

PICTURES = {
    "burst": "What became of the burst, and who knew of it when answers got lost",
    "time": "Time to finish each work, of the ideal",
    "weight": "Weight spent for each confirmed borrow",
    "growth": "What grows with accounts, queue and journal",
}


def text(results: Mapping[str, Any], pictures: Iterable[str]) -> str:
    """The whole of README.md; `pictures` are those that were drawn."""
    drawn = {name: f"![{PICTURES[name]}]({name}.png)" for name in pictures}
    sections = [_head(results), *_pictured(drawn, "burst"), _goals(results)]
    works = {work["name"]: work for work in results.get("side_by_side", [])}
    if works:
        sections += [_side_by_side(), *_pictured(drawn, "time", "weight")]
        sections += [_work(works[name]) for name in TITLES if name in works]
    sections += [make(results[part]) for part, make in _PARTS.items() if part in results]
    sections += [*_pictured(drawn, "growth"), _taken(results)]
    return "\n\n".join(sections) + "\n"


def _pictured(drawn: Mapping[str, str], *names: str) -> list[str]:
    return [drawn[name] for name in names if name in drawn]


def _head(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return (
        "# Benchmarks\n\n"
        "Made by `uv run --group bench python -m benchmarks`; `--only PART` measures one part "
        "again, and each runs by itself too, see its `--help`. **Ratios** were taken within one "
        "run and travel. Seconds, milliseconds and microseconds are this machine's own: "
        f"{machine['cores']} {machine['processor']} cores, {machine['system']}, Python "
        f"{machine['python']}. Seed {results['seed']}.\n\n"
        f"Versions: {packages}."
    )


def _goals(results: Mapping[str, Any]) -> str:
    rows = [(goal.what, _limit(goal), _figures(goal), _met(goal)) for goal in goals(results)]
    table = _table(("goal", "limit", "measured", "met"), rows)
    return f"## Goals\n\n{table}"


def _limit(goal: Goal) -> str:
    return f"at {'least' if goal.at_least else 'most'} {goal.limit:,g}"


def _figures(goal: Goal) -> str:
    return ", ".join(
        f"{name}: {'not all confirmed' if figure is None else f'{figure:,.4g}'}"
        for name, figure in goal.figures.items()
    )


def _met(goal: Goal) -> str:
    return "yes" if goal.is_met else "**no**"


def _side_by_side() -> str:
    settings = "\n".join(f"- **{CLIENTS[name]}**: {said}." for name, said in SETTINGS.items())
    return (
        "## Side by side\n\n"
        "Each client gets the same borrows, all asked for at once, at a simulated exchange of its "
        "own: a process that is reached over real HTTP, works 100 ms (± 5 %) on each request, one "
        "at a time for each account, answers when it is done, and takes 120 a minute. The same "
        "seed draws the same for everybody. Time counts from when a client is set up (imported, "
        "connected to nothing yet; this scheduler started, with its journal open) until its last "
        "caller has been told.\n\n"
        "*Ideal* is the sum of the processing times that were drawn, and for more than a minute's "
        "worth what the budget allows; no client can be faster, and *time / ideal* is given for "
        "those that got everything confirmed (else the seconds until they gave up). The "
        "exchange's ledger alone is the judge: *loans nobody knows of* are in it and no caller "
        "was told, *booked twice* were asked for once, *told wrongly* says otherwise than the "
        "ledger. *Weight each* is what was spent of the call's budget for each confirmed borrow; "
        "1,500 cannot be beaten.\n\n"
        "Where no text of the exchange decides, the simulated one is what is harder on a client: "
        "refused requests weigh too, a minute is any 60 s, and after ten 429s in a minute the "
        "address is banned (418).\n\n"
        "Clients are played one after the other where they are busy. What is mostly waiting (all "
        "clients at 400 and at the starved asset; at one account those that keep themselves "
        "waiting: ccxt, the recipe, pyrate-limiter) is played at the same time, each at its own "
        "exchange, their bursts 12 s apart.\n\n"
        f"{settings}"
    )


def _work(work: Mapping[str, Any]) -> str:
    table = markdown(Score(**score) for score in work["scores"])
    return f"### {TITLES.get(work['name'], work['name'])}\n\n{work['says']}.\n\n{table}"


def _cpu(result: Mapping[str, Any]) -> str:
    bare, http = result["of_a_bare_post"], result["over_http_of_a_bare_post"]
    return (
        "## Processor time\n\n"
        "One borrow of the scheduler itself, from call to CONFIRMED (journal in memory, no "
        f"network, nothing waiting): **{bare['least']:.2f}** of one signed post with aiohttp "
        f"(medians {bare['median']:.2f}); {result['borrow'][0]['us']:.0f} against "
        f"{result['bare_post']['us']:.0f} µs here. With its journal on disk, two synced commits "
        f"a borrow, and over HTTP: {http['least']:.2f} of that post (medians "
        f"{http['median']:.2f}).\n\n"
        "Each measurement is a process of its own, the least of its rounds; a post counts this "
        "side only. *Collecting* is the part that goes to the garbage collector, which is as "
        "every program has it. A queue is filled and then kept at its length.\n\n"
        + _grown("accounts, in turns", result["borrow"])
        + "\n\n"
        + _grown("queued, one carried out and one submitted", result["queued"])
        + "\n\n"
        + _grown("queued in the end, one submitted", result["submit"])
    )


def _grown(what: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        (
            f"{row['size']:,}",
            f"{row['growth']:.2f}",
            f"{row['us']:.0f} µs",
            f"{row['median_us']:.0f} µs",
            f"{row['collecting_us']:.0f} µs",
            str(row["rounds"]),
        )
        for row in rows
    ]
    return _table((what, "relative", "least", "median", "collecting", "rounds"), lines)


def _sidecar(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["way"],
            f"{row['share']:.2f}",
            "-" if row["cpu_share"] is None else f"{row['cpu_share']:.2f}",
            f"{row['added_p50_ms']:.2f} ms",
            f"{row['added_p99_ms']:.2f} ms",
        )
        for row in result["ways"]
    ]
    head = (
        "way",
        "throughput, of a bare forwarder",
        "its own processor time, of the forwarder's",
        "p50 added",
        "p99 added",
    )
    return f"## The sidecar beside a bare forwarder\n\n{result['says']}\n\n{_table(head, rows)}"


def _memory(result: Mapping[str, Any]) -> str:
    rows = [
        (f"{row['queued']:,}", f"{row['sqlite']:,} bytes", f"{row['memory']:,} bytes")
        for row in result["rows"]
    ]
    head = ("queued", "journal on disk", "journal in memory")
    return f"## Memory of a queued submission\n\n{_table(head, rows)}"


def _imports(result: Mapping[str, Any]) -> str:
    return (
        f"## Import\n\n`import scheduler` takes **{result['ratio']:.2f}** of the processor time of "
        f"`import aiohttp` (medians {result['medians']:.2f})."
    )


def _growth(result: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{row['entries']:,}",
            f"{row['ready_s']:.3f} s",
            f"{row['submit_ms']:.2f} / {row['submit_p99_ms']:.2f} ms",
            f"{row['submit_together_ms']:.2f} ms",
            f"{row['get_ms']:.2f} ms",
            f"{row['list_ms']:.2f} / {row['list_narrowed_ms']:.2f} ms",
            f"{row['verify_s']:.1f} s",
            f"{row['bytes_an_entry']:,} bytes",
        )
        for row in result["rows"]
    ]
    head = (
        "entries in the journal",
        "ready after",
        "submit, p50 / p99",
        "each of 64 submitted at once",
        "get by key",
        "list of 100, all / one state",
        "`journal verify`",
        "file, an entry",
    )
    return (
        "## A journal that has grown\n\n"
        "SQLite on this machine's disk, 1,000 of the entries unfinished. A submission is durable "
        f"when `submit` returns.\n\n{_table(head, rows)}"
    )


def _journal(result: Mapping[str, Any]) -> str:
    rows = [
        (row["journal"], str(row["callers"]), f"{row['of_plain']:.2f}") for row in result["rows"]
    ]
    head = ("journal", "callers", "durable submissions, of plain inserts")
    title = "## Durable submissions beside one plain insert a commit"
    return f"{title}\n\n{_table(head, rows)}"


_PARTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "cpu": _cpu,
    "sidecar": _sidecar,
    "memory": _memory,
    "imports": _imports,
    "journal": _journal,
    "growth": _growth,
}


def _taken(results: Mapping[str, Any]) -> str:
    rows = [
        (
            part,
            taken["measured"],
            taken["commit"],
            f"{taken['load']:.1f}",
            f"{taken['took_s']:.0f} s",
            f"`{taken['command']}`",
        )
        for part, taken in results["taken"].items()
    ]
    head = ("part", "measured", "commit", "load before", "took", "again")
    return (
        "## When it was measured\n\n"
        "*Load before* is what else the machine did: the load average of the minute before. "
        f"Nothing but the benchmark should run.\n\n{_table(head, rows)}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
