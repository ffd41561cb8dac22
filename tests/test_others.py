"""What is left to others on the account."""

import pytest

from scheduler.others import MINUTE_MS, Others

WEIGHT = 1_500
BURST = 24 * WEIGHT


def rolling(others: Others, now_ms: int) -> int:
    return others.weight(now_ms, is_rolling=True)


def unknown(others: Others, now_ms: int) -> int:
    return others.weight(now_ms, is_rolling=False)


def test_nothing_is_left_to_nobody() -> None:
    assert rolling(Others(WEIGHT), 0) == unknown(Others(WEIGHT), 0) == 0


def test_where_the_window_is_not_known_the_most_of_the_last_minute_is_left() -> None:
    others = Others(WEIGHT)
    for at_ms, weight in ((0, BURST), (20_000, 0), (30_000, WEIGHT)):
        others.observe(weight, at_ms)
    assert [unknown(others, t) for t in (30_000, 59_999, 60_000, 90_000)] == [
        BURST,
        BURST,
        WEIGHT,
        0,
    ]


def test_where_it_rolls_what_was_spent_is_free_again_a_minute_later() -> None:
    others = Others(WEIGHT)
    others.observe(BURST, 0)
    others.observe(BURST, 50_000)  # the same burst, seen again
    assert [rolling(others, t) for t in (50_000, 59_999, 60_000)] == [BURST, BURST, 0]
    assert unknown(others, 60_000) == BURST


def test_what_a_later_reply_does_not_count_any_more_is_free() -> None:
    others = Others(WEIGHT)
    others.observe(BURST, 0)
    others.observe(2 * BURST, 10_000)
    others.observe(BURST, 40_000)
    assert others.known(40_000) == BURST
    assert others.known(69_999) == BURST
    assert others.known(70_000) == 0


def test_small_steps_that_come_often_are_kept_back() -> None:
    others = Others(WEIGHT)
    for number in range(1, 25):
        others.observe(number * WEIGHT, number * 2_500)
    others.observe(23 * WEIGHT, 61_000)
    assert rolling(others, 61_000) == 24 * WEIGHT


def test_a_rare_large_step_is_not() -> None:
    others = Others(WEIGHT)
    others.observe(2 * BURST, 0)
    others.observe(BURST, 1_000)
    assert rolling(others, 1_000) == BURST


@pytest.mark.parametrize(
    ("refused_s", "now_s", "is_wary"),
    [
        pytest.param([10], 11, False, id="one"),
        pytest.param([10, 40], 41, True, id="two in a minute"),
        pytest.param([10, 40], 72, False, id="two in a minute, a minute after the first"),
        pytest.param([10, 80], 81, False, id="two, further apart"),
        pytest.param([10, 80, 150, 220, 290], 291, True, id="five in five minutes"),
        pytest.param([10, 80, 150, 220, 290], 312, False, id="five minutes after the first"),
    ],
)
def test_after_as_many_refusals_as_can_be_answered_for_the_largest_step_is_kept_back(
    refused_s: list[int], now_s: int, is_wary: bool
) -> None:
    others = Others(WEIGHT)
    others.observe(0, 7_000)
    others.observe(BURST, 9_000)
    for at_s in refused_s:
        others.refused(at_s * 1_000, is_counted=True)
        others.observe(BURST, at_s * 1_000)
    kept_back = rolling(others, now_s * 1_000) - others.known(now_s * 1_000)
    assert kept_back == (BURST if is_wary else 0)


def test_a_rise_over_a_long_silence_is_no_step_unless_a_refusal_fell_into_it() -> None:
    for refused_ms, kept_back in ((None, 0), (10_000, BURST)):
        others = Others(WEIGHT)
        others.observe(0, 0)
        if refused_ms is not None:
            others.refused(refused_ms, is_counted=False)
        others.observe(BURST, 40_000)
        for at_ms in (40_000, 41_000):
            others.refused(at_ms, is_counted=True)
        assert rolling(others, 42_000) - others.known(42_000) == kept_back


def test_every_moment_at_which_less_may_be_left_is_named() -> None:
    others = Others(WEIGHT)
    for at_ms, weight in ((0, 0), (1_000, BURST), (2_000, 3 * WEIGHT), (30_000, BURST)):
        others.observe(weight, at_ms)
    for at_ms in (31_000, 33_000):
        others.refused(at_ms, is_counted=True)
    for is_rolling in (True, False):
        now_ms, left = 33_000, others.weight(33_000, is_rolling=is_rolling)
        while now_ms < 7 * MINUTE_MS:
            next_ms = min(others.changes(now_ms), default=7 * MINUTE_MS)
            assert others.weight(next_ms - 1, is_rolling=is_rolling) >= left
            now_ms, left = next_ms, others.weight(next_ms, is_rolling=is_rolling)
        assert left == 0
