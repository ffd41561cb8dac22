"""What every one of these commands can be told."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..failed import Failed
from ..signals import run_until_stopped
from .connection import Connection, Json
from .target import DEFAULT_URL, TOKEN_FILE_VARIABLE, URL_VARIABLE, target

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar=URL_VARIABLE,
        metavar="URL",
        help="Where the sidecar is: http://HOST:PORT or unix:PATH.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar=TOKEN_FILE_VARIABLE,
        metavar="FILE",
        help="Holds the sidecar's token; must be readable by its owner alone.",
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Ask the exchange anew, however young what is known.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
AccountName = Annotated[str, typer.Argument(metavar="ACCOUNT", help="As the sidecar names it.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Of the submission.")]
Symbol = Annotated[
    str | None,
    typer.Option(metavar="SYMBOL", help="The isolated pair, such as BTCUSDT; else cross margin."),
]

URL = DEFAULT_URL


def sidecar(url: str, token_file: Path | None) -> Connection:
    """The connection that the options describe. Raises Failed."""
    return Connection(target(url, token_file))


def milliseconds(option: str, seconds: float) -> int:
    """Raises Failed for what is no number of seconds."""
    if not math.isfinite(seconds):
        raise Failed(f"{option}: must be a number of seconds")
    return round(seconds * 1000)


def answered(
    url: str,
    token_file: Path | None,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Json | None = None,
    wait_s: float = 0.0,
) -> Json:
    """Makes one call and gives its answer, which may take so much longer than one from memory.
    Raises Failed."""

    async def once() -> Json:
        async with sidecar(url, token_file) as connection:
            return await connection.call(method, path, query=query, body=body, wait_s=wait_s)

    return run_until_stopped(once())
