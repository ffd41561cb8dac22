"""Key pairs as the exchange issues them, and the check of a signature made with one."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

KeyType = Literal["hmac", "rsa", "ed25519"]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_KEY_LENGTH = 64


class Verifier(Protocol):
    """The exchange's half of a key pair."""

    def accepts(self, signature: str, payload: bytes) -> bool: ...


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """An API key, the secret its owner signs with, and the half the exchange keeps.

    The secret of an HMAC key is a string of 64 characters, of the others an unencrypted PKCS#8 PEM.
    """

    api_key: str
    secret: str
    verifier: Verifier


def issue_key(key_type: KeyType, random: Random) -> KeyPair:
    """A new key pair. HMAC and Ed25519 follow from the generator; an RSA key cannot be seeded."""
    api_key = _text(random)
    match key_type:
        case "hmac":
            secret = _text(random)
            return KeyPair(api_key, secret, HmacVerifier(secret.encode()))
        case "ed25519":
            edwards = ed25519.Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
            return KeyPair(api_key, _pem(edwards), Ed25519Verifier(edwards.public_key()))
        case "rsa":
            private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
            return KeyPair(api_key, _pem(private), RsaVerifier(private.public_key()))


@dataclass(frozen=True, slots=True, repr=False)
class HmacVerifier:
    """HMAC-SHA256, in hex."""

    secret: bytes

    def accepts(self, signature: str, payload: bytes) -> bool:
        expected = hmac.digest(self.secret, payload, hashlib.sha256).hex()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())


@dataclass(frozen=True, slots=True, repr=False)
class RsaVerifier:
    """RSASSA-PKCS1-v1_5 with SHA-256, in base64."""

    key: rsa.RSAPublicKey

    def accepts(self, signature: str, payload: bytes) -> bool:
        try:
            self.key.verify(_from_base64(signature), payload, padding.PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error):
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class Ed25519Verifier:
    """Ed25519, in base64."""

    key: ed25519.Ed25519PublicKey

    def accepts(self, signature: str, payload: bytes) -> bool:
        try:
            self.key.verify(_from_base64(signature), payload)
        except (InvalidSignature, binascii.Error):
            return False
        return True


def is_percent_encoded(payload: bytes) -> bool:
    """Since January 2026 a payload has to be percent-encoded before it is signed: plain ASCII."""
    return payload.isascii()


def _from_base64(signature: str) -> bytes:
    # A "+" that was not percent-encoded arrives as a space, and the signature is rightly wrong.
    return base64.b64decode(signature.encode(), validate=True)


def _text(random: Random) -> str:
    return "".join(random.choices(_ALPHABET, k=_KEY_LENGTH))


def _pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
