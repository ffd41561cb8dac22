"""What interest leaves of a debt that was repaid whole."""

import re
from decimal import Decimal

import pytest

from scheduler.figures import Owed
from scheduler.model import Entry, Kind, State, revised
from scheduler.policy import Policy
from scheduler.remnant import is_remnant, leaves_remnants, next_key, nth, submission_for

from .build import DAY_MS, NOW_MS, attempt, entry

POLICY = Policy(remnant_rounds_max=3, remnant_share_max=Decimal("0.01"))


def repaid(key: str = "k1", requested: str = "all") -> Entry:
    return entry(
        State.CONFIRMED,
        key,
        kind=Kind.REPAY,
        amount=requested,
        tried=attempt(amount="100", outcome=attempt().outcome),
    )


def owed(principal: str, interest: str = "0") -> Owed:
    return Owed(Decimal(principal), Decimal(interest))


@pytest.mark.parametrize(
    ("left", "is_one"),
    [
        pytest.param(owed("0"), False, id="nothing"),
        pytest.param(owed("0.001"), True, id="what was added"),
        pytest.param(owed("0.5", "0.5"), True, id="a hundredth"),
        pytest.param(owed("1.00000001"), False, id="more is a new debt"),
    ],
)
def test_what_is_left_is_interest_up_to_a_hundredth(left: Owed, is_one: bool) -> None:
    assert is_remnant(left, repaid(), POLICY) is is_one


@pytest.mark.parametrize("key", ["k", "a" * 64, "order:17", "rest", "rest1:abc"])
def test_its_key_is_one_for_each_key_and_a_key_like_any_other(key: str) -> None:
    assert next_key(key) == next_key(key) != next_key(key + "x")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", next_key(key))
    assert (nth(key), nth(next_key(key))) == (0, 1)


def test_what_is_left_of_what_was_left_counts_on() -> None:
    first = next_key("k1")
    second = next_key(first)
    assert (nth(first), nth(second)) == (1, 2)
    assert first.split(":")[1] == second.split(":")[1]


def test_only_a_repayment_of_everything_and_its_rests_leave_any_and_not_for_ever() -> None:
    first = next_key("k1")
    second, third = next_key(first), next_key(next_key(first))
    assert leaves_remnants(repaid(), POLICY)
    assert leaves_remnants(repaid(first, "0.001"), POLICY)
    assert leaves_remnants(repaid(second, "0.001"), POLICY)
    assert not leaves_remnants(repaid(third, "0.001"), POLICY)
    assert not leaves_remnants(repaid("k1", "100"), POLICY)
    assert not leaves_remnants(entry(State.CONFIRMED, amount="max"), POLICY)


def test_it_is_repaid_by_exactly_that_much_or_less_on_the_same_account() -> None:
    asked = submission_for(repaid(), owed("0.001", "0.0005"), NOW_MS)
    before = repaid().submission
    assert (asked.requested, asked.at_most) == ("0.0015", True)
    assert (
        revised(
            asked,
            key=before.key,
            requested=before.requested,
            at_most=before.at_most,
            submitted_at_ms=before.submitted_at_ms,
        )
        == before
    )


def test_it_has_five_minutes_even_where_the_first_ones_time_is_over() -> None:
    asked = submission_for(repaid(), owed("0.001"), NOW_MS + 2 * DAY_MS)
    assert asked.deadline_ms == NOW_MS + 2 * DAY_MS + 300_000
