"""The progress of a run on the screen: lanes on a terminal, a line a second anywhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .progress import Lane, Progress, Stage

FRAME_S = 0.1
LINE_S = 1.0

_HEADINGS = {
    Stage.QUEUED: ("queued", ""),
    Stage.IN_AIR: ("in air", "cyan"),
    Stage.LOOKING: ("looking", "yellow"),
    Stage.CONFIRMED: ("confirmed", "green"),
    Stage.REFUSED: ("refused", "red"),
    Stage.LOST: ("lost", "red"),
}


@asynccontextmanager
async def watched(console: Console | None, progress: Progress) -> AsyncIterator[None]:
    """Shows the progress for as long as it is entered, and how it ended."""
    if console is None:
        yield
        return
    show = _lanes if console.is_terminal else _lines
    showing = asyncio.create_task(show(console, progress))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _lanes(console: Console, progress: Progress) -> None:
    with Live(console=console, auto_refresh=False, transient=False) as live:
        try:
            while True:
                live.update(_picture(progress), refresh=True)
                await asyncio.sleep(FRAME_S)
        finally:
            live.update(_picture(progress), refresh=True)


async def _lines(console: Console, progress: Progress) -> None:
    try:
        while True:
            await asyncio.sleep(LINE_S)
            console.print(_line(progress), soft_wrap=True)
    finally:
        console.print(_line(progress), soft_wrap=True)


def _line(progress: Progress) -> str:
    counts = [f"{progress.total(stage)} {stage}" for stage in Stage if progress.total(stage)]
    return f"{progress.client:<12} {progress.elapsed_s:4.1f} s  {', '.join(counts)}"


def _picture(progress: Progress) -> Group:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("", width=12)
    for heading, style in _HEADINGS.values():
        table.add_column(heading, justify="right", style=style, header_style="dim", no_wrap=True)
    table.add_column("time", justify="right", header_style="dim", no_wrap=True)
    for name, lane in progress.lanes.items():
        table.add_row(name, _bar(lane), *_counts(lane), f"{_seconds(lane, progress):.1f} s")
    return Group(Text(progress.client, style="bold"), table, Text())


def _bar(lane: Lane) -> ProgressBar:
    return ProgressBar(total=lane.size, completed=lane.over, width=12)


def _counts(lane: Lane) -> list[str]:
    return [str(lane.counts[stage] or "") for stage in _HEADINGS]


def _seconds(lane: Lane, progress: Progress) -> float:
    return progress.elapsed_s if lane.finished_s is None else lane.finished_s
