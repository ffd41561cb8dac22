"""Every kind of trouble at every place of a connection."""

import pytest

from .simulate.matrix import CELLS, Cell, run_cell


@pytest.mark.parametrize("cell", [pytest.param(cell, id=str(cell)) for cell in CELLS])
def test_whatever_befalls_a_connection_no_promise_is_broken(cell: Cell) -> None:
    assert run_cell(cell) == []


def test_two_troubles_in_one_life_break_none_either() -> None:
    loans = [cell for cell in CELLS if cell.target == "loan"]
    looks = [cell for cell in CELLS if cell.target == "look"]
    pairs = list(zip(loans, reversed(looks), strict=True))[::4]
    assert {pair: wrong for pair in pairs if (wrong := run_cell(*pair))} == {}
