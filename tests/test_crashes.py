"""A process that dies at every point of its work, as far as every change can afford it."""

import pytest

from .simulate import crashes


def test_dying_at_any_point_loses_nothing_and_does_nothing_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert crashes.main(["--pairs", "60"]) == 0, capsys.readouterr().out


def test_the_same_holds_over_a_real_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert crashes.main(["--journal", "sqlite", "--pairs", "0"]) == 0, capsys.readouterr().out


def test_the_same_holds_where_amounts_are_looked_up_and_interest_is_added_in_between(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert crashes.main(["--looks", "--pairs", "20"]) == 0, capsys.readouterr().out
