"""Private keys (age identities) that open backups."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hhh.core.errors import ArtifactDamaged, ConfigurationError, IdentityMissing

#: What to do where none fits.
IDENTITY_HINT = "name the file with the private key in HHH_AGE_IDENTITY_FILE; `hhh restore --from` takes --identity"
#: pyrage has no error of its own for it (rage: `DecryptError::NoMatchingKeys`).
_NO_MATCH = "No matching keys found"
#: A share and a wrapped key, both of 32 bytes.
_STANZA = re.compile(rb"^-> X25519 ([A-Za-z0-9+/]{43})\n([A-Za-z0-9+/]{43})$", re.MULTILINE)
_FILE_KEY_SIZE = 16
_NONCE_SIZE = 12
#: The nonce of a chunk that is the first and the last.
_ONLY_CHUNK = bytes(11) + b"\1"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class Identities:
    """The identities of one file, as ``age-keygen`` writes it; false when there are none.

    Neither ``repr`` nor an error shows one.

    Args:
        names: ``AGE-SECRET-KEY-1…``

    Raises:
        ConfigurationError: one of them is no such key.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._keys = [_identity(name) for name in names]

    @classmethod
    def load(cls, path: Path | None) -> Identities:
        """Reads a file; empty lines and those that begin with ``#`` don't count. None: no identities.

        Raises:
            ConfigurationError: it can't be read, or holds something else.
        """
        if path is None:
            return cls()
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError as error:
            raise ConfigurationError(
                f"The identity file {path} can't be read: {error.strerror}", hint=IDENTITY_HINT
            ) from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} is no identity file", hint="age-keygen writes one") from None
        names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not names:
            raise ConfigurationError(f"The identity file {path} holds no identity", hint="age-keygen writes one")
        try:
            return cls(names)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error.message}", hint=error.hint) from None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __repr__(self) -> str:
        return f"Identities(of {list(self.recipients)})"

    @property
    def recipients(self) -> tuple[str, ...]:
        """Their public keys."""
        return tuple(str(key.to_public()) for key in self._keys)

    def decrypt(self, content: bytes) -> bytes:
        """A small age file; see `hhh.artifacts.decryption` for a stream.

        Raises:
            IdentityMissing: none of them opens it.
            ArtifactDamaged: it was changed.
        """
        try:
            opened: bytes = pyrage.decrypt(content, self._keys)
        except (pyrage.DecryptError, OSError) as error:  # of the header; of what comes after it
            if str(error) == _NO_MATCH:
                raise IdentityMissing("No identity that is here opens this age file", hint=IDENTITY_HINT) from None
            raise ArtifactDamaged(f"It does not decrypt, so it was changed or cut off: {error}") from None
        return opened

    def payload_key(self, header: bytes, nonce: bytes) -> bytes:
        """The key of what comes behind a header; see `hhh.artifacts.decryption`.

        Whether the header is authentic, and for one of the identities, pyrage judges: it has to open an empty file of
        that header which is made with the key.

        Args:
            header: to the end of its last line.
            nonce: the 16 bytes behind it.

        Raises:
            IdentityMissing: it is for none of them.
            ArtifactDamaged: it is no header, or was changed.
        """
        found = (_file_key(stanza, key) for stanza in _STANZA.findall(header) for key in self._keys)
        file_key = next(filter(None, found), bytes(_FILE_KEY_SIZE))
        payload_key = _derived(file_key, nonce, b"payload")
        self.decrypt(header + nonce + ChaCha20Poly1305(payload_key).encrypt(_ONLY_CHUNK, b"", None))
        return payload_key


def _identity(name: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(name)
    except pyrage.IdentityError:
        raise ConfigurationError(
            "This is no age identity of X25519", hint="age-keygen writes them as 'AGE-SECRET-KEY-1…'"
        ) from None


def _file_key(stanza: tuple[bytes, bytes], identity: pyrage.x25519.Identity) -> bytes | None:
    """What a stanza wraps, or None where it does so for somebody else (https://age-encryption.org/v1, "X25519")."""
    share, body = (base64.b64decode(part + b"=") for part in stanza)
    secret = X25519PrivateKey.from_private_bytes(_scalar(identity))
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
        wrapping = _derived(shared, share + secret.public_key().public_bytes_raw(), b"age-encryption.org/v1/X25519")
        return ChaCha20Poly1305(wrapping).decrypt(bytes(_NONCE_SIZE), body, None)
    except (InvalidTag, ValueError):  # ValueError: a share that makes every shared secret zero
        return None


def _scalar(identity: pyrage.x25519.Identity) -> bytes:
    """The 32 bytes of an identity: Bech32, whose checksum of 6 characters pyrage has seen."""
    digits = str(identity).lower().removeprefix("age-secret-key-1")[:-6]
    number = functools.reduce(lambda sum_, digit: sum_ << 5 | _BECH32.index(digit), digits, 0)
    return (number >> 4).to_bytes(32, "big")


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, purpose).derive(secret)
