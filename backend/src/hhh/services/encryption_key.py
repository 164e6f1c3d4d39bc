"""A new age key: made for whoever asks, and kept nowhere here."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyrage

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.identities import Identities
from hhh.core.clock import isoformat, utcnow
from hhh.core.errors import ConfigurationError, InvalidInput


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """Both halves of an X25519 key."""

    #: The private half, ``AGE-SECRET-KEY-1…``.
    identity: str = field(repr=False)
    #: The public half, ``age1…``.
    recipient: str

    @property
    def file(self) -> str:
        """The private half as `age-keygen` writes it, for ``HHH_AGE_IDENTITY_FILE``."""
        return f"# created: {isoformat(utcnow())}\n# public key: {self.recipient}\n{self.identity}\n"


def make_key() -> EncryptionKey:
    """A key that nobody had before."""
    identity = pyrage.x25519.Identity.generate()
    return EncryptionKey(str(identity), str(identity.to_public()))


def key_of(identity: str) -> EncryptionKey:
    """The key of a private half.

    Raises:
        InvalidInput: it is none.
    """
    try:
        [recipient] = Identities([identity]).recipients
    except ConfigurationError as error:
        raise InvalidInput(error.message, hint=error.hint) from None
    return EncryptionKey(identity, recipient)


def is_recipient(text: str) -> bool:
    """Whether it is a public half."""
    try:
        return bool(Recipients([text]))
    except ConfigurationError:
        return False
