"""How the commands print, for people and for other programs."""

from collections.abc import Mapping
from typing import Any

import orjson
import typer
from rich.console import Console


def console(*, no_color: bool = False) -> Console:
    """Standard output: colours on a terminal alone, and not there if NO_COLOR is set either."""
    return Console(no_color=no_color or None, highlight=False)


def counted(number: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say_json(value: Mapping[str, Any]) -> None:
    """One line, out at once: whoever reads it may be waiting for it."""
    typer.echo(orjson.dumps(value).decode())
