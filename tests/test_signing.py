"""Signatures are what the exchange expects, and a secret never shows."""

import base64
import hashlib
import hmac
import pickle
import traceback
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from scheduler.signing import Signer, signer

CANARY = "CANARYcanaryCANARYcanary0123456789"
PAYLOAD = b"asset=USDT&amount=0.1&type=BORROW&recvWindow=5000&timestamp=1499827319559"
PASSPHRASE = b"open sesame"
RSA = generate_private_key(65_537, 2_048)
ED25519 = Ed25519PrivateKey.generate()

ascii_payloads = st.text(st.characters(max_codepoint=127)).map(str.encode)


def pem(
    key: object,
    layout: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    assert hasattr(key, "private_bytes")
    encoded = key.private_bytes(Encoding.PEM, layout, encryption or NoEncryption())
    assert isinstance(encoded, bytes)
    return encoded


def public_pem(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# The right signature


def test_hmac_matches_the_exchanges_published_example() -> None:
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    payload = (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        b"&recvWindow=5000&timestamp=1499827319559"
    )
    signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert signer(secret).sign(payload) == signature
    assert signer(secret.encode()).sign(payload) == signature


@pytest.mark.parametrize(
    ("private", "payload", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            b"",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            b"r",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
    ids=["RFC 8032, 7.1 test 1", "RFC 8032, 7.1 test 2"],
)
def test_ed25519_matches_the_rfc(private: str, payload: bytes, signature: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private))
    assert decoded(signer(pem(key)).sign(payload)).hex() == signature


@given(st.binary(min_size=1).filter(lambda key: key.strip() == key and b"-----" not in key))
def test_any_other_text_is_an_hmac_secret(key: bytes) -> None:
    expected = hmac.new(key, PAYLOAD, hashlib.sha256).hexdigest()
    assert signer(key).sign(PAYLOAD) == expected


@given(ascii_payloads)
def test_the_public_key_accepts_an_ed25519_signature(payload: bytes) -> None:
    ED25519.public_key().verify(decoded(signer(pem(ED25519)).sign(payload)), payload)


@pytest.mark.parametrize("layout", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_public_key_accepts_an_rsa_signature(layout: PrivateFormat) -> None:
    signature = decoded(signer(pem(RSA, layout)).sign(PAYLOAD))
    RSA.public_key().verify(signature, PAYLOAD, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["RSA", "Ed25519"])
def test_an_encrypted_pem_signs_like_the_open_one(key: RSAPrivateKey | Ed25519PrivateKey) -> None:
    closed = pem(key, encryption=BestAvailableEncryption(PASSPHRASE))
    signature = signer(closed, passphrase=PASSPHRASE).sign(PAYLOAD)
    assert signature == signer(pem(key)).sign(PAYLOAD)


@pytest.mark.parametrize("held", [signer(pem(RSA)), signer(pem(ED25519))], ids=repr)
@given(payload=ascii_payloads)
def test_base64_is_ready_to_stand_in_a_query(held: Signer, payload: bytes) -> None:
    signature = held.sign(payload)
    assert not set("+/=& ") & set(signature)
    assert signature.endswith("%3D%3D")
    decoded(signature)


@pytest.mark.parametrize("secret", [CANARY.encode(), pem(RSA), pem(ED25519)])
def test_a_signer_remembers_nothing_of_earlier_payloads(secret: bytes) -> None:
    used = signer(secret)
    used.sign(b"something=else")
    assert used.sign(PAYLOAD) == used.sign(PAYLOAD) == signer(secret).sign(PAYLOAD)


@pytest.mark.parametrize("secret", [CANARY.encode(), pem(ED25519)])
def test_white_space_around_a_secret_is_the_end_of_a_file(secret: bytes) -> None:
    expected = signer(secret).sign(PAYLOAD)
    assert signer(b"\n  " + secret + b" \r\n").sign(PAYLOAD) == expected
    assert signer((secret + b"\n").decode()).sign(PAYLOAD) == expected


@pytest.mark.parametrize("secret", [CANARY.encode(), pem(ED25519)])
def test_an_empty_passphrase_is_none(secret: bytes) -> None:
    assert signer(secret, passphrase=b"").sign(PAYLOAD) == signer(secret).sign(PAYLOAD)


def decoded(signature: str) -> bytes:
    return base64.b64decode(unquote(signature), validate=True)


# What is refused


@pytest.mark.parametrize("secret", [CANARY.encode(), pem(RSA), pem(ED25519)])
@pytest.mark.parametrize("payload", ["symbol=币安".encode(), b"\xff"])
def test_a_payload_that_is_not_percent_encoded_is_refused(secret: bytes, payload: bytes) -> None:
    with pytest.raises(ValueError, match="percent-encoded"):
        signer(secret).sign(payload)


ENCRYPTED = pem(ED25519, encryption=BestAvailableEncryption(PASSPHRASE))
UNUSABLE = [
    (b"", None, "is empty"),
    (b" \n", None, "is empty"),
    (CANARY.encode(), PASSPHRASE, "not a PEM"),
    (public_pem(RSA), None, "public key"),
    (public_pem(ED25519), None, "public key"),
    (ENCRYPTED, None, "no passphrase"),
    (ENCRYPTED, b"", "no passphrase"),
    (ENCRYPTED, b"open barley", "passphrase is wrong"),
    (ENCRYPTED.replace(b"M", b"!"), PASSPHRASE, "damaged"),
    (pem(ED25519), PASSPHRASE, "not encrypted"),
    (pem(ec.generate_private_key(ec.SECP256K1())), None, "neither RSA nor Ed25519"),
    (pem(dsa.generate_private_key(1_024)), None, "neither RSA nor Ed25519"),
    (pem(ed448.Ed448PrivateKey.generate()), None, "neither RSA nor Ed25519"),
    (pem(x25519.X25519PrivateKey.generate()), None, "neither RSA nor Ed25519"),
    (pem(ED25519)[:60], None, "cannot be read"),
    (pem(ED25519).replace(b"\n", b"\\n"), None, "cannot be read"),
    (pem(RSA).replace(b"M", b"!"), None, "cannot be read"),
    (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", None, "cannot be read"),
]


@pytest.mark.parametrize(
    ("secret", "passphrase", "reason"),
    UNUSABLE,
    ids=[f"{n} {row[2]}" for n, row in enumerate(UNUSABLE)],
)
def test_an_unusable_secret_is_refused_in_one_sentence_that_gives_nothing_away(
    secret: bytes, passphrase: bytes | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        signer(secret, passphrase=passphrase)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not leaks(message, secret, passphrase)


def test_a_damaged_canary_is_not_quoted_in_the_traceback() -> None:
    body = base64.b64encode(CANARY.encode() * 3)
    for broken in (body, b"!" + body):
        secret = b"-----BEGIN PRIVATE KEY-----\n" + broken + b"\n-----END PRIVATE KEY-----\n"
        for passphrase in (None, CANARY.encode()):
            with pytest.raises(ValueError, match="private key") as caught:
                signer(secret, passphrase=passphrase)
            assert not leaks("".join(traceback.format_exception(caught.value)), secret, passphrase)


@pytest.mark.parametrize(
    "secret", [CANARY.encode(), pem(RSA), pem(ED25519)], ids=["HMAC", "RSA", "Ed25519"]
)
def test_a_signer_shows_what_it_is_and_not_its_secret(secret: bytes) -> None:
    held = signer(secret)
    for shown in (repr(held), str(held), f"{held}", "%r" % {"signer": held}):  # noqa: UP031
        assert shown.startswith(("<Signer ", "{'signer': <Signer "))
        assert not leaks(shown, secret)
    assert not hasattr(held, "__dict__")
    with pytest.raises(ValueError, match="percent") as caught:
        held.sign(b"\xff")
    assert not leaks("".join(traceback.format_exception(caught.value)), secret)


@pytest.mark.parametrize("secret", [CANARY.encode(), pem(RSA), pem(ED25519)])
def test_a_signer_is_not_written_anywhere_by_pickling(secret: bytes) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(signer(secret))


def leaks(shown: str, secret: bytes, passphrase: bytes | None = None) -> bool:
    """Whether any eight characters in a row of a secret's lines stand in `shown`."""
    lines = [line for line in secret.splitlines() if not line.startswith(b"-----")]
    pieces = [part.decode(errors="replace") for part in (*lines, passphrase or b"")]
    windows = (part[at : at + 8] for part in pieces for at in range(len(part) - 7))
    return any(window in shown for window in windows)
