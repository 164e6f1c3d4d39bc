"""Passwords, tokens and keys: everything that is hashed, drawn at random or compared in constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from hhh.core.secretbox import derive_key

__all__ = [
    "authentication_code",
    "derive_key",
    "hash_password",
    "hash_token",
    "new_token",
    "same",
    "verify_password",
]

#: Argon2id as OWASP recommends it first (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html):
#: 19 MiB, so that a few sign-ins at once fit beside a backup's memory, 2 passes, 1 lane.
_MEMORY_KIB, _PASSES, _LANES = 19 * 1024, 2, 1
_SALT_BYTES, _DIGEST_BYTES = 16, 32
_HASHER = PasswordHash(
    (
        Argon2Hasher(
            time_cost=_PASSES,
            memory_cost=_MEMORY_KIB,
            parallelism=_LANES,
            hash_len=_DIGEST_BYTES,
            salt_len=_SALT_BYTES,
        ),
    )
)
_TOKEN_BYTES = 32


def hash_password(password: str) -> str:
    """An Argon2id hash in PHC form, salted."""
    return _HASHER.hash(_normalised(password))


def verify_password(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """Whether the password is the hashed one, and its new hash where the old one has outdated parameters.

    Without a hash (nobody of that name) the same work is done for nothing, so that time does not tell who exists.
    """
    matches, better = _HASHER.verify_and_update(_normalised(password), hashed or _NOBODYS_HASH)
    return (matches, better) if hashed else (False, None)


def new_token() -> str:
    """256 random bits in URL-safe base64: 43 characters."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_token(token: str) -> str:
    """SHA-256 in hexadecimal. A random token needs neither salt nor slowness."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def authentication_code(key: bytes, message: str) -> str:
    """HMAC-SHA-256 in URL-safe base64 without padding."""
    digest = hmac.digest(key, message.encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def same(one: str, other: str) -> bool:
    """Whether two strings are equal, in a time that does not tell where they differ."""
    # On bytes: for strings beyond ASCII, which any client may send, `compare_digest` raises.
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _normalised(password: str) -> bytes:
    # One keyboard sends "é" as one character, another as two: NFC makes them the same (RFC 8265, OpaqueString).
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _unpadded(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


#: Of the parameters above by construction, and of no password.
_NOBODYS_HASH = (
    f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}"
    f"${_unpadded(bytes(_SALT_BYTES))}${_unpadded(bytes(_DIGEST_BYTES))}"
)
