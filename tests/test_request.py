"""What a caller may ask: every form that is taken, and every form that is not."""

from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import InvalidRequest, SchedulerError
from scheduler.model import Kind, Priority, Submission
from scheduler.policy import Limits
from scheduler.request import Options, checked, checked_key, new_key

from .build import NOW_MS, UNHURRIED, submission

DAY_S = 86_400


def ask(
    *,
    account: str = "main",
    kind: Any = "BORROW",
    asset: Any = "USDT",
    amount: Any = "100",
    limits: Limits | None = None,
    **options: object,
) -> Submission:
    said = cast("Options", {"key": "order-17", **options})
    limits = limits or Limits()
    return checked(account, kind, asset, amount, said, limits=limits, now_ms=NOW_MS)


def refusal(**changes: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        ask(**changes)
    return caught.value


def test_a_request_is_kept_as_it_was_asked() -> None:
    asked = ask(
        kind="REPAY",
        asset="BTC",
        amount="0.10",
        symbol="BTCUSDT",
        priority="urgent",
        send_within=2.5,
    )
    assert asked == Submission(
        key="order-17",
        account="main",
        kind=Kind.REPAY,
        asset="BTC",
        requested="0.10",
        symbol="BTCUSDT",
        priority=Priority.URGENT,
        submitted_at_ms=NOW_MS,
        deadline_ms=NOW_MS + 2_500,
    )


# Amounts


@pytest.mark.parametrize(
    ("amount", "requested"),
    [
        pytest.param("1", "1", id="one"),
        pytest.param("1.0", "1.0", id="with a zero behind"),
        pytest.param("007", "007", id="with zeros in front"),
        pytest.param("0.00000001", "0.00000001", id="the smallest there is"),
        pytest.param("9" * 22 + ".12345678", "9" * 22 + ".12345678", id="30 digits"),
        pytest.param("9" * 30, "9" * 30, id="30 digits without a point"),
        pytest.param(Decimal("0.1"), "0.1", id="a Decimal"),
        pytest.param(Decimal("1E+3"), "1000", id="a Decimal with an exponent"),
        pytest.param(Decimal("1E-7"), "0.0000001", id="a small Decimal, never with an exponent"),
    ],
)
def test_an_amount_is_taken_word_for_word(amount: str | Decimal, requested: str) -> None:
    assert ask(amount=amount).requested == requested


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param("0", id="zero"),
        pytest.param("0.00000000", id="zero with decimals"),
        pytest.param("-1", id="negative"),
        pytest.param("-0", id="minus zero"),
        pytest.param("+1", id="plus sign"),
        pytest.param("", id="nothing"),
        pytest.param(" 1", id="space in front"),
        pytest.param("1 ", id="space behind"),
        pytest.param("1\n", id="line end behind"),
        pytest.param("1.", id="no digits behind the point"),
        pytest.param(".5", id="no digits before the point"),
        pytest.param(".", id="a point"),
        pytest.param("1.2.3", id="two points"),
        pytest.param("1,5", id="comma"),
        pytest.param("1e3", id="exponent"),
        pytest.param("1E3", id="capital exponent"),
        pytest.param("NaN", id="NaN"),
        pytest.param("Infinity", id="Infinity"),
        pytest.param("-Infinity", id="-Infinity"),
        pytest.param("inf", id="inf"),
        pytest.param("١٢", id="Arabic digits"),
        pytest.param("１", id="full-width digit"),  # noqa: RUF001
        pytest.param("1_000", id="underscore"),
        pytest.param("0x10", id="hexadecimal"),
        pytest.param("0.123456789", id="nine decimals"),
        pytest.param("1.000000000", id="nine decimals, though zeros"),
        pytest.param("9" * 31, id="31 digits"),
        pytest.param("1" * 23 + ".12345678", id="31 digits with a point"),
        pytest.param("0" * 5_000 + "1", id="very long"),
        pytest.param("1\x00", id="NUL"),
        pytest.param("all", id="the whole debt, for a borrow"),
        pytest.param("ALL", id="ALL"),
        pytest.param("MAX", id="MAX"),
        pytest.param("1&type=REPAY", id="a parameter inside"),
        pytest.param(Decimal(0), id="Decimal zero"),
        pytest.param(Decimal(-1), id="Decimal negative"),
        pytest.param(Decimal("NaN"), id="Decimal NaN"),
        pytest.param(Decimal("sNaN"), id="Decimal signalling NaN"),
        pytest.param(Decimal("Infinity"), id="Decimal Infinity"),
        pytest.param(Decimal("1E-9"), id="Decimal of nine decimals"),
        pytest.param(Decimal("1E+30"), id="Decimal of 31 digits"),
        pytest.param(Decimal("1E+1000000"), id="Decimal of a million digits"),
        pytest.param(Decimal("1E-1000000"), id="Decimal of a million decimals"),
    ],
)
def test_an_amount_of_any_other_form_is_invalid(amount: str | Decimal) -> None:
    error = refusal(amount=amount)
    assert (error.field, error.code) == ("amount", "amount_invalid")


def test_there_is_no_maximum_for_a_repayment() -> None:
    assert refusal(kind="REPAY", amount="max").code == "amount_invalid"


@pytest.mark.parametrize(("kind", "word"), [("REPAY", "all"), ("BORROW", "max")])
def test_everything_is_asked_for_in_a_word(kind: str, word: str) -> None:
    asked = ask(kind=kind, amount=word)
    assert asked.requested == word
    assert asked.is_open


@pytest.mark.parametrize(
    "amount",
    [1, 1.5, 0.1, True, None, b"1", ["1"], {"amount": "1"}, float("nan")],
    ids=repr,
)
def test_an_amount_that_is_not_text_is_named_as_such(amount: object) -> None:
    error = refusal(amount=amount)
    assert (error.field, error.code) == ("amount", "amount_not_string")


# Names


@pytest.mark.parametrize("asset", ["USDT", "1INCH", "A", "X" * 64, "0"])
def test_an_asset_is_taken_as_the_exchange_spells_it(asset: str) -> None:
    assert ask(asset=asset).asset == asset


@pytest.mark.parametrize(
    "asset",
    [
        pytest.param("btc", id="lower case"),
        pytest.param("Btc", id="mixed case"),
        pytest.param("BTC ", id="space behind"),
        pytest.param(" BTC", id="space in front"),
        pytest.param("BTC\n", id="line end behind"),
        pytest.param("BTC&type=REPAY", id="a parameter inside"),
        pytest.param("BTC%20", id="percent"),
        pytest.param("B\x00TC", id="NUL"),
        pytest.param("", id="nothing"),
        pytest.param("X" * 65, id="65 characters"),
        pytest.param("ΒTC", id="Greek capital beta"),  # noqa: RUF001
        pytest.param("BTC-USD", id="hyphen"),
        pytest.param(None, id="null"),
        pytest.param(1, id="a number"),
        pytest.param(b"BTC", id="bytes"),
        pytest.param(["BTC"], id="a list"),
    ],
)
def test_an_asset_of_any_other_form_is_invalid(asset: object) -> None:
    error = refusal(asset=asset)
    assert (error.field, error.code) == ("asset", "asset_invalid")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1INCHUSDT", "X" * 20])
def test_a_symbol_is_taken_as_the_exchange_spells_it(symbol: str) -> None:
    assert ask(symbol=symbol).symbol == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param("btcusdt", id="lower case"),
        pytest.param("BTC/USDT", id="slash"),
        pytest.param("BTC_USDT", id="underscore"),
        pytest.param("", id="nothing"),
        pytest.param("X" * 21, id="21 characters"),
        pytest.param("BTCUSDT ", id="space behind"),
        pytest.param("BTCUSDT&", id="ampersand"),
        pytest.param(False, id="a flag"),
        pytest.param(0, id="a number"),
        pytest.param(["BTCUSDT"], id="a list"),
    ],
)
def test_a_symbol_of_any_other_form_is_invalid(symbol: object) -> None:
    error = refusal(symbol=symbol)
    assert (error.field, error.code) == ("symbol", "symbol_invalid")


@pytest.mark.parametrize("kind", ["BORROW", "REPAY", Kind.BORROW, Kind.REPAY])
def test_a_kind_is_the_exchanges_word_or_our_constant(kind: str) -> None:
    assert ask(kind=kind).kind is Kind(kind)


@pytest.mark.parametrize(
    "kind",
    ["borrow", "LEND", "", "BORROW ", "Kind.BORROW", None, 0, b"BORROW", ["BORROW"], True],
    ids=repr,
)
def test_any_other_kind_is_invalid(kind: object) -> None:
    error = refusal(kind=kind)
    assert (error.field, error.code) == ("kind", "kind_invalid")


@pytest.mark.parametrize("priority", ["urgent", "normal", Priority.URGENT, Priority.NORMAL])
def test_there_are_two_priorities(priority: str) -> None:
    assert ask(priority=priority).priority is Priority(priority)


@pytest.mark.parametrize("priority", ["asap", "URGENT", "", "high", None, 1, True, ["urgent"]])
def test_any_other_priority_is_invalid(priority: object) -> None:
    error = refusal(priority=priority)
    assert (error.field, error.code) == ("priority", "priority_invalid")


@pytest.mark.parametrize("key", ["a", "0", "order-17", "a.b_c:d-e", "Z" * 64, "client:key"])
def test_a_key_is_up_to_64_plain_characters(key: str) -> None:
    assert ask(key=key).key == key == checked_key(key)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="nothing"),
        pytest.param("x" * 65, id="65 characters"),
        pytest.param("-a", id="begins with a hyphen"),
        pytest.param(".a", id="begins with a point"),
        pytest.param("_a", id="begins with an underscore"),
        pytest.param(":a", id="begins with a colon"),
        pytest.param("a b", id="space"),
        pytest.param("a/b", id="slash"),
        pytest.param("a\n", id="line end behind"),
        pytest.param("ä", id="umlaut"),
        pytest.param("a\x00", id="NUL"),
        pytest.param(17, id="a number"),
        pytest.param(b"a", id="bytes"),
        pytest.param(["a"], id="a list"),
    ],
)
def test_a_key_of_any_other_form_is_invalid(key: object) -> None:
    error = refusal(key=key)
    assert (error.field, error.code) == ("key", "key_invalid")
    with pytest.raises(InvalidRequest):
        checked_key(key)


def test_a_key_that_is_missing_is_no_key() -> None:
    with pytest.raises(InvalidRequest):
        checked_key(None)


def test_a_key_is_made_up_where_there_is_none() -> None:
    said: Options = {}
    keys = {
        checked("main", "BORROW", "USDT", "1", said, limits=Limits(), now_ms=NOW_MS).key
        for _ in range(100)
    }
    assert len(keys) == 100
    assert all(checked_key(key) for key in keys)
    assert checked_key(new_key())


# Times and flags


@pytest.mark.parametrize(
    ("kind", "send_within", "within_ms"),
    [
        pytest.param("BORROW", None, 300_000, id="a borrow has five minutes"),
        pytest.param("REPAY", None, DAY_S * 1_000, id="a repayment has a day"),
        pytest.param("BORROW", 2.5, 2_500, id="two seconds and a half"),
        pytest.param("BORROW", 1, 1_000, id="a whole number"),
        pytest.param("BORROW", 0, 0, id="none at all"),
        pytest.param("REPAY", 7 * DAY_S, 7 * DAY_S * 1_000, id="a week"),
        pytest.param("REPAY", 0.0004, 0, id="less than a millisecond"),
    ],
)
def test_the_deadline_is_kept_as_a_time(
    kind: str, send_within: float | None, within_ms: int
) -> None:
    assert ask(kind=kind, send_within=send_within).deadline_ms == NOW_MS + within_ms


def test_how_long_a_submission_has_by_default_can_be_set() -> None:
    limits = Limits(borrow_send_within_s=7, repay_send_within_s=9)
    assert ask(limits=limits).deadline_ms == NOW_MS + 7_000
    assert ask(limits=limits, kind="REPAY").deadline_ms == NOW_MS + 9_000


@pytest.mark.parametrize(
    "send_within",
    [-1, -0.001, 7 * DAY_S + 0.001, 1e300, float("inf"), float("nan"), "5", True, b"5", [5]],
    ids=repr,
)
def test_send_within_is_between_nothing_and_a_week(send_within: object) -> None:
    error = refusal(send_within=send_within)
    assert (error.field, error.code) == ("send_within", "send_within_invalid")
    assert "0 to 604800" in str(error)


@pytest.mark.parametrize("field", ["at_most", "precheck"])
@pytest.mark.parametrize("value", [1, 0, "true", "", None])
def test_a_flag_is_true_or_false_and_nothing_like_it(field: str, value: object) -> None:
    error = refusal(**{field: value})
    assert (error.field, error.code) == (field, f"{field}_invalid")


@pytest.mark.parametrize("field", ["at_most", "precheck"])
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_kept_as_it_was_given(field: str, value: bool) -> None:
    options: dict[str, Any] = {field: value}
    assert getattr(ask(**options), field) is value


# What is one request


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(submission(requested="100.0"), id="one more zero"),
        pytest.param(submission(requested="100.00000000"), id="eight more zeros"),
        pytest.param(submission(requested="0100"), id="a zero in front"),
        pytest.param(submission(deadline_ms=NOW_MS + 1), id="another deadline"),
        pytest.param(submission(priority=Priority.URGENT), id="another priority"),
        pytest.param(submission(submitted_at_ms=NOW_MS + 5), id="asked later"),
    ],
)
def test_the_same_request_in_other_words_is_the_same(other: Submission) -> None:
    assert submission().asks_the_same(other)
    assert other.asks_the_same(submission())


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(submission(account="second"), id="account"),
        pytest.param(submission(kind=Kind.REPAY), id="kind"),
        pytest.param(submission(asset="USDC"), id="asset"),
        pytest.param(submission(requested="100.00000001"), id="amount"),
        pytest.param(submission(requested="max"), id="amount in words"),
        pytest.param(submission(symbol="BTCUSDT"), id="pair"),
        pytest.param(submission(at_most=True), id="at_most"),
    ],
)
def test_another_request_is_not_the_same(other: Submission) -> None:
    assert not submission().asks_the_same(other)
    assert not other.asks_the_same(submission())


@pytest.mark.parametrize("word", ["all", "max"])
def test_the_same_word_for_an_amount_is_the_same(word: str) -> None:
    assert submission(requested=word).asks_the_same(submission(requested=word))


# Errors


def test_a_refusal_is_a_value_error_and_one_of_ours_and_names_its_field() -> None:
    error = refusal(asset="btc")
    assert isinstance(error, ValueError)
    assert isinstance(error, SchedulerError)
    assert str(error).startswith("asset: ")


@pytest.mark.parametrize("name", ["sendwithin", "Symbol", "send_within_ms", "__class__", ""])
def test_an_option_that_does_not_exist_is_named(name: str) -> None:
    error = refusal(**{name: None})
    assert (error.field, error.code) == (name, "unknown_field")


def is_refused(amount: object) -> bool:
    try:
        ask(amount=amount)
    except InvalidRequest as error:
        return error.code == "amount_invalid"
    return False


@UNHURRIED
@given(st.text(max_size=40))
def test_whatever_text_is_given_as_an_amount_is_taken_word_for_word_or_refused(amount: str) -> None:
    if not is_refused(amount):
        assert ask(amount=amount).requested == amount
        assert amount.isascii()
        assert Decimal(amount) > 0


@UNHURRIED
@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_whatever_decimal_is_given_is_taken_exactly_or_refused(amount: Decimal) -> None:
    if not is_refused(amount):
        asked = ask(amount=amount).requested
        assert Decimal(asked) == amount
        assert not {"E", "e"} & set(asked)
