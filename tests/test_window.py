"""How the exchange cuts its minutes, by what its replies count."""

import pytest

from scheduler.window import APART_MIN, CLEAR_MS, MINUTE_MS, VOTES_MIN, Minute, Window

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
    assert Window(WEIGHT).minute is Minute.UNKNOWN


def test_a_rolling_window_is_recognized_after_some_minutes() -> None:
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN, is_rolling=True)
    assert window.minute is Minute.UNKNOWN
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN + 1, is_rolling=True)
    assert window.minute is Minute.ROLLING


@pytest.mark.parametrize("others", [0, 5, 24])
def test_a_fixed_window_is_never_taken_for_a_rolling_one(others: int) -> None:
    window = Window(WEIGHT)
    for minute in range(10):
        live(
            window, minutes=1, is_rolling=False, others=others * WEIGHT, from_ms=minute * MINUTE_MS
        )
        assert window.minute is not Minute.ROLLING


def test_a_fixed_window_is_recognized_as_its_minute_begins() -> None:
    window, seen = Window(WEIGHT), []
    for minute in range(2):
        live(window, minutes=1, is_rolling=False, from_ms=minute * MINUTE_MS)
        seen.append(window.minute)
    assert seen == [Minute.UNKNOWN, Minute.FIXED]


def test_one_reply_that_a_rolling_window_cannot_give_is_enough_to_doubt_it() -> None:
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN + 1, is_rolling=True)
    at_ms = (VOTES_MIN + 1) * MINUTE_MS
    window.judge(WEIGHT, at_ms, at_ms - 100, EPOCH_MS + at_ms)
    assert window.minute is Minute.FIXED


def test_too_little_of_our_own_tells_nothing() -> None:
    window = Window(WEIGHT)
    live(window, minutes=20, is_rolling=True, every_ms=MINUTE_MS // (APART_MIN - 1))
    assert window.minute is Minute.UNKNOWN


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
    assert (window.minute is Minute.ROLLING) is is_taken


def test_one_minute_has_one_vote() -> None:
    window = Window(WEIGHT)
    live(window, minutes=2, is_rolling=True)
    assert window.minute is Minute.UNKNOWN


def test_attempts_that_may_not_have_counted_prove_nothing() -> None:
    window = Window(WEIGHT)
    live(window, minutes=VOTES_MIN + 1, is_rolling=True)
    at_ms = (VOTES_MIN + 1) * MINUTE_MS
    for _ in range(50):
        window.add(at_ms, at_ms + 100, is_sure=False)
    window.judge(60 * WEIGHT, at_ms + 100, at_ms, EPOCH_MS + at_ms + 100)
    assert window.minute is Minute.ROLLING


def test_what_may_have_arrived_later_than_the_request_is_not_surely_in_its_count() -> None:
    window = Window(WEIGHT)
    for started_ms, ended_ms in ((0, 100), (200, 900), (300, 800), (250, 1_000)):
        window.add(started_ms, ended_ms, is_sure=True)
    assert window.judge(9 * WEIGHT, 1_000, 250, EPOCH_MS + 1_000) == 2 * WEIGHT


def test_what_is_surely_ours_ceases_to_be_a_minute_after_it_was_sent() -> None:
    window = Window(WEIGHT)
    for at_ms in (0, 10_000, 60_100):
        window.add(at_ms, at_ms + 100, is_sure=True)
    assert window.judge(9 * WEIGHT, 60_200, 60_100, EPOCH_MS + 60_200) == 2 * WEIGHT


def test_what_may_count_in_a_clock_minute_ends_with_it() -> None:
    window = Window(WEIGHT)
    for at_ms in (0, 50_000, MINUTE_MS - CLEAR_MS, MINUTE_MS + 500):
        window.add(at_ms, at_ms + 100, is_sure=True)
    now_ms = MINUTE_MS + 600
    window.judge(WEIGHT, now_ms, MINUTE_MS + 500, EPOCH_MS + now_ms)
    assert window.own(now_ms) == 2 * WEIGHT
    assert window.ends_ms(now_ms) == 2 * MINUTE_MS
    window.add(2 * MINUTE_MS - 200, 2 * MINUTE_MS - 100, is_sure=True)
    counts = [window.own(minutes * MINUTE_MS) for minutes in (2, 3)]
    assert counts == [WEIGHT, 0]  # what came that late may count in either


def test_what_has_ceased_to_count_is_kept_no_longer_where_no_reply_counts_anything() -> None:
    window = Window(WEIGHT)
    for at_ms in range(0, 10 * MINUTE_MS, 1_000):
        window.add(at_ms, at_ms + 100, is_sure=True)
    assert max(len(window._sure), len(window._ended)) <= 60 + CLEAR_MS // 1_000 + 1
