"""The judge of the benchmarks believes the exchange's ledger and nobody else."""

from typing import Any

import pytest

from benchmarks.side_by_side.judge import Score, ideal_s, score
from benchmarks.side_by_side.told import UNKNOWN, Told, answered, confirmed, refused
from benchmarks.side_by_side.work import Ask, Work, burst

WORK = Work(name="two", says="two borrows", asks=burst(2))
FIRST, SECOND = WORK.asks


def booked(tran_id: int, ask: Ask, status: str = "CONFIRMED") -> dict[str, Any]:
    return {
        "tran_id": tran_id,
        "account": ask.account,
        "asset": ask.asset,
        "amount": f"{float(ask.amount):.8f}",
        "status": status,
    }


def arrival(
    status: int | None = 200, code: int | None = None, weight: int = 1500
) -> dict[str, Any]:
    call = {"method": "POST", "path": "/sapi/v1/margin/borrow-repay"}
    return {**call, "status": status, "code": code, "weight": weight}


def judged(
    told: list[Told],
    transactions: list[dict[str, Any]],
    arrivals: list[dict[str, Any]] | None = None,
    took_s: float = 0.3,
) -> Score:
    ledger = {
        "transactions": transactions,
        "arrivals": arrivals or [],
        "statistics": {"accounts": {"a0": {"processing_ms": 200.0}}},
    }
    return score("somebody", WORK, told, ledger, took_s=took_s, cpu_s=0.001)


def test_what_is_booked_and_told_is_confirmed() -> None:
    found = judged([confirmed(1), confirmed(2)], [booked(1, FIRST), booked(2, SECOND)])
    assert (found.confirmed, found.not_known, found.doubled, found.wrong) == (2, 0, 0, 0)
    assert found.of_ideal == 1.5


def test_whoever_does_not_get_everything_has_no_time() -> None:
    found = judged([confirmed(1), refused(-3007)], [booked(1, FIRST)])
    assert (found.confirmed, found.refused, found.of_ideal) == (1, {"-3007": 1}, None)


def test_a_loan_that_was_booked_and_not_told_is_one_nobody_knows_of() -> None:
    found = judged([confirmed(1), UNKNOWN], [booked(1, FIRST), booked(2, SECOND)])
    assert (found.unknown, found.not_known, found.doubled, found.wrong) == (1, 1, 0, 0)


def test_a_loan_that_was_booked_twice_is_a_double_and_one_of_them_unknown() -> None:
    transactions = [booked(1, FIRST), booked(2, SECOND), booked(3, SECOND)]
    found = judged([confirmed(1), confirmed(3)], transactions)
    assert (found.confirmed, found.not_known, found.doubled) == (2, 1, 1)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(refused(-3007), id="refused, and booked"),
        pytest.param(confirmed(7), id="under an id that is not in the ledger"),
        pytest.param(confirmed(1), id="under the id of another one"),
    ],
)
def test_what_the_ledger_denies_is_told_wrongly(told: Told) -> None:
    found = judged([confirmed(1), told], [booked(1, FIRST), booked(2, SECOND)])
    assert (found.confirmed, found.wrong, found.not_known) == (1, 1, 1)


def test_nobody_is_confirmed_by_the_loan_of_another() -> None:
    found = judged([UNKNOWN, confirmed(1)], [booked(1, FIRST)])
    assert (found.confirmed, found.wrong, found.not_known) == (0, 1, 1)


def test_a_transaction_that_failed_is_no_loan() -> None:
    found = judged([confirmed(1), UNKNOWN], [booked(1, FIRST), booked(2, SECOND, "FAILED")])
    assert found.not_known == 0


def test_weight_is_that_of_every_attempt_for_each_confirmed() -> None:
    arrivals = [arrival(), arrival(400, -3007), arrival(), {**arrival(), "path": "/api/v3/time"}]
    found = judged([confirmed(1), refused(-3007)], [booked(1, FIRST)], arrivals)
    assert (found.attempts, found.weight_each) == (3, 4500)
    assert found.exchange_refusals == {"-3007": 1}


def test_429_and_418_are_told_apart_by_their_status() -> None:
    arrivals = [arrival(429, -1003), arrival(418, -1003), arrival(418, -1003)]
    found = judged([UNKNOWN, UNKNOWN], [], arrivals)
    assert (found.limited, found.banned) == (1, 2)
    assert found.weight_each is None


@pytest.mark.parametrize(
    ("asks", "processing_s", "ideal"),
    [
        pytest.param(100, 10.0, 10.0, id="a burst takes what was drawn"),
        pytest.param(120, 12.0, 12.0, id="a whole minute's too"),
        pytest.param(121, 12.1, 60.1, id="the next one waits for the minute to pass"),
        pytest.param(400, 40.0, 184.0, id="400 wait three times"),
    ],
)
def test_ideal_time_is_the_processing_and_the_minutes(
    asks: int, processing_s: float, ideal: float
) -> None:
    ledger = {"statistics": {"accounts": {"a0": {"processing_ms": 1000 * processing_s}}}}
    work = Work(name="n", says="n", asks=burst(asks))
    assert ideal_s(work, ledger) == pytest.approx(ideal)


def test_ideal_time_of_several_accounts_is_that_of_the_slowest() -> None:
    accounts = {"a0": {"processing_ms": 900.0}, "a1": {"processing_ms": 1100.0}}
    work = Work(name="n", says="n", asks=burst(20, accounts=2))
    assert ideal_s(work, {"statistics": {"accounts": accounts}}) == pytest.approx(1.1)


def test_nothing_is_to_be_had_of_a_starved_asset_before_it_comes_back() -> None:
    ledger = {"statistics": {"accounts": {"a0": {"processing_ms": 1000.0}}}}
    work = Work(name="n", says="n", asks=burst(10), refills=((20.0, "USDT", "1"),))
    assert ideal_s(work, ledger) == pytest.approx(21.0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"tranId": 5, "clientTag": ""}, confirmed(5)),
        ({"code": -3007, "msg": "later"}, refused(-3007)),
        ({"msg": "?"}, UNKNOWN),
        ({"tranId": "5"}, UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_an_answer_is_taken_for_what_it_says(answer: object, told: Told) -> None:
    assert answered(answer) == told
