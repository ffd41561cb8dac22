"""The report: tables in Markdown, with the pictures, from the results of the parts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .plots import draw
from .side_by_side.judge import Score
from .side_by_side.table import markdown

TITLES = {
    "burst": "A burst at one account",
    "at_once": "Answers that come before the end",
    "over_the_minute": "More than a minute has room for",
    "accounts": "Ten accounts",
    "starved": "An asset that is out of stock",
    "lost_answers": "Answers that get lost",
}


def write(results: Mapping[str, Any], folder: Path) -> Path:
    """Writes README.md and the pictures; the path of the former."""
    pictures = draw(results, folder)
    sections = [_head(results)]
    if "burst" in pictures:
        sections.append("![What became of the burst, and who knew of it](burst.png)")
    sections += [_work(work) for work in results.get("side_by_side", [])]
    if "weight" in pictures:
        sections.append("![Weight for each confirmed borrow](weight.png)")
    sections += [
        make(results[part])
        for part, make in (
            ("sidecar", _sidecar),
            ("cpu", _cpu),
            ("memory", _memory),
            ("imports", _imports),
            ("recovery", _recovery),
            ("journal", _journal),
        )
        if part in results
    ]
    if "growth" in pictures:
        sections.append("![Growth of the processor time](growth.png)")
    path = folder / "README.md"
    path.write_text("\n\n".join(sections) + "\n", "utf-8")
    return path


def _head(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return (
        "# Benchmarks\n\n"
        "Made by `uv run --group bench python -m benchmarks`; each part runs by itself too, see "
        "its `--help`. Ratios were taken within one run and travel; seconds and microseconds are "
        f"this machine's own: {machine['cores']} {machine['processor']} cores, "
        f"{machine['system']}, Python {machine['python']}, {machine['measured']}, seed "
        f"{results['seed']}.\n\n"
        f"Versions: {packages}.\n\n"
        "The exchange is the simulator, over real HTTP, in a process of its own: 100 ms for each "
        "request, one at a time for each account, 120 a minute. *Ideal* is the time that its own "
        "processing takes; no client can be faster. Its ledger is the judge: *loans nobody knows "
        "of* are in it and no caller was told, *booked twice* were asked for once."
    )


def _work(work: Mapping[str, Any]) -> str:
    table = markdown(Score(**score) for score in work["scores"])
    return f"## {TITLES.get(work['name'], work['name'])}\n\n{work['says']}.\n\n{table}"


def _sidecar(result: Mapping[str, Any]) -> str:
    rows = [
        f"| {row['way']} | {row['share']:.2f} | {row['added_p50_ms']:.2f} ms "
        f"| {row['added_p99_ms']:.2f} ms |"
        for row in result["ways"]
    ]
    head = (
        "| way | throughput, of a bare forwarder | p50 added | p99 added |\n"
        "| --- | --- | --- | --- |"
    )
    return "\n".join(
        ["## The sidecar beside a bare forwarder\n", result["says"] + "\n", head, *rows]
    )


def _cpu(result: Mapping[str, Any]) -> str:
    accounts = ", ".join(f"{size}: {r:.2f}" for size, r in result["growth_with_accounts"].items())
    queued = ", ".join(f"{size}: {r:.2f}" for size, r in result["growth_with_queued"].items())
    return (
        "## Processor time of the scheduler itself\n\n"
        f"One borrow, journal in memory, no network: **{result['of_a_bare_post']:.2f}** of one "
        f"signed post with aiohttp. Relative to one account: {accounts}. Relative to the shortest "
        f"queue: {queued}."
    )


def _memory(result: Mapping[str, Any]) -> str:
    sizes = result["bytes_a_queued_submission"]
    said = ", ".join(f"{int(queued):,} queued: {size:,} bytes" for queued, size in sizes.items())
    return f"## Memory of a queued submission\n\n{said} each, with the journal on disk."


def _imports(result: Mapping[str, Any]) -> str:
    return f"## Import\n\n`import scheduler` takes {result['ratio']:.2f} of `import aiohttp`."


def _recovery(result: Mapping[str, Any]) -> str:
    rows = [
        f"| {row['entries']:,} | {row['unfinished']:,} | {row['ready_s']:.3f} s |"
        for row in result["starts"]
    ]
    head = "| entries | unfinished | ready after |\n| --- | --- | --- |"
    return "\n".join(["## Starting again\n", head, *rows])


def _journal(result: Mapping[str, Any]) -> str:
    rows = [
        f"| {row['journal']} | {row['callers']} | {row['of_plain']:.2f} |" for row in result["rows"]
    ]
    head = "| journal | callers | durable submissions, of plain inserts |\n| --- | --- | --- |"
    return "\n".join(["## Durable submissions beside one plain insert a commit\n", head, *rows])
