"""Defects planted in the rules: each is found where it was first, and nothing is without it."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from .simulate.defects import README, Misplaced, patched, rows, runs, search
from .simulate.planted import DEFECTS, Defect


@pytest.mark.parametrize("defect", [pytest.param(defect, id=defect.name) for defect in DEFECTS])
def test_a_planted_defect_is_found_at_its_seed_and_clean_code_passes_there(defect: Defect) -> None:
    assert search(defect, defect.by, defect.seed, 1) is not None
    assert clean(defect.by, defect.seed) == []


@cache
def clean(by: str, seed: int) -> list[str]:
    """What the check finds without a defect. Tests are not run for it: they run anyway."""
    path = by.partition("::")[0]
    if path.endswith(".py"):
        return [] if (Path(__file__).parents[1] / path).is_file() else [f"there is no {path}"]
    [(_, violations)] = runs(by, seed, 1)
    return violations


def test_the_readme_of_the_tests_has_the_table_of_them() -> None:
    assert rows() in README.read_text("utf-8")


@pytest.mark.parametrize(
    ("sound", "said"), [("no such text", "is not there any more"), ("return", "stands there")]
)
def test_a_defect_whose_place_is_gone_says_what_to_do(sound: str, said: str) -> None:
    defect = replace(DEFECTS[0], name="lost", sound=sound)
    with pytest.raises(Misplaced) as raised:
        patched(defect)
    for part in ("lost", f"scheduler/{defect.file}", said, "planted.py", "--write --only", sound):
        assert part in str(raised.value)


def test_no_two_have_the_same_name() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 40
