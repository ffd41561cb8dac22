"""How much an attempt asks for, where that takes a look."""

from decimal import Decimal

import pytest

from scheduler.amounts import Measured, borrowing, repayment
from scheduler.events import Precluded
from scheduler.figures import Ceiling, Owed
from scheduler.model import Entry, Kind, revised

from .build import entry


def repay(amount: str, *, at_most: bool = False) -> Entry:
    asked = entry(kind=Kind.REPAY, amount=amount)
    return revised(asked, submission=revised(asked.submission, at_most=at_most))


def borrow(amount: str, *, at_most: bool = False) -> Entry:
    asked = entry(amount=amount)
    return revised(asked, submission=revised(asked.submission, at_most=at_most))


def owed(principal: str, interest: str = "0") -> Owed:
    return Owed(Decimal(principal), Decimal(interest))


@pytest.mark.parametrize(
    ("asked", "debt", "minimum", "amount"),
    [
        pytest.param("all", owed("100", "0.5"), "0", "100.5", id="all of it, interest included"),
        pytest.param("all", owed("0.5"), "1", "0.5", id="all of it, however little"),
        pytest.param("all", owed("1.123456789"), "0", "1.12345678", id="in eight decimals"),
        pytest.param("100", owed("200"), "0", "100", id="as asked"),
        pytest.param("100", owed("60", "0.5"), "0", "60.5", id="no more than is owed"),
        pytest.param("9.5", owed("10"), "1", "9", id="leaving the minimum"),
        pytest.param("9", owed("10"), "1", "9", id="leaving the minimum as it is"),
        pytest.param("10", owed("10"), "1", "10", id="leaving nothing"),
        pytest.param("1", owed("1.5"), "1", "1", id="which cannot leave a minimum, as asked"),
    ],
)
def test_a_repayment_is_of(asked: str, debt: Owed, minimum: str, amount: str) -> None:
    found = repayment(repay(asked, at_most=True), debt, Decimal(minimum))
    assert isinstance(found, Measured)
    assert found.amount == Decimal(amount)


@pytest.mark.parametrize(
    ("asked", "most", "amount"),
    [
        pytest.param("max", "12.345678901", "12.34567890", id="the maximum, rounded down"),
        pytest.param("5", "12", "5", id="as asked"),
        pytest.param("50", "12", "12", id="no more than there is"),
    ],
)
def test_a_borrow_is_of(asked: str, most: str, amount: str) -> None:
    found = borrowing(borrow(asked, at_most=True), Ceiling(Decimal(most), None))
    assert isinstance(found, Measured)
    assert found.amount == Decimal(amount)


def test_what_was_lowered_is_said_and_what_was_not_is_not() -> None:
    lowered = repayment(repay("100", at_most=True), owed("60"), Decimal(0))
    same = repayment(repay("50", at_most=True), owed("60"), Decimal(0))
    assert isinstance(lowered, Measured)
    assert isinstance(same, Measured)
    assert lowered.said is not None
    assert "lowered from 100 to 60" in lowered.said
    assert same.said is None


def test_where_nothing_is_owed_or_to_be_had_nothing_is_sent() -> None:
    nothing = Ceiling(Decimal(0), None)
    found = [
        repayment(repay("all"), owed("0"), Decimal(0)),
        repayment(repay("5", at_most=True), owed("0.000000001"), Decimal(0)),
        borrowing(borrow("max"), nothing),
        borrowing(borrow("5", at_most=True), nothing),
    ]
    answers = [f.answer for f in found if isinstance(f, Precluded)]
    assert [(a.code, a.name) for a in answers] == [
        *[(0, "NOTHING_OWED")] * 2,
        *[(0, "NOTHING_BORROWABLE")] * 2,
    ]


def test_a_huge_debt_is_not_rounded() -> None:
    debt = owed("123456789012345678901234567890.12345678")
    found = repayment(repay("all"), debt, Decimal(0))
    assert isinstance(found, Measured)
    assert found.amount == debt.total
