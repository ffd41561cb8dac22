"""Every code: what the caller sees, how many attempts it takes, what they weigh, how long it takes.

The names are written down here once more, from the official lists; the messages are those that the
simulated exchange sends, from a table of its own.
"""

from dataclasses import dataclass

import pytest

from scheduler import State, refusals
from scheduler.simulator.refusals import MESSAGES

from .told import ALWAYS, Outcome, told
from .world import REQUEST

QUICK_S = 0.3
"""An answer, or an answer and a first short back-off."""
PROVEN_S = (32.0, 33.0)
"""recvWindow 5 s, processing 10 s, visibility 15 s, and 2 s between two looks."""

FINAL = {
    -1016: "SERVICE_SHUTTING_DOWN",
    -1020: "UNSUPPORTED_OPERATION",
    -1100: "ILLEGAL_CHARS",
    -1101: "TOO_MANY_PARAMETERS",
    -1102: "MANDATORY_PARAM_EMPTY_OR_MALFORMED",
    -1103: "UNKNOWN_PARAM",
    -1104: "UNREAD_PARAMETERS",
    -1105: "PARAM_EMPTY",
    -1106: "PARAM_NOT_REQUIRED",
    -1111: "BAD_PRECISION",
    -1121: "BAD_SYMBOL",
    -1128: "OPTIONAL_PARAMS_BAD_COMBO",
    -1130: "INVALID_PARAMETER",
    -1131: "BAD_RECV_WINDOW",
    -3002: "ASSET_DEFICIENCY",
    -3004: "TRADE_NOT_ALLOWED",
    -3006: "EXCEED_MAX_BORROWABLE",
    -3008: "BORROW_NOT_ALLOWED",
    -3009: "ASSET_NOT_MORTGAGEABLE",
    -3010: "REPAY_NOT_ALLOWED",
    -3011: "BAD_DATE_RANGE",
    -3012: "ASSET_ADMIN_BAN_BORROW",
    -3013: "LT_MIN_BORROWABLE",
    -3015: "REPAY_EXCEED_LIABILITY",
    -3016: "LT_MIN_REPAY",
    -3021: "PAIR_ADMIN_BAN_TRADE",
    -3022: "ACCOUNT_BAN_TRADE",
    -3023: "WARNING_MARGIN_LEVEL",
    -3024: "FEW_LIABILITY_LEFT",
    -3025: "INVALID_EFFECTIVE_TIME",
    -3026: "VALIDATION_FAILED",
    -3027: "NOT_VALID_MARGIN_ASSET",
    -3028: "NOT_VALID_MARGIN_PAIR",
    -3041: "BALANCE_NOT_CLEARED",
    -3042: "PRICE_INDEX_NOT_FOUND",
    -3043: "TRANSFER_IN_NOT_ALLOWED",
    -3999: "NOT_WHITELIST_USER",
    -11008: "ISOLATED_BORROW_REFUSED",
}
STOPPING = {
    -1002: "UNAUTHORIZED",
    -1022: "INVALID_SIGNATURE",
    -1099: "NOT_FOUND_OR_AUTHORIZED",
    -2008: "BAD_API_ID",
    -2014: "BAD_API_KEY_FMT",
    -2015: "REJECTED_MBX_KEY",
    -3001: "NEED_ENABLE_2FA",
    -3003: "NO_OPENED_MARGIN_ACCOUNT",
    -3014: "ACCOUNT_BAN_BORROW",
    -3036: "ACCOUNT_BAN_REPAY",
    -11001: "NO_ISOLATED_MARGIN_ACCOUNT",
}
UNKNOWN = {
    -1000: "UNKNOWN",
    -1001: "DISCONNECTED",
    -1004: "SERVER_BUSY",
    -1006: "UNEXPECTED_RESP",
    -1007: "TIMEOUT",
    -1008: "SERVER_OVERLOADED",
    -3000: "INNER_FAILURE",
    -3029: "TRANSFER_FAILED",
    -3044: "SYSTEM_BUSY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A code that goes away: once, then for ever within ten minutes."""

    name: str
    once_s: tuple[float, float]
    attempts: int
    """While it lasts, at most."""
    lasts_s: tuple[float, float]
    """Until its caller is told, while it lasts."""
    weight_besides: int = 0
    """At most: what the gate's inventory calls weigh."""


PASSING = {
    # 100 ms, doubling to 5 s, each with up to a quarter more.
    -3007: Passing(
        name="HAS_PENDING_TRANSACTION", once_s=(0, QUICK_S), attempts=125, lasts_s=(600, 601)
    ),
    -3037: Passing(name="PNL_CLEARING", once_s=(0, QUICK_S), attempts=125, lasts_s=(600, 601)),
    # 1 s, doubling to 5 min, and a question to the inventory call before each attempt.
    -3045: Passing(
        name="INSUFFICIENT_INVENTORY",
        once_s=(1, 1.5),
        attempts=10,
        lasts_s=(600, 601),
        weight_besides=10 * 50,
    ),
    # At once with a clock set anew, then as -3007; five in all.
    -1021: Passing(name="INVALID_TIMESTAMP", once_s=(0, QUICK_S), attempts=5, lasts_s=(0.7, 2.5)),
    # To the end of the clock minute, which is 40 s away, and twice as long with each in a row.
    -1003: Passing(name="TOO_MANY_REQUESTS", once_s=(40, 40.5), attempts=4, lasts_s=(600, 601)),
}
STRANGE = (-3045, "REPAY")


def test_every_code_that_the_scheduler_knows_has_a_row() -> None:
    assert {*FINAL, *STOPPING, *UNKNOWN, *PASSING} == set(refusals.TABLE)


@pytest.mark.parametrize("kind", ["BORROW", "REPAY"])
@pytest.mark.parametrize(("code", "name"), FINAL.items(), ids=str)
def test_the_request_is_refused_for_good(code: int, name: str, kind: str) -> None:
    # A code that comes with 5xx promises nothing; see below.
    outcome = told(code, kind=kind, status=400)
    assert_rejected(outcome, code, name, attempts=1)
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


@pytest.mark.parametrize(("code", "name"), UNKNOWN.items(), ids=str)
def test_a_borrow_of_unknown_outcome_is_proven_absent(code: int, name: str) -> None:
    outcome = told(code)
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
    assert_rejected(outcome, code, row.name, attempts=outcome.attempts, besides=row.weight_besides)
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
@pytest.mark.parametrize(("fault", "wait_s"), [("429", 60), ("418", 120)])
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
