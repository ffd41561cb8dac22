"""What the exchange holds against the address, and what may still be read."""

import pytest

from scheduler.address import Address, Purpose
from scheduler.policy import Limits

MINUTE_MS = 60_000
NOW_MS = 5_000_000
"""On a clock that is never set."""
RECORDS = "/sapi/v1/margin/borrow-repay"
OTHER = "/sapi/v1/margin/allAssets"
LOOK = 10
"""The weight of one page of records."""


def address(*, per_minute: int = 12_000, share: float = 1.0) -> Address:
    return Address(Limits(ip_weight_per_minute=per_minute, ip_weight_share=share))


# Bans


def test_an_address_is_open_until_something_happens() -> None:
    assert address().wait_ms(NOW_MS) == 0
    assert address().closed(NOW_MS) is None


@pytest.mark.parametrize(
    ("retry_after_ms", "wait_ms"),
    [
        pytest.param(1_000, 1_000, id="as long as it says"),
        pytest.param(3 * 86_400_000, 3 * 86_400_000, id="three days"),
        pytest.param(None, 120_000, id="two minutes if it does not say"),
        pytest.param(0, 120_000, id="two minutes if it says nothing useful"),
    ],
)
def test_a_ban_closes_the_address(retry_after_ms: int | None, wait_ms: int) -> None:
    shut = address()
    assert shut.ban(retry_after_ms, NOW_MS) == NOW_MS + wait_ms
    assert shut.closed(NOW_MS) == (NOW_MS + wait_ms, "banned")
    assert shut.wait_ms(NOW_MS + wait_ms - 1) == 1
    assert shut.wait_ms(NOW_MS + wait_ms) == 0
    assert shut.closed(NOW_MS + wait_ms) is None


@pytest.mark.parametrize(
    ("times", "wait_min"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)],
    ids=["first", "second", "third", "fourth", "fifth: an hour", "never more than an hour"],
)
def test_the_firewall_closes_it_for_twice_as_long_each_time(times: int, wait_min: int) -> None:
    shut, now_ms, until_ms = address(), NOW_MS, 0
    for _ in range(times):
        now_ms = max(now_ms, until_ms)
        until_ms = shut.firewall(now_ms)
    assert until_ms - now_ms == wait_min * MINUTE_MS
    assert shut.closed(now_ms) == (until_ms, "firewalled")


@pytest.mark.parametrize(
    ("times", "wait_min"),
    [(1, 2), (2, 4), (3, 8), (12, 4_096), (13, 4_320), (50, 4_320)],
    ids=["first", "second", "third", "twelfth", "three days", "never more than three days"],
)
def test_bans_that_do_not_say_how_long_close_it_for_twice_as_long_each_time(
    times: int, wait_min: int
) -> None:
    shut, now_ms, until_ms = address(), NOW_MS, 0
    for _ in range(times):
        now_ms = max(now_ms, until_ms)
        until_ms = shut.ban(None, now_ms)
    assert until_ms - now_ms == wait_min * MINUTE_MS


def test_refusals_that_were_under_way_together_are_one_trouble() -> None:
    shut = address()
    for late_ms in range(20):
        assert shut.firewall(NOW_MS + late_ms) == NOW_MS + 5 * MINUTE_MS
    shut = address()
    for late_ms in range(20):
        assert shut.ban(None, NOW_MS + late_ms) == NOW_MS + 2 * MINUTE_MS


@pytest.mark.parametrize(
    ("times", "wait_min"),
    [(1, 2), (2, 4), (3, 8), (50, 3 * 24 * 60)],
    ids=["first", "second", "third", "never more than three days"],
)
def test_bans_that_do_not_say_for_how_long_double_as_the_exchanges_do(
    times: int, wait_min: int
) -> None:
    shut, now_ms, until_ms = address(), NOW_MS, 0
    for _ in range(times):
        now_ms = max(now_ms, until_ms)
        until_ms = shut.ban(None, now_ms)
    assert until_ms - now_ms == wait_min * MINUTE_MS


def test_whoever_asked_is_told_of_every_closing_and_only_of_those() -> None:
    told: list[tuple[int, str]] = []
    shut = Address(Limits(), lambda until_ms, cause: told.append((until_ms, cause)))
    shut.ban(60_000, NOW_MS)
    shut.ban(30_000, NOW_MS)
    shut.firewall(NOW_MS)
    assert told == [(NOW_MS + 60_000, "banned"), (NOW_MS + 5 * MINUTE_MS, "firewalled")]


def test_an_answer_like_an_exchanges_starts_the_firewalls_count_over() -> None:
    shut = address()
    shut.firewall(NOW_MS)
    shut.firewall(NOW_MS)
    shut.went_through()
    later_ms = NOW_MS + 60 * MINUTE_MS
    assert shut.firewall(later_ms) == later_ms + 5 * MINUTE_MS


def test_a_shorter_closing_never_shortens_a_longer_one() -> None:
    shut = address()
    shut.ban(600_000, NOW_MS)
    assert shut.ban(1_000, NOW_MS) == NOW_MS + 600_000
    assert shut.closed(NOW_MS) == (NOW_MS + 600_000, "banned")


def test_a_longer_closing_takes_over_with_its_cause() -> None:
    shut = address()
    shut.ban(1_000, NOW_MS)
    shut.firewall(NOW_MS)
    assert shut.closed(NOW_MS) == (NOW_MS + 5 * MINUTE_MS, "firewalled")


# Weight


def spend(on: Address, weight: int, steady_ms: int = 0, path: str = RECORDS) -> None:
    on.charge(path, weight, steady_ms)


@pytest.mark.parametrize(
    ("purpose", "at_most"),
    [
        pytest.param(Purpose.LOOK, 12_000, id="looks may use all of it"),
        pytest.param(Purpose.SWEEP, 9_600, id="sweeps leave a fifth"),
        pytest.param(Purpose.MEASURE, 9_000, id="amounts that a lane waits for leave a quarter"),
        pytest.param(Purpose.DEBT, 8_400, id="debt leaves more"),
        pytest.param(Purpose.PASS_THROUGH, 7_200, id="passed-through reads leave still more"),
        pytest.param(Purpose.AUDIT, 600, id="auditing has a twentieth"),
    ],
)
def test_a_purpose_may_leave_only_so_much_spent(purpose: Purpose, at_most: int) -> None:
    used = address()
    spend(used, at_most - LOOK)
    assert used.read_wait_ms(RECORDS, LOOK, purpose, 0) == 0
    spend(used, 1)
    assert used.read_wait_ms(RECORDS, LOOK, purpose, 0) > 0


def test_the_more_a_read_matters_the_more_it_may_spend() -> None:
    order = [
        Purpose.LOOK,
        Purpose.SWEEP,
        Purpose.MEASURE,
        Purpose.DEBT,
        Purpose.PASS_THROUGH,
        Purpose.AUDIT,
    ]
    assert sorted(Purpose, key=lambda purpose: -purpose.value) == order


def test_each_endpoint_has_a_minute_of_its_own() -> None:
    used = address()
    spend(used, 12_000, path=OTHER)
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.AUDIT, 0) == 0


@pytest.mark.parametrize(
    ("steady_ms", "wait_ms"),
    [
        pytest.param(0, MINUTE_MS, id="at once"),
        pytest.param(MINUTE_MS - 1, 1, id="a millisecond early"),
        pytest.param(MINUTE_MS, 0, id="a minute later"),
    ],
)
def test_what_was_spent_comes_back_after_a_minute(steady_ms: int, wait_ms: int) -> None:
    used = address()
    spend(used, 12_000)
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, steady_ms) == wait_ms


def test_a_read_waits_for_the_oldest_weight_first() -> None:
    used = address()
    spend(used, 6_000, 0)
    spend(used, 6_000, 30_000)
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 40_000) == 20_000
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 60_000) == 0


def test_a_share_leaves_the_rest_to_other_processes() -> None:
    half = address(share=0.5)
    spend(half, 5_990)
    assert half.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 0) == 0
    spend(half, 1)
    assert half.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 0) > 0


def test_never_more_than_the_minutes_weight_in_any_minute() -> None:
    used, reads, now_ms = address(per_minute=100), list[int](), 0
    while now_ms < 5 * MINUTE_MS:
        wait_ms = used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, now_ms)
        if wait_ms:
            now_ms += wait_ms
        else:
            spend(used, LOOK, now_ms)
            reads.append(now_ms)
    for first_ms in reads:
        assert sum(first_ms <= at_ms < first_ms + MINUTE_MS for at_ms in reads) <= 10
    assert len(reads) == 50


@pytest.mark.parametrize(
    ("retry_after_ms", "wait_ms"),
    [
        pytest.param(None, MINUTE_MS, id="a minute if it does not say"),
        pytest.param(90_000, 90_000, id="as long as it says"),
        pytest.param(5_000, 5_000, id="no longer than it says"),
    ],
)
def test_an_endpoint_that_refuses_for_weight_is_left_alone(
    retry_after_ms: int | None, wait_ms: int
) -> None:
    used = address()
    used.exhaust(RECORDS, retry_after_ms, 0)
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 0) == wait_ms
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, wait_ms) == 0
    assert used.read_wait_ms(OTHER, LOOK, Purpose.LOOK, 0) == 0


def test_a_short_refusal_does_not_last_as_long_as_what_was_spent_before_it() -> None:
    used = address()
    spend(used, LOOK, 0)
    used.exhaust(RECORDS, 5_000, 0)
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 5_000) == 0


def test_a_refusal_outlasts_what_is_spent_after_it() -> None:
    used = address()
    used.exhaust(RECORDS, 120_000, 0)
    spend(used, LOOK, 1_000)
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 100_000) == 20_000
    assert used.read_wait_ms(RECORDS, LOOK, Purpose.LOOK, 120_000) == 0
