"""The exchange's time: a lower bound, and how far it may be trusted."""

import anyio
import pytest

from scheduler import clock as clock_module
from scheduler.clock import JUMP_MAX_MS, JUMP_QUIET_MS, ROUND_TRIP_MAX_MS, Clock, loop_s

from .build import NOW_MS

pytestmark = pytest.mark.anyio

SLACK_MS = 1
"""A reading is cut to whole milliseconds, and each turn of the loop takes a microsecond."""


def sample(clock: Clock, server_ms: float, *, round_trip_ms: float = 0) -> None:
    clock.sample(round(server_ms), loop_s() - round_trip_ms / 1000)


async def ticking(server_ms: int = NOW_MS) -> Clock:
    """A clock set by two quick samples, as it is soon after a start."""
    clock = Clock()
    sample(clock, server_ms)
    return clock


async def test_before_the_first_sample_it_is_this_machines_time_and_not_to_be_trusted() -> None:
    clock = Clock()
    assert abs(clock.now_ms() - clock_module.wall_ms()) < 5_000
    assert (clock.is_set, clock.is_trusted) == (False, False)


async def test_the_first_quick_sample_sets_it() -> None:
    clock = Clock()
    sample(clock, NOW_MS)
    assert abs(clock.now_ms() - NOW_MS) <= SLACK_MS
    assert (clock.is_set, clock.is_trusted) == (True, True)


async def test_it_runs_on_with_the_loops_clock() -> None:
    clock = await ticking()
    await anyio.sleep(12.345)
    assert abs(clock.now_ms() - (NOW_MS + 12_345)) <= SLACK_MS


@pytest.mark.parametrize("round_trip_ms", [0, 300, 1_999])
async def test_half_the_round_trip_is_never_added(round_trip_ms: int) -> None:
    clock = Clock()
    sample(clock, NOW_MS, round_trip_ms=round_trip_ms)
    assert clock.now_ms() <= NOW_MS + SLACK_MS


@pytest.mark.parametrize(
    ("there_ms", "back_ms"),
    [(0, 400), (400, 0), (200, 200), (0, 0), (1_500, 400)],
    ids=["slow back", "slow there", "even", "no time at all", "slow both ways"],
)
async def test_it_is_never_later_than_the_exchange(there_ms: int, back_ms: int) -> None:
    began_s = loop_s()

    def at_the_exchange_ms() -> float:
        return NOW_MS + (loop_s() - began_s) * 1000

    clock = Clock()
    for _ in range(3):
        asked_at_s = loop_s()
        await anyio.sleep(there_ms / 1000)
        said_ms = int(at_the_exchange_ms())
        await anyio.sleep(back_ms / 1000)
        clock.sample(said_ms, asked_at_s)
        assert clock.now_ms() <= at_the_exchange_ms()
        assert clock.now_ms() >= at_the_exchange_ms() - back_ms - 2
        await anyio.sleep(10)
        assert clock.now_ms() <= at_the_exchange_ms()


@pytest.mark.parametrize(
    ("round_trip_ms", "is_trusted"),
    [
        pytest.param(0, True, id="at once"),
        pytest.param(ROUND_TRIP_MAX_MS - 1, True, id="just quick enough"),
        pytest.param(ROUND_TRIP_MAX_MS + 1, False, id="just too slow"),
        pytest.param(14_000, False, id="very slow"),
    ],
)
async def test_a_sample_is_trusted_if_it_was_quick(round_trip_ms: int, is_trusted: bool) -> None:
    clock = await ticking()
    await anyio.sleep(30)
    sample(clock, NOW_MS + 30_000, round_trip_ms=round_trip_ms)
    assert clock.is_trusted is is_trusted


async def test_a_slow_sample_leaves_the_time_as_it_was() -> None:
    clock = await ticking()
    await anyio.sleep(30)
    sample(clock, NOW_MS + 21_000, round_trip_ms=9_000)
    assert abs(clock.now_ms() - (NOW_MS + 30_000)) <= SLACK_MS


async def test_a_slow_first_sample_sets_the_time_and_is_not_trusted() -> None:
    clock = Clock()
    sample(clock, NOW_MS, round_trip_ms=5_000)
    assert (clock.is_set, clock.is_trusted) == (True, False)
    assert abs(clock.now_ms() - NOW_MS) <= SLACK_MS


async def test_a_quick_sample_makes_good_a_slow_one() -> None:
    clock = await ticking()
    sample(clock, NOW_MS - 5_000, round_trip_ms=5_000)
    assert not clock.is_trusted
    sample(clock, NOW_MS)
    assert clock.is_trusted


@pytest.mark.parametrize(
    ("jump_ms", "is_trusted"),
    [
        pytest.param(0, True, id="none"),
        pytest.param(JUMP_MAX_MS - 1, True, id="a small step ahead"),
        pytest.param(1 - JUMP_MAX_MS, True, id="a small step back"),
        pytest.param(JUMP_MAX_MS + 1, False, id="a jump ahead"),
        pytest.param(-JUMP_MAX_MS - 1, False, id="a jump back"),
        pytest.param(3_600_000, False, id="an hour ahead"),
        pytest.param(-3_600_000, False, id="an hour back"),
    ],
)
async def test_a_jump_puts_the_time_in_doubt(jump_ms: int, is_trusted: bool) -> None:
    clock = await ticking()
    await anyio.sleep(30)
    sample(clock, NOW_MS + 30_000 + jump_ms)
    assert clock.is_trusted is is_trusted


async def test_the_time_after_a_jump_is_the_new_one() -> None:
    clock = await ticking()
    sample(clock, NOW_MS + 10_000)
    assert abs(clock.now_ms() - (NOW_MS + 10_000)) <= SLACK_MS


async def test_a_jump_is_forgiven_only_after_everything_under_way_has_passed() -> None:
    clock = await ticking()
    sample(clock, NOW_MS + 10_000)
    sample(clock, NOW_MS + 10_000)
    assert not clock.is_trusted
    await anyio.sleep(JUMP_QUIET_MS / 1000 - 1)
    sample(clock, NOW_MS + 10_000 + JUMP_QUIET_MS - 1_000)
    assert not clock.is_trusted
    await anyio.sleep(1.002)
    sample(clock, NOW_MS + 10_000 + JUMP_QUIET_MS + 2)
    assert clock.is_trusted


async def test_a_jump_would_have_been_noticed_since_the_first_sample() -> None:
    clock = await ticking()
    await anyio.sleep(30)
    sample(clock, NOW_MS + 30_100)
    assert abs(clock.now_ms() - clock.known_since_ms - 30_000) <= SLACK_MS


async def test_doubt_outlasts_the_widest_window_and_what_comes_after_it() -> None:
    assert JUMP_QUIET_MS >= 60_000 + 10_000 + 15_000


async def test_steady_time_never_steps() -> None:
    clock = await ticking()
    began_ms = clock.steady_ms()
    for jump_ms in (10_000, -20_000, 0):
        await anyio.sleep(1)
        sample(clock, NOW_MS + jump_ms)
    assert abs(clock.steady_ms() - began_ms - 3_000) <= SLACK_MS


@pytest.mark.parametrize("ahead_ms", [0, 2_500, -2_500])
async def test_the_offset_is_how_far_this_machine_is_behind(
    ahead_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_s = loop_s()
    monkeypatch.setattr("time.time", lambda: NOW_MS / 1000 + loop_s() - began_s)
    clock = Clock()
    sample(clock, NOW_MS + ahead_ms)
    await anyio.sleep(100)
    assert clock.offset_s == pytest.approx(ahead_ms / 1000, abs=0.002)
