"""What each of the exchange's codes means for a submission."""

import pytest

from scheduler.refusals import TABLE, Disposition, advice, answer, refusal

TERMINAL = Disposition.TERMINAL
STOPS = Disposition.STOPS_ACCOUNT
BUSY = Disposition.BUSY
UNKNOWN = Disposition.UNKNOWN

NAMED = [
    # code, name, the exchange's words, disposition
    (
        -3006,
        "EXCEED_MAX_BORROWABLE",
        "Your borrow amount has exceed maximum borrow amount.",
        TERMINAL,
    ),
    (
        -3007,
        "HAS_PENDING_TRANSACTION",
        "You have pending transaction, please try again later.",
        BUSY,
    ),
    (-3012, "ASSET_ADMIN_BAN_BORROW", "Borrow is banned for this asset.", TERMINAL),
    (-3015, "REPAY_EXCEED_LIABILITY", "Repay amount exceeds borrow amount.", TERMINAL),
    (
        -3015,
        "FEW_LIABILITY_LEFT",
        "The unpaid debt is too small after this repayment.",
        TERMINAL,
    ),
    (
        -3024,
        "FEW_LIABILITY_LEFT",
        "The unpaid debt is too small after this repayment.",
        TERMINAL,
    ),
    (
        -3045,
        "INSUFFICIENT_INVENTORY",
        "The system does not have enough asset now.",
        Disposition.STARVED,
    ),
    (
        -1021,
        "INVALID_TIMESTAMP",
        "Timestamp for this request is outside of the recvWindow.",
        Disposition.CLOCK,
    ),
    (-1003, "TOO_MANY_REQUESTS", "Too many requests.", Disposition.LIMITED),
    (-3037, "PNL_CLEARING", "PNL is clearing. Wait a second.", BUSY),
]

STOPPING = [-3001, -3003, -3014, -3036, -2008, -2014, -2015, -1002, -1022, -1099, -11001]
# fmt: off
WRONG_REQUESTS = [
    -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1111, -1121, -1128, -1130, -1131, -1016,
    -1020, -3002, -3004, -3008, -3009, -3010, -3011, -3013, -3016, -3021, -3022, -3023, -3025,
    -3026, -3027, -3028, -3041, -3042, -3043, -3999, -11008,
]
# fmt: on
OUTCOME_UNKNOWN = [-1000, -1001, -1006, -1007, -3000, -3029]
UNSETTLED = [-1004, -1008, -3044]


@pytest.mark.parametrize(
    ("code", "name", "message", "disposition"),
    [pytest.param(*row, id=f"{row[0]} {row[1]}") for row in NAMED],
)
def test_a_code_of_the_calls_own_page_has_its_name_its_words_and_its_meaning(
    code: int, name: str, message: str, disposition: Disposition
) -> None:
    said = answer(code, message, 400)
    assert (said.code, said.name, said.message) == (code, name, message)
    assert refusal(code, 400).disposition is disposition


@pytest.mark.parametrize("code", STOPPING)
def test_a_refused_key_or_account_stops_the_account(code: int) -> None:
    assert refusal(code, 400).disposition is STOPS


@pytest.mark.parametrize("code", WRONG_REQUESTS)
def test_a_request_that_is_wrong_is_refused_for_good(code: int) -> None:
    assert refusal(code, 400).disposition is TERMINAL


@pytest.mark.parametrize("code", OUTCOME_UNKNOWN + UNSETTLED)
def test_a_code_that_does_not_say_it_did_not_happen_leaves_the_outcome_unknown(code: int) -> None:
    assert refusal(code, 400).disposition is UNKNOWN


@pytest.mark.parametrize(
    ("http_status", "disposition"),
    [
        pytest.param(400, TERMINAL, id="400"),
        pytest.param(401, TERMINAL, id="401"),
        pytest.param(499, TERMINAL, id="499"),
        pytest.param(500, UNKNOWN, id="500"),
        pytest.param(503, UNKNOWN, id="503"),
        pytest.param(302, UNKNOWN, id="302"),
        pytest.param(200, UNKNOWN, id="200"),
    ],
)
def test_a_code_nobody_has_heard_of_is_judged_by_its_http_status(
    http_status: int, disposition: Disposition
) -> None:
    assert refusal(-98765, http_status).disposition is disposition


def test_a_listed_code_means_the_same_under_any_http_status() -> None:
    assert refusal(-3007, 500) == refusal(-3007, 400) == TABLE[-3007]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        pytest.param("Repay amount exceeds borrow amount.", "REPAY_EXCEED_LIABILITY", id="debt"),
        pytest.param(
            "The unpaid debt is too small after this repayment.", "FEW_LIABILITY_LEFT", id="rest"
        ),
        pytest.param("something new", "REPAY_EXCEED_LIABILITY", id="words not seen before"),
        pytest.param("", "REPAY_EXCEED_LIABILITY", id="no words"),
    ],
)
def test_the_two_meanings_of_3015_are_told_apart_by_its_words(message: str, name: str) -> None:
    assert answer(-3015, message, 400).name == name


@pytest.mark.parametrize(
    ("message", "name"),
    [
        pytest.param("Borrow not allowed.", "BORROW_NOT_ALLOWED", id="forbidden"),
        pytest.param(
            "You have exceeded max borrowable amount.", "EXCEED_MAX_BORROWABLE", id="too much"
        ),
    ],
)
def test_the_two_meanings_of_3008_are_told_apart_by_its_words(message: str, name: str) -> None:
    assert answer(-3008, message, 400).name == name


@pytest.mark.parametrize("code", [-3007, -3045, -1000, -2015, -1021])
def test_words_that_belong_to_another_code_change_nothing(code: int) -> None:
    said = answer(code, "The unpaid debt is too small after this repayment.", 400)
    assert said.name == TABLE[code].name


@pytest.mark.parametrize(
    "message",
    ["", "Ärger 借款 \u202e", "a\nb\tc", " spaces ", "<html>", "x" * 5_000],
    ids=["nothing", "other scripts", "control characters", "spaces", "markup", "long"],
)
def test_the_exchanges_words_are_passed_on_word_for_word(message: str) -> None:
    assert answer(-3006, message, 400).message == message


def test_every_code_that_is_known_of_has_a_row_and_no_other_has() -> None:
    known = {row[0] for row in NAMED} | {*STOPPING, *WRONG_REQUESTS, *OUTCOME_UNKNOWN, *UNSETTLED}
    assert TABLE.keys() == known


def test_only_a_few_codes_let_the_same_request_go_again() -> None:
    again = {BUSY, Disposition.STARVED, Disposition.CLOCK, Disposition.LIMITED}
    passing = {code for code, row in TABLE.items() if row.disposition in again}
    assert passing == {-3007, -3037, -3045, -1021, -1003}


@pytest.mark.parametrize(
    ("code", "message", "advises_as"),
    [
        pytest.param(-3006, "", -3006, id="by its code"),
        pytest.param(-3015, "Repay amount exceeds borrow amount.", -3015, id="too much"),
        pytest.param(
            -3015, "The unpaid debt is too small after this repayment.", -3024, id="too little left"
        ),
        pytest.param(-3008, "exceeds max borrowable", -3006, id="too much to borrow"),
        pytest.param(-98765, "", -3007, id="an unheard-of code has none"),
    ],
)
def test_advice_follows_what_the_refusal_means_and_not_its_code_alone(
    code: int, message: str, advises_as: int
) -> None:
    assert advice(answer(code, message, 400)) == TABLE[advises_as].advice


def test_what_a_caller_can_change_comes_with_advice() -> None:
    assert all(TABLE[code].advice for code in (-3006, -3012, -3013, -3015, -3016, -3024, -3045))
