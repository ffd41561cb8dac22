"""Pace, ledger and bucket together: how much goes at once, how much in a minute, how far apart."""

from collections.abc import Callable

import anyio
import pytest

from scheduler.account_queue import Headroom
from scheduler.budget import CHARGED_MAX_MS, RESTART_MARGIN_MS, Budget
from scheduler.clock import loop_s
from scheduler.events import Accepted, Lost, NotSent, Refused, Sent
from scheduler.ledger import MARGIN_MS, MINUTE_MS, UNANSWERED_MS
from scheduler.model import Answer, Outcome
from scheduler.pace import STEP_MS
from scheduler.policy import Limits
from scheduler.refusals import Disposition

from .build import NOW_MS, W_MS, attempt

pytestmark = pytest.mark.anyio

REQUEST = 1_500
BUSY = Refused(Answer(code=-3007, name="HAS_PENDING_TRANSACTION", message=""), Disposition.BUSY)


def steady_ms() -> int:
    return int(loop_s() * 1000)


async def run(
    budget: Budget,
    until_ms: int,
    *,
    answer_ms: Callable[[int], int] = lambda number: 50,
    is_urgent: bool = False,
) -> list[int]:
    """Attempts one after the other for as long as there is budget; when each started."""
    starts: list[int] = []
    while (now_ms := steady_ms()) < until_ms:
        headroom = budget.headroom(now_ms)
        wait_ms = headroom.urgent_ms if is_urgent else headroom.normal_ms
        if wait_ms:
            await anyio.sleep(min(wait_ms, until_ms - now_ms) / 1000)
            continue
        charge = budget.start(now_ms, is_urgent=is_urgent)
        assert steady_ms() == now_ms, "starting does not wait"
        starts.append(now_ms)
        await anyio.sleep(answer_ms(len(starts)) / 1000)
        budget.ledger.end(charge, steady_ms())
    return starts


def most_in_a_minute(starts: list[int]) -> int:
    return max(sum(a <= b < a + MINUTE_MS for b in starts) for a in starts)


async def test_a_fresh_budget_has_room_for_both_priorities() -> None:
    assert Budget(Limits()).headroom(0) == Headroom(normal_ms=0, urgent_ms=0)


async def test_starts_keep_their_distance() -> None:
    starts = await run(Budget(Limits(min_gap_ms=100)), 5_000)
    assert starts[:4] == [0, 100, 200, 300]
    assert len(starts) == 50


@pytest.mark.parametrize("reserve", [0, 6])
async def test_a_whole_minutes_weight_may_go_at_once_and_no_more_in_any_minute(
    reserve: int,
) -> None:
    starts = await run(Budget(Limits(urgent_reserve=reserve)), 10 * MINUTE_MS)
    assert most_in_a_minute(starts) == 120 - reserve
    assert starts[119 - reserve] < 15_000
    assert len(starts) >= 0.99 * 10 * (120 - reserve)


async def test_slow_answers_never_make_more_than_a_minutes_weight_arrive() -> None:
    budget = Budget(Limits(urgent_reserve=0))
    flights = await run(budget, 5 * MINUTE_MS, answer_ms=lambda n: 9_000 if n % 7 == 0 else 20)
    answers = [start + (9_000 if n % 7 == 0 else 20) for n, start in enumerate(flights, 1)]
    # Whenever between start and answer the exchange counts it: at worst the late ones late.
    for arrivals in (flights, answers, [max(pair) for pair in zip(flights, answers, strict=True)]):
        assert most_in_a_minute(sorted(arrivals)) <= 120


async def test_a_smaller_burst_spreads_the_same_weight_over_the_minute() -> None:
    limits = Limits(burst_weight=10 * REQUEST, urgent_reserve=0)
    starts = await run(Budget(limits), 2 * MINUTE_MS)
    assert starts[9] <= 1_000
    # From then on as the bucket refills: two a second.
    assert starts[30] >= 10_000
    assert sum(start < 30_000 for start in starts) == pytest.approx(70, abs=2)
    assert most_in_a_minute(starts) <= 120


async def test_urgent_ones_may_spend_the_reserve_that_normal_ones_may_not() -> None:
    budget = Budget(Limits(urgent_reserve=6, min_gap_ms=0))
    await run(budget, 10_000, answer_ms=lambda number: 1)
    headroom = budget.headroom(steady_ms())
    assert headroom.urgent_ms == 0 < headroom.normal_ms
    urgent = await run(budget, 20_000, answer_ms=lambda number: 1, is_urgent=True)
    assert len(urgent) == 6


async def test_the_wait_it_names_is_the_wait_there_is() -> None:
    budget = Budget(Limits(burst_weight=2 * REQUEST, min_gap_ms=0, urgent_reserve=0))
    for _ in range(2):
        budget.ledger.end(budget.start(0, is_urgent=False), 0)
    wait_ms = budget.headroom(0).normal_ms
    assert wait_ms == pytest.approx(500, abs=2)  # 1500 at 3 a millisecond
    await anyio.sleep((wait_ms - 3) / 1000)
    assert budget.headroom(steady_ms()).normal_ms > 0
    await anyio.sleep(0.003)
    assert budget.headroom(steady_ms()).normal_ms == 0


# What an attempt cost


async def settled(event: Accepted | Refused | NotSent | Lost, used: int | None = None) -> Budget:
    """After one attempt that started at 0 and ended 100 ms later."""
    budget = Budget(Limits(min_gap_ms=100))
    charge = budget.start(0, is_urgent=False)
    budget.settle(charge, attempt(), Sent(event, used), now_ms=NOW_MS + 100, steady_ms=100)
    return budget


@pytest.mark.parametrize(
    ("event", "until_ms"),
    [
        pytest.param(Accepted(1), 100 + MINUTE_MS + MARGIN_MS, id="accepted"),
        pytest.param(BUSY, 100 + MINUTE_MS + MARGIN_MS, id="refused: every attempt weighs"),
        pytest.param(NotSent("refused"), 0, id="never left"),
        pytest.param(Lost("reset"), W_MS + UNANSWERED_MS + MINUTE_MS + MARGIN_MS, id="lost"),
    ],
)
async def test_an_attempt_weighs_for_as_long_as_its_end_says(
    event: Accepted | Refused | NotSent | Lost, until_ms: int
) -> None:
    budget = await settled(event)
    if until_ms:
        assert budget.ledger.own(until_ms - 1) == REQUEST
    assert budget.ledger.own(until_ms) == 0


async def test_a_collision_widens_the_gap_and_whatever_gets_through_ends_the_row() -> None:
    budget = await settled(BUSY)
    assert budget.pace.gap_ms(100) == 100 + STEP_MS
    for event in (BUSY, Accepted(1), BUSY):
        charge = budget.start(0, is_urgent=False)
        budget.settle(charge, attempt(), Sent(event, None), now_ms=NOW_MS, steady_ms=100)
    assert budget.pace.gap_ms(100) == 100 + 2 * STEP_MS


@pytest.mark.parametrize(("used", "foreign"), [(None, 0), (REQUEST, 0), (5 * REQUEST, 4 * REQUEST)])
async def test_a_replys_header_tells_of_others(used: int | None, foreign: int) -> None:
    budget = await settled(Accepted(1), used)
    assert budget.ledger.foreign(100) == foreign


# After a restart


@pytest.mark.parametrize(
    ("outcome", "ended_ms", "weighs_ms"),
    [
        pytest.param(Outcome.ANSWERED, 100, 100 + MINUTE_MS + RESTART_MARGIN_MS, id="answered"),
        pytest.param(Outcome.LOST, 100, W_MS + CHARGED_MAX_MS, id="lost before its fence"),
        pytest.param(Outcome.LOST, 15_000, 15_000 + CHARGED_MAX_MS, id="lost after its fence"),
        pytest.param(Outcome.IN_AIR, None, W_MS + CHARGED_MAX_MS, id="in the air"),
        pytest.param(Outcome.NEVER_LEFT, 100, 0, id="never left"),
    ],
)
async def test_an_earlier_process_attempts_weigh_on(
    outcome: Outcome, ended_ms: int | None, weighs_ms: int
) -> None:
    ended_at_ms = None if ended_ms is None else NOW_MS + ended_ms
    past = attempt(outcome=outcome, ended_at_ms=ended_at_ms)
    budget = Budget(Limits())
    budget.restore([(past, False)], now_ms=NOW_MS + 20, steady_ms=7)
    if weighs_ms:
        assert budget.ledger.own(7 + weighs_ms - 20 - 1) == REQUEST
    assert budget.ledger.own(7 + weighs_ms - 20 if weighs_ms else 7) == 0


async def test_an_earlier_process_urgent_attempts_are_still_urgent() -> None:
    limits = Limits(uid_weight_per_minute=3 * REQUEST, urgent_reserve=1)
    past = attempt(outcome=Outcome.ANSWERED, ended_at_ms=NOW_MS)
    budget = Budget(limits)
    budget.restore([(past, True), (past, False)], now_ms=NOW_MS, steady_ms=0)
    assert budget.headroom(0).normal_ms == 0


async def test_what_is_long_over_weighs_nothing() -> None:
    past = attempt(outcome=Outcome.IN_AIR)
    budget = Budget(Limits())
    budget.restore([(past, False)], now_ms=NOW_MS + W_MS + CHARGED_MAX_MS, steady_ms=0)
    assert budget.ledger.own(0) == 0
