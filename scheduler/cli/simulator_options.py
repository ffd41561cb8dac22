"""The simulator's own options as options of a command, and their values read from text.

There is an option for every field of the simulator's `Options`, under its name and with its help.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import orjson
import typer

from ..simulator import Options
from .failed import Failed

NOT_SERVED = {"port", "round_trip_ms", "timeout_s"}
"""Fields that are no such options: the port has one of its own, the others are about the way to an
exchange in the same process."""

_MAY_BE_NEGATIVE = {"clock_offset_ms"}

_PANELS = {
    # The panels of the help, each by the field it begins with.
    "seed": "Exchange",
    "processing_ms": "Borrow and repay",
    "window": "Limits",
    "record_lag_ms": "Records",
    "interest_rate": "Money",
    "late_ms": "What the faults of that name do",
}


def parameters() -> Iterator[inspect.Parameter]:
    """An option a field. None means that it was not given."""
    panel = ""
    for field, kind, said in _fields():
        panel = _PANELS.get(field.name, panel)
        annotation: Any = bool if kind is bool else str
        option = typer.Option(
            *_declarations(field.name, kind),
            help=f"{_sentence(said)} {_shown(_default(field))}".rstrip(),
            metavar=None if kind is bool else _metavar(kind),
            show_default=False,
            rich_help_panel=panel,
        )
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[annotation | None, option],
        )


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values for `Options` of what was given. Raises Failed, naming the option."""
    return {
        field.name: _read(field.name, kind, given[field.name])
        for field, kind, _ in _fields()
        if given.get(field.name) is not None
    }


def _fields() -> Iterator[tuple[Field[Any], Any, str]]:
    hints = get_type_hints(Options, include_extras=True)
    for field in fields(Options):
        if field.name not in NOT_SERVED:
            kind, said = get_args(hints[field.name])
            yield field, kind, said


def _read(name: str, kind: Any, text: Any) -> Any:
    try:
        value = text if kind is bool else _reader(kind)(text)
    except (ValueError, TypeError, InvalidOperation):
        form = "a JSON object of whole numbers" if _metavar(kind) == "JSON" else _metavar(kind)
        raise Failed(f"{_flag(name)}: {text!r} is not of the form {form}") from None
    if name not in _MAY_BE_NEGATIVE and any(number < 0 for number in _numbers(value)):
        raise Failed(f"{_flag(name)}: must not be negative")
    return value


def _reader(kind: Any) -> Callable[[str], Any]:
    if get_origin(kind) is Literal:
        return lambda text: _choice(text, get_args(kind))
    if get_origin(kind) is tuple:
        return _words if get_args(kind)[-1] is Ellipsis else _range
    if get_origin(kind) is Mapping:
        key = get_args(kind)[0]
        return lambda text: _weights(text, key)
    if kind is str:
        return _decimal
    if kind is float:
        return _number
    return int if kind is int else str


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError
    return text


def _words(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    if not all(words):
        raise ValueError
    return words


def _range(text: str) -> tuple[float, float]:
    """`50,500`, or `50` for just that."""
    low, _, high = text.partition(",")
    bounds = _number(low), _number(high or low)
    if not bounds[0] <= bounds[1]:
        raise ValueError
    return bounds


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError
    return number


def _weights(text: str, key: Callable[[str], Any]) -> dict[Any, int]:
    table = orjson.loads(text)
    if not isinstance(table, dict) or not all(type(n) is int for n in table.values()):
        raise ValueError
    return {key(name): number for name, number in table.items()}


def _decimal(text: str) -> str:
    if not Decimal(text).is_finite():
        raise ValueError
    return text


def _numbers(value: Any) -> list[float | Decimal]:
    """Those that a value consists of."""
    match value:
        case bool():
            return []
        case int() | float():
            return [value]
        case tuple():
            return [part for part in value if isinstance(part, float)]
        case dict():
            return list(value.values())
    try:
        return [Decimal(value)]
    except InvalidOperation:
        return []


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "A,B,C" if get_args(kind)[-1] is Ellipsis else "LOW,HIGH"
    return {int: "INTEGER", float: "NUMBER", str: "DECIMAL", int | str: "TEXT"}.get(kind, "JSON")


def _declarations(name: str, kind: Any) -> tuple[str, ...]:
    flag = _flag(name)
    return (f"{flag}/--no-{flag.removeprefix('--')}",) if kind is bool else (flag,)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _sentence(said: str) -> str:
    is_about_a_name = said.partition(" ")[0].endswith(":")
    return (said if is_about_a_name else said[:1].upper() + said[1:]) + "."


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _shown(default: Any) -> str:
    match default:
        case bool():
            shown = "yes" if default else "no"
        case tuple():
            shown = ",".join(f"{n:g}" if isinstance(n, float) else str(n) for n in default)
        case dict():
            return ""
        case _:
            shown = str(default)
    return f"[default: {shown}]"
