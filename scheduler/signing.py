"""Signs requests in the three ways the exchange knows: HMAC-SHA256, RSA and Ed25519.

`signer` tells from the secret which one it is. Signing is pure and deterministic: the same payload
always gets the same signature.
"""

import base64
import hashlib
import hmac
from typing import Protocol
from urllib.parse import quote

# An HMAC secret does without it, but it adds only a tenth to what importing aiohttp costs anyway.
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class Signer(Protocol):
    """Holds a secret, and shows it to nobody: not in `repr`, not in an error."""

    def sign(self, payload: bytes) -> str:
        """What has to follow `signature=`, percent-encoded where it needs to be.

        `payload` is the query directly followed by the body, exactly as sent. It has to be ASCII,
        or `ValueError` is raised: since 2026-01 the exchange checks the percent-encoded form.
        """
        ...


def signer(secret: str | bytes, *, passphrase: bytes | None = None) -> Signer:
    """The signer for an HMAC secret, or for a private key (RSA or Ed25519) in PEM.

    Any text that is no PEM is an HMAC secret; white space around it is taken for the end of a file.
    `passphrase` opens an encrypted PEM. A secret that cannot be used raises `ValueError`, in words
    that give nothing of it away.
    """
    key = secret.encode() if isinstance(secret, str) else secret
    key = key.strip()
    if not key:
        raise ValueError("the secret is empty")
    if b"-----BEGIN" in key:
        return _private_key_signer(key, passphrase)
    if passphrase:
        raise ValueError("there is a passphrase, but the secret is not a PEM")
    return _Hmac(key)


def _private_key_signer(pem: bytes, passphrase: bytes | None) -> Signer:
    if b"PUBLIC KEY-----" in pem:
        raise ValueError("the secret is a public key; signing takes the private one")
    # `from None`: what a library says about a key it could not read is not for a log.
    try:
        key = load_pem_private_key(pem, passphrase or None)
    except TypeError:
        if not passphrase:
            raise ValueError("the private key is encrypted and there is no passphrase") from None
        raise ValueError("there is a passphrase, but the private key is not encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        if not passphrase:
            raise ValueError("the secret cannot be read as a private key in PEM") from None
        raise ValueError("the private key is damaged, or the passphrase is wrong") from None
    if isinstance(key, Ed25519PrivateKey):
        return _Ed25519(key)
    if isinstance(key, RSAPrivateKey):
        return _Rsa(key)
    raise ValueError("the private key is neither RSA nor Ed25519")


class _Hmac:
    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        # Copying a keyed hash takes two thirds of the time of keying one.
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "<Signer HMAC-SHA256>"

    def sign(self, payload: bytes) -> str:
        keyed = self._keyed.copy()
        keyed.update(_ascii(payload))
        return keyed.hexdigest()


class _Rsa:
    __slots__ = ("_key",)

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<Signer RSA>"

    def sign(self, payload: bytes) -> str:
        return _encode(self._key.sign(_ascii(payload), padding.PKCS1v15(), hashes.SHA256()))


class _Ed25519:
    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<Signer Ed25519>"

    def sign(self, payload: bytes) -> str:
        return _encode(self._key.sign(_ascii(payload)))


def _ascii(payload: bytes) -> bytes:
    if not payload.isascii():
        raise ValueError("a payload has to be percent-encoded before it is signed")
    return payload


def _encode(signature: bytes) -> str:
    return quote(base64.b64encode(signature), safe="")
