"""Who may ask: decided from the head of a request alone."""

import pytest
from aiohttp.test_utils import make_mocked_request

from scheduler.sidecar.problems import FOREIGN_HOST, FOREIGN_ORIGIN, NO_TOKEN, WRONG_TOKEN, Problem
from scheduler.sidecar.security import Guard

HOSTS = {"127.0.0.1:8900", "localhost:8900"}
TOKEN = "canary-tökén"
GOOD = {"Host": "localhost:8900", "Authorization": f"Bearer {TOKEN}"}


def judged(path: str = "/v1/accounts", **headers: str | None) -> Problem | None:
    """What the guard says of a good request with some headers changed; None leaves one out."""
    guard = Guard(HOSTS, ["Margin.example"], TOKEN)
    given = {**GOOD, **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent = {name: value for name, value in given.items() if value is not None}
    return guard.problem(make_mocked_request("GET", path, sent))


def test_a_good_request() -> None:
    assert judged() is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer {TOKEN}", None),
        (f"BEARER   {TOKEN} ", None),
        (None, NO_TOKEN),
        (TOKEN, WRONG_TOKEN),
        (f"Basic {TOKEN}", WRONG_TOKEN),
        (f"Bearer {TOKEN}x", WRONG_TOKEN),
        (f"Bearer {TOKEN[:-1]}", WRONG_TOKEN),
        (f"Bearer {TOKEN.upper()}", WRONG_TOKEN),
        ("Bearer", WRONG_TOKEN),
        ("", WRONG_TOKEN),
    ],
)
def test_the_token(given: str | None, problem: Problem | None) -> None:
    assert judged(Authorization=given) is problem


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("127.0.0.1:8900", None),
        ("LocalHost:8900", None),
        ("margin.example", None),
        ("MARGIN.EXAMPLE", None),
        ("margin.example:8900", FOREIGN_HOST),
        ("margin.example.", FOREIGN_HOST),
        ("localhost", FOREIGN_HOST),
        ("localhost:89000", FOREIGN_HOST),
        ("127.0.0.1:8900@evil.example", FOREIGN_HOST),
        ("", FOREIGN_HOST),
        (None, FOREIGN_HOST),
    ],
)
def test_the_host(host: str | None, problem: Problem | None) -> None:
    assert judged(Host=host) is problem


@pytest.mark.parametrize(
    ("origin", "problem"),
    [
        (None, None),
        ("http://localhost:8900", None),
        ("http://127.0.0.1:8900", None),
        ("https://margin.example", None),
        ("http://margin.example", None),
        ("https://localhost:8900", FOREIGN_ORIGIN),
        ("http://localhost", FOREIGN_ORIGIN),
        ("http://localhost:8900.evil.example", FOREIGN_ORIGIN),
        ("http://localhost:8900/", FOREIGN_ORIGIN),
        ("null", FOREIGN_ORIGIN),
        ("", FOREIGN_ORIGIN),
    ],
)
@pytest.mark.parametrize("path", ["/v1/accounts", "/healthz", "/sapi/v1/margin/borrow-repay"])
def test_the_origin(path: str, origin: str | None, problem: Problem | None) -> None:
    assert judged(path, Origin=origin) is problem


def test_health_needs_neither_token_nor_host() -> None:
    for path in ("/healthz", "/readyz"):
        assert judged(path, Host="probe", Authorization=None) is None
    assert judged("/healthz/", Host="probe", Authorization=None) is FOREIGN_HOST


def test_the_gateway_needs_no_token_but_a_host_of_its_own() -> None:
    for path in ("/sapi/v1/margin/borrow-repay", "/api/v3/time"):
        assert judged(path, Authorization=None) is None
        assert judged(path, Authorization=None, Host="evil.example") is FOREIGN_HOST
    assert judged("/sapix", Authorization=None) is NO_TOKEN
