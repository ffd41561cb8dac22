"""The minute's weight: nearly all of it is used, and never more."""

import pytest

from .minute import (
    FAR_MS,
    NEAR_MS,
    Spending,
    at_any_moment,
    burst,
    busy,
    evenly,
    on_the_minute,
    restarted,
    scattered,
    thrice_a_minute,
    urgent,
)
from .world import LIMIT

MINUTES = 5.0
"""Of each campaign here; an hour by the command."""

WINDOWS = pytest.mark.parametrize("window", ["rolling", "fixed"])


@WINDOWS
@pytest.mark.parametrize("charge_refusals", [True, False], ids=["charged", "free"])
@pytest.mark.parametrize(
    ("answers", "headers_on_refusals"),
    [("at_end", True), ("at_once", True), ("at_once", False)],
    ids=["at the end", "at once", "at once, no headers on refusals"],
)
def test_alone_it_uses_nearly_everything_and_is_never_refused(
    window: str, charge_refusals: bool, answers: str, headers_on_refusals: bool
) -> None:
    alone = busy(
        MINUTES,
        window=window,
        charge_refusals=charge_refusals,
        answers=answers,
        headers_on_refusals=headers_on_refusals,
        round_trip_ms=FAR_MS,
    )
    assert alone.most <= LIMIT
    assert alone.refused == 0
    assert alone.used() >= 0.99
    assert alone.useful() >= 0.98  # what met -3007 was no use, where answers come at once


@WINDOWS
@pytest.mark.parametrize("answers", ["at_end", "at_once"])
def test_nearby_it_is_the_same(window: str, answers: str) -> None:
    alone = busy(MINUTES, window=window, answers=answers, round_trip_ms=NEAR_MS)
    assert alone.most <= LIMIT
    assert alone.refused == 0
    assert alone.useful() >= 0.99


@WINDOWS
@pytest.mark.parametrize(
    ("retry_after", "headers_on_refusals"),
    [(True, True), (False, False)],
    ids=["told how long", "not told, and no headers on refusals"],
)
@pytest.mark.parametrize("spending", [evenly, on_the_minute, thrice_a_minute])
def test_beside_another_program_it_uses_nearly_all_that_is_left(
    window: str, retry_after: bool, headers_on_refusals: bool, spending: Spending
) -> None:
    shared = busy(
        4,
        warm_up=2,
        spending=spending,
        window=window,
        retry_after=retry_after,
        headers_on_refusals=headers_on_refusals,
    )
    assert shared.most <= LIMIT
    assert shared.useful() >= 0.95
    assert shared.most_refused <= 1
    assert shared.banned == 0


@pytest.mark.parametrize(
    ("retry_after", "headers_on_refusals"),
    [(True, True), (False, False)],
    ids=["told how long", "not told, and no headers on refusals"],
)
@pytest.mark.parametrize(
    ("spending", "window", "least_told", "least_untold"),
    [
        pytest.param(scattered, "rolling", 0.92, 0.9, id="scattered-rolling"),
        pytest.param(scattered, "fixed", 1.05, 1.05, id="scattered-fixed"),
        pytest.param(at_any_moment, "rolling", 0.88, 0.8, id="all at once-rolling"),
        pytest.param(at_any_moment, "fixed", 1.05, 1.05, id="all at once-fixed"),
    ],
)
def test_beside_a_program_that_keeps_no_hours_one_refusal_is_followed_by_none_for_a_minute(
    spending: Spending,
    window: str,
    retry_after: bool,
    headers_on_refusals: bool,
    least_told: float,
    least_untold: float,
) -> None:
    """A fixed window forgets what the other spent at the end of each minute, so that more than the
    rest is left. Under a rolling one, whoever spends a fifth of the minute at once and at any
    moment shows only in what it leaves: either some of that stays unused, or refusals follow each
    other.
    """
    shared = busy(
        16,
        warm_up=4,
        spending=spending,
        window=window,
        retry_after=retry_after,
        headers_on_refusals=headers_on_refusals,
    )
    assert shared.most <= LIMIT
    assert shared.useful() >= (least_told if retry_after else least_untold)
    assert shared.most_refused <= 1
    assert shared.banned == 0


@WINDOWS
def test_with_the_default_reserve_it_uses_nearly_all_that_is_not_reserved(window: str) -> None:
    kept_back = busy(MINUTES, reserve=6, window=window)
    assert kept_back.most <= LIMIT - 6 * 1_500
    assert kept_back.refused == 0
    assert kept_back.useful(reserve=6) >= 0.99


@WINDOWS
@pytest.mark.parametrize("reserve", [0, 6])
@pytest.mark.parametrize("round_trip_ms", [NEAR_MS, FAR_MS], ids=["near", "far"])
def test_a_burst_takes_hardly_longer_than_the_budget_makes_it(
    window: str, reserve: int, round_trip_ms: tuple[float, float]
) -> None:
    four_hundred = burst(400, reserve=reserve, window=window, round_trip_ms=round_trip_ms)
    assert four_hundred.most <= LIMIT
    assert four_hundred.refused == 0
    assert four_hundred.took_s <= 1.02 * four_hundred.ideal_s


@pytest.mark.parametrize("round_trip_ms", [NEAR_MS, FAR_MS], ids=["near", "far"])
def test_an_urgent_repayment_starts_at_once_in_a_full_queue_and_a_spent_minute(
    round_trip_ms: tuple[float, float],
) -> None:
    repaid = urgent(1_000, round_trip_ms=round_trip_ms)
    assert repaid.spent == 114
    assert repaid.waiting == 886
    assert repaid.started_after_s <= 1.0
    assert repaid.next_normal_after_s > 1.0  # so the minute was spent indeed
    assert repaid.most <= LIMIT


def test_the_reserve_holds_six_and_the_seventh_waits() -> None:
    assert urgent(200, count=6, round_trip_ms=NEAR_MS).started_after_s <= 1.0
    seventh = urgent(200, count=7, round_trip_ms=NEAR_MS)
    assert seventh.started_after_s > 1.0
    assert seventh.most <= LIMIT


@WINDOWS
@pytest.mark.parametrize("is_killed", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize("every_s", [7.3, 25.0, 61.0])
def test_a_new_process_knows_what_the_minute_has_seen(
    window: str, is_killed: bool, every_s: float
) -> None:
    lives = restarted(4, every_s=every_s, is_killed=is_killed, window=window)
    assert lives.most <= LIMIT
    assert lives.refused == 0
    assert lives.attempts >= 0.9 * 4 * 120
