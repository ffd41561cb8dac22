"""The simulator is written apart: what it shared with the scheduler it could not find wrong."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import scheduler.simulator

PACKAGE = Path(scheduler.simulator.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))


def imports(module: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_of_the_scheduler_it_knows_the_wire_only(module: Path) -> None:
    for level, name in imports(module):
        assert level < 2 or name == "wire", f"{module.name} imports {name}"
        assert not name.startswith("scheduler"), f"{module.name} imports {name} by its full name"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_it_tells_time_by_the_loop_and_sockets_are_in_one_place(module: Path) -> None:
    names = {name for _, name in imports(module)}
    assert not names & {"time", "datetime", "threading", "socket"}
    assert "aiohttp" not in names or module.stem == "server"
