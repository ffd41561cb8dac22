"""Lives of the scheduler, and defects planted in it, as far as every change can afford them."""

from pathlib import Path

import pytest

from .simulate.__main__ import main, run_seed
from .simulate.defects import DEFECTS, Defect, first_finding

LIVES = 1_000
"""More by `python -m tests.simulate --seeds N`."""
LIVES_WITH_LOOKS = 300
"""More by `python -m tests.simulate --looks --seeds N`."""

RARE = {
    "SENT to UNKNOWN",
    "UNKNOWN to QUEUED",
    "UNKNOWN to NOT_EXECUTED",
    "UNKNOWN to UNRESOLVED",
    "UNRESOLVED to CONFIRMED",
    "UNRESOLVED to NOT_EXECUTED",
    "ACCEPTED to REJECTED",
    "alarm shared_account",
}


def test_no_life_breaks_a_promise_and_the_rare_branches_are_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", str(LIVES)]) == 0, capsys.readouterr().out
    report = capsys.readouterr().out
    assert not [branch for branch in RARE if f"{branch} " not in report]


def test_no_life_breaks_a_promise_where_amounts_are_looked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--looks", "--seeds", str(LIVES_WITH_LOOKS)]) == 0, capsys.readouterr().out


def test_the_same_seed_is_the_same_life_to_the_last_byte() -> None:
    assert run_seed(7).digest == run_seed(7).digest
    assert run_seed(7).digest != run_seed(8).digest


@pytest.mark.parametrize("defect", [pytest.param(defect, id=defect.name) for defect in DEFECTS])
def test_a_planted_defect_is_found_at_its_seed(defect: Defect) -> None:
    found = first_finding(defect, defect.seed, 1)
    assert found is not None, f"seed {defect.seed} does not find: {defect.name}"
    assert run_seed(defect.seed).violations == []


def test_every_defect_has_a_row_in_the_readme_of_the_tests() -> None:
    table = (Path(__file__).parent / "README.md").read_text("utf-8")
    missing = [d.name for d in DEFECTS if f"| {d.name} | {d.file} | {d.seed} |" not in table]
    assert not missing
