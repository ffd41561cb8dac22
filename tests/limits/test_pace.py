"""The distance between starts, an account that is occupied, and a clock that jumps."""

import pytest

from .minute import FAR_MS, NEAR_MS
from .pace import BLOCK_EVERY_S, STEP_MS, blocked, gaps, jumps
from .world import LIMIT

MINUTES = 4.0


def test_the_gap_grows_with_collisions_and_shrinks_back() -> None:
    seen = gaps(collisions=3)
    assert seen.before_ms == pytest.approx(100, abs=3)
    # Each collision adds a step, of which a little has gone by the time of the burst.
    assert seen.before_ms + 2.5 * STEP_MS < seen.after_ms <= seen.before_ms + 3 * STEP_MS + 3
    assert seen.later_ms == pytest.approx(seen.before_ms, abs=3)


def test_the_gap_has_a_bound() -> None:
    assert gaps(collisions=30).after_ms <= 100 + 400 + 3


@pytest.mark.parametrize("round_trip_ms", [NEAR_MS, FAR_MS], ids=["near", "far"])
def test_blocks_of_five_seconds_cost_at_most_six_refusals_each(
    round_trip_ms: tuple[float, float],
) -> None:
    seen = blocked(MINUTES, round_trip_ms=round_trip_ms)
    assert seen.blocks == (MINUTES * 60 - 20) // BLOCK_EVERY_S
    assert seen.confirmed == seen.submitted
    assert 0 < seen.most_refused <= 6
    assert seen.weight_refused == seen.refused * 1_500
    assert seen.longest_s < 5 + 5  # the block, and the longest back-off
    assert seen.most <= LIMIT


@pytest.mark.parametrize("accounts", [1, 5])
@pytest.mark.parametrize("round_trip_ms", [NEAR_MS, FAR_MS], ids=["near", "far"])
def test_a_jump_of_the_exchanges_clock_costs_each_account_one_refusal(
    accounts: int, round_trip_ms: tuple[float, float]
) -> None:
    seen = jumps(MINUTES, accounts=accounts, round_trip_ms=round_trip_ms)
    assert seen.jumps == 2 * MINUTES
    assert seen.confirmed == seen.submitted
    assert seen.refused > 0
    assert seen.most_refused <= accounts
    assert seen.most_attempts == 2
    # One every 30 s, one after each refusal, and now and then one before a look at the records.
    assert seen.samples <= 6 * MINUTES + seen.refused
