"""What is left of one call's minute."""

import pytest

from scheduler.spending import Spending


@pytest.mark.parametrize(
    ("steady_ms", "wait_ms"),
    [
        pytest.param(0, 1_000, id="until the first is over"),
        pytest.param(999, 1, id="a moment before that"),
        pytest.param(1_000, 0, id="then it fits"),
    ],
)
def test_a_weight_waits_until_enough_is_over(steady_ms: int, wait_ms: int) -> None:
    spending = Spending()
    spending.spend(60, 1_000)
    spending.spend(30, 2_000)
    assert spending.wait_ms(50, 100, steady_ms) == wait_ms


def test_what_is_over_counts_no_more() -> None:
    spending = Spending()
    for until_ms in (3_000, 1_000, 2_000):
        spending.spend(10, until_ms)
    assert [spending.spent(at_ms) for at_ms in (0, 1_000, 2_500, 3_000)] == [30, 20, 10, 0]


def test_where_nothing_is_spent_anything_fits() -> None:
    assert Spending().wait_ms(1_000, 100, 0) == 0
