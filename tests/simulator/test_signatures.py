"""Who may act for an account, and over which bytes a signature has to be made."""

import base64
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scheduler.simulator import SimulatedAccount, Simulator
from scheduler.simulator.parameters import find_parameters
from scheduler.simulator.signatures import HmacVerifier
from scheduler.wire import HttpRequest

from .client import LOANS, Client, sign

pytestmark = pytest.mark.anyio

PAYLOAD = "asset=USDT&isIsolated=FALSE&amount=10&type=BORROW&timestamp={now}"


def test_the_published_vector_is_accepted() -> None:
    verifier = HmacVerifier(b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
    payload = (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        b"&recvWindow=5000&timestamp=1499827319559"
    )
    signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert verifier.accepts(signature, payload)
    assert not verifier.accepts(signature, payload + b"0")


@pytest.mark.parametrize(
    ("query", "body", "signed"),
    [
        ("a=1&b=2", "", "a=1&b=2"),
        ("", "a=1&b=2", "a=1&b=2"),
        ("a=1", "b=2", "a=1b=2"),
        ("a=1&signature=x", "b=2", "a=1b=2"),
        ("a=1", "b=2&signature=x", "a=1b=2"),
        ("signature=x&a=1", "", "a=1"),
        ("a=%2F", "", "a=%2F"),
    ],
)
def test_signed_are_the_exact_bytes_of_query_and_body_without_the_signature(
    query: str, body: str, signed: str
) -> None:
    assert find_parameters(query, body.encode()).payload == signed.encode()


def sign_with_pem(account: SimulatedAccount, payload: str) -> str:
    key = load_pem_private_key(account.secret.encode(), None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.sign(payload.encode())).decode()
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = key.sign(payload.encode(), padding.PKCS1v15(), SHA256())
    return base64.b64encode(signature).decode()


@pytest.mark.parametrize("key_type", ["rsa", "ed25519"])
async def test_a_pem_key_signs_in_base64(sim: Simulator, key_type: str) -> None:
    account = sim.account("pem", key_type="rsa" if key_type == "rsa" else "ed25519")
    client = Client(sim, account)
    payload = PAYLOAD.format(now=sim.now_ms())
    signature = sign_with_pem(account, payload)
    good = f"{payload}&signature={quote(signature, safe='')}"
    assert (await client.send(client.raw("POST", LOANS, good))).status == 200
    bad = f"{payload}&signature={quote(signature[:-4] + 'AAA=', safe='')}"
    assert (await client.send(client.raw("POST", LOANS, bad))).code == -1022


async def test_a_signature_that_is_no_base64_is_refused(sim: Simulator) -> None:
    client = Client(sim, sim.account("pem", key_type="ed25519"))
    request = client.raw("POST", LOANS, PAYLOAD.format(now=sim.now_ms()) + "&signature=%21")
    assert (await client.send(request)).code == -1022


@pytest.mark.parametrize("field", ["amount=10", "asset=USDT"])
async def test_a_changed_byte_breaks_the_signature(
    sim: Simulator, client: Client, field: str
) -> None:
    request = client.loan("BORROW", "USDT", "10")
    forged = request.body.replace(field.encode(), field.replace("10", "11").encode()[:-1] + b"1")
    said = await client.send(client.raw("POST", LOANS, forged.decode()))
    assert said.code == -1022
    assert sim.ledger.transactions == []


async def test_a_payload_has_to_be_percent_encoded_before_signing(
    sim: Simulator, client: Client
) -> None:
    payload = PAYLOAD.format(now=sim.now_ms()) + "&note=é"
    raw = f"{payload}&signature={sign(client.account.secret, payload)}"
    assert (await client.send(client.raw("POST", LOANS, raw))).code == -1022


async def test_no_signature_is_a_missing_parameter(sim: Simulator, client: Client) -> None:
    said = await client.send(client.raw("POST", LOANS, PAYLOAD.format(now=sim.now_ms())))
    assert said.code == -1102


async def test_without_a_key_the_format_is_wrong(sim: Simulator, client: Client) -> None:
    signed = client.loan("BORROW", "USDT", "10")
    said = await client.send(HttpRequest(method="POST", path=LOANS, body=signed.body))
    assert (said.status, said.code) == (401, -2014)


async def test_a_revoked_or_unknown_key_is_refused(sim: Simulator, client: Client) -> None:
    headers = {"X-MBX-APIKEY": "A" * 64}
    said = await client.send(HttpRequest(method="POST", path=LOANS, headers=headers))
    assert (said.status, said.code) == (401, -2015)
    sim.revoke_key("main")
    assert (await client.borrow()).code == -2015


async def test_some_calls_take_a_key_without_a_signature(sim: Simulator, client: Client) -> None:
    path = "/sapi/v1/margin/allAssets"
    assert (await client.send(client.raw("GET", path, ""))).status == 200
    assert (await client.send(HttpRequest(method="GET", path=path))).code == -2014


def test_a_secret_is_in_no_repr() -> None:
    sim = Simulator(port=None)
    account = sim.account("main")
    assert account.secret not in repr(account)
    assert account.api_key not in repr(account)
