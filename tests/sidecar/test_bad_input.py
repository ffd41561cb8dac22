"""Whatever is wrong with a request is refused over the socket, by name, and leaves no trace."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from scheduler import Limits

from .house import BORROW, Answer, Asker, House, asking, borrow, house

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

JSON = {"Content-Type": "application/json"}
PATH = "/v1/submissions"


@pytest.fixture
async def at() -> AsyncIterator[House]:
    async with house() as opened:
        yield opened
        # Nothing that is refused is kept or sent.
        assert await opened.scheduler.list() == []
        assert opened.sim.ledger.transactions == []


@pytest.fixture
async def asker(at: House) -> AsyncIterator[Asker]:
    async with asking(at.address) as made:
        yield made


def says(answer: Answer, status: int, code: str, field: str | None) -> None:
    """The answer is that problem, whole and by the standard."""
    assert (answer.status, answer.code) == (status, code), answer
    told = answer.json
    assert told["type"].endswith(code)
    assert told["status"] == status
    assert told["title"]
    assert told.get("field") == field
    assert field is None or field.split("_ms")[0] in told["detail"]


AMOUNTS = [
    *("0", "0.0", "-1", "+1", "", " 1", "1 ", "1\n", "1.", ".5", "1e3", "1E-7", "NaN", "Infinity"),
    *("1_000", "1,5", "1,000.00", "٣", "１", "0x10", "1.000000001", "9" * 31, "1." + "0" * 9),  # noqa: RUF001
    *("9" * 23 + ".00000001", "9" * 10_000, "all", "ALL", "MAX", "max ", "max\n", "allmax", "1max"),
]


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_an_amount_that_is_no_plain_positive_decimal(asker: Asker, amount: str) -> None:
    says(await asker.ask("POST", PATH, borrow(amount=amount)), 400, "amount_invalid", "amount")


async def test_the_word_of_the_other_kind(asker: Asker) -> None:
    for kind, word, right in (("REPAY", "max", '"all"'), ("BORROW", "all", '"max"')):
        answer = await asker.ask("POST", PATH, borrow(kind=kind, amount=word))
        says(answer, 400, "amount_invalid", "amount")
        assert right in answer.json["detail"]


@pytest.mark.parametrize("amount", [b"1", b"0.1", b"-1", b"1e3", b"100000000000000000000"])
async def test_an_amount_that_is_a_number(asker: Asker, amount: bytes) -> None:
    body = orjson.dumps(borrow(amount="?")).replace(b'"?"', amount)
    says(await asker.ask("POST", PATH, body), 400, "amount_not_string", "amount")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        *(
            ({"asset": asset}, "asset_invalid", "asset")
            for asset in ("btc", "BTC ", "BTC&type=REPAY", "BTC\0", "\0", "A" * 65, "", "ВТС", 1)  # noqa: RUF001
        ),
        *(
            ({"symbol": symbol}, "symbol_invalid", "symbol")
            for symbol in ("btcusdt", "BTC/USDT", "", "B" * 21, "BTCUSDT\n", 7, ["BTCUSDT"])
        ),
        *(({"kind": kind}, "kind_invalid", "kind") for kind in ("borrow", "LEND", "", 1, True)),
        *(
            ({"priority": priority}, "priority_invalid", "priority")
            for priority in ("asap", "URGENT", "", 1)
        ),
        *(
            ({"key": key}, "key_invalid", "key")
            for key in ("", "k" * 65, "-k", ".k", "a b", "k\n", "ключ", "k/1", 1, ["k"])
        ),
        *(
            ({"send_within_ms": within}, "send_within_invalid", "send_within_ms")
            for within in (-1, 604_800_001, 1.5, "1000", True, 10**30)
        ),
        *(({"account": account}, "account_invalid", "account") for account in ("", 1, "a" * 65)),
        *(({name: "yes"}, f"{name}_invalid", name) for name in ("at_most", "precheck")),
        *(({name: 1}, f"{name}_invalid", name) for name in ("at_most", "precheck")),
        ({"amonut": "1"}, "unknown_field", "amonut"),
        ({"recvWindow": 5000}, "unknown_field", "recvWindow"),
        ({"": 1}, "unknown_field", ""),
    ],
)
async def test_a_field_that_is_wrong(
    asker: Asker, changes: dict[str, Any], code: str, field: str
) -> None:
    says(await asker.ask("POST", PATH, borrow(**changes)), 400, code, field)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("key", "key_missing"),
        ("kind", "kind_invalid"),
        ("asset", "asset_invalid"),
        ("amount", "amount_invalid"),
        ("account", "account_invalid"),
    ],
)
async def test_a_field_that_is_missing(asker: Asker, name: str, code: str) -> None:
    body = borrow()
    del body[name]
    says(await asker.ask("POST", PATH, body), 400, code, name)


@pytest.mark.parametrize("name", ["key", "kind", "asset", "amount", "account", "priority"])
async def test_a_field_that_is_null(asker: Asker, name: str) -> None:
    says(await asker.ask("POST", PATH, {**borrow(), name: None}), 400, f"{name}_invalid", name)


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"null", b'"x"', b"1", b"true", b"", b" ", b"{", b"{}}", b"\xef\xbb\xbf{}"),
        *(b'{"amount": NaN}', b'{"amount": Infinity}', b"{'key': 1}", b'{"key": "k",}'),
        *(b'{"key": "\xff"}', b'{"key": "\\ud800"}', b'{"key": "a\nb"}', b"{/**/}"),
        b"[" * 10_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"key": ' + b"[" * 8_000 + b"]" * 8_000 + b"}",
        orjson.dumps(borrow()).decode().encode("utf-16"),
    ],
)
async def test_a_body_that_is_no_json_object(asker: Asker, body: bytes) -> None:
    answer = await asker.ask("POST", PATH, body, {**JSON, "Content-Length": str(len(body))})
    says(answer, 400, "json_invalid", "body")


async def test_nesting_that_is_well_formed_is_only_a_wrong_type(asker: Asker) -> None:
    body = b'{"key": ' + b"[" * 500 + b"]" * 500 + b"}"
    answer = await asker.ask("POST", PATH, body)
    assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":"k1","key":"k2"}',
        b'{"key":"k1","\\u006bey":"k1"}',
        b'{"key" : "k1" , "key" : "k2"}',
        b'{"key":"a:b","key":"c:d"}',
        b'{"asset":{"key":1,"key":2}}',
        orjson.dumps(borrow())[:-1] + b',"amount":"1"}',
    ],
)
async def test_a_key_that_stands_twice(asker: Asker, body: bytes) -> None:
    field = "amount" if b"amount" in body else "key"
    says(await asker.ask("POST", PATH, body), 400, "duplicate_key", field)


async def test_an_unknown_account_or_key(asker: Asker) -> None:
    says(await asker.ask("POST", PATH, borrow(account="nobody")), 404, "account_unknown", "account")
    for method, path in (
        ("GET", f"{PATH}/none"),
        ("GET", f"{PATH}/none?wait=1"),
        ("GET", f"{PATH}/none/history"),
        ("DELETE", f"{PATH}/none"),
        ("GET", f"{PATH}/%00"),
        ("GET", f"{PATH}/%FF"),
        ("GET", f"{PATH}/" + "k" * 4_000),
        ("GET", f"{PATH}/%E2%80%AE"),
    ):
        answer = await asker.ask(method, path)
        says(answer, 404, "key_unknown", "key")
    answer = await asker.ask(
        "POST", f"{PATH}/none/resolve", {"as": "NOT_EXECUTED", "because": "I looked"}
    )
    says(answer, 404, "key_unknown", "key")
    for method, path in (
        ("GET", "/v1/accounts/nobody"),
        ("POST", "/v1/accounts/nobody/pause"),
        ("POST", "/v1/accounts/nobody/resume"),
        ("GET", "/v1/accounts/nobody/debt"),
        ("GET", "/v1/accounts/nobody/debt?asset=USDT"),
        ("GET", "/v1/accounts/nobody/max-borrowable?asset=USDT"),
        ("GET", "/v1/events?account=nobody"),
        ("GET", f"{PATH}?account=nobody"),
    ):
        says(await asker.ask(method, path), 404, "account_unknown", "account")
    answer = await asker.ask("POST", "/v1/accounts/nobody/settle-debt", {"asset": "USDT"})
    says(answer, 404, "account_unknown", "account")


async def test_there_is_nothing_at_other_paths(asker: Asker) -> None:
    for path in (
        "/v1",
        "/v1/",
        "/index.html",
        "/v1/submissions/",
        "/V1/submissions",
        "/v2",
        "/%2e%2e/x",
    ):
        says(await asker.ask("GET", path), 404, "path_unknown", None)
    for path in ("/sapi/v1/nothing", "/api", "/api/v9/x"):
        answer = await asker.ask("GET", path)
        assert answer.status == 404
        assert answer.json["code"] == -1020


@pytest.mark.parametrize("wait", ["-1", "60.1", "61", "nan", "inf", "1e9", "1_0", "x", "", "٣"])
async def test_a_wait_out_of_range(asker: Asker, wait: str) -> None:
    for method, path in (("POST", PATH), ("GET", f"{PATH}/k1")):
        answer = await asker.ask(method, f"{path}?wait={quote(wait)}", borrow())
        says(answer, 400, "wait_invalid", "wait")
        assert "0 to 60" in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        *(
            (f"limit={limit}", "limit_invalid", "limit")
            for limit in ("0", "501", "-1", "x", "", "1.0")
        ),
        *(
            (f"after={after}", "after_invalid", "after")
            for after in ("", "1", "s", "s-1", "sx", "s1%00")
        ),
        *((f"state={state}", "state_invalid", "state") for state in ("queued", "DONE", "")),
        *((f"asset={asset}", "asset_invalid", "asset") for asset in ("btc", "", "%00")),
        ("acount=main", "unknown_field", "acount"),
        ("limit=1&limit=2", "duplicate_key", "limit"),
    ],
)
async def test_a_list_that_is_asked_for_wrongly(
    asker: Asker, query: str, code: str, field: str
) -> None:
    says(await asker.ask("GET", f"{PATH}?{query}"), 400, code, field)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "resolution_invalid", "as"),
        ({"as": "REJECTED", "because": "x"}, "resolution_invalid", "as"),
        ({"as": ["CONFIRMED"], "because": "x"}, "resolution_invalid", "as"),
        ({"as": "CONFIRMED", "because": "x"}, "tran_id_invalid", "tran_id"),
        ({"as": "CONFIRMED", "because": "x", "tran_id": -1}, "tran_id_invalid", "tran_id"),
        ({"as": "CONFIRMED", "because": "x", "tran_id": 2**63}, "tran_id_invalid", "tran_id"),
        ({"as": "CONFIRMED", "because": "x", "tran_id": "1e3"}, "tran_id_invalid", "tran_id"),
        ({"as": "CONFIRMED", "because": "x", "tran_id": 1.5}, "tran_id_invalid", "tran_id"),
        ({"as": "CONFIRMED", "because": "x", "tran_id": 1e17}, "tran_id_invalid", "tran_id"),
        ({"as": "NOT_EXECUTED", "because": "x", "tran_id": 1}, "tran_id_invalid", "tran_id"),
        ({"as": "NOT_EXECUTED"}, "because_invalid", "because"),
        ({"as": "NOT_EXECUTED", "because": ""}, "because_invalid", "because"),
        ({"as": "NOT_EXECUTED", "because": "x" * 501}, "because_invalid", "because"),
        ({"as": "NOT_EXECUTED", "because": "x", "why": 1}, "unknown_field", "why"),
    ],
)
async def test_a_resolution_that_is_none(
    asker: Asker, body: dict[str, object], code: str, field: str
) -> None:
    says(await asker.ask("POST", f"{PATH}/k1/resolve", body), 400, code, field)


CALLS = ("account", "isolated/account", "maxBorrowable", "available-inventory")
DEBT, MOST = "/v1/accounts/main/debt", "/v1/accounts/main/max-borrowable"


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        *(
            (f"{path}?{query}", code, field)
            for path in (DEBT, MOST)
            for query, code, field in (
                ("asset=usdt", "asset_invalid", "asset"),
                ("asset=", "asset_invalid", "asset"),
                ("asset=USDT%00", "asset_invalid", "asset"),
                ("asset=USDT&symbol=", "symbol_invalid", "symbol"),
                ("asset=USDT&symbol=BTC/USDT", "symbol_invalid", "symbol"),
                ("asset=USDT&fresh=1", "fresh_invalid", "fresh"),
                ("asset=USDT&fresh=", "fresh_invalid", "fresh"),
                ("asset=USDT&asset=BTC", "duplicate_key", "asset"),
                ("asset=USDT&isolated=true", "unknown_field", "isolated"),
            )
        ),
        (f"{DEBT}?symbol=btcusdt", "symbol_invalid", "symbol"),
        (MOST, "asset_invalid", "asset"),
        (f"{MOST}?symbol=BTCUSDT", "asset_invalid", "asset"),
        ("/v1/assets/usdt", "asset_invalid", "asset"),
        ("/v1/assets/%00", "asset_invalid", "asset"),
        ("/v1/assets/" + "A" * 65, "asset_invalid", "asset"),
        ("/v1/assets/USDT?isolated=true", "unknown_field", "isolated"),
    ],
)
async def test_a_look_that_is_asked_for_wrongly(
    at: House, asker: Asker, path: str, code: str, field: str
) -> None:
    says(await asker.ask("GET", path), 400, code, field)
    asked = {arrival.path for arrival in at.sim.ledger.arrivals}
    assert not asked & {f"/sapi/v1/margin/{call}" for call in CALLS}


async def test_what_the_exchange_does_not_know(asker: Asker) -> None:
    for path in (
        "/v1/assets/NOSUCH",
        f"{MOST}?asset=NOSUCH",
        f"{DEBT}?asset=USDT&symbol=NOSUCH",
        f"{DEBT}?symbol=NOSUCH",
        f"{DEBT}?asset=ETH&symbol=BTCUSDT",
    ):
        says(await asker.ask("GET", path), 404, "asset_unknown", "asset")
    for body in ({"asset": "USDT", "symbol": "NOSUCH"}, {"asset": "ETH", "symbol": "BTCUSDT"}):
        answer = await asker.ask("POST", "/v1/accounts/main/settle-debt", body)
        says(answer, 404, "asset_unknown", "asset")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        *(
            ({"within_ms": within}, "within_invalid", "within_ms")
            for within in (0, -1, 60_001, 1.5, "1000", True, None, 10**30)
        ),
        *(({"asset": asset}, "asset_invalid", "asset") for asset in ("usdt", "", None, 1)),
        *(({"symbol": symbol}, "symbol_invalid", "symbol") for symbol in ("btcusdt", "", 1)),
        *(({"report_only": word}, "report_only_invalid", "report_only") for word in ("yes", 1)),
        ({"within": 60}, "unknown_field", "within"),
        ({"account": "main"}, "unknown_field", "account"),
        ({"amount": "1"}, "unknown_field", "amount"),
    ],
)
async def test_a_settlement_that_is_asked_for_wrongly(
    asker: Asker, changes: dict[str, object], code: str, field: str
) -> None:
    body = {"asset": "USDT", **changes}
    says(await asker.ask("POST", "/v1/accounts/main/settle-debt", body), 400, code, field)


async def test_a_settlement_without_its_asset_or_a_body(asker: Asker) -> None:
    path = "/v1/accounts/main/settle-debt"
    says(await asker.ask("POST", path, {}), 400, "asset_invalid", "asset")
    says(await asker.ask("POST", path), 400, "json_invalid", "body")
    says(
        await asker.ask("POST", f"{path}?within=1", {"asset": "USDT"}),
        400,
        "unknown_field",
        "within",
    )
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await asker.ask("POST", path, b"asset=USDT", form)
    says(answer, 415, "content_type_not_json", "Content-Type")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": None, "Transfer-Encoding": "chunked"}])
async def test_a_body_over_16_kib(asker: Asker, headers: dict[str, str | None]) -> None:
    body = orjson.dumps(borrow(key="k" * 16_384))
    if headers:
        asker.writer.write(
            asker.request("POST", PATH, b"", {**JSON, **headers})
            + b"".join(b"400\r\n%b\r\n" % (b"x" * 1024) for _ in range(17))
        )
        answer = await asker.answer()
    else:
        answer = await asker.ask("POST", PATH, body)
    says(answer, 413, "body_too_large", None)


async def test_a_body_of_16_kib_is_read(asker: Asker) -> None:
    body = orjson.dumps(borrow(key="k" * 65))
    body += b" " * (16_384 - len(body))
    says(await asker.ask("POST", PATH, body), 400, "key_invalid", "key")


@pytest.mark.parametrize(
    "given",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/json",
        "application/json5",
        "application/json; charset=utf-16",
        "application/problem+json",
        None,
        "",
    ],
)
async def test_a_body_that_is_not_json_by_its_type(asker: Asker, given: str | None) -> None:
    answer = await asker.ask("POST", PATH, borrow(), {"Content-Type": given})
    says(answer, 415, "content_type_not_json", "Content-Type")


async def test_a_compressed_body(asker: Asker) -> None:
    answer = await asker.ask("POST", PATH, borrow(), {"Content-Encoding": "gzip"})
    says(answer, 415, "content_type_not_json", "Content-Type")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", PATH, "GET,POST"),
        ("PATCH", PATH, "GET,POST"),
        ("HEAD", f"{PATH}/k1", "DELETE,GET"),
        ("POST", f"{PATH}/k1", "DELETE,GET"),
        ("GET", f"{PATH}/k1/resolve", "POST"),
        ("GET", "/v1/accounts/main/pause", "POST"),
        ("GET", "/v1/accounts/main/settle-debt", "POST"),
        ("POST", "/v1/accounts/main/debt", "GET"),
        ("POST", "/v1/assets/USDT", "GET"),
        ("OPTIONS", "/v1/accounts", "GET"),
        ("POST", "/healthz", "GET"),
        ("DELETE", "/openapi.json", "GET"),
    ],
)
async def test_a_wrong_method(asker: Asker, method: str, path: str, allowed: str) -> None:
    if method == "HEAD":
        asker.writer.write(asker.request(method, path))
        status, headers = await asker.head()
        assert (status, headers["allow"]) == (405, allowed)
        return
    answer = await asker.ask(method, path)
    says(answer, 405, "method_not_allowed", None)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "canary-token-5d1c", "Basic canary-token-5d1c"],
)
@pytest.mark.parametrize(
    "path", ["/v1/accounts", "/metrics", "/openapi.json", "/v1/events", "/nothing"]
)
async def test_no_token_or_a_wrong_one(asker: Asker, given: str | None, path: str) -> None:
    answer = await asker.ask("GET", path, headers={"Authorization": given})
    says(answer, 401, "token_missing" if given is None else "token_wrong", None)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_wrong_token_submits_nothing(asker: Asker) -> None:
    answer = await asker.ask("POST", PATH, borrow(), {"Authorization": "Bearer wrong"})
    says(answer, 401, "token_wrong", None)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost",
        "localhost.evil.example",
        "127.0.0.1.nip.example",
        "[::1]",
        "",
    ],
)
async def test_a_foreign_host(asker: Asker, host: str) -> None:
    for method, path in (("GET", "/v1/accounts"), ("POST", PATH), ("GET", "/")):
        answer = await asker.ask(method, path, headers={"Host": host})
        says(answer, 403, "host_foreign", "Host")
    answer = await asker.ask("GET", "/api/v3/time", headers={"Host": host})
    assert (answer.status, answer.json["code"]) == (403, -2015)
    assert (await asker.ask("GET", "/healthz", headers={"Host": host})).status == 200


async def test_no_host_at_all(asker: Asker) -> None:
    answer = await asker.ask("GET", "/v1/accounts", headers={"Host": None})
    says(answer, 400, "http_invalid", None)


async def test_a_foreign_origin(asker: Asker) -> None:
    for origin in ("http://evil.example", "null", "", f"https://{asker.host}", "http://localhost"):
        for method, path in (("GET", "/v1/accounts"), ("POST", PATH), ("GET", "/healthz")):
            answer = await asker.ask(method, path, headers={"Origin": origin})
            says(answer, 403, "origin_foreign", "Origin")
        answer = await asker.ask("GET", "/api/v3/time", headers={"Origin": origin})
        assert (answer.status, answer.json["code"]) == (403, -2015)


async def test_an_expectation_that_nobody_can_meet(asker: Asker) -> None:
    answer = await asker.ask("POST", PATH, borrow(), {"Expect": "200-maybe"})
    says(answer, 400, "http_invalid", None)


async def test_a_full_queue_and_what_cannot_start_in_time() -> None:
    limits = Limits(queue_max=2)
    async with house(limits=limits) as at, asking(at.address) as asker:
        await at.scheduler.pause("main")
        for key in ("k1", "k2"):
            assert (await asker.ask("POST", PATH, borrow(key))).status == 202
        answer = await asker.ask("POST", PATH, borrow("k3"))
        says(answer, 429, "queue_full", None)
        assert int(answer.headers["retry-after"]) >= 1
        assert (await asker.ask("POST", PATH, borrow("k1"))).json["replayed"] is True
        await at.scheduler.cancel("k2")
        answer = await asker.ask("POST", PATH, borrow("k4", send_within_ms=0))
        says(answer, 429, "cannot_start_in_time", "send_within_ms")
        assert int(answer.headers["retry-after"]) >= 1
        assert [entry.key for entry in await at.scheduler.list()] == ["k2", "k1"]


async def test_a_key_that_belongs_to_another_request() -> None:
    async with house() as at, asking(at.address) as asker:
        await asker.ask("POST", PATH, borrow("k1", amount="1"))
        for amount in ("1.0", "1.00", "01"):
            again = await asker.ask("POST", PATH, borrow("k1", amount=amount))
            assert (again.status, again.json["replayed"]) == (200, True)
        for changes in (
            {"amount": "2"},
            {"asset": "BTC"},
            {"kind": "REPAY"},
            {"symbol": "BTCUSDT"},
        ):
            answer = await asker.ask("POST", PATH, borrow("k1", **changes))
            says(answer, 409, "key_reused", "key")
        assert len(await at.scheduler.list()) == 1


async def test_a_bad_request_does_not_end_the_connection(asker: Asker) -> None:
    for _ in range(3):
        assert (await asker.ask("POST", PATH, borrow(amount="0"))).status == 400
    assert (await asker.ask("GET", "/healthz")).status == 200


def test_the_default_submission_is_fine() -> None:
    assert set(BORROW) | {"key"} == set(borrow())
