"""Checks a client's signature with the half of its key pair that is known here."""

import base64
import binascii
import hmac
from typing import Protocol
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ...signing import Signer


class Verifier(Protocol):
    """Tells whether a signature was made over exactly these bytes by the holder of the secret."""

    def accepts(self, signature: str, payload: bytes) -> bool: ...


class SecretVerifier:
    """For whoever shares the secret: every scheme signs the same bytes the same way, always."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def accepts(self, signature: str, payload: bytes) -> bool:
        if not payload.isascii():
            return False
        expected = unquote(self._signer.sign(payload)).encode()
        given = signature.encode()
        # The exchange takes hexadecimal digits in either case.
        is_same, is_same_hex = (
            hmac.compare_digest(expected, given),
            hmac.compare_digest(expected, given.lower()),
        )
        return is_same or is_same_hex


class PublicKeyVerifier:
    """For the public key, RSA or Ed25519, of a client that keeps its private one."""

    def __init__(self, pem: str) -> None:
        """Raises ValueError."""
        try:
            key = load_pem_public_key(pem.strip().encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("cannot be read as a public key in PEM") from None
        if not isinstance(key, (RSAPublicKey, Ed25519PublicKey)):
            raise ValueError("must be an RSA or Ed25519 key")
        self._key = key

    def accepts(self, signature: str, payload: bytes) -> bool:
        if not payload.isascii():
            return False
        try:
            given = base64.b64decode(signature.encode(), validate=True)
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(given, payload)
            else:
                self._key.verify(given, payload, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, binascii.Error):
            return False
        return True
