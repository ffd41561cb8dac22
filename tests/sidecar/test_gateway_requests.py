"""What the gateway takes: keys, signatures, times, parameters; everything else is refused."""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections import Counter
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scheduler import ConfigurationError
from scheduler.sidecar.gateway import checked_also
from scheduler.sidecar.options import Client

from .bots import BOT, PATH, World, world

pytestmark = pytest.mark.anyio

LOAN = {"asset": "USDT", "isIsolated": "FALSE", "amount": "10", "type": "BORROW"}
KEY = {"x-mbx-apikey": BOT.api_key}
READ = "/sapi/v1/margin/account"


def pem(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def loan(w: World, **changed: str | None) -> str:
    """The query of a loan, not signed yet; None leaves a parameter out."""
    values: dict[str, str | None] = {**LOAN, "timestamp": str(w.sim.now_ms()), **changed}
    return "&".join(f"{name}={value}" for name, value in values.items() if value is not None)


# Who


@pytest.mark.parametrize("headers", [{}, {"x-mbx-apikey": ""}, {"x-mbx-apikey": "another"}])
async def test_an_unknown_key_is_refused(headers: dict[str, str]) -> None:
    async with world() as w:
        for path in (PATH, READ):
            heard = await w.ask("POST" if path == PATH else "GET", path, loan(w), headers)
            assert (heard.status, heard.code) == (401, -2015)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda query, signature: f"{query}&signature={signature[:-1]}",
        lambda query, signature: f"{query}&signature={'0' * 64}",
        lambda query, signature: f"{query}&signature=",
        lambda query, signature: f"{query}&signature=%FF",
        lambda query, signature: f"{query}&more=1&signature={signature}",
        lambda query, signature: f"{query.replace('amount=10', 'amount=11')}&signature={signature}",
        lambda query, signature: (
            f"{query.replace('amount=10', 'amount=%310')}&signature={signature}"
        ),
        lambda query, signature: f"signature={signature}&{query}",
        lambda query, signature: f"{query}&signature={signature}&signature={signature}",
        lambda query, signature: f"{query}&x=\u00e9&signature={signature}",
    ],
)
async def test_a_wrong_signature_is_refused(spoil: object) -> None:
    assert callable(spoil)
    async with world() as w:
        query = loan(w)
        heard = await w.ask("POST", PATH, spoil(query, w.bot().signature(query)), KEY)
        assert heard.status == 400
        assert heard.code in {-1022, -1100}
        assert w.booked() == 0


async def test_a_missing_signature_is_a_missing_parameter() -> None:
    async with world() as w:
        heard = await w.ask("POST", PATH, loan(w), KEY)
        assert (heard.status, heard.code) == (400, -1102)
        assert "signature" in heard.content["msg"]


async def test_a_signature_in_both_places_is_refused() -> None:
    async with world() as w:
        query, body = "a=1", loan(w)
        signature = w.bot().signature(query + body)
        marked = [f"{part}&signature={signature}" for part in (query, body)]
        heard = await w.ask("POST", PATH, marked[0], KEY, marked[1].encode())
        assert (heard.status, heard.code) == (400, -1022)


async def test_hexadecimal_digits_may_be_upper_case() -> None:
    async with world() as w:
        query = loan(w)
        signature = w.bot().signature(query).upper()
        assert (await w.ask("POST", PATH, f"{query}&signature={signature}", KEY)).status == 200


@pytest.mark.parametrize("scheme", ["rsa", "ed25519"])
async def test_a_client_may_keep_its_private_key(scheme: str) -> None:
    private = rsa.generate_private_key(65_537, 2_048) if scheme == "rsa" else None
    edwards = Ed25519PrivateKey.generate()
    public = edwards.public_key() if private is None else private.public_key()
    client = Client(name="bot-a", account="main", api_key=BOT.api_key, public_key=pem(public))
    async with world(clients=(client,)) as w:
        query = loan(w)
        if private is None:
            raw = edwards.sign(query.encode())
        else:
            raw = private.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
        signature = quote(base64.b64encode(raw), safe="")
        assert (await w.ask("POST", PATH, f"{query}&signature={signature}", KEY)).status == 200
        other = f"{query.replace('amount=10', 'amount=11')}&signature={signature}"
        assert (await w.ask("POST", PATH, other, KEY)).code == -1022
        assert (await w.ask("POST", PATH, f"{query}&signature=%20", KEY)).code == -1022


@pytest.mark.parametrize("scheme", ["rsa", "ed25519"])
async def test_an_accounts_own_private_key_is_taken(scheme: str) -> None:
    async with world(account={"key_type": scheme}) as w:
        query = loan(w)
        account = w.sim.account("main")
        signature = w.scheduler.credentials["main"].signer.sign(query.encode())
        headers = {"x-mbx-apikey": account.api_key}
        heard = await w.ask("POST", PATH, f"{query}&signature={signature}", headers)
        assert heard.status == 200


# When


@pytest.mark.parametrize(
    ("ahead_ms", "window", "code"),
    [
        (0, None, None),
        (900, None, None),
        (1_100, None, -1021),
        (-4_900, None, None),
        (-5_100, None, -1021),
        (-5_100, "6000", None),
        (-59_000, "60000", None),
        (-61_000, "60000", -1021),
        (0, "60001", -1131),
        (0, "-1", -1100),
        (0, "1e3", -1100),
    ],
)
async def test_the_time_is_checked_as_the_exchange_checks_it(
    ahead_ms: int, window: str | None, code: int | None
) -> None:
    async with world() as w:
        query = loan(w, timestamp=str(w.sim.now_ms() + ahead_ms), recvWindow=window)
        signed = f"{query}&signature={w.bot().signature(query)}"
        heard = await w.ask("POST", PATH, signed, KEY)
        assert heard.content.get("code") == code
        assert w.booked() == (code is None)


# What


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"asset": None}, -1102),
        ({"asset": ""}, -1102),
        ({"asset": "usdt"}, -1100),
        ({"asset": "USDT%20"}, -1100),
        ({"asset": "USDT%26type%3DREPAY"}, -1100),
        ({"asset": "USDT%0A"}, -1100),
        ({"asset": "A" * 65}, -1100),
        ({"isIsolated": None}, -1102),
        ({"isIsolated": "true"}, -1102),
        ({"isIsolated": "TRUE"}, -1102),
        ({"isIsolated": "TRUE", "symbol": "btcusdt"}, -1100),
        ({"isIsolated": "TRUE", "symbol": "B" * 21}, -1100),
        ({"isIsolated": "FALSE", "symbol": "BTCUSDT"}, -1102),
        ({"type": None}, -1102),
        ({"type": "LEND"}, -1102),
        ({"type": "borrow"}, -1102),
        ({"amount": None}, -1102),
        ({"amount": ""}, -1102),
        ({"amount": "0"}, -1102),
        ({"amount": "0.00"}, -1102),
        ({"amount": "-1"}, -1100),
        ({"amount": "%2B1"}, -1100),
        ({"amount": "1."}, -1100),
        ({"amount": ".5"}, -1100),
        ({"amount": "1e3"}, -1100),
        ({"amount": "NaN"}, -1100),
        ({"amount": "1_000"}, -1100),
        ({"amount": "%D9%A1"}, -1100),
        ({"amount": "all"}, -1100),
        ({"amount": "max"}, -1100),
        ({"amount": "all", "type": "REPAY"}, -1100),
        ({"amount": "max", "type": "REPAY"}, -1100),
        ({"amount": "0.123456789"}, -1111),
        ({"amount": "9" * 31}, -1100),
        ({"amount": "9" * 28 + ".123"}, -1102),
        ({"timestamp": None}, -1102),
        ({"timestamp": "soon"}, -1100),
        ({"x": "%C3"}, -1100),
        ({"x&asset": "BTC"}, -1101),
        ({f"x{n}": "1" for n in range(80)}, -1101),
    ],
)
async def test_a_request_that_is_wrong_is_refused_and_not_kept(
    changed: dict[str, str | None], code: int
) -> None:
    async with world() as w:
        query = loan(w, **changed)
        signed = f"{query}&signature={w.bot().signature(query)}"
        heard = await w.ask("POST", PATH, signed, KEY)
        assert (heard.status, heard.code) == (400, code)
        assert await w.scheduler.list() == []


@pytest.mark.parametrize("key", ["", "_", "a b", "a" * 59, "ä", "a\n"])
async def test_a_key_of_the_wrong_form_is_refused(key: str) -> None:
    async with world() as w:
        heard = await w.bot().borrow(key=key)
        assert (heard.status, heard.code) == (400, -1100)
        assert await w.scheduler.list() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sapi/v1/margin/transfer"),
        ("POST", "/sapi/v1/margin/transfer"),
        ("DELETE", PATH),
        ("POST", PATH + "/"),
        ("POST", "/sapi/v1/margin/%62orrow-repay"),
        ("POST", "/sapi/v1//margin/borrow-repay"),
        ("POST", "/api/v3/order"),
        ("GET", "/api/v3/account"),
        ("HEAD", "/api/v3/ping"),
        ("GET", "/api/v3/../v3/ping"),
    ],
)
async def test_everything_else_does_not_exist(method: str, path: str) -> None:
    async with world() as w:
        heard = await w.bot().call(method, path)
        assert (heard.status, heard.code) == (404, -1020)


# Passing on


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (PATH, {"type": "BORROW", "asset": "USDT"}),
        ("/sapi/v1/margin/maxBorrowable", {"asset": "USDT"}),
        ("/sapi/v1/margin/available-inventory", {"type": "MARGIN"}),
        (READ, {}),
        ("/sapi/v1/margin/isolated/account", {"symbols": "BTCUSDT"}),
        ("/sapi/v1/capital/config/getall", {}),
    ],
)
async def test_signed_reads_are_signed_anew(path: str, asked: dict[str, str]) -> None:
    async with world() as w:
        heard = await w.bot().call("GET", path, asked)
        assert heard.status == 200, heard
        (arrival,) = (a for a in w.sim.ledger.arrivals if a.path == path)
        assert (arrival.account, arrival.status) == ("main", 200)
        used = {name for name in heard.headers if name.lower().startswith("x-sapi-used")}
        assert len(used) == 1
        unsigned = await w.ask("GET", path, "type=MARGIN", KEY)
        assert (unsigned.status, unsigned.code) == (400, -1102)


@pytest.mark.parametrize("name", ["allAssets", "allPairs", "isolated/allPairs"])
async def test_reads_with_a_key_alone_need_a_known_one(name: str) -> None:
    async with world() as w:
        path = f"/sapi/v1/margin/{name}"
        assert (await w.ask("GET", path, "", KEY)).status == 200
        assert (await w.ask("GET", path)).code == -2015


@pytest.mark.parametrize(
    "path", ["/sapi/v1/system/status", "/api/v3/time", "/api/v3/ping", "/api/v3/exchangeInfo"]
)
async def test_public_reads_need_nothing(path: str) -> None:
    async with world() as w:
        assert (await w.ask("GET", path)).status == 200


async def test_the_exchanges_refusal_of_a_read_is_passed_on() -> None:
    async with world() as w:
        heard = await w.bot().call("GET", "/sapi/v1/margin/maxBorrowable", {"asset": "NONE"})
        assert heard.status == 400
        assert heard.code < 0


async def test_a_read_without_an_answer_is_a_504() -> None:
    async with world() as w:
        for fault in ("lost_after", "never_left"):
            w.sim.fail_next(fault, path=f"GET {READ}")
            heard = await w.bot().call("GET", READ)
            assert (heard.status, heard.code) == (504, -1007)


async def test_a_page_of_the_firewall_is_no_page_of_ours() -> None:
    async with world() as w:
        w.sim.fail_next("403", path=f"GET {READ}")
        heard = await w.bot().call("GET", READ)
        assert heard.status == 403
        assert heard.headers["Content-Type"] == "text/plain"
        assert heard.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_banned_address_is_said_at_once_and_nothing_is_sent() -> None:
    async with world() as w:
        w.sim.fail_next("418", path=f"GET {READ}")
        banned = await w.bot().call("GET", READ)
        assert banned.status == 418
        assert (
            int(banned.headers["Retry-After" if "Retry-After" in banned.headers else "retry-after"])
            > 60
        )
        count = len(w.sim.ledger.arrivals)
        for path in (READ, "/sapi/v1/margin/maxBorrowable", "/api/v3/ping"):
            heard = await w.bot().call("GET", path, {"asset": "USDT"})
            assert (heard.status, heard.code) == (429, -1003)
            assert int(heard.headers["Retry-After"]) > 60
        assert len(w.sim.ledger.arrivals) == count


async def test_reads_leave_room_for_lookups() -> None:
    async with world() as w:
        heard = [await w.bot().call("GET", PATH, {"type": "BORROW"}) for _ in range(721)]
        assert [h.status for h in heard[:720]] == [200] * 720
        assert (heard[720].status, heard[720].code) == (429, -1003)
        w.sim.fail_next("lost_after")
        assert (await w.bot().borrow()).status == 200  # found by a look


async def test_reads_that_count_by_account_never_earn_a_ban() -> None:
    async with world() as w:
        asked = {"asset": "USDT"}
        path = "/sapi/v1/margin/maxBorrowable"
        heard = await asyncio.gather(*(w.bot().call("GET", path, asked) for _ in range(300)))
        told = Counter(h.status for h in heard)
        assert told == {200: 144, 429: 156}
        assert not [a for a in w.sim.ledger.arrivals if a.status == 429]
        await asyncio.sleep(61)
        assert (await w.bot().call("GET", path, asked)).status == 200


async def test_all_of_api_has_one_budget() -> None:
    async with world() as w:
        heard = [await w.ask("GET", "/api/v3/exchangeInfo") for _ in range(200)]
        told = Counter(h.status for h in heard)
        assert 170 <= told[200] <= 180
        assert told[429] == 200 - told[200]
        for _ in range(20):  # what is left is too little for the large one
            await w.ask("GET", "/api/v3/time")
        assert (await w.ask("GET", "/api/v3/ping")).status == 429


# Forwarding


async def test_a_call_of_the_configuration_is_forwarded_signed_anew() -> None:
    client = Client(
        name="bot-a",
        account="main",
        api_key=BOT.api_key,
        secret=BOT.secret,
        also=("GET /sapi/v1/account/apiRestrictions", "POST /sapi/v1/margin/listen-key"),
    )
    async with world(clients=(client,)) as w:
        signed = await w.bot().call("GET", "/sapi/v1/account/apiRestrictions")
        assert signed.content["enableMargin"] is True
        unsigned = await w.ask("POST", "/sapi/v1/margin/listen-key", "", KEY)
        assert unsigned.status == 200, unsigned
        own = w.sim.account("main")
        for headers in ({}, {"x-mbx-apikey": own.api_key}):
            heard = await w.ask("POST", "/sapi/v1/margin/listen-key", "", headers)
            assert (heard.status, heard.code) == (404, -1020)
        forged = await w.ask("GET", "/sapi/v1/account/apiRestrictions", "signature=00", KEY)
        assert forged.code == -1022


@pytest.mark.parametrize(
    "call",
    [
        "POST /sapi/v1/margin/borrow-repay",
        "POST /sapi/v1/margin/loan",
        "POST /sapi/v1/margin/repay",
        "POST /sapi/v1/margin/transfer",
        "POST /sapi/v1/margin/isolated/transfer",
        "POST /sapi/v1/margin/Borrow-Repay",
        "GET /sapi/v1/margin/borrow-repay",
        "POST /sapi/v1/asset/transfer",
        "POST /sapi/v3/asset/transfer",
        "POST /sapi/v1/asset/dust",
        "POST /sapi/v1/capital/withdraw/apply",
        "POST /sapi/v1/sub-account/universalTransfer",
        "POST /sapi/v2/loan/flexible/borrow",
        "POST /sapi/v9/loan/anything",
        "POST /sapi/v1/portfolio/repay",
        "POST /sapi/v1/portfolio/mint",
        "post /sapi/v1/margin/order",
        "POST  /sapi/v1/margin/order",
        "POST sapi/v1/margin/order",
        "POST /sapi/v1/margin/order?a=1",
        "POST /sapi/v1/margin/../margin/order",
        "POST /sapi/v1/margin/%6Frder",
        "POST /sapi//v1/margin/order",
        "POST /papi/v1/marginLoan",
        "POST /v1/submissions",
        "PATCH /sapi/v1/margin/order",
        "POST",
        "",
    ],
)
def test_loans_and_transfers_are_never_forwarded(call: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^also: "):
        checked_also(call)


def test_an_order_may_be_forwarded() -> None:
    assert checked_also("POST /sapi/v1/margin/order") == ("POST", "/sapi/v1/margin/order")
    assert checked_also("DELETE /api/v3/openOrders") == ("DELETE", "/api/v3/openOrders")


# Configuration


@pytest.mark.parametrize(
    ("client", "field"),
    [
        (Client(name="main", account="main", api_key="k", secret="s"), "clients.main: "),
        (Client(name="x" * 37, account="main", api_key="k", secret="s"), "a name has at most 36"),
        (Client(name="b", account="none", api_key="k", secret="s"), "clients.b.account: "),
        (Client(name="b", account="main", api_key=BOT.api_key, secret="s"), "clients.b.api_key: "),
        (Client(name="b", account="main", api_key="k"), "clients.b: needs a secret"),
        (Client(name="b", account="main", api_key="k", secret=" "), "clients.b.secret: "),
        (Client(name="b", account="main", api_key="k", public_key="no"), "clients.b.public_key: "),
        (
            Client(
                name="b",
                account="main",
                api_key="k",
                public_key=pem(ec.generate_private_key(ec.SECP256R1()).public_key()),
            ),
            "clients.b.public_key: must be an RSA or Ed25519 key",
        ),
        (
            Client(
                name="b", account="main", api_key="k", secret="s", also=("POST /sapi/v1/loan/x",)
            ),
            "clients.b.also: ",
        ),
    ],
)
async def test_a_client_that_cannot_be_is_refused_by_name(client: Client, field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        async with world(clients=(BOT, client)):
            pass


# Secrets


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "margin_scheduler")
    async with world() as w:
        query = loan(w)
        signature = hmac.digest(b"bot-a-secret", query.encode(), hashlib.sha256).hex()
        await w.ask("POST", PATH, f"{query}&signature={signature}", KEY)
        await w.ask("POST", PATH, f"{query}&signature={signature[:-2]}00", KEY)
        await w.bot().call("GET", READ)
        await asyncio.sleep(1)
        secrets = [
            BOT.api_key,
            BOT.secret,
            signature[:-2],
            "signature=",
            w.sim.account("main").secret,
        ]
        for secret in secrets:
            assert secret is not None
            assert secret not in caplog.text
            assert secret not in repr([vars(record) for record in caplog.records])
