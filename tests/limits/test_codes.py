"""Every code: what the caller sees, how many attempts it takes, what they weigh, how long it takes.

The messages are those that the simulated exchange sends, from a table of its own.
"""

import pytest

from scheduler import State, refusals
from scheduler.simulator.refusals import MESSAGES

from .codes import FINAL, PASSING, PROVEN_S, QUICK_S, STOPPING, UNKNOWN
from .told import ALWAYS, Outcome, told
from .world import REQUEST

STRANGE = (-3045, "REPAY")


def test_every_code_that_the_scheduler_knows_has_a_row() -> None:
    assert {*FINAL, *STOPPING, *UNKNOWN, *PASSING} == set(refusals.TABLE)


ADVICE = {-3006: 750}
"""What looking up advice costs, on a budget of its own."""


@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
@pytest.mark.parametrize(("code", "name"), FINAL.items(), ids=str)
def test_the_request_is_refused_for_good(code: int, name: str, kind: str) -> None:
    # A code that comes with 5xx promises nothing; see below.
    outcome = told(code, kind=kind, status=400)
    assert_rejected(outcome, code, name, attempts=1, besides=ADVICE.get(code, 0))
    assert outcome.took_s < QUICK_S
    assert not outcome.is_stopped
    assert outcome.alarms == set()


@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
@pytest.mark.parametrize(("code", "name"), STOPPING.items(), ids=str)
def test_the_key_or_the_account_is_refused(code: int, name: str, kind: str) -> None:
    outcome = told(code, kind=kind)
    assert_rejected(outcome, code, name, attempts=1)
    assert outcome.took_s < QUICK_S
    assert outcome.is_stopped
    assert outcome.alarms == {"account_stopped"}


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize(("code", "name"), UNKNOWN.items(), ids=str)
def test_a_borrow_of_unknown_outcome_is_proven_absent(code: int, name: str, status: int) -> None:
    outcome = told(code, status=status)
    assert (outcome.state, outcome.raised) == (State.NOT_EXECUTED, "NotExecuted")
    assert (outcome.code, outcome.name, outcome.message) == (code, name, MESSAGES[code])
    assert (outcome.attempts, outcome.weight, outcome.booked) == (1, REQUEST, 0)
    assert PROVEN_S[0] <= outcome.took_s <= PROVEN_S[1]
    assert not outcome.is_stopped


@pytest.mark.parametrize("code", UNKNOWN, ids=str)
def test_a_repayment_of_unknown_outcome_is_sent_again_once_it_is_proven_absent(code: int) -> None:
    outcome = told(code, kind="REPAY")
    assert_confirmed(outcome, attempts=2)
    assert PROVEN_S[0] <= outcome.took_s <= PROVEN_S[1]


@pytest.mark.parametrize(
    ("code", "kind"),
    # No repayment wants inventory.
    [(code, kind) for code in PASSING for kind in ("BORROW", "REPAY") if (code, kind) != STRANGE],
)
def test_what_passes_is_waited_out(code: int, kind: str) -> None:
    row = PASSING[code]
    outcome = told(code, kind=kind)
    assert_confirmed(outcome, attempts=2, besides=row.weight_besides)
    assert row.once_s[0] <= outcome.took_s <= row.once_s[1]


@pytest.mark.parametrize("code", PASSING)
def test_what_does_not_pass_is_passed_on_when_time_runs_out(code: int) -> None:
    row = PASSING[code]
    outcome = told(code, times=ALWAYS, send_within=600)
    # An inventory that was promised and not lent is asked for every 15 s, instead of tried.
    besides = row.weight_besides and 600 // 15 * 50 + row.weight_besides
    assert_rejected(outcome, code, row.name, attempts=outcome.attempts, besides=besides)
    assert 2 <= outcome.attempts <= row.attempts
    assert row.lasts_s[0] <= outcome.took_s <= row.lasts_s[1]
    assert not outcome.is_stopped


@pytest.mark.parametrize("status", [400, 429])
def test_a_rate_limit_counts_by_its_code_and_by_its_status(status: int) -> None:
    outcome = told(-1003, status=status)
    assert_confirmed(outcome, attempts=2)
    assert 40 <= outcome.took_s <= 40.5


@pytest.mark.parametrize("code", [-3006, -2015, -3007, -3045, -1021], ids=str)
def test_under_5xx_no_code_promises_that_nothing_happened(code: int) -> None:
    outcome = told(code, status=503)
    assert outcome.state is State.NOT_EXECUTED
    assert (outcome.attempts, outcome.code) == (1, code)
    assert PROVEN_S[0] <= outcome.took_s <= PROVEN_S[1]
    assert not outcome.is_stopped


def test_a_code_that_nobody_knows_is_final_under_4xx_and_unknown_under_5xx() -> None:
    refused = told(-9999, status=400)
    assert (refused.raised, refused.code, refused.name) == ("Rejected", -9999, "UNLISTED")
    assert refused.attempts == 1
    lost = told(-9999, status=500)
    assert (lost.raised, lost.code, lost.name) == ("NotExecuted", -9999, "UNLISTED")
    assert PROVEN_S[0] <= lost.took_s <= PROVEN_S[1]


@pytest.mark.parametrize(
    ("amount", "name", "message"),
    [
        pytest.param(
            "11", "REPAY_EXCEED_LIABILITY", "Repay amount exceeds borrow amount.", id="too much"
        ),
        pytest.param(
            "9.9999999",
            "FEW_LIABILITY_LEFT",
            "The unpaid debt is too small after this repayment.",
            id="nearly all",
        ),
    ],
)
def test_one_code_has_two_meanings_by_its_message(amount: str, name: str, message: str) -> None:
    outcome = told(None, kind="REPAY", debt="10", amount=amount)
    assert (outcome.raised, outcome.code) == ("Rejected", -3015)
    assert (outcome.name, outcome.message) == (name, message)
    assert (outcome.attempts, outcome.booked) == (1, 0)


# Answers without a code


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ("503_before", 1),
        ("1007_before", 1),
        ("lost_before", 1),
        ("redirect", 1),
    ],
)
def test_no_usable_answer_and_nothing_executed(fault: str, attempts: int) -> None:
    borrowed = told(fault)
    assert (borrowed.raised, borrowed.attempts, borrowed.booked) == ("NotExecuted", attempts, 0)
    assert PROVEN_S[0] <= borrowed.took_s <= PROVEN_S[1]
    assert_confirmed(told(fault, kind="REPAY"), attempts=attempts + 1)


@pytest.mark.parametrize(
    "fault",
    [
        "503_after",
        "1007_after",
        "lost_after",
        "html_200",
        "empty_200",
        "truncated",
        "text_tran_id",
        "null_tran_id",
        "float_tran_id",
        "no_tran_id",
    ],
)
@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
def test_no_usable_answer_and_executed(fault: str, kind: str) -> None:
    outcome = told(fault, kind=kind)
    assert_confirmed(outcome, attempts=1)
    assert outcome.took_s < 5  # the first looks find it


def test_what_never_left_costs_nothing_and_goes_again() -> None:
    outcome = told("never_left", times=3)
    assert_confirmed(outcome, attempts=1)
    assert outcome.took_s < 3
    never = told("never_left", times=ALWAYS, send_within=60)
    assert (never.raised, never.attempts, never.weight) == ("Expired", 0, 0)
    assert 60 <= never.took_s <= 61


@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
@pytest.mark.parametrize(("fault", "wait_s"), [("429", 61), ("418", 120)])
def test_a_limit_is_waited_out(fault: str, wait_s: float, kind: str) -> None:
    outcome = told(fault, kind=kind)
    assert_confirmed(outcome, attempts=2)
    assert wait_s <= outcome.took_s <= wait_s + 1


def assert_confirmed(outcome: Outcome, *, attempts: int, besides: int = 0) -> None:
    assert (outcome.state, outcome.raised, outcome.code) == (State.CONFIRMED, None, None)
    assert (outcome.attempts, outcome.booked) == (attempts, 1)
    assert 0 <= outcome.weight - attempts * REQUEST <= besides
    assert not outcome.is_stopped


def assert_rejected(
    outcome: Outcome, code: int, name: str, *, attempts: int, besides: int = 0
) -> None:
    assert (outcome.state, outcome.raised) == (State.REJECTED, "Rejected")
    assert (outcome.code, outcome.name, outcome.message) == (code, name, MESSAGES[code])
    assert (outcome.attempts, outcome.booked) == (attempts, 0)
    assert 0 <= outcome.weight - attempts * REQUEST <= besides
