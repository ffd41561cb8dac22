"""Requests byte for byte, and what each reply may and may not be taken for."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import binance
from scheduler.binance import BadReply, Credentials, outcome
from scheduler.events import Accepted, Lost, Refused
from scheduler.figures import Ceiling, Owed, Rules
from scheduler.model import Entry, Kind, Transaction
from scheduler.refusals import TABLE, Disposition
from scheduler.signing import signer
from scheduler.wire import HttpReply, HttpRequest

from .build import NOW_MS, UNHURRIED, attempt, entry, record

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


class Echo:
    """Signs with the payload's length, so that what was signed shows."""

    def sign(self, payload: bytes) -> str:
        return f"{len(payload)}%2F"


ECHO = Credentials(api_key=API_KEY, signer=Echo())
HMAC = Credentials(api_key=API_KEY, signer=signer(SECRET))


# Requests


def body(entry_: Entry, amount: str = "100", recv_window_ms: int = 5_000) -> str:
    return binance.borrow_repay_body(entry_, Decimal(amount), NOW_MS, recv_window_ms)


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        pytest.param(
            entry(),
            "asset=USDT&isIsolated=FALSE&amount=100&type=BORROW&recvWindow=5000"
            "&timestamp=1800000000000",
            id="cross borrow",
        ),
        pytest.param(
            entry(kind=Kind.REPAY, asset="BTC", symbol="BTCUSDT"),
            "asset=BTC&isIsolated=TRUE&amount=100&type=REPAY&recvWindow=5000"
            "&timestamp=1800000000000&symbol=BTCUSDT",
            id="isolated repayment",
        ),
    ],
)
def test_the_form_of_the_call_byte_for_byte(asked: Entry, form: str) -> None:
    assert body(asked) == form


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        pytest.param("0.00000001", "0.00000001", id="the smallest"),
        pytest.param("1E-7", "0.0000001", id="never an exponent"),
        pytest.param("1E+3", "1000", id="never an exponent for large ones either"),
        pytest.param("100.00", "100.00", id="zeros as asked"),
        pytest.param("9" * 22 + ".12345678", "9" * 22 + ".12345678", id="30 digits"),
    ],
)
def test_an_amount_is_written_as_a_plain_decimal(amount: str, written: str) -> None:
    assert f"&amount={written}&" in body(entry(), amount)


@pytest.mark.parametrize(
    "asset", ["A&type=REPAY", "A=B", "A B", "A+B", "A%20", "A/B", "Ä", "A\x00", "A#B"]
)
def test_whatever_is_in_a_value_stays_one_value(asset: str) -> None:
    form = body(entry(asset=asset))
    assert form.isascii()
    assert form.count("&") == 5
    assert form.count("=") == 6
    assert not {" ", "+", "/", "#"} & set(form)


def test_a_value_is_percent_encoded_in_capitals() -> None:
    assert body(entry(asset="A/B Ä")).startswith("asset=A%2FB%20%C3%84&")


def test_the_recv_window_is_always_said() -> None:
    assert "&recvWindow=60000&" in body(entry(), recv_window_ms=60_000)


def test_an_attempt_is_one_post_of_exactly_its_body_with_the_signature_last() -> None:
    form = body(entry())
    request = binance.borrow_repay_request(attempt(body=form), ECHO)
    assert request == HttpRequest(
        method="POST",
        path="/sapi/v1/margin/borrow-repay",
        query="",
        headers={
            "X-MBX-APIKEY": API_KEY,
            "Content-Type": "application/x-www-form-urlencoded",
        },
        body=f"{form}&signature={len(form)}%2F".encode(),
    )


def test_the_published_vector_is_signed_as_published() -> None:
    payload = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        "&recvWindow=5000&timestamp=1499827319559"
    )
    request = binance.borrow_repay_request(attempt(body=payload), HMAC)
    signature = b"c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert request.body == payload.encode() + b"&signature=" + signature


def test_the_same_attempt_is_the_same_request_every_time() -> None:
    tried = attempt(body=body(entry()))
    once = binance.borrow_repay_request(tried, HMAC)
    again = binance.borrow_repay_request(tried, HMAC)
    assert (once, once.body) == (again, again.body)


def test_a_request_shows_neither_key_nor_signature() -> None:
    request = binance.borrow_repay_request(attempt(body=body(entry())), HMAC)
    shown = f"{request!r} {request} {HMAC!r}"
    assert API_KEY not in shown
    assert SECRET not in shown
    assert "signature" not in shown


def records_query(asked: Entry, *, any_asset: bool = False) -> str:
    request = binance.records_request(
        asked,
        any_asset=any_asset,
        from_ms=1,
        until_ms=2,
        page=3,
        timestamp_ms=NOW_MS,
        credentials=ECHO,
    )
    assert (request.method, request.path) == ("GET", "/sapi/v1/margin/borrow-repay")
    assert (dict(request.headers), request.body) == ({"X-MBX-APIKEY": API_KEY}, b"")
    return request.query


@pytest.mark.parametrize(
    ("asked", "any_asset", "query"),
    [
        pytest.param(
            entry(),
            False,
            "type=BORROW&startTime=1&endTime=2&current=3&size=100&asset=USDT",
            id="cross, one asset",
        ),
        pytest.param(
            entry(kind=Kind.REPAY),
            True,
            "type=REPAY&startTime=1&endTime=2&current=3&size=100",
            id="cross, every asset",
        ),
        pytest.param(
            entry(symbol="BTCUSDT"),
            False,
            "type=BORROW&startTime=1&endTime=2&current=3&size=100&asset=USDT"
            "&isolatedSymbol=BTCUSDT",
            id="isolated",
        ),
    ],
)
def test_records_are_asked_for_page_by_page(asked: Entry, any_asset: bool, query: str) -> None:
    signed = f"{query}&timestamp={NOW_MS}"
    expected = f"{signed}&signature={len(signed)}%2F"
    assert records_query(asked, any_asset=any_asset) == expected


@pytest.mark.parametrize(
    ("is_isolated", "kind"), [(False, "MARGIN"), (True, "ISOLATED")], ids=["cross", "isolated"]
)
def test_each_inventory_is_asked_for_by_its_own_name(is_isolated: bool, kind: str) -> None:
    request = binance.inventory_request(
        is_isolated=is_isolated, timestamp_ms=NOW_MS, credentials=ECHO
    )
    assert (request.method, request.path) == ("GET", "/sapi/v1/margin/available-inventory")
    assert request.query.startswith(f"type={kind}&timestamp={NOW_MS}&signature=")


def test_the_time_is_asked_for_without_key_or_signature() -> None:
    assert binance.time_request() == HttpRequest(method="GET", path="/api/v3/time")


@pytest.mark.parametrize(
    ("endpoint", "method", "weight", "counts_by"),
    [
        pytest.param(binance.BORROW_REPAY, "POST", 1_500, "UID", id="borrow-repay"),
        pytest.param(binance.RECORDS, "GET", 10, "IP", id="records"),
        pytest.param(binance.INVENTORY, "GET", 50, "UID", id="inventory"),
        pytest.param(binance.TIME, "GET", 1, "API", id="time"),
        pytest.param(binance.MAX_BORROWABLE, "GET", 750, "UID", id="maximum"),
        pytest.param(binance.MARGIN_ACCOUNT, "GET", 10, "IP", id="cross account"),
        pytest.param(binance.ISOLATED_ACCOUNT, "GET", 10, "IP", id="isolated account"),
        pytest.param(binance.ALL_ASSETS, "GET", 1, "IP", id="assets"),
        pytest.param(binance.SYSTEM_STATUS, "GET", 1, "IP", id="status"),
    ],
)
def test_what_each_call_weighs(
    endpoint: binance.Endpoint, method: str, weight: int, counts_by: str
) -> None:
    assert (endpoint.method, endpoint.weight, endpoint.counts_by) == (method, weight, counts_by)


def test_figures_are_asked_for_of_the_account_the_pairs_and_the_asset() -> None:
    cross = binance.margin_account_request(timestamp_ms=NOW_MS, credentials=ECHO)
    pairs = binance.isolated_account_request(
        ["BTCUSDT", "ETHUSDT"], timestamp_ms=NOW_MS, credentials=ECHO
    )
    most = binance.max_borrowable_request("BTC", "BTCUSDT", timestamp_ms=NOW_MS, credentials=ECHO)
    assert cross.query == f"timestamp={NOW_MS}&signature=23%2F"
    assert pairs.query.startswith(f"symbols=BTCUSDT%2CETHUSDT&timestamp={NOW_MS}&signature=")
    assert most.query.startswith(f"asset=BTC&isolatedSymbol=BTCUSDT&timestamp={NOW_MS}&signature=")


def test_assets_are_asked_for_with_a_key_alone_and_the_status_without() -> None:
    assert binance.all_assets_request(ECHO).headers == {"X-MBX-APIKEY": API_KEY}
    assert binance.all_assets_request(ECHO).query == ""
    status = HttpRequest(method="GET", path="/sapi/v1/system/status")
    assert binance.system_status_request() == status


# Replies to the call: the whitelist


def reply(status: int, body: object = b"", **headers: str) -> HttpReply:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status=status, headers=named, body=content)


HTML = b"<html><body>It works!</body></html>"


@pytest.mark.parametrize(
    ("body", "tran_id"),
    [
        pytest.param({"tranId": 100000001}, 100000001, id="as documented"),
        pytest.param({"tranId": 1, "clientTag": ""}, 1, id="with a client tag"),
        pytest.param({"tranId": 1, "a": [1, {"b": None}]}, 1, id="with fields not seen before"),
        pytest.param(b' \n{"tranId" : 7 }\n', 7, id="with spaces"),
        pytest.param(b'{"tranId":9007199254740993}', 2**53 + 1, id="beyond what a double holds"),
        pytest.param(b'{"tranId":9223372036854775807}', 2**63 - 1, id="the largest there is"),
        pytest.param({"tranId": 5, "code": -3007, "msg": "?"}, 5, id="a code beside it"),
    ],
)
def test_200_with_an_integer_id_is_accepted(body: object, tran_id: int) -> None:
    assert outcome(reply(200, body)) == Accepted(tran_id)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(HTML, id="HTML"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"OK", id="a word"),
        pytest.param({}, id="an empty object"),
        pytest.param([], id="a list"),
        pytest.param([{"tranId": 1}], id="an object in a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"100000001", id="a bare number"),
        pytest.param(b'{"tranId":100000001', id="cut off"),
        pytest.param(b'{"tranId":100000001}}', id="something behind"),
        pytest.param(b'\xff\xfe{"tranId":1}', id="not UTF-8"),
        pytest.param(b'{"tranId":1,"x":"\xff"}', id="not UTF-8 inside"),
        pytest.param(b"[" * 10_000, id="very deep"),
        pytest.param({"tranId": "100000001"}, id="an id that is text"),
        pytest.param({"tranId": None}, id="an id that is null"),
        pytest.param({"tranId": True}, id="an id that is true"),
        pytest.param({"tranId": 1.0}, id="an id with a point"),
        pytest.param(b'{"tranId":1e300}', id="an id of 1e300"),
        pytest.param(b'{"tranId":1e3}', id="an id with an exponent"),
        pytest.param({"tranId": [1]}, id="an id that is a list"),
        pytest.param({"tranId": 0}, id="an id of zero"),
        pytest.param({"tranId": -1}, id="a negative id"),
        pytest.param(b'{"tranId":9223372036854775808}', id="an id of 2**63"),
        pytest.param(b'{"tranId":18446744073709551616}', id="an id of 2**64"),
        pytest.param(b'{"tranId":NaN}', id="an id that is not a number"),
        pytest.param({"tranid": 1}, id="another name"),
        pytest.param({"data": {"tranId": 1}}, id="an id further down"),
        pytest.param({"code": -3006, "msg": "no"}, id="a refusal"),
        pytest.param({"code": 200, "msg": "success"}, id="a word of success"),
    ],
)
def test_200_with_anything_else_may_have_happened(body: object) -> None:
    assert isinstance(outcome(reply(200, body)), Lost)


@pytest.mark.parametrize("status", [100, 199, 201, 202, 203, 204, 206, 300, 304, 0, 600, 999])
def test_an_id_under_any_other_status_may_have_happened(status: int) -> None:
    assert isinstance(outcome(reply(status, {"tranId": 1})), Lost)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_may_have_happened(status: int) -> None:
    moved = reply(status, {"code": -3006, "msg": "no"}, location="https://example.com/")
    assert isinstance(outcome(moved), Lost)


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 599])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(HTML, id="HTML"),
        pytest.param({"code": -3006, "msg": "no"}, id="a terminal code"),
        pytest.param({"code": -3007, "msg": "busy"}, id="a passing code"),
        pytest.param({"code": -1003, "msg": "too many"}, id="a rate limit's code"),
        pytest.param({"code": -1007, "msg": "timeout"}, id="the timeout's code"),
        pytest.param({"code": -98765, "msg": "?"}, id="an unheard-of code"),
        pytest.param({"tranId": 1}, id="an id"),
    ],
)
def test_every_5xx_may_have_happened_whatever_it_says(status: int, body: object) -> None:
    assert isinstance(outcome(reply(status, body)), Lost)


@pytest.mark.parametrize("body", [b"", {"code": -3006, "msg": "no"}], ids=["empty", "with a code"])
def test_a_408_may_have_happened(body: object) -> None:
    assert isinstance(outcome(reply(408, body)), Lost)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"code": -1007, "msg": "Timeout"}, -1007, id="a code"),
        pytest.param(HTML, None, id="no code"),
    ],
)
def test_what_is_lost_keeps_the_code_it_came_with(body: object, code: int | None) -> None:
    event = outcome(reply(504, body))
    assert isinstance(event, Lost)
    assert (None if event.answer is None else event.answer.code) == code
    assert not event.is_firewalled


@pytest.mark.parametrize("code", sorted(TABLE))
def test_a_4xx_with_a_code_means_what_the_table_says(code: int) -> None:
    event = outcome(reply(400, {"code": code, "msg": "word for word"}))
    disposition = TABLE[code].disposition
    if disposition is Disposition.UNKNOWN:
        assert isinstance(event, Lost)
    else:
        assert isinstance(event, Refused)
        assert event.disposition is disposition
        assert not event.is_address_banned
    assert event.answer is not None
    assert (event.answer.code, event.answer.message) == (code, "word for word")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 499])
def test_a_4xx_with_an_unheard_of_code_is_terminal(status: int) -> None:
    event = outcome(reply(status, {"code": -98765, "msg": "?"}))
    assert isinstance(event, Refused)
    assert event.disposition is Disposition.TERMINAL


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(HTML, id="HTML"),
        pytest.param({"msg": "no"}, id="no code"),
        pytest.param({"code": "-3006"}, id="a code that is text"),
        pytest.param({"code": None}, id="a code that is null"),
        pytest.param({"code": True}, id="a code that is true"),
        pytest.param({"code": -3006.0}, id="a code with a point"),
        pytest.param([-3006], id="a list"),
        pytest.param(b'{"code":-3006', id="cut off"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 404, 413, 451])
def test_a_4xx_without_a_code_may_have_happened(status: int, body: object) -> None:
    event = outcome(reply(status, body))
    assert isinstance(event, Lost)
    assert not event.is_firewalled


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({"code": -3006}, "", id="no message"),
        pytest.param({"code": -3006, "msg": None}, "", id="a message that is null"),
        pytest.param({"code": -3006, "msg": 5}, "", id="a message that is a number"),
        pytest.param({"code": -3006, "msg": "Ä 借"}, "Ä 借", id="a message in other scripts"),
        pytest.param({"code": -3006, "msg": "no", "more": 1}, "no", id="further fields"),
    ],
)
def test_a_refusals_message_is_text_or_nothing(body: object, message: str) -> None:
    event = outcome(reply(400, body))
    assert isinstance(event, Refused)
    assert event.answer.message == message


# 403, 418, 429


def test_403_without_a_code_is_the_firewall_and_may_have_happened() -> None:
    event = outcome(reply(403, HTML))
    assert isinstance(event, Lost)
    assert event.is_firewalled


def test_403_with_a_code_is_an_answer() -> None:
    event = outcome(reply(403, {"code": -2015, "msg": "Invalid API-key, IP, or permissions."}))
    assert isinstance(event, Refused)
    assert event.disposition is Disposition.STOPS_ACCOUNT


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"code": -1003, "msg": "Too many requests."}, -1003, id="its own code"),
        pytest.param({"code": -1015, "msg": "Too many new orders."}, -1015, id="another limit's"),
        pytest.param({"code": -1007, "msg": "Timeout"}, -1007, id="a code of the unknown"),
        pytest.param({"code": -3006, "msg": "no"}, -3006, id="a terminal code"),
        pytest.param({"code": -2015, "msg": "key"}, -2015, id="a code that stops accounts"),
        pytest.param({"tranId": 1}, -1003, id="an id"),
        pytest.param({"code": "-1003"}, -1003, id="a code that is text"),
        pytest.param(HTML, -1003, id="HTML"),
        pytest.param(b"", -1003, id="nothing"),
    ],
)
@pytest.mark.parametrize("status", [429, 418])
def test_a_rate_limit_was_not_executed_whatever_its_body(
    status: int, body: object, code: int
) -> None:
    event = outcome(reply(status, body))
    assert isinstance(event, Refused)
    assert (event.disposition, event.answer.code) == (Disposition.LIMITED, code)
    assert event.is_address_banned == (status == 418)


def test_a_rate_limit_without_words_is_called_by_its_status() -> None:
    event = outcome(reply(429, HTML))
    assert isinstance(event, Refused)
    assert event.answer.message == "HTTP 429"


def test_1003_under_400_is_a_rate_limit_and_no_ban() -> None:
    event = outcome(reply(400, {"code": -1003, "msg": "Too many requests."}, retry_after="7"))
    assert isinstance(event, Refused)
    assert (event.disposition, event.retry_after_ms) == (Disposition.LIMITED, 7_000)
    assert not event.is_address_banned


DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        pytest.param("5", 5_000, id="five seconds"),
        pytest.param("0", 0, id="none"),
        pytest.param("007", 7_000, id="zeros in front"),
        pytest.param("259200", 3 * DAY_MS, id="three days"),
        pytest.param("259201", 3 * DAY_MS, id="more than three days"),
        pytest.param("99999999", 3 * DAY_MS, id="three years"),
        pytest.param("", None, id="empty"),
        pytest.param("-5", None, id="negative"),
        pytest.param("+5", None, id="a sign"),
        pytest.param("1.5", None, id="a fraction"),
        pytest.param(" 5", None, id="a space"),
        pytest.param("5s", None, id="a unit"),
        pytest.param("٥", None, id="an Arabic digit"),  # noqa: RUF001
        pytest.param("²", None, id="a superscript"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", None, id="a date"),
        pytest.param("9" * 5_000, None, id="very many digits"),
    ],
)
@pytest.mark.parametrize("status", [429, 418])
def test_retry_after_is_in_whole_seconds(status: int, header: str, wait_ms: int | None) -> None:
    event = outcome(reply(status, b"", retry_after=header))
    assert isinstance(event, Refused)
    assert event.retry_after_ms == wait_ms


def test_retry_after_may_be_missing() -> None:
    assert binance.retry_after_ms(reply(429)) is None


@pytest.mark.parametrize(
    ("header", "used"),
    [
        pytest.param("1500", 1_500, id="one request"),
        pytest.param("180000", 180_000, id="all of it"),
        pytest.param("0", 0, id="nothing"),
        pytest.param("", None, id="empty"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1.5", None, id="a fraction"),
        pytest.param("many", None, id="a word"),
        pytest.param("²", None, id="a superscript"),
        pytest.param("9" * 5_000, None, id="very many digits"),
    ],
)
def test_the_used_weight_is_a_number_or_not_known(header: str, used: int | None) -> None:
    said = HttpReply(status=200, headers={"x-sapi-used-uid-weight-1m": header})
    assert binance.used_uid_weight(said) == used


@pytest.mark.parametrize("name", ["x-sapi-used-ip-weight-1m", "x-mbx-used-weight-1m"])
def test_other_weights_are_not_the_accounts(name: str) -> None:
    assert binance.used_uid_weight(HttpReply(status=200, headers={name: "5"})) is None


@UNHURRIED
@given(st.integers(0, 999), st.binary(max_size=60))
def test_no_bytes_at_all_can_confirm_but_a_200_with_an_id(status: int, body: bytes) -> None:
    event = outcome(reply(status, body))
    assert not isinstance(event, Accepted) or status == 200


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.sampled_from(["", "1", "-3006", "no"])
)
JSON: st.SearchStrategy[Any] = PLAIN | st.lists(PLAIN, max_size=2) | st.builds(dict, a=PLAIN)


@UNHURRIED
@given(
    st.sampled_from([200, 302, 400, 403, 408, 418, 429, 500]),
    st.dictionaries(st.sampled_from(["tranId", "code", "msg", "other"]), JSON),
)
def test_any_object_is_read_without_an_error(status: int, body: dict[str, Any]) -> None:
    event = outcome(reply(status, body))
    if isinstance(event, Accepted):
        assert status == 200
        assert type(body["tranId"]) is int
        assert 0 < body["tranId"] < 2**63
    elif isinstance(event, Refused):
        assert status in {400, 403, 418, 429}


# Reads


def test_the_exchanges_time_is_an_integer() -> None:
    assert binance.server_time_ms(reply(200, {"serverTime": NOW_MS})) == NOW_MS


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(reply(200, {}), id="missing"),
        pytest.param(reply(200, {"serverTime": str(NOW_MS)}), id="text"),
        pytest.param(reply(200, {"serverTime": NOW_MS / 1}), id="with a point"),
        pytest.param(reply(200, {"serverTime": 0}), id="zero"),
        pytest.param(reply(200, {"serverTime": -5}), id="negative"),
        pytest.param(reply(200, {"serverTime": True}), id="true"),
        pytest.param(reply(200, HTML), id="HTML"),
        pytest.param(reply(200, [NOW_MS]), id="a list"),
        pytest.param(reply(503, {"serverTime": NOW_MS}), id="under a 503"),
        pytest.param(reply(302, {"serverTime": NOW_MS}), id="under a redirect"),
        pytest.param(reply(201, {"serverTime": NOW_MS}), id="under a 201"),
    ],
)
def test_any_other_time_is_a_bad_reply(said: HttpReply) -> None:
    with pytest.raises(BadReply):
        binance.server_time_ms(said)


def test_inventory_is_by_asset() -> None:
    said = reply(200, {"assets": {"USDT": "100000000", "BTC": "0.5"}, "updateTime": 1699272487})
    assert binance.inventory(said) == {"USDT": Decimal(100000000), "BTC": Decimal("0.5")}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(reply(200, {}), id="missing"),
        pytest.param(reply(200, {"assets": []}), id="a list"),
        pytest.param(reply(200, {"assets": None}), id="null"),
        pytest.param(reply(200, {"assets": {"BTC": 1}}), id="a number for text"),
        pytest.param(reply(200, {"assets": {"BTC": "many"}}), id="a word"),
        pytest.param(reply(200, {"assets": {"BTC": "NaN"}}), id="not a number"),
        pytest.param(reply(200, {"assets": {"BTC": "Infinity"}}), id="endless"),
        pytest.param(reply(400, {"code": -3045, "msg": "?"}), id="a refusal"),
        pytest.param(reply(200, HTML), id="HTML"),
    ],
)
def test_any_other_inventory_is_a_bad_reply(said: HttpReply) -> None:
    with pytest.raises(BadReply):
        binance.inventory(said)


# Figures

HOLDING = {"asset": "BTC", "borrowed": "1.5", "free": "2", "interest": "0.25", "locked": "0"}
NO_FIGURES = [
    pytest.param({"borrowed": "-1"}, id="below nothing"),
    pytest.param({"borrowed": 1.5}, id="a number"),
    pytest.param({"borrowed": None}, id="missing"),
    pytest.param({"interest": "NaN"}, id="NaN"),
    pytest.param({"interest": "1E+1000000"}, id="of a million digits"),
    pytest.param({"asset": ""}, id="of no asset"),
    pytest.param({"asset": 7}, id="of a number"),
]


def test_the_debts_of_a_cross_account_are_by_asset() -> None:
    said = reply(200, {"userAssets": [HOLDING], "marginLevel": "2"})
    assert binance.cross_debts(said) == {
        ("BTC", None): Owed(Decimal("1.5"), Decimal("0.25")),
    }


def test_the_debts_of_pairs_are_by_asset_and_pair() -> None:
    quote = {**HOLDING, "asset": "USDT", "borrowed": "7", "interest": "0"}
    pair = {"symbol": "BTCUSDT", "baseAsset": HOLDING, "quoteAsset": quote}
    assert binance.isolated_debts(reply(200, {"assets": [pair]})) == {
        ("BTC", "BTCUSDT"): Owed(Decimal("1.5"), Decimal("0.25")),
        ("USDT", "BTCUSDT"): Owed(Decimal(7), Decimal(0)),
    }


@pytest.mark.parametrize("change", NO_FIGURES)
def test_one_debt_that_is_none_spoils_the_reply(change: dict[str, object]) -> None:
    holding = {**HOLDING, **change}
    pair = {"symbol": "BTCUSDT", "baseAsset": HOLDING, "quoteAsset": holding}
    with pytest.raises(BadReply):
        binance.cross_debts(reply(200, {"userAssets": [HOLDING, holding]}))
    with pytest.raises(BadReply):
        binance.isolated_debts(reply(200, {"assets": [pair]}))


@pytest.mark.parametrize(
    "body",
    [b"", HTML, b"[]", b"null", {}, {"userAssets": {}}, {"assets": None}, {"assets": [1]}, [7]],
    ids=repr,
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_any_other_reply_says_nothing_of_debts_maxima_assets_and_status(
    status: int, body: object
) -> None:
    for read_it in (
        binance.cross_debts,
        binance.isolated_debts,
        binance.max_borrowable,
        binance.is_maintenance,
    ):
        with pytest.raises(BadReply):
            read_it(reply(status, body))
    if status != 200 or body != b"[]":
        with pytest.raises(BadReply):
            binance.all_assets(reply(status, body))


def test_a_maximum_is_an_amount_and_a_limit_or_nothing_where_there_is_no_inventory() -> None:
    said = reply(200, {"amount": "1.69248805", "borrowLimit": "60"})
    assert binance.max_borrowable(said) == Ceiling(Decimal("1.69248805"), Decimal(60))
    short = reply(400, {"code": -3045, "msg": "no"})
    assert binance.max_borrowable(short) == Ceiling(Decimal(0), None)
    with pytest.raises(BadReply) as caught:
        binance.max_borrowable(reply(400, {"code": -3028, "msg": "Not a pair."}))
    assert (caught.value.code, caught.value.message) == (-3028, "Not a pair.")


def test_what_holds_for_an_asset_is_three_things() -> None:
    row_ = {"assetName": "BTC", "isBorrowable": True, "userMinBorrow": "0.1", "userMinRepay": "0"}
    assert binance.all_assets(reply(200, [row_])) == {
        "BTC": Rules(True, Decimal("0.1"), Decimal(0)),
    }
    for change in ({"isBorrowable": "yes"}, {"userMinRepay": None}, {"assetName": None}):
        with pytest.raises(BadReply):
            binance.all_assets(reply(200, [{**row_, **change}]))


@pytest.mark.parametrize(("status", "is_on"), [(0, False), (1, True)])
def test_maintenance_is_a_status_of_one(status: int, is_on: bool) -> None:
    assert binance.is_maintenance(reply(200, {"status": status, "msg": "x"})) is is_on


ROW: dict[str, object] = {
    "type": "MANUAL",
    "isolatedSymbol": "BNBUSDT",
    "amount": "14.00000000",
    "asset": "BNB",
    "interest": "0.01866667",
    "principal": "13.98133333",
    "status": "CONFIRMED",
    "timestamp": 1563438204000,
    "txId": 2970933056,
}


def test_records_are_read_as_published() -> None:
    page, total = binance.records(reply(200, {"rows": [ROW], "total": 1}), Kind.REPAY)
    assert total == 1
    assert page == [
        Transaction(
            tran_id=2970933056,
            kind=Kind.REPAY,
            origin="MANUAL",
            asset="BNB",
            symbol="BNBUSDT",
            amount=Decimal(14),
            status="CONFIRMED",
            timestamp_ms=1563438204000,
        )
    ]


def row(**changes: object) -> dict[str, object]:
    return ROW | changes


def read(*rows: object, total: object = 1) -> Transaction:
    page, _ = binance.records(reply(200, {"rows": list(rows), "total": total}), Kind.BORROW)
    return page[0]


@pytest.mark.parametrize(
    ("seen", "symbol"),
    [
        pytest.param({k: v for k, v in ROW.items() if k != "isolatedSymbol"}, None, id="absent"),
        pytest.param(row(isolatedSymbol=None), None, id="null"),
        pytest.param(row(isolatedSymbol=""), None, id="empty"),
        pytest.param(row(isolatedSymbol="BTCUSDT"), "BTCUSDT", id="a pair"),
    ],
)
def test_a_record_without_a_pair_is_cross(seen: dict[str, object], symbol: str | None) -> None:
    assert read(seen).symbol == symbol


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(row(clientTag="x", more={"a": 1}), id="fields not seen before"),
        pytest.param(row(status="SOMETHING_NEW"), id="a status not seen before"),
        pytest.param(row(type="AUTO"), id="an order's"),
        pytest.param(row(txId=2**63 - 1), id="the largest id"),
        pytest.param(
            {k: v for k, v in ROW.items() if k not in {"interest", "principal"}},
            id="no interest and no principal",
        ),
    ],
)
def test_what_is_not_needed_of_a_record_may_be_anything(seen: dict[str, object]) -> None:
    assert read(seen).asset == "BNB"


@pytest.mark.parametrize(
    "seen",
    [
        *(
            pytest.param({k: v for k, v in ROW.items() if k != name}, id=f"without {name}")
            for name in ("type", "amount", "asset", "status", "timestamp", "txId")
        ),
        pytest.param(row(txId="2970933056"), id="an id that is text"),
        pytest.param(row(txId=1.5), id="an id with a point"),
        pytest.param(row(txId=True), id="an id that is true"),
        pytest.param(row(txId=None), id="an id that is null"),
        pytest.param(row(timestamp="1563438204000"), id="a time that is text"),
        pytest.param(row(timestamp=None), id="a time that is null"),
        pytest.param(row(amount=14), id="an amount that is a number"),
        pytest.param(row(amount=""), id="an empty amount"),
        pytest.param(row(amount="many"), id="an amount that is a word"),
        pytest.param(row(amount="NaN"), id="an amount that is not a number"),
        pytest.param(row(asset=None), id="an asset that is null"),
        pytest.param(row(asset=5), id="an asset that is a number"),
        pytest.param(row(status=None), id="a status that is null"),
        pytest.param(row(type=None), id="a type that is null"),
        pytest.param(row(isolatedSymbol=5), id="a pair that is a number"),
        pytest.param(row(isolatedSymbol=["BTCUSDT"]), id="a pair that is a list"),
        pytest.param("a row", id="text for a row"),
        pytest.param(None, id="null for a row"),
        pytest.param([ROW], id="a list for a row"),
    ],
)
def test_one_malformed_record_spoils_the_page_and_is_never_skipped(seen: object) -> None:
    with pytest.raises(BadReply):
        read(ROW, seen, total=2)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(reply(200, {}), id="an empty object"),
        pytest.param(reply(200, {"rows": [ROW]}), id="no total"),
        pytest.param(reply(200, {"rows": [ROW], "total": "1"}), id="a total that is text"),
        pytest.param(reply(200, {"rows": [ROW], "total": None}), id="a total that is null"),
        pytest.param(reply(200, {"total": 0}), id="no rows"),
        pytest.param(reply(200, {"rows": {}, "total": 0}), id="an object for rows"),
        pytest.param(reply(200, {"rows": None, "total": 0}), id="null for rows"),
        pytest.param(reply(200, []), id="a list"),
        pytest.param(reply(200, HTML), id="HTML"),
        pytest.param(reply(200), id="nothing"),
        pytest.param(reply(404, {"rows": [], "total": 0}), id="under a 404"),
        pytest.param(reply(500, {"rows": [], "total": 0}), id="under a 500"),
        pytest.param(reply(429, {"rows": [], "total": 0}), id="under a 429"),
        pytest.param(reply(302, {"rows": [], "total": 0}), id="under a redirect"),
        pytest.param(reply(400, {"code": -1121, "msg": "?"}), id="a refusal"),
    ],
)
def test_only_a_complete_200_is_a_page_of_records(said: HttpReply) -> None:
    with pytest.raises(BadReply):
        binance.records(said, Kind.BORROW)


def test_no_records_are_an_empty_page() -> None:
    assert binance.records(reply(200, {"rows": [], "total": 0}), Kind.BORROW) == ([], 0)


def test_a_bad_reply_says_which_code_it_came_with() -> None:
    with pytest.raises(BadReply, match=r"^HTTP 400 with code -1121$"):
        binance.records(reply(400, {"code": -1121, "msg": "secret words"}), Kind.BORROW)


def test_a_record_read_is_the_record_that_fits() -> None:
    seen = {
        "type": "MANUAL",
        "amount": "100.00000000",
        "asset": "USDT",
        "status": "CONFIRMED",
        "timestamp": NOW_MS + 150,
        "txId": 9_001,
    }
    assert read(seen) == record(9_001)


CELL = st.sampled_from(["MANUAL", "100", "1E-8", "USDT", "CONFIRMED", "NaN", 1, 2**63, 1.5, True])


@UNHURRIED
@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(ROW)), CELL | JSON, max_size=2).map(
            lambda changes: {**ROW, **changes}
        ),
        max_size=2,
    ),
    st.integers(0, 3) | JSON,
)
def test_a_page_is_read_as_it_stands_or_not_at_all(rows: list[dict[str, Any]], total: Any) -> None:
    said = reply(200, {"rows": rows, "total": total})
    try:
        found, in_all = binance.records(said, Kind.BORROW)
    except BadReply:
        return
    assert (len(found), in_all) == (len(rows), total)
    for seen, row_ in zip(found, rows, strict=True):
        told = (seen.tran_id, seen.origin, seen.asset, seen.status, seen.timestamp_ms)
        names = ("txId", "type", "asset", "status", "timestamp")
        assert told == tuple(row_[name] for name in names)
        assert seen.amount == Decimal(row_["amount"])
        assert seen.symbol == (row_.get("isolatedSymbol") or None)


@UNHURRIED
@given(st.integers(0, 999), st.binary(max_size=60))
def test_whatever_bytes_answer_a_read_it_says_something_usable_or_that_it_does_not(
    status: int, body: bytes
) -> None:
    for read_it in (
        binance.server_time_ms,
        binance.inventory,
        lambda said: binance.records(said, Kind.REPAY),
    ):
        with suppress(BadReply):
            read_it(reply(status, body))
            assert status == 200
