"""The layout of the package: what there is, in which order, and who may know whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scheduler

PACKAGE = Path(scheduler.__file__).parent

# From the bottom up: a module imports only what stands above it in these two tables. "x/" is a
# subpackage, within which the order is its own affair.

PURE = {
    # These wait for nothing, read no clock and touch nothing outside.
    "model": "the nouns of a submission's life",
    "figures": "what an account owes and may borrow, as values",
    "errors": "what a caller may catch",
    "wire": "one HTTP exchange as values",
    "refusals": "the exchange's codes: name and disposition",
    "events": "what happened, and what to do about it, as values",
    "policy": "waits and bounds, with their reasons",
    "amounts": "how much an attempt asks for",
    "remnant": "what interest leaves of a debt that was repaid whole",
    "advice": "what helps after a refusal, in words",
    "reconcile": "which of the exchange's records is this attempt's",
    "lifecycle": "the rules: how an event changes an entry",
    "inventory": "the gate of an asset that has run out",
    "account_queue": "which entry of an account goes next, and when",
    "window": "how the exchange cuts its minutes",
    "highest": "the highest of a span of time",
    "habits": "how others spend of the minute",
    "others": "what others have spent of the minute, and what to leave them",
    "ledger": "the weight that a minute has seen",
    "pace": "the gap between two starts",
    "spending": "what is left of a call's minute",
    "address": "what the exchange holds against this machine's address",
    "account": "an account as its owner configures it",
    "signing": "signatures",
    "binance": "the exchange's requests and replies",
}
ACTING = {
    # These do: they wait, send, store, draw keys, and so decide as little as possible.
    "request": "what a caller may ask, and in which form",
    "clock": "exchange time",
    "budget": "what an account may start, and when",
    "transport": "HTTP",
    "reader": "reads from the exchange, within the address's weight",
    "passage": "other programs' calls, carried on",
    "timekeeper": "keeping the clock set",
    "exchange": "one account's conversation with the exchange",
    "inquiry": "what is asked of the exchange about an account's margin",
    "shelf": "an answer that is kept while it is fresh",
    "survey": "what is known of an account's margin, and since when",
    "journal/": "what must survive",
    "watch": "who is told of a change",
    "marks": "what is known of an account besides its submissions",
    "standing": "what keeps an account from sending",
    "recorder": "each step durable before it is acted on",
    "settler": "looking until nothing is undecided",
    "measure": "looking at the account before an attempt",
    "flights": "attempts in the air, as tasks",
    "shared": "what all accounts of a scheduler have in common",
    "leftovers": "what a repayment of everything left",
    "turns": "what starts next, whenever something calls for it",
    "sender": "sending, one attempt at a time",
    "worker": "carrying actions out",
    "adviser": "looking up what helps after a refusal",
    "maintenance": "pausing while the exchange is being worked on",
    "auditor": "going back to what was concluded from a missing record",
    "visibility": "how long a record takes to show",
    "startup": "whether names, accounts and keys belong together",
    "lanes": "keeping this scheduler's share of the accounts",
    "gatekeeper": "asking what can be lent while an asset is short",
    "quotes": "when a submission would start",
    "engine": "what runs under a scheduler",
    "status": "what an account is doing now",
    "remote": "acting for an account that another scheduler runs",
    "intake": "where a submission becomes an entry",
    "secret": "where a secret comes from",
    "tables": "a configuration file in its form",
    "settings": "what a configuration file says of the scheduler",
    "margin": "seeing a debt through to its end",
    "scheduler": "the public face",
    "__init__": "the public names",
    "simulator/": "the exchange, written apart",
    "sidecar/": "the scheduler behind HTTP",
    "config": "what a configuration file says of a sidecar",
    "cli/": "commands",
    "__main__": "the start",
}
ORDER = [*PURE, *ACTING]

# The simulator shares no knowledge with the scheduler, or it would share its mistakes.
APART = {"simulator/": {"wire"}}

NOT_PURE = {
    *("asyncio", "anyio", "aiohttp", "aiolimiter", "threading"),
    *("time", "datetime", "random", "secrets", "uuid"),
    *("os", "socket", "sqlite3"),
}

# A program that only borrows should not pay for the command line and the dashboards.
NOT_LOADED = {"typer", "rich", "structlog", "prometheus_client"}


def findings(path: str, source: str) -> list[str]:
    """What is wrong with the imports of one file; `path` is relative to the package."""
    row = row_of(path)
    if row not in ORDER:
        return [f"{path}: add {row!r} to a table in tests/test_layers.py, above whatever uses it"]
    wrong = []
    for line, target in imports(path, source):
        if (problem := problem_with(row, target)) is not None:
            wrong.append(f"{path}:{line}: {problem}")
    return wrong


def problem_with(row: str, target: str) -> str | None:
    """`target` is a row of the tables (".model", ".journal/") or the name of some other package."""
    package = target.split(".")[0]
    if package == "scheduler":
        return f"import {target} relatively: other distributions have a scheduler too"
    if package:
        is_wrong = row in PURE and package in NOT_PURE
        return f"{row} is pure and imports {package}" if is_wrong else None
    used = target.removeprefix(".")
    if used == row and row.endswith("/"):
        return None
    if used not in ORDER:
        return f"{used} is in no table"
    if row in APART:
        return None if used in APART[row] else f"{row} stands apart and imports {used}"
    if ORDER.index(used) >= ORDER.index(row):
        return f"{row} imports {used}, which does not stand above it"
    return None


def imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    """The targets of every import, wherever it stands; `if TYPE_CHECKING` makes no difference."""
    package = path.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(package) + 1, f"{path}:{node.lineno} leaves the package"
            base = package[: len(package) + 1 - node.level]
            if base or node.module:
                module = [*base, *(node.module or "").split(".")][0]
                yield node.lineno, f".{row_named(module) or module}"
            else:
                for alias in node.names:
                    yield node.lineno, f".{row_named(alias.name) or '__init__'}"


def row_of(path: str) -> str:
    first, *rest = path.split("/")
    return f"{first}/" if rest else first.removesuffix(".py")


def row_named(name: str) -> str | None:
    return next((row for row in ORDER if row.removesuffix("/") == name), None)


FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_imports_point_upwards_in_the_table(path: str) -> None:
    wrong = findings(path, (PACKAGE / path).read_text("utf-8"))
    assert not wrong, "\n".join(wrong)


def test_every_row_stands_once_and_has_one_job() -> None:
    assert len(ORDER) == len(set(ORDER)) == len({*PURE.values(), *ACTING.values()})


def test_import_scheduler_loads_nothing_of_the_command_line() -> None:
    program = f"import scheduler, sys; print(*{NOT_LOADED!r} & sys.modules.keys())"
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.split() == []


# The check itself


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("lifecycle.py", "from .model import Entry"),
        ("lifecycle.py", "from . import refusals, events"),
        ("lifecycle.py", "import enum\nfrom dataclasses import dataclass"),
        ("worker.py", "import asyncio, time"),
        ("worker.py", "from .journal import Journal\nfrom .journal.sqlite import Sqlite"),
        ("journal/__init__.py", "from .memory import MemoryJournal\nfrom . import sqlite"),
        ("journal/sqlite.py", "from ..model import Entry\nfrom .. import wire\nfrom . import rows"),
        ("simulator/faults.py", "from ..wire import HttpReply\nfrom .clock import Clock"),
        (
            "sidecar/pages/home.py",
            "from ... import model\nfrom .. import metrics\nfrom .x import y",
        ),
        ("cli/app.py", "from .. import __version__\nfrom ..sidecar import serve\nimport rich"),
    ],
)
def test_what_is_allowed(path: str, source: str) -> None:
    assert findings(path, source) == []


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("model.py", "from .events import Event", "model.py:1: model imports events, which does"),
        ("model.py", "from . import errors, lifecycle", "model imports lifecycle"),
        ("model.py", "from . import __version__", "model imports __init__"),
        ("model.py", "from .model import Entry", "model imports model"),
        (
            "events.py",
            "if TYPE_CHECKING:\n    from .policy import Policy",
            "events.py:2: events imp",
        ),
        ("events.py", "def late():\n    from .policy import Policy", "events.py:2: events imports"),
        ("clock.py", "from .journal.sqlite import X", "clock imports journal/"),
        ("clock.py", "from . import journal", "clock imports journal/"),
        ("journal/sqlite.py", "from .. import worker", "journal/ imports worker"),
        ("journal/sqlite.py", "from ..worker import X", "journal/ imports worker"),
        ("sidecar/pages/home.py", "from ...config import X", "sidecar/ imports config"),
        ("simulator/__init__.py", "from ..scheduler import X", "simulator/ stands apart"),
        ("simulator/faults.py", "from ..model import Kind", "simulator/ stands apart and imports"),
        ("simulator/faults.py", "from .. import policy", "simulator/ stands apart and imports"),
        (
            "worker.py",
            "from scheduler.model import Entry",
            "worker.py:1: import scheduler.model rel",
        ),
        ("worker.py", "import scheduler", "import scheduler relatively"),
        ("worker.py", "from .utils import X", "worker.py:1: utils is in no table"),
        ("utils.py", "", "utils.py: add 'utils' to a table"),
        ("utils/text.py", "", "utils/text.py: add 'utils/' to a table"),
        *(
            ("ledger.py", f"import {name}", f"ledger is pure and imports {name}")
            for name in sorted(NOT_PURE)
        ),
        ("ledger.py", "import os.path", "ledger is pure and imports os"),
        ("ledger.py", "from datetime import datetime", "ledger is pure and imports datetime"),
        ("ledger.py", "import enum, time", "ledger is pure and imports time"),
    ],
)
def test_what_is_not_allowed(path: str, source: str, problem: str) -> None:
    assert any(problem in found for found in findings(path, source))
