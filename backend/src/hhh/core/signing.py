"""The installation's Ed25519 key: signs manifests, so that a forged one is told from ours."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hhh.core.errors import ConfigurationError
from hhh.core.files import needed, write_private


class SigningKey:
    """A private key for signatures."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public_key})"

    @property
    def public_key(self) -> str:
        """The public half: 32 raw bytes in base64."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, message: bytes) -> str:
        """An Ed25519 signature (RFC 8032): 64 bytes in base64."""
        return base64.b64encode(self._key.sign(message)).decode()


def load_or_make(path: Path) -> SigningKey:
    """Reads the key, a PKCS #8 PEM file, or makes it (0600) where there is none.

    Raises:
        ConfigurationError: the file holds no Ed25519 key, or can't be read or made.
    """
    with needed(path):
        if not path.exists():
            write_private(path, _new_pem(), exclusive=True)
        pem = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{path} holds no private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} holds a key that is not Ed25519")
    return SigningKey(key)


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def holds(public_key: str, message: bytes, signature: str) -> bool:
    """Whether ``signature`` (base64) is that key's (base64) signature of ``message``."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True
