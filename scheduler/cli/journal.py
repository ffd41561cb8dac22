"""`margin-scheduler journal`: what can be done with a journal while no scheduler runs on it."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from ..journal.sqlite import SqliteJournal
from ..journal.verify import verify as findings_of
from .failed import Failed
from .help import Command, examples
from .output import counted, say_json

DAY_MS = 86_400_000
KEPT_MIN_DAYS = 2
"""The auditor goes back for a day and an hour to what it needs the attempts of."""

SCHEME = "sqlite:///"

app = typer.Typer(
    name="journal",
    help="Look after a journal's file while no scheduler runs on it.",
    epilog=examples(
        "margin-scheduler journal verify scheduler.db",
        "margin-scheduler journal archive scheduler.db",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A path, or sqlite:///PATH.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command(
    cls=Command,
    epilog=examples(
        "margin-scheduler journal verify scheduler.db",
        "margin-scheduler journal verify /var/lib/margin-scheduler/scheduler.db --json",
    ),
)
def verify(file: File, as_json: AsJson = False) -> int:
    """Tell whether a journal is sound.

    Checks the file itself and what must hold between its rows. Takes the file's lock, so no
    scheduler may be running on it. Exit code 0: sound, 1: not, 2: it cannot be read.
    """
    path = _existing(file)
    found = findings_of(path)
    if as_json:
        say_json({"file": path, "is_sound": not found, "findings": found})
    else:
        for finding in found:
            typer.echo(finding)
        typer.echo(f"{path}: {counted(len(found), 'finding') if found else 'sound'}")
    return 1 if found else 0


@app.command(
    cls=Command,
    epilog=examples(
        "margin-scheduler journal archive scheduler.db --older-than 90",
        "margin-scheduler journal archive scheduler.db --older-than 30 --json",
    ),
)
def archive(
    file: File,
    older_than: Annotated[
        int,
        typer.Option(
            min=KEPT_MIN_DAYS, metavar="DAYS", help="Keep what was finished in the last DAYS."
        ),
    ] = 90,
    as_json: AsJson = False,
) -> int:
    """Move old finished submissions to NAME.archive.db, next to the journal.

    Their keys, requests, final states and transaction ids stay, so repeating one is still answered.
    """
    path = _existing(file)
    count = asyncio.run(_archive(path, older_than))
    if as_json:
        say_json({"file": path, "archived": count})
    else:
        typer.echo(f"{path}: {counted(count, 'submission')} archived")
    return 0


async def _archive(path: str, older_than: int) -> int:
    now_ms = int(time.time() * 1000)
    journal = SqliteJournal(path)
    await journal.open()
    try:
        return await journal.archive(now_ms - older_than * DAY_MS, at_ms=now_ms)
    finally:
        await journal.aclose()


def _existing(file: str) -> str:
    path = Path(file.removeprefix(SCHEME)).resolve()
    if not path.is_file():
        raise Failed(f"{path}: there is no such file")
    return str(path)
