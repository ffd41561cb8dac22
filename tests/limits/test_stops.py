"""Being told to stop: who stops, for how long, and that everything goes on afterwards."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from scheduler import State
from scheduler.simulator import Simulator

from .starved import INVENTORY
from .stops import (
    ACCOUNTS,
    Garbled,
    Life,
    both,
    fail_next,
    stopped_then_restarted,
    told_to_stop,
)
from .world import PATH, World, attempts, with_status

ROUND_TRIP_S = 0.01
"""More than the longest here."""
SLACK_S = 1
"""On top of the Retry-After of a 429."""

LONGEST_S = 130
"""A ban of two minutes that was lengthened once, a little."""

RETRY_AFTER = pytest.mark.parametrize("retry_after", [True, False], ids=["told", "not told"])
KILLED = pytest.mark.parametrize("is_killed", [False, True], ids=["closed", "killed"])


def plain(sim: Simulator) -> Any:
    return sim.transport


def refused_at_s(life: Life, status: int) -> float:
    return with_status(life.sim.ledger.arrivals, status)[0].loop_s


def assert_all_confirmed(life: Life) -> None:
    assert {entry.state for entry in life.entries} == {State.CONFIRMED}
    assert len(life.sim.ledger.booked()) == len(life.entries)


# 429: one account


@RETRY_AFTER
@pytest.mark.parametrize("transport", [plain, Garbled], ids=["JSON", "a web page"])
def test_one_accounts_429_leaves_the_others_running(
    retry_after: bool, transport: Callable[[Simulator], Any]
) -> None:
    life = told_to_stop(
        fail_next("429", account="a"), lasts_s=120, transport=transport, retry_after=retry_after
    )
    # The trouble begins 40 s into a clock minute.
    wait_s = 60 + SLACK_S if retry_after else 20
    assert wait_s - ROUND_TRIP_S <= life.longest_wait_s("a") <= wait_s + 1.5
    assert max(life.longest_wait_s(account) for account in "bc") < 1.5
    assert life.statuses["a"].next_start.starts_at_ms - life.told_ms == pytest.approx(
        (wait_s - 2) * 1_000, abs=100
    )
    assert "limit" in life.statuses["a"].next_start.causes
    assert life.statuses["b"].next_start.starts_at_ms <= life.told_ms + 100
    assert len(with_status(attempts(life.sim), 429)) == 1
    assert_all_confirmed(life)


def test_the_code_without_the_status_means_the_same() -> None:
    life = told_to_stop(fail_next(-1003, account="a", status=400), lasts_s=120)
    assert 20 - ROUND_TRIP_S <= life.longest_wait_s("a") <= 21.5
    assert max(life.longest_wait_s(account) for account in "bc") < 1.5
    assert len(with_status(attempts(life.sim), 400)) == 1
    assert_all_confirmed(life)


@KILLED
@RETRY_AFTER
def test_a_429_is_kept_across_a_restart(is_killed: bool, retry_after: bool) -> None:
    life = stopped_then_restarted("429", is_killed=is_killed, retry_after=retry_after)
    refused_s = refused_at_s(life, 429)
    next_s = min(a.loop_s for a in attempts(life.sim, "a") if a.loop_s > refused_s)
    # 3 s after the start at 20 s into the clock minute: 37 s are left of it.
    assert next_s - refused_s >= (60 if retry_after else 36.9)
    other_s = min(a.loop_s for a in attempts(life.sim, "b") if a.loop_s > refused_s)
    assert other_s - refused_s < 2
    assert len(with_status(attempts(life.sim), 429)) == 1


# 418 and 403: the address


@RETRY_AFTER
@pytest.mark.parametrize("transport", [plain, Garbled], ids=["JSON", "a web page"])
def test_a_ban_stops_every_account_and_says_until_when(
    retry_after: bool, transport: Callable[[Simulator], Any]
) -> None:
    life = told_to_stop(
        fail_next("418", account="a"), lasts_s=200, transport=transport, retry_after=retry_after
    )
    assert_silence(life, 418, 120)
    assert_said(life, "banned", 120)
    banned = with_status(life.sim.ledger.arrivals, 418)
    assert (
        banned[-1].loop_s - banned[0].loop_s < 0.003
    )  # but for what was under way nothing went on
    assert_all_confirmed(life)


@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
def test_the_firewall_stops_every_account_for_five_minutes(kind: str) -> None:
    life = told_to_stop(fail_next("403", account="a"), lasts_s=400, kind=kind)
    assert_silence(life, 403, 300)
    assert_said(life, "firewalled", 300)
    assert_nothing_lost(life, kind, 1)


@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
def test_refusals_of_what_was_under_way_together_close_the_address_once(kind: str) -> None:
    life = told_to_stop(fail_next("403", times=len(ACCOUNTS)), lasts_s=400, kind=kind)
    assert_silence(life, 403, 300)
    assert_nothing_lost(life, kind, len(with_status(attempts(life.sim), 403)))


def test_a_second_refusal_of_the_firewall_lasts_twice_as_long() -> None:
    life = told_to_stop(fail_next("403", times=2), accounts=("a",), kind="REPAY", lasts_s=60)
    first, second = with_status(attempts(life.sim), 403)
    assert life.arrivals(first.loop_s + ROUND_TRIP_S, first.loop_s + 300) == []
    assert life.arrivals(second.loop_s + ROUND_TRIP_S, second.loop_s + 600) == []
    assert_nothing_lost(life, "REPAY", 2)


def test_a_ban_that_is_learnt_from_a_look_stops_everything_too() -> None:
    life = told_to_stop(
        both(fail_next("lost_after", account="a"), fail_next("418", path=f"GET {PATH}")),
        lasts_s=200,
    )
    assert_silence(life, 418, 120)
    assert_said(life, "banned", 120)
    assert_all_confirmed(life)


def test_a_ban_that_is_learnt_from_a_clock_sample_stops_everything_too() -> None:
    life = told_to_stop(fail_next("418", path="GET /api/v3/time"), lasts_s=200)
    assert_silence(life, 418, 120)
    assert_all_confirmed(life)


def test_nobody_asks_for_the_inventory_of_a_starved_asset_during_a_ban() -> None:
    async def starve_and_ban(world: World) -> None:
        world.sim.drain("BTC")
        await world.scheduler.submit("b", "BORROW", "BTC", "1", key="starved", send_within=900)
        await asyncio.sleep(5)
        world.sim.fail_next("418", account="a")

    life = told_to_stop(starve_and_ban, lasts_s=300)
    assert_silence(life, 418, 120)
    began_s = refused_at_s(life, 418)
    questions = [a.loop_s for a in life.sim.ledger.arrivals if a.path == INVENTORY]
    assert min(questions) < began_s
    assert max(questions) > began_s + 120
    assert_all_confirmed(life)


@KILLED
@pytest.mark.parametrize(("fault", "status", "wait_s"), [("418", 418, 120), ("403", 403, 300)])
def test_a_closed_address_is_kept_across_a_restart(
    is_killed: bool, fault: str, status: int, wait_s: float
) -> None:
    life = stopped_then_restarted(fault, is_killed=is_killed)
    assert_silence(life, status, wait_s)
    assert len(with_status(life.sim.ledger.arrivals, status)) == 1


def test_what_a_long_ban_leaves_undecided_names_the_ban() -> None:
    life = told_to_stop(
        both(fail_next("lost_after", account="a"), fail_next("418", path=f"GET {PATH}")),
        lasts_s=40,
        ban_ms=(20 * 60_000, 20 * 60_000),
    )
    [said] = [alarm.message for alarm in life.alarms if alarm.cause == "unresolved"]
    why, until_ms = said.rsplit(maxsplit=1)
    assert why.endswith("900 s: no exchange time: the address is banned until")
    assert int(until_ms) == pytest.approx(life.statuses["a"].holds[-1].until_ms, abs=1_000)
    assert_all_confirmed(life)


@pytest.mark.parametrize("ahead_s", [-86_400, -100, 100, 86_400], ids=lambda s: f"{s} s")
def test_a_ban_is_kept_across_a_restart_on_a_machine_whose_clock_is_wrong(ahead_s: float) -> None:
    life = stopped_then_restarted("418", is_killed=True, ahead_s=(ahead_s, ahead_s))
    assert_silence(life, 418, 120)
    assert len(with_status(life.sim.ledger.arrivals, 418)) == 1


@pytest.mark.parametrize(
    ("ahead_s", "arrivals"),
    [
        pytest.param((0, -86_400), 0, id="set back: for no longer than the ban was"),
        pytest.param((86_400, 0), 0, id="put right from ahead: likewise"),
        pytest.param((0, 86_400), 1, id="set forward: one question, and told again"),
        pytest.param((-86_400, 0), 1, id="put right from behind: likewise"),
    ],
)
def test_a_ban_is_kept_as_well_as_can_be_where_the_clock_is_set_in_between(
    ahead_s: tuple[float, float], arrivals: int
) -> None:
    life = stopped_then_restarted("418", is_killed=True, ahead_s=ahead_s)
    began_s = refused_at_s(life, 418)
    assert len(life.arrivals(began_s + ROUND_TRIP_S, began_s + 120)) == arrivals
    resumed_s = min(a.loop_s for a in attempts(life.sim) if a.loop_s > began_s + ROUND_TRIP_S)
    assert 120 <= resumed_s - began_s < LONGEST_S


def assert_silence(life: Life, status: int, wait_s: float) -> None:
    """Nothing of any kind arrives until the address may be used again; then everybody goes on."""
    began_s = refused_at_s(life, status)
    assert life.arrivals(began_s + ROUND_TRIP_S, began_s + wait_s) == []
    for account in {a.account for a in attempts(life.sim)}:
        resumed = [a for a in attempts(life.sim, account) if a.loop_s > began_s + ROUND_TRIP_S]
        # An attempt whose answer was lost holds its account for its fence and two looks.
        assert resumed[0].loop_s < began_s + wait_s + 45


def assert_said(life: Life, cause: str, wait_s: float) -> None:
    until_ms = life.told_ms + (wait_s - 2) * 1_000
    for status in life.statuses.values():
        assert status.next_start.starts_at_ms >= until_ms - 100
        assert "ban" in status.next_start.causes
        held = [hold for hold in status.holds if hold.cause == cause]
        assert [hold.until_ms for hold in held] == [pytest.approx(until_ms, abs=1_000)]
    said = [alarm for alarm in life.alarms if alarm.cause == "address_banned"]
    assert len(said) == 1
    # Both are told on the exchange's clock, from two readings of it.
    [told_ms] = [int(number) for number in re.findall(r"\d{13}", said[0].message)]
    assert life.statuses["a"].holds[-1].until_ms == pytest.approx(told_ms, abs=2)


def assert_nothing_lost(life: Life, kind: str, refused: int) -> None:
    """What got no answer is proven absent: a borrow ends there, a repayment goes again."""
    states = [entry.state for entry in life.entries]
    absent = 0 if kind == "REPAY" else refused
    assert states.count(State.NOT_EXECUTED) == absent
    assert states.count(State.CONFIRMED) == len(states) - absent == len(life.sim.ledger.booked())
