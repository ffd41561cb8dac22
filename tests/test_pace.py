"""How far apart the starts of one account are kept."""

import pytest

from scheduler.pace import EXTRA_MAX_MS, HALF_LIFE_MS, STEP_MIN_MS, STEP_MS, Pace

GAP_MS = 100


def collide(pace: Pace, times: int, now_ms: int = 0) -> None:
    """Collisions with an attempt that went through between any two of them."""
    for _ in range(times):
        pace.collided(now_ms)
        pace.went_through(now_ms)


def test_the_first_start_waits_for_nothing() -> None:
    assert Pace(GAP_MS).wait_ms(0) == 0


@pytest.mark.parametrize(
    ("now_ms", "wait_ms"),
    [
        pytest.param(1_000, 100, id="at once"),
        pytest.param(1_001, 99, id="a millisecond later"),
        pytest.param(1_099, 1, id="a millisecond early"),
        pytest.param(1_100, 0, id="just in time"),
        pytest.param(9_999, 0, id="long after"),
    ],
)
def test_the_next_start_keeps_its_distance(now_ms: int, wait_ms: int) -> None:
    pace = Pace(GAP_MS)
    pace.started(1_000)
    assert pace.wait_ms(now_ms) == wait_ms


def test_distance_is_from_the_latest_start() -> None:
    pace = Pace(GAP_MS)
    pace.started(0)
    pace.started(150)
    assert pace.wait_ms(200) == 50


def test_a_collision_widens_the_gap_by_a_step() -> None:
    pace = Pace(GAP_MS)
    pace.collided(0)
    assert pace.gap_ms(0) == GAP_MS + STEP_MS


def test_each_collision_adds_a_step_of_its_own() -> None:
    pace = Pace(GAP_MS)
    collide(pace, 3)
    assert pace.gap_ms(0) == GAP_MS + 3 * STEP_MS


@pytest.mark.parametrize(
    ("round_trip_ms", "step_ms"),
    [
        pytest.param(1, STEP_MIN_MS, id="a short way: a little"),
        pytest.param(30, 30, id="the way that the refusal took"),
        pytest.param(400, STEP_MS, id="a long way: no more than a step"),
    ],
)
def test_the_step_is_the_way_of_the_refusal(round_trip_ms: int, step_ms: int) -> None:
    pace = Pace(GAP_MS)
    pace.started(1_000)
    pace.collided(1_000 + round_trip_ms)
    assert pace.gap_ms(1_000 + round_trip_ms) == GAP_MS + step_ms


def test_collisions_in_a_row_count_once() -> None:
    pace = Pace(GAP_MS)
    for _ in range(5):
        pace.collided(0)
    assert pace.gap_ms(0) == GAP_MS + STEP_MS


def test_the_gap_does_not_grow_without_end() -> None:
    pace = Pace(GAP_MS)
    collide(pace, 1_000)
    assert pace.gap_ms(0) == GAP_MS + EXTRA_MAX_MS


@pytest.mark.parametrize(
    ("lives", "extra_ms"),
    [
        pytest.param(0, 400, id="at first all of it"),
        pytest.param(1, 200, id="half after one half-life"),
        pytest.param(2, 100, id="a quarter after two"),
        pytest.param(20, 0, id="nothing in the end"),
    ],
)
def test_what_was_added_fades(lives: int, extra_ms: int) -> None:
    pace = Pace(GAP_MS)
    collide(pace, 100)
    assert pace.gap_ms(lives * HALF_LIFE_MS) == GAP_MS + extra_ms


def test_a_step_comes_on_top_of_what_is_left() -> None:
    pace = Pace(GAP_MS)
    collide(pace, 2)
    collide(pace, 1, now_ms=HALF_LIFE_MS)
    assert pace.gap_ms(HALF_LIFE_MS) == GAP_MS + 2 * STEP_MS


def test_asking_changes_nothing() -> None:
    pace = Pace(GAP_MS)
    pace.started(0)
    collide(pace, 1)
    asked = [pace.wait_ms(50) for _ in range(3)]
    assert asked == [STEP_MIN_MS + 50] * 3


def test_the_wider_gap_holds_for_a_start_made_before_the_collision() -> None:
    pace = Pace(GAP_MS)
    pace.started(0)
    pace.collided(60)
    assert pace.wait_ms(100) == STEP_MS


@pytest.mark.parametrize(
    ("answered_ms", "collisions", "free_ms"),
    [
        pytest.param(50, 0, 100, id="a quick answer: the gap"),
        pytest.param(700, 0, 700, id="a slow answer: no wait beyond it"),
        pytest.param(50, 1, 100 + STEP_MS, id="a quick answer after a collision: the wider gap"),
        pytest.param(700, 1, 700 + STEP_MS, id="a slow one after a collision: a step behind it"),
    ],
)
def test_what_was_added_also_keeps_a_distance_from_the_answer(
    answered_ms: int, collisions: int, free_ms: int
) -> None:
    pace = Pace(GAP_MS)
    collide(pace, collisions)
    pace.started(0)
    pace.went_through(answered_ms)
    assert answered_ms + pace.wait_ms(answered_ms) == free_ms


def test_no_gap_means_no_wait() -> None:
    pace = Pace(0)
    pace.started(5)
    assert pace.wait_ms(5) == 0
