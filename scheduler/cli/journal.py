"""`margin-scheduler journal`: what can be done with a journal while no scheduler runs on it."""

import asyncio
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ..journal import POSTGRES
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
        "margin-scheduler journal copy scheduler.db postgresql://scheduler@db1/margin",
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
    scheduler may be running on it; on a PostgreSQL journal they may. Exit code 0: sound, 1: not,
    2: it cannot be read.
    """
    if file.startswith(POSTGRES):
        path, found = _without_password(file, "FILE"), asyncio.run(_with_driver().verify(file))
    else:
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


@app.command(
    cls=Command,
    epilog=examples(
        "margin-scheduler journal copy scheduler.db postgresql://scheduler@db1/margin",
    ),
)
def copy(
    file: File,
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="postgresql://USER@HOST/DATABASE, without a password."),
    ],
    as_json: AsJson = False,
) -> int:
    """Copy a SQLite journal to PostgreSQL, with its history and its keys.

    All of it or nothing; the file stays as it is, and the database must hold no journal yet. No
    scheduler may be running on either. The password comes from PGPASSWORD or ~/.pgpass, never from
    the command line.
    """
    path = _existing(file)
    where = _without_password(url, "URL")
    progress = _say_nothing if as_json else _say_progress
    counts = asyncio.run(_with_driver().copy(path, url, progress))
    if as_json:
        say_json({"file": path, "copied": counts})
    else:
        typer.echo(f"{path}: {counted(counts['entries'], 'submission')} copied to {where}")
    return 0


def _say_progress(table: str, done: int, total: int) -> None:
    typer.echo(f"{table}: {done} of {total}", err=True)


def _say_nothing(table: str, done: int, total: int) -> None:
    """The output is for a program."""


def _with_driver() -> ModuleType:
    """What is done with PostgreSQL, for those who have its driver."""
    try:
        return import_module("..journal.postgres_tools", __package__)
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise Failed(
            "postgresql:// needs a driver; pip install 'margin-scheduler[postgres]'"
        ) from None


def _without_password(url: str, argument: str) -> str:
    """The URL, for messages. Raises Failed where it says what the process list must not show."""
    parts = urlsplit(url)
    if not url.startswith(POSTGRES):
        raise Failed(f"{argument}: must begin with postgresql://")
    if parts.password or "password=" in parts.query:
        raise Failed(f"{argument}: give the password by PGPASSWORD or ~/.pgpass, not in the URL")
    return url


def _existing(file: str) -> str:
    path = Path(file.removeprefix(SCHEME)).resolve()
    if not path.is_file():
        raise Failed(f"{path}: there is no such file")
    return str(path)
