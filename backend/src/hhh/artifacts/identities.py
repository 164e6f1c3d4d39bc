"""Private keys (age identities) that open backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


class Identities:
    """The identities of one file, as ``age-keygen`` writes it; false when there are none.

    Neither ``repr`` nor an error shows one.

    Args:
        names: ``AGE-SECRET-KEY-1…``

    Raises:
        ConfigurationError: one of them is no such key.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path | None) -> Identities:
        """Reads a file; empty lines and those that begin with ``#`` don't count. None: no identities.

        Raises:
            ConfigurationError: it can't be read, or holds something else.
        """
        raise NotImplementedError

    @property
    def recipients(self) -> tuple[str, ...]:
        """Their public keys."""
        raise NotImplementedError

    def decrypt(self, content: bytes) -> bytes:
        """A small age file.

        Raises:
            IdentityMissing: none of them opens it.
            ArtifactDamaged: it was changed.
        """
        raise NotImplementedError

    def decrypt_to(self, pieces: Iterator[bytes], write: Callable[[bytes], object]) -> None:
        """A stream of any length; see `hhh.artifacts.encryption.Recipients.encrypt_to` for its other direction.

        Raises:
            IdentityMissing: none of them opens it.
            ArtifactDamaged: it was changed or cut off.
        """
        raise NotImplementedError
