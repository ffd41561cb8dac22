"""Scenarios: a timeline of what happens to the exchange, as a TOML file.

```toml
description = "What it is about, in a sentence."

[options]              # of `Simulator`, by name
processing_ms = 100

[[events]]             # in any order; times in seconds since the start
at_s = 20
call = "drain"         # one of the simulator's handles, and its arguments
asset = "BTC"
```
"""

import asyncio
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from .control import CALLS, call
from .options import Options
from .simulator import Simulator

_SHIPPED = resources.files(__package__) / "scenarios"
_OPTION_NAMES = frozenset(option.name for option in fields(Options))


class ScenarioInvalid(ValueError):
    """A scenario that is not there or says something that has no meaning. Names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happens: a handle of the simulator, used at a time."""

    at_s: float
    call: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A simulator's options and what happens to it, events in the order of their times."""

    name: str
    description: str
    options: Mapping[str, Any]
    events: tuple[Event, ...]

    @property
    def length_s(self) -> float:
        return self.events[-1].at_s if self.events else 0.0


def scenario_names() -> list[str]:
    """The scenarios that come with the package."""
    return sorted(
        Path(file.name).stem for file in _SHIPPED.iterdir() if file.name.endswith(".toml")
    )


def load_scenario(name: str) -> Scenario:
    """A scenario by the name of a shipped one, or from the path of a file that ends in .toml."""
    file = Path(name) if name.endswith(".toml") else _SHIPPED / f"{name}.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise ScenarioInvalid(f"{name}: no such scenario; shipped: {scenario_names()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioInvalid(f"{name}: {error}") from error
    return read_scenario(Path(name).stem, table)


def read_scenario(name: str, table: Mapping[str, Any]) -> Scenario:
    """A scenario from its table, checked as far as can be without running it."""
    unknown = set(table) - {"description", "options", "events"}
    if unknown:
        raise ScenarioInvalid(f"{name}: unknown {min(unknown)!r}")
    options = table.get("options", {})
    for option in options:
        if option not in _OPTION_NAMES:
            raise ScenarioInvalid(f"{name}: no option {option!r}")
    events = [_read_event(name, number, row) for number, row in enumerate(table.get("events", []))]
    return Scenario(
        name=name,
        description=table.get("description", ""),
        options={option: _plain(value) for option, value in options.items()},
        events=tuple(sorted(events, key=lambda event: event.at_s)),
    )


async def run_scenario(scenario: Scenario, simulator: Simulator) -> None:
    """Lets the events happen at their times, from now on; returns after the last one."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for event in scenario.events:
        await asyncio.sleep(started_s + event.at_s - loop.time())
        call(simulator, event.call, event.arguments)


def _read_event(name: str, number: int, row: Mapping[str, Any]) -> Event:
    where = f"{name}: events[{number}]"
    at_s, called = row.get("at_s"), row.get("call")
    if not isinstance(at_s, int | float) or at_s < 0:
        raise ScenarioInvalid(f"{where}: at_s has to be a number of seconds, at least 0")
    if called not in CALLS:
        raise ScenarioInvalid(f"{where}: no call {called!r}; there are {', '.join(sorted(CALLS))}")
    arguments = {key: value for key, value in row.items() if key not in ("at_s", "call")}
    return Event(at_s=at_s, call=called, arguments=arguments)


def _plain(value: Any) -> Any:
    # TOML has no tuples, and options are never changed.
    return tuple(value) if isinstance(value, list) else value
