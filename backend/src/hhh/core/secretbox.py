"""Secrets at rest: sealed with a key derived from ``HHH_SECRET_KEY``."""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hhh.core.errors import ConfigurationError

_VERSION = "v1"
_NONCE_BYTES = 12


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA-256, RFC 5869), so that no two uses share a key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"hhh/{purpose}".encode()).derive(secret)


class SecretBox:
    """Seals and opens short secrets with AES-256-GCM."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(derive_key(secret, "secrets-at-rest"))

    def seal(self, plain: str, *, owner: str) -> str:
        """Encrypts; ``owner`` says whose secret it is and is bound to it, so that it can't be moved to another row."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plain.encode(), owner.encode())
        return f"{_VERSION}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, owner: str) -> str:
        """Decrypts what `seal` made.

        Raises:
            ConfigurationError: the secret was sealed with another ``HHH_SECRET_KEY``, or is damaged.
        """
        try:
            raw = base64.b64decode(sealed.removeprefix(f"{_VERSION}:"), validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode()).decode()
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                f"The stored secret of {owner} can't be opened",
                hint="was HHH_SECRET_KEY changed or rotated? Set the right one and restart, or register it anew",
            ) from None
