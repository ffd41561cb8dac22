"""Which of the exchange's records can be an attempt's."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model import Kind, State, Transaction
from scheduler.policy import Policy
from scheduler.reconcile import Window, candidates, fits, window

from .build import NOW_MS, UNHURRIED, attempt, entry, record

POLICY = Policy(recv_window_ms=5_000, processing_max_ms=10_000, match_before_ms=1_000)
FIRST_MS = NOW_MS - 1_000
LAST_MS = NOW_MS + 5_000 + 10_000


def test_the_window_spans_a_second_before_to_the_fence_and_the_processing_time() -> None:
    assert window(attempt(), POLICY) == Window(FIRST_MS, LAST_MS)


def test_the_window_follows_the_attempts_own_recv_window_and_not_the_policys() -> None:
    assert window(attempt(recv_window_ms=60_000), POLICY).until_ms == NOW_MS + 70_000


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(record(), id="just as asked"),
        pytest.param(record(amount="100.00000000"), id="the amount written with zeros"),
        pytest.param(record(timestamp_ms=FIRST_MS), id="stamped at the first moment"),
        pytest.param(record(timestamp_ms=LAST_MS), id="stamped at the last moment"),
        pytest.param(record(status="PENDING"), id="still pending"),
        pytest.param(record(status="FAILED"), id="failed"),
    ],
)
def test_a_record_of_the_same_request_in_the_window_fits(seen: Transaction) -> None:
    assert fits(entry(), attempt(), seen, POLICY)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(record(kind=Kind.REPAY), id="the other kind"),
        pytest.param(record(asset="USDC"), id="another asset"),
        pytest.param(record(symbol="BTCUSDT"), id="isolated where we asked for cross"),
        pytest.param(record(amount="100.00000001"), id="a hair more"),
        pytest.param(record(amount="99.99999999"), id="a hair less"),
        pytest.param(record(origin="AUTO"), id="left by an order"),
        pytest.param(record(origin="manual"), id="another spelling of manual"),
        pytest.param(record(timestamp_ms=FIRST_MS - 1), id="a millisecond too early"),
        pytest.param(record(timestamp_ms=LAST_MS + 1), id="a millisecond too late"),
    ],
)
def test_a_record_that_differs_in_anything_does_not_fit(seen: Transaction) -> None:
    assert not fits(entry(), attempt(), seen, POLICY)


@pytest.mark.parametrize(
    ("symbol", "does_fit"),
    [
        pytest.param("BTCUSDT", True, id="its own pair"),
        pytest.param("ETHUSDT", False, id="another pair"),
        pytest.param(None, False, id="cross"),
    ],
)
def test_an_isolated_attempt_fits_records_of_its_pair_only(
    symbol: str | None, does_fit: bool
) -> None:
    seen = record(symbol=symbol)
    assert fits(entry(symbol="BTCUSDT"), attempt(), seen, POLICY) is does_fit


def test_an_entry_that_was_never_tried_has_no_candidates() -> None:
    assert candidates(entry(), [record()], frozenset(), POLICY) == []


def test_candidates_are_all_that_fit_and_nobody_else_has_claimed() -> None:
    mine, twin, taken = record(1), record(2), record(3)
    other = record(4, asset="BTC")
    tried = entry(tried=attempt())
    assert candidates(tried, [other, taken, twin, mine], frozenset({3}), POLICY) == [twin, mine]


def test_an_attempt_is_matched_by_the_amount_it_sent_and_not_by_what_was_asked() -> None:
    everything = entry(kind=Kind.REPAY, amount="all", tried=attempt(amount="12.5"))
    paid = record(kind=Kind.REPAY, amount="12.5")
    assert candidates(everything, [paid], frozenset(), POLICY) == [paid]


AMOUNTS = st.sampled_from(["100", "100.00", "1E+2", "100.00000001"])
OTHERWISE: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["PENDING", "FAILED"]),
    "timestamp_ms": st.sampled_from([FIRST_MS - 1, FIRST_MS, LAST_MS, LAST_MS + 1]),
    "amount": AMOUNTS,
    "kind": st.just(Kind.REPAY),
    "asset": st.just("BTC"),
    "symbol": st.just("BTCUSDT"),
    "origin": st.just("AUTO"),
}
RECORDS = st.builds(
    lambda tran_id, changes: record(tran_id, **changes),
    st.integers(1, 5),
    # Few differences at a time: what differs in much fits nothing, whatever the rules are.
    st.sampled_from(sorted(OTHERWISE)).flatmap(
        lambda name: st.fixed_dictionaries({}, optional={name: OTHERWISE[name]})
    ),
)


@given(st.lists(RECORDS, max_size=6), st.frozensets(st.integers(1, 5)), AMOUNTS)
@UNHURRIED
def test_candidates_are_the_unclaimed_records_that_agree_in_everything(
    seen: list[Transaction], claimed: frozenset[int], amount: str
) -> None:
    asked = entry(State.UNKNOWN, tried=attempt(amount=amount))
    expected = [
        each
        for each in seen
        if each.tran_id not in claimed
        and (each.origin, each.kind, each.asset, each.symbol)
        == ("MANUAL", Kind.BORROW, "USDT", None)
        and each.amount == Decimal(amount)
        and FIRST_MS <= each.timestamp_ms <= LAST_MS
    ]
    assert candidates(asked, seen, claimed, POLICY) == expected


@given(st.integers(-20_000, 40_000), st.integers(1, 20_000))
@UNHURRIED
def test_no_record_fits_two_attempts_that_are_as_far_apart_as_equal_ones_are_kept(
    after_ms: int, further_ms: int
) -> None:
    seen = record(timestamp_ms=LAST_MS + after_ms)
    first = attempt()
    apart_ms = 5_000 + POLICY.processing_max_ms + POLICY.equal_gap_ms + further_ms
    second = attempt(timestamp_ms=first.timestamp_ms + apart_ms)
    assert not (fits(entry(), first, seen, POLICY) and fits(entry(), second, seen, POLICY))
