"""The load generator's arithmetic: what arrives when, and how long it took."""

from collections import Counter
from itertools import pairwise

import pytest

from benchmarks.load.histogram import GROWTH, Histogram
from benchmarks.load.plan import Arrival, Mix, arrivals
from benchmarks.load.target import BadTarget, check

MIX = Mix(accounts=("a", "b"), repay_share=0.25, urgent_share=0.1)


def planned(seed: int = 1, run: str = "r", mix: Mix = MIX) -> list[Arrival]:
    return list(arrivals(mix, rate=50.0, duration_s=100.0, seed=seed, run=run))


def test_arrivals_come_at_the_rate_and_in_order() -> None:
    due = [arrival.due_s for arrival in planned()]
    assert due == sorted(due)
    assert due[-1] < 100
    assert len(due) == pytest.approx(5_000, rel=0.05)


def test_gaps_are_not_even() -> None:
    due = [arrival.due_s for arrival in planned()]
    gaps = [after - before for before, after in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    # Of a Poisson stream's gaps, a share of 1 - 1/e is shorter than the mean.
    assert sum(gap < mean for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.03)


def test_the_mix_is_what_was_asked_for() -> None:
    bodies = [arrival.body for arrival in planned()]
    kinds, priorities = (Counter(b[name] for b in bodies) for name in ("kind", "priority"))
    accounts = Counter(body["account"] for body in bodies)
    assert kinds["REPAY"] / len(bodies) == pytest.approx(0.25, abs=0.03)
    assert priorities["urgent"] / len(bodies) == pytest.approx(0.1, abs=0.02)
    assert accounts["a"] / len(bodies) == pytest.approx(0.5, abs=0.03)


def test_the_same_seed_is_the_same_stream_under_keys_of_its_own() -> None:
    first, again = planned(run="r1"), planned(run="r2")
    assert [a.due_s for a in first] == [a.due_s for a in again]
    assert not {a.body["key"] for a in first} & {a.body["key"] for a in again}
    without = [{**a.body, "key": ""} for a in first]
    assert without == [{**a.body, "key": ""} for a in again]
    assert without != [{**a.body, "key": ""} for a in planned(seed=2)]


def test_quantiles_are_exact_to_a_tenth() -> None:
    histogram = Histogram()
    for ms in range(1, 1_001):
        histogram.add(float(ms))
    for share, exact in ((0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999)):
        found = histogram.quantile_ms(share)
        assert found is not None
        assert exact <= found <= exact * GROWTH
    assert histogram.quantile_ms(1.0) == 1_000


def test_without_values_there_are_no_quantiles() -> None:
    assert Histogram().quantile_ms(0.5) is None
    assert Histogram().bars() == []


@pytest.mark.parametrize("rows", [1, 10, 1_000])
def test_bars_hold_every_value_once(rows: int) -> None:
    histogram, values = Histogram(), [0.001, 0.05, 0.06, 3.0, 3.1, 1e6]
    for ms in values:
        histogram.add(ms)
    bars = histogram.bars(rows)
    assert len(bars) <= rows
    assert sum(count for _, _, count in bars) == len(values)
    assert all(low < high for low, high, _ in bars)
    assert bars[-1][1] >= max(values)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8900", "http://[::1]:1", "unix:/run/x.sock"])
def test_this_machine_may_be_loaded(url: str) -> None:
    check(url, anywhere=False)


@pytest.mark.parametrize("url", ["http://192.0.2.1:8900", "https://192.0.2.1"])
def test_another_machine_only_where_that_is_said(url: str) -> None:
    with pytest.raises(BadTarget, match="--anywhere"):
        check(url, anywhere=False)
    check(url, anywhere=True)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8900", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(BadTarget, match="--url"):
        check(url, anywhere=True)
