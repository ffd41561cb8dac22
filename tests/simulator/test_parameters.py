"""A request has to be well formed before anything else is looked at."""

import asyncio
from urllib.parse import urlencode

import pytest

from scheduler.simulator import Simulator
from scheduler.wire import HttpRequest

from .client import LOANS, Client, read, sign

pytestmark = pytest.mark.anyio

MALFORMED = [
    ("no asset", {"asset": None}, -1102),
    ("no amount", {"amount": None}, -1102),
    ("an empty amount", {"amount": ""}, -1102),
    ("no type", {"type": None}, -1102),
    ("no isIsolated", {"isIsolated": None}, -1102),
    ("no timestamp", {"timestamp": None}, -1102),
    ("isolated without a symbol", {"isIsolated": "TRUE"}, -1102),
    ("a symbol without isolated", {"isIsolated": "FALSE", "symbol": "BTCUSDT"}, -1128),
    ("isIsolated in lower case", {"isIsolated": "true"}, -1130),
    ("an unknown type", {"type": "LEND"}, -1130),
    ("a type in lower case", {"type": "borrow"}, -1130),
    ("an asset in lower case", {"asset": "usdt"}, -1100),
    ("an asset with a parameter in it", {"asset": "USDT&type=REPAY"}, -1100),
    ("a symbol with a slash", {"isIsolated": "TRUE", "symbol": "BTC/USDT"}, -1100),
    ("an amount with an exponent", {"amount": "1E-7"}, -1100),
    ("a negative amount", {"amount": "-1"}, -1100),
    ("an amount with a sign", {"amount": "+1"}, -1100),
    ("an amount without a whole part", {"amount": ".5"}, -1100),
    ("an amount that ends in a point", {"amount": "1."}, -1100),
    ("an amount in other digits", {"amount": "\u0661"}, -1100),
    ("not a number", {"amount": "NaN"}, -1100),
    ("nine decimals", {"amount": "0.123456789"}, -1111),
    ("nothing", {"amount": "0.0"}, -1130),
    ("a timestamp that is no number", {"timestamp": "now"}, -1100),
    ("a recvWindow that is no number", {"recvWindow": "long"}, -1100),
    ("a recvWindow over a minute", {"recvWindow": "60001"}, -1131),
]


@pytest.mark.parametrize(("what", "changes", "code"), MALFORMED)
async def test_refused_is(
    sim: Simulator, client: Client, what: str, changes: dict[str, str | None], code: int
) -> None:
    said = await client.send(client.loan("BORROW", "USDT", "10", **changes))
    assert (said.status, said.code) == (400, code), what
    assert sim.ledger.transactions == []


WELL_FORMED = [
    ("eight decimals", {"amount": "0.12345678"}),
    ("the longest recvWindow", {"recvWindow": "60000"}),
    ("an isolated pair", {"isIsolated": "TRUE", "symbol": "BTCUSDT"}),
    ("a parameter nobody asked for", {"newClientTag": "x"}),
]


@pytest.mark.parametrize(("what", "changes"), WELL_FORMED)
async def test_accepted_is(client: Client, what: str, changes: dict[str, str]) -> None:
    said = await client.send(client.loan("BORROW", "USDT", "10", **changes))
    assert said.status == 200, (what, said.json)


async def test_a_missing_parameter_is_named(client: Client) -> None:
    said = await client.send(client.loan("BORROW", "USDT", "10", asset=None))
    assert said.json["msg"] == (
        "Mandatory parameter 'asset' was not sent, was empty/null, or malformed."
    )


async def test_parameters_may_stand_in_the_query_string_and_win_over_the_body(
    sim: Simulator, client: Client
) -> None:
    query = f"amount=3&timestamp={sim.now_ms()}"
    body = "asset=USDT&isIsolated=FALSE&type=BORROW&amount=4"
    signature = sign(client.account.secret, query + body)
    headers = {"x-mbx-apikey": client.account.api_key}
    request = HttpRequest(
        method="POST",
        path=LOANS,
        query=f"{query}&signature={signature}",
        headers=headers,
        body=body.encode(),
    )
    assert read(await sim.transport.send(request)).status == 200
    assert sim.ledger.debt("main", "USDT") == 3


async def test_values_are_decoded_before_they_are_read(sim: Simulator, client: Client) -> None:
    payload = urlencode({"asset": "USDT", "isIsolated": "FALSE", "type": "BORROW"})
    payload += f"&amount=%31%30&timestamp={sim.now_ms()}"
    signature = sign(client.account.secret, payload)
    said = await client.send(client.raw("POST", LOANS, f"{payload}&signature={signature}"))
    assert said.status == 200
    assert sim.ledger.debt("main", "USDT") == 10


async def test_an_unknown_path_is_not_supported(client: Client) -> None:
    said = await client.get("/sapi/v1/margin/nothing")
    assert (said.status, said.code) == (404, -1020)


async def test_a_known_path_by_another_method_is_not_supported(client: Client) -> None:
    said = await client.send(client.signed("POST", "/api/v3/time"))
    assert (said.status, said.code) == (404, -1020)


CHECKS_IN_ORDER: list[tuple[dict[str, str | int | None], int]] = [
    ({"asset": None}, -1102),
    ({"amount": "1e3"}, -1100),
    ({"signature": "0" * 64}, -1022),
    ({"timestamp": 1}, -1021),
    ({}, -3007),
]


async def test_of_several_things_wrong_the_first_in_order_is_named(
    sim: Simulator, client: Client
) -> None:
    sim.order("main", "USDT", "1", occupies_ms=60_000)
    sim.set_banned_asset("USDT")
    wrong: dict[str, str | int | None] = {}
    for changes, _ in CHECKS_IN_ORDER:
        wrong = changes | wrong
    for changes, code in CHECKS_IN_ORDER:
        said = await client.send(client.loan("BORROW", "USDT", "10", **wrong))
        assert said.code == code
        for name in changes:
            del wrong[name]
    await asyncio.sleep(60)
    assert (await client.borrow("USDT")).code == -3012
    sim.revoke_key("main")
    assert (await client.borrow("USDT", amount="")).code == -2015
    sim.spend_weight("main", 180_000)
    assert (await client.borrow("USDT")).status == 429
    sim.ban()
    assert (await client.borrow("USDT")).status == 418
