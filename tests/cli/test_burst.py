"""What the demo asks for."""

from scheduler.cli.demo.burst import LOST_ANSWERS, OWED, make_burst
from scheduler.cli.demo.report import IN_WORDS
from scheduler.simulator import Fault


def test_a_seed_always_asks_for_the_same() -> None:
    assert make_burst(7, 3, 50) == make_burst(7, 3, 50)
    assert make_burst(7, 3, 50) != make_burst(8, 3, 50)


def test_no_two_orders_are_alike_so_that_the_ledger_can_tell_them_apart() -> None:
    orders = [order for orders in make_burst(0, 20, 100).orders.values() for order in orders]
    assert len(set(orders)) == len(orders) == 2_000


def test_both_kinds_of_every_asset_occur() -> None:
    (orders,) = make_burst(0, 1, 100).orders.values()
    seen = {(order.kind, order.asset) for order in orders}
    assert seen == {(kind, asset) for kind in ("BORROW", "REPAY") for asset in OWED}


def test_one_account_is_left_undisturbed_if_there_are_two() -> None:
    assert make_burst(0, 1, 1).lost_answers == {"account-1": LOST_ANSWERS[0]}
    assert list(make_burst(0, 5, 1).lost_answers) == [f"account-{n}" for n in range(1, 5)]
    assert set(make_burst(0, 5, 1).lost_answers.values()) == set(LOST_ANSWERS)


def test_each_way_of_losing_an_answer_is_a_fault_of_the_simulator_and_has_words() -> None:
    assert set(LOST_ANSWERS) == set(IN_WORDS) <= {fault.value for fault in Fault}
