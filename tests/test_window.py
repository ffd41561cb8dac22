"""Whether the exchange's minute rolls, by what its replies count."""

import pytest

from scheduler.window import APART_MIN, CLEAR_MS, MINUTE_MS, VOTES_MIN, Window

WEIGHT = 1_500
EPOCH_MS = 1_800_000_000_000
"""A whole minute of the exchange's clock, when the steady one stands at 0."""


def live(
    window: Window,
    *,
    minutes: int,
    is_rolling: bool,
    every_ms: int = 1_000,
    others: int = 0,
    from_ms: int = 0,
) -> None:
    """Attempts at a distance, answered after 200 ms, each judged by its reply."""
    times = range(from_ms, from_ms + minutes * MINUTE_MS, every_ms)
    for at_ms in times:
        since_ms = at_ms - MINUTE_MS if is_rolling else at_ms // MINUTE_MS * MINUTE_MS - 1
        used = sum(since_ms < t <= at_ms for t in times) * WEIGHT + others
        window.add(at_ms, at_ms + 200, is_sure=True)
        window.judge(used, at_ms + 200, at_ms, EPOCH_MS + at_ms + 200)


def test_nothing_is_believed_at_first() -> None:
    assert not Window(WEIGHT).is_rolling


def test_a_rolling_window_is_recognized_after_some_minutes() -> None:
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN, is_rolling=True)
    assert not window.is_rolling
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN + 1, is_rolling=True)
    assert window.is_rolling


@pytest.mark.parametrize("others", [0, 5, 24])
def test_a_fixed_window_is_never_taken_for_a_rolling_one(others: int) -> None:
    window = Window(WEIGHT)
    for minute in range(10):
        live(
            window, minutes=1, is_rolling=False, others=others * WEIGHT, from_ms=minute * MINUTE_MS
        )
        assert not window.is_rolling


def test_one_reply_that_a_rolling_window_cannot_give_is_enough_to_doubt_it() -> None:
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN + 1, is_rolling=True)
    at_ms = (VOTES_MIN + 1) * MINUTE_MS
    window.judge(WEIGHT, at_ms, at_ms - 100, EPOCH_MS + at_ms)
    assert not window.is_rolling


def test_too_little_of_our_own_tells_nothing() -> None:
    window = Window(WEIGHT)
    live(window, minutes=20, is_rolling=True, every_ms=MINUTE_MS // (APART_MIN - 1))
    assert not window.is_rolling


@pytest.mark.parametrize(
    ("at_ms", "is_taken"),
    [
        pytest.param(CLEAR_MS - 1, False, id="its attempt may have come in the minute before"),
        pytest.param(CLEAR_MS + 300, True, id="clear of the minute's beginning"),
        pytest.param(MINUTE_MS - CLEAR_MS + 1, False, id="it may be the next minute there already"),
    ],
)
def test_a_reply_near_a_minutes_end_votes_for_nothing(at_ms: int, is_taken: bool) -> None:
    window = Window(WEIGHT)
    for minute in range(1, VOTES_MIN + 1):
        now_ms = minute * MINUTE_MS + at_ms
        began_ms = minute * MINUTE_MS - CLEAR_MS - 500
        for _ in range(20):
            window.add(max(began_ms, now_ms - MINUTE_MS + 1), began_ms + 100, is_sure=True)
        window.judge(200 * WEIGHT, now_ms, now_ms - 100, EPOCH_MS + now_ms)
    assert window.is_rolling is is_taken


def test_attempts_that_may_not_have_counted_prove_nothing() -> None:
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN + 1, is_rolling=True)
    at_ms = (VOTES_MIN + 1) * MINUTE_MS
    for _ in range(50):
        window.add(at_ms, at_ms + 100, is_sure=False)
    window.judge(60 * WEIGHT, at_ms + 100, at_ms, EPOCH_MS + at_ms + 100)
    assert window.is_rolling
