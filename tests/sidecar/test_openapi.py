"""The document says what the sidecar does: the same paths, the same forms, no other answers."""

import re
from decimal import Decimal
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from scheduler import InvalidRequest, Kind, Limits, Priority, SettlementOutcome, State
from scheduler.request import Options, checked
from scheduler.sidecar import bodies
from scheduler.sidecar.openapi import CODES, OPERATIONS, document

from ..build import NOW_MS, UNHURRIED
from .fuzz import fuzz
from .house import house

DOCUMENT = orjson.loads(document())
SETTLE = "/v1/accounts/{account}/settle-debt"


@pytest.mark.anyio
@pytest.mark.real_time
async def test_every_route_is_described_and_nothing_else() -> None:
    async with house() as at:
        routes: list[web.RouteDef] = at.sidecar._api.routes()
        served = {(route.method.lower(), route.path) for route in routes}
    assert served == {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(DOCUMENT["paths"]) == len({path for _, path in served})


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref":"([^"]+)"', document().decode()):
        target: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target["type"] == "object"


def test_every_problem_has_an_explanation() -> None:
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method]
        problems = {int(status) for status in described["responses"]} - operation.answers.keys()
        assert problems <= CODES.keys()
        assert 500 not in problems


def test_the_words_are_the_models() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    told = schemas["EntryBody"]["properties"]
    assert set(told["state"]["enum"]) == set(State)
    assert set(told["kind"]["enum"]) == set(Kind)
    assert set(told["priority"]["enum"]) == set(Priority)
    outcomes = schemas["SettlementBody"]["properties"]["outcome"]["enum"]
    assert set(outcomes) == set(SettlementOutcome)


def test_the_longest_that_a_settlement_is_waited_for_is_told() -> None:
    form = DOCUMENT["components"]["schemas"]["SettleDebt"]["properties"]["within_ms"]
    assert (form["minimum"], form["maximum"], form["default"]) == (1, 60_000, 60_000)
    assert "a minute at most" in DOCUMENT["paths"][SETTLE]["post"]["summary"]


def test_what_must_be_in_a_query_is_said_to() -> None:
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method]["parameters"]
        required = {p["name"] for p in described if p["in"] == "query" and p["required"]}
        assert required == set(operation.required) <= set(operation.query)


AMOUNTS = st.one_of(
    st.from_regex(r"[0-9]{0,32}(\.[0-9]{0,10})?", fullmatch=True),
    st.text(alphabet="0123456789.,+-eE _\n٣", max_size=33),
    st.decimals(allow_nan=True).map(str),
    st.sampled_from(["9" * 30, "9" * 31, "9" * 22 + ".00000001", "0" * 30, "0.00000001"]),
    st.sampled_from(["all", "max", "ALL", "all ", "allmax", "all1", "1max", "max\n"]),
)


def _is_taken(**changes: Any) -> bool:
    said: dict[str, Any] = {"kind": "BORROW", "asset": "USDT", "amount": "1", **changes}
    options: Options = {"key": said.get("key", "k"), "symbol": said.get("symbol")}
    try:
        checked(
            "main",
            said["kind"],
            said["asset"],
            said["amount"],
            options,
            limits=Limits(),
            now_ms=NOW_MS,
        )
    except InvalidRequest:
        return False
    return True


@UNHURRIED
@given(amount=AMOUNTS)
def test_the_form_of_an_amount_is_the_rule_for_it(amount: str) -> None:
    for kind, pattern in (("BORROW", bodies.BORROW_AMOUNT), ("REPAY", bodies.REPAY_AMOUNT)):
        has_form = len(amount) <= 31 and re.search(pattern, amount) is not None
        if amount.endswith("\n"):
            has_form = False  # what a pattern cannot say
        assert has_form == _is_taken(kind=kind, amount=amount), amount
        assert not has_form or amount in {"all", "max"} or Decimal(amount) > 0


@UNHURRIED
@given(
    text=st.one_of(st.text(max_size=70), st.from_regex(r"[A-Za-z0-9._:-]{0,70}", fullmatch=True))
)
def test_the_forms_of_keys_assets_and_symbols_are_the_rules_for_them(text: str) -> None:
    for pattern, field in ((bodies.KEY, "key"), (bodies.ASSET, "asset"), (bodies.SYMBOL, "symbol")):
        has_form = re.search(pattern, text) is not None and not text.endswith("\n")
        assert has_form == _is_taken(**{field: text}), (field, text)


def test_no_case_that_schemathesis_makes_is_answered_in_an_undeclared_way() -> None:
    status, count, said = fuzz(36, seed=0, phases="examples,coverage,fuzzing,stateful")
    assert status == 0, said
    assert count >= 300
