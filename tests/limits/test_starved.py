"""An asset that has run out: who waits for it, who must not, and what it costs."""

from decimal import Decimal
from functools import cache

import pytest

from scheduler import State

from .starved import (
    COMMON,
    DRAINED_S,
    PAIR,
    SCARCE,
    Job,
    Life,
    plain_back_off,
    starve,
    waiting_line,
)

REFILLS = {70.0: "35", 130.0: "60", 180.0: "1000"}
UNTIL_S = 210.0
WAITING = {
    "the same": ["10"] * 20,
    "more and more": [str(amount) for amount in range(10, 30)],
    "less and less": [str(amount) for amount in range(29, 9, -1)],
}
OTHERS = [("BORROW", COMMON), ("REPAY", COMMON), ("REPAY", SCARCE)]


@cache
def busy_life(is_drained: bool) -> Life:
    line = waiting_line(WAITING["the same"], DRAINED_S + 1, 0.0)
    return starve(line, REFILLS, until_s=UNTIL_S, is_drained=is_drained)


@pytest.mark.parametrize(("kind", "asset"), OTHERS)
def test_what_needs_no_inventory_is_as_quick_as_ever(kind: str, asset: str) -> None:
    starved = busy_life(is_drained=True).latencies_s(kind, asset)
    fed = busy_life(is_drained=False).latencies_s(kind, asset)
    assert len(starved) == len(fed) == 20 * UNTIL_S // 6
    assert sum(starved) / len(starved) == pytest.approx(sum(fed) / len(fed), rel=0.01)
    for share in (0.5, 0.9, 0.99):
        place = int(share * len(fed))
        assert starved[place] == pytest.approx(fed[place], abs=0.015)
    assert starved[-1] <= fed[-1] + 0.11  # behind one transaction more


def test_everybody_is_served_in_the_end() -> None:
    for is_drained in (True, False):
        life = busy_life(is_drained)
        assert {entry.state for entry in life.entries} == {State.CONFIRMED}


@pytest.mark.parametrize("amounts", WAITING.values(), ids=WAITING.keys())
@pytest.mark.parametrize("spread_s", [0.0, 0.02, 1.0], ids=["at once", "in a row", "slowly"])
def test_a_refill_costs_at_most_two_refusals_and_goes_out_in_order(
    amounts: list[str], spread_s: float
) -> None:
    line = waiting_line(amounts, DRAINED_S + 1, spread_s)
    life = starve(line, REFILLS)
    at_first, *after_refills = life.refusals_by_refill()
    assert 1 <= at_first <= 20  # each account may have one in the air when the asset runs out
    assert max(after_refills) <= 2
    assert len(life.lent()) == 20
    assert_in_order(life)
    # A refill is noticed by asking, which is done every 15 s in the end.
    for at_s in REFILLS:
        assert min(t.started_s for t in life.lent() if t.started_s > at_s) < at_s + 16


def assert_in_order(life: Life) -> None:
    """At each loan there was nobody earlier for whom there had been enough."""
    line = sorted((e for e in life.entries if e.asset == SCARCE), key=lambda entry: entry.seq)
    waiting = [(entry.account, Decimal(entry.requested)) for entry in line]
    stock, refills = Decimal(0), sorted(life.refills.items())
    for loan in life.lent():
        while refills and refills[0][0] < loan.started_s:
            stock += Decimal(refills.pop(0)[1])
        first = next(who for who in waiting if who[1] <= stock)
        assert (loan.account, loan.amount) == first
        waiting.remove(first)
        stock -= loan.amount


def test_plain_back_off_would_have_spent_many_times_the_weight() -> None:
    line = waiting_line(WAITING["the same"], DRAINED_S + 1, 0.02)
    gated, plain = starve(line, REFILLS), plain_back_off(line, REFILLS)
    assert len(gated.lent()) == len(plain.lent()) == 20
    assert gated.weight() <= 5_000
    assert plain.weight() >= 50 * gated.weight()
    assert gated.waited_s() < plain.waited_s()


@pytest.mark.parametrize("critical", ["50", "500"])
def test_where_the_inventory_call_promises_too_much_a_refill_costs_one_try(critical: str) -> None:
    line = waiting_line(WAITING["the same"], DRAINED_S + 1, 0.02)
    # The exchange says what it has, and lends none of it while that is below what it wants to keep.
    life = starve(line, REFILLS, inventory_critical=critical)
    at_first, *after_refills = life.refusals_by_refill()
    assert at_first == 1
    assert max(after_refills) <= 1
    assert len(life.lent()) == 20
    assert max(t.started_s for t in life.lent()) < max(REFILLS) + 16


def test_cross_and_isolated_inventory_are_apart() -> None:
    isolated = [
        Job(DRAINED_S + 2 + number, f"a{number:02}", "BORROW", SCARCE, "20", PAIR)
        for number in range(5)
    ]
    line = waiting_line(["10"] * 5, DRAINED_S + 1, 0.1)
    life = starve([*line, *isolated], {100.0: "1000"})
    for loan, job in zip(life.lent(isolated=True), isolated, strict=True):
        assert loan.started_s - job.at_s < 0.2
    assert min(t.started_s for t in life.lent()) > 100
    assert len(life.refusals()) == 1


def test_isolated_inventory_runs_out_by_itself_too() -> None:
    isolated = [
        Job(DRAINED_S + 2, f"a{number:02}", "BORROW", SCARCE, "20", PAIR) for number in range(5)
    ]
    line = waiting_line(["10"] * 5, DRAINED_S + 1, 0.1)
    life = starve([*line, *isolated], {100.0: "1000"}, is_isolated=True)
    assert max(t.started_s for t in life.lent()) < DRAINED_S + 2
    assert min(t.started_s for t in life.lent(isolated=True)) > 100
    assert len(life.lent(isolated=True)) == 5
