"""What others have spent, and what is left to them."""

import pytest

from scheduler.habits import Habits
from scheduler.others import MINUTE_MS, Others
from scheduler.window import Minute

WEIGHT = 1_500
LIMIT = 120 * WEIGHT
BURST = 24 * WEIGHT
ROLLING, FIXED, UNKNOWN = Minute.ROLLING, Minute.FIXED, Minute.UNKNOWN


def others() -> Others:
    return Others(LIMIT, WEIGHT)


def observe(
    them: Others, weight: int, now_ms: int, *, doubt: int = 0, until_ms: int | None = None
) -> None:
    """A reply to a request sent 200 ms ago."""
    until_ms = now_ms + MINUTE_MS if until_ms is None else until_ms
    them.observe(weight, weight + doubt, now_ms, now_ms - 200, until_ms)


def refuse(
    them: Others, now_ms: int, *, least: int | None = None, minute: Minute = ROLLING
) -> None:
    """A refusal of a request sent 200 ms ago."""
    them.refused(now_ms, now_ms - 200, now_ms + MINUTE_MS, minute, least=least)


def margin(them: Others, now_ms: int, minute: Minute = ROLLING, *, expired: int = 0) -> int:
    return them.margin(now_ms, minute, known=them.known(now_ms, minute), expired=expired)


def used_to(them: Others, step: int, *, every_ms: int = 2_500, for_ms: int = 55_000) -> int:
    """A reply every 500 ms, and others who spend a step every so often; until when."""
    spent: list[tuple[int, int]] = []
    for now_ms in range(0, for_ms, 500):
        if now_ms % every_ms == 0:
            spent.append((now_ms, step))
        observe(them, sum(w for at_ms, w in spent if at_ms > now_ms - MINUTE_MS), now_ms)
    return for_ms - 500


def test_nothing_is_left_to_nobody() -> None:
    for minute in Minute:
        assert others().known(0, minute) == margin(others(), 0, minute) == 0


# What they have spent


def test_where_the_window_is_not_known_the_most_of_the_last_minute_is_theirs() -> None:
    them = others()
    for at_ms, weight in ((0, BURST), (20_000, 0), (30_000, WEIGHT)):
        observe(them, weight, at_ms)
    times = (30_000, 59_999, 60_000, 90_000)
    assert [them.known(t, UNKNOWN) for t in times] == [BURST, BURST, WEIGHT, 0]


def test_where_it_rolls_what_was_spent_is_free_again_a_minute_later() -> None:
    them = others()
    observe(them, BURST, 0)
    observe(them, BURST, 50_000)  # the same burst, seen again
    assert [them.known(t, ROLLING) for t in (50_000, 59_999, 60_000)] == [BURST, BURST, 0]
    assert them.known(60_000, UNKNOWN) == BURST


def test_where_it_is_fixed_it_is_free_with_the_next_minute() -> None:
    them = others()
    observe(them, BURST, 30_000, until_ms=MINUTE_MS)
    assert [them.known(t, FIXED) for t in (59_999, 60_000)] == [BURST, 0]


def test_what_a_later_reply_does_not_count_any_more_is_free() -> None:
    them = others()
    observe(them, BURST, 0)
    observe(them, 2 * BURST, 10_000)
    observe(them, BURST, 40_000)
    assert [them.known(t, ROLLING) for t in (40_000, 69_999, 70_000)] == [BURST, BURST, 0]


def test_a_reply_that_leaves_room_for_doubt_changes_nothing() -> None:
    them = others()
    observe(them, BURST, 0)
    observe(them, BURST - 2 * WEIGHT, 10_000, doubt=3 * WEIGHT)
    assert them.known(10_000, ROLLING) == BURST


def test_what_is_seen_of_a_step_only_later_is_free_with_it() -> None:
    them = others()
    observe(them, BURST - 2 * WEIGHT, 0, doubt=3 * WEIGHT)
    observe(them, BURST, 10_000)
    assert them.known(59_999, ROLLING) == BURST
    assert them.known(60_000, ROLLING) == 0


# What is left to them besides


def test_small_steps_that_come_often_are_left_to_them_beforehand() -> None:
    them = others()
    now_ms = used_to(them, WEIGHT, for_ms=10 * MINUTE_MS)
    left = them.known(now_ms, ROLLING) + margin(them, now_ms)
    assert 24 * WEIGHT <= left <= 27 * WEIGHT


def test_what_is_usual_of_them_is_left_to_them_even_before_they_spend_it() -> None:
    them = others()
    for minute in range(10):
        for second in range(60):
            now_ms = minute * MINUTE_MS + second * 1_000
            observe(them, BURST if second >= 15 else 0, now_ms)
    now_ms = 10 * MINUTE_MS
    observe(them, 0, now_ms)
    assert margin(them, now_ms) == BURST


def test_it_is_forgotten_after_they_have_gone() -> None:
    them = others()
    now_ms = used_to(them, WEIGHT, for_ms=10 * MINUTE_MS)
    assert margin(them, now_ms) + them.known(now_ms, ROLLING) > 0
    for later_ms in range(now_ms + MINUTE_MS, now_ms + 60 * MINUTE_MS, 500):
        observe(them, 0, later_ms)
    assert margin(them, later_ms) == them.known(later_ms, ROLLING) == 0


def test_a_rare_large_step_is_not_left_to_them() -> None:
    them = others()
    now_ms = 0
    for now_ms in range(0, 10 * MINUTE_MS, 500):
        observe(them, BURST if 300_000 <= now_ms < 360_000 else 0, now_ms)
    assert margin(them, now_ms) == 0


# After a refusal


def test_for_a_minute_after_a_refusal_there_is_room_for_what_came_at_once() -> None:
    them = others()
    now_ms = used_to(them, 3 * WEIGHT, every_ms=5_000)
    before = margin(them, now_ms)
    refuse(them, now_ms)
    assert margin(them, now_ms) == 3 * WEIGHT
    assert margin(them, now_ms + MINUTE_MS - 1) > before
    assert margin(them, now_ms + MINUTE_MS) == before


def test_the_longer_nothing_was_heard_of_them_the_more_may_have_come() -> None:
    them = others()
    now_ms = used_to(them, 3 * WEIGHT, every_ms=5_000)
    refuse(them, now_ms)
    margins = [margin(them, now_ms + later_ms) for later_ms in (0, 7_000, 15_000, 31_000)]
    assert margins == sorted(margins)
    assert margins[-1] >= 6 * 3 * WEIGHT


def test_there_is_no_more_room_than_a_minute_ever_held() -> None:
    them = others()
    for at_ms, known in ((0, 0), (20_000, BURST), (70_000, BURST)):
        observe(them, known, at_ms - 500)
        observe(them, known + BURST, at_ms)
    refuse(them, 70_000)
    assert margin(them, 70_000) == 0
    assert margin(them, 80_000) == BURST  # one of the two has gone
    assert margin(them, 80_000, FIXED) == BURST


def test_of_more_than_two_steps_there_may_be_one_more() -> None:
    them, known = others(), 0
    for at_ms, step in ((0, 0), (10_000, 5), (20_000, 5), (30_000, 3)):
        observe(them, known, at_ms - 500)
        known += step * WEIGHT
        observe(them, known, at_ms)
    refuse(them, 30_000)
    assert margin(them, 30_000) == 5 * WEIGHT


def test_until_they_are_known_they_may_spend_a_fifth_of_the_minute_at_once() -> None:
    them = others()
    observe(them, WEIGHT, 0)
    refuse(them, 500)
    assert margin(them, 500, UNKNOWN) == LIMIT // 5


def test_a_rise_over_a_long_silence_is_one_step_until_they_are_known_better() -> None:
    them = others()
    observe(them, 0, 0)
    observe(them, 2 * BURST, 40_000)
    refuse(them, 40_000)
    assert margin(them, 40_000, UNKNOWN) == 2 * BURST
    for number in range(1, 4):
        observe(them, 2 * BURST + (number - 1) * WEIGHT, 40_000 + number * 2_500 - 500)
        observe(them, 2 * BURST + number * WEIGHT, 40_000 + number * 2_500)
    assert margin(them, 48_000, UNKNOWN) < BURST


def test_what_was_taken_for_ours_while_it_had_expired_there_was_theirs() -> None:
    them = others()
    now_ms = used_to(them, WEIGHT)
    least = them.known(now_ms, ROLLING)
    observe(them, least, now_ms + 500, doubt=2 * WEIGHT)
    refuse(them, now_ms + 500)
    margins = [margin(them, now_ms + 500, expired=n * WEIGHT) for n in range(4)]
    assert [m - margins[0] for m in margins] == [0, WEIGHT, 2 * WEIGHT, 2 * WEIGHT]


def test_a_refusal_that_counts_nothing_has_them_have_spent_as_much_as_they_do_at_once() -> None:
    them = others()
    now_ms = used_to(them, 3 * WEIGHT, every_ms=5_000)
    known = them.known(now_ms, ROLLING)
    refuse(them, now_ms, least=known + WEIGHT)
    assert them.known(now_ms, ROLLING) == known + 3 * WEIGHT
    observe(them, known + WEIGHT, now_ms + 500)
    assert them.known(now_ms + 500, ROLLING) == known + WEIGHT


def test_what_came_with_a_refusal_and_shows_only_later_is_free_a_minute_after_the_refusal() -> None:
    them = others()
    for at_ms, weight in ((0, 0), (500, BURST), (61_000, 0), (70_000, 0)):
        observe(them, weight, at_ms)
    refuse(them, 70_200, least=WEIGHT)
    observe(them, BURST, 85_000)
    assert [them.known(t, ROLLING) for t in (130_199, 130_200)] == [BURST, 0]


def test_what_did_not_come_with_a_refusal_and_comes_later_is_free_later() -> None:
    them = others()
    for at_ms, weight in ((0, 0), (500, BURST), (61_000, 0), (70_000, 0)):
        observe(them, weight, at_ms)
    refuse(them, 70_200, least=WEIGHT)
    observe(them, WEIGHT, 85_000)
    observe(them, BURST, 100_000)
    assert [them.known(t, ROLLING) for t in (130_200, 160_000)] == [BURST - WEIGHT, 0]


def test_what_came_with_a_refusal_is_not_free_with_an_earlier_step() -> None:
    them = others()
    observe(them, 0, 0)
    observe(them, BURST, 500, doubt=2 * WEIGHT)
    refuse(them, 1_000, least=BURST + WEIGHT)
    observe(them, 2 * BURST, 10_000)
    assert [them.known(t, ROLLING) for t in (60_499, 60_500, 61_000)] == [2 * BURST, BURST, 0]


def test_what_they_do_not_do_at_once_came_after_the_refusal() -> None:
    them = others()
    for number in range(4):
        observe(them, number * WEIGHT, number * 1_000)
    refuse(them, 33_000, least=4 * WEIGHT)
    observe(them, 14 * WEIGHT, 33_300)
    assert margin(them, 33_300, FIXED) == 10 * WEIGHT  # so that is what they do at once


def twice_within_half_a_minute() -> Others:
    """Others who spend a burst at once, known to have done so twice within 20 s, and once now."""
    them = others()
    for at_ms, weight in ((0, 0), (500, BURST), (20_000, BURST), (20_500, 2 * BURST)):
        observe(them, weight, at_ms)
    observe(them, 0, 81_000)
    observe(them, BURST, 81_500)
    return them


@pytest.mark.parametrize(("minute", "bursts"), [(ROLLING, 2), (FIXED, 3)])
def test_where_it_rolls_a_refusal_has_them_have_spent_no_more_than_a_minute_ever_held(
    minute: Minute, bursts: int
) -> None:
    them = twice_within_half_a_minute()
    refuse(them, 111_500, least=BURST + WEIGHT, minute=minute)
    assert them.known(111_500, minute) == bursts * BURST


def test_a_minute_held_what_a_reply_counted_however_long_nothing_was_heard_before() -> None:
    them = others()
    for at_ms, weight in ((0, 0), (50_000, 10 * WEIGHT), (100_000, 20 * WEIGHT)):
        observe(them, weight, at_ms)
    refuse(them, 100_500)
    assert them.known(110_000, ROLLING) == 10 * WEIGHT
    assert margin(them, 110_000) == 10 * WEIGHT


def test_a_step_that_a_refusal_was_the_first_to_show_is_reckoned_once_and_at_its_full_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    them, reckoned = others(), list[tuple[int, int]]()
    observe(them, BURST, 0)
    monkeypatch.setattr(
        Habits, "reached", lambda _, level, now_ms, *, by: reckoned.append((level, by))
    )
    refuse(them, 30_000, least=BURST + WEIGHT)
    assert reckoned == []
    for at_ms in (40_000, 40_500):
        observe(them, 2 * BURST, at_ms)
    assert reckoned == [(2 * BURST, BURST)]


@pytest.mark.parametrize("minute", list(Minute))
def test_what_a_refusal_had_them_have_spent_is_free_a_minute_later(minute: Minute) -> None:
    them = others()
    # So that nothing more of ours fits to ask.
    refuse(them, 1_000, least=LIMIT - WEIGHT, minute=minute)
    assert them.known(1_000, minute) == LIMIT - WEIGHT
    assert them.falls_ms(1_000, minute) == 1_000 + MINUTE_MS
    assert them.known(1_000 + MINUTE_MS, minute) == 0


@pytest.mark.parametrize("minute", [ROLLING, UNKNOWN])
def test_every_moment_at_which_less_may_be_left_is_named(minute: Minute) -> None:
    them = others()
    for at_ms, weight in ((0, 0), (1_000, BURST), (2_000, 3 * WEIGHT), (30_000, BURST)):
        observe(them, weight, at_ms)
    refuse(them, 31_000)

    def left(at_ms: int) -> int:
        known = them.known(at_ms, minute)
        return known + them.margin(at_ms, minute, known=known, expired=0)

    now_ms = 33_000
    while (next_ms := them.falls_ms(now_ms, minute)) is not None:
        assert now_ms < next_ms
        assert left(next_ms - 1) >= left(now_ms)
        now_ms = next_ms
    assert left(now_ms) == left(now_ms + 10 * MINUTE_MS) == 0
