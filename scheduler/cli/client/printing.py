"""How these commands print what a sidecar answered."""

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table

from ..output import console, say_json
from .connection import Json

WIDE = 1_000
"""Columns where nobody reads along: other programs get whole lines."""


def say(answer: Json, *shown: RenderableType, as_json: bool) -> None:
    """One line of JSON as it came, or the same for people."""
    if as_json:
        say_json(answer)
        return
    people = console()
    terminal = people.width if people.is_terminal else WIDE
    for part in shown:
        people.width = max(terminal, _least(people, part))
        people.print(part, markup=False)


def _least(people: Console, part: RenderableType) -> int:
    """What it takes so that no key is cut off: terminals wrap, and what is cut is gone."""
    unbounded = people.options.update(max_width=WIDE)
    if isinstance(part, Table):
        for column in (column for column in part.columns if column.no_wrap):
            cells = (column.header, *column.cells)
            column.min_width = max(Measurement.get(people, unbounded, c).maximum for c in cells)
    return Measurement.get(people, unbounded, part).minimum
