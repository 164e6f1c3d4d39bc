"""Encryption for recipients, in the age format (https://age-encryption.org/v1), through pyrage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyrage

from hhh.core.errors import ConfigurationError


class Recipients:
    """The public keys that a backup is encrypted for; false when there are none.

    Args:
        names: age X25519 recipients, ``age1…``; an empty list means no encryption.

    Raises:
        ConfigurationError: one of them is no such key.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self._keys = [_recipient(name) for name in names]

    def __bool__(self) -> bool:
        return bool(self.names)

    def __repr__(self) -> str:
        return f"Recipients({list(self.names)})"

    def encrypt(self, content: bytes) -> bytes:
        """A small piece, as one age file."""
        sealed: bytes = pyrage.encrypt(content, self._keys)
        return sealed

    def encrypt_to(self, pieces: Iterator[bytes], write: Callable[[bytes], object]) -> None:
        """A stream of any length, as one age file; ``write`` gets pieces of some 64 KiB.

        Raises:
            BaseException: whatever ``pieces`` or ``write`` raised, unchanged.
        """
        reader, writer = PieceReader(pieces), PieceWriter(write)
        try:
            pyrage.encrypt_io(reader, writer, self._keys)
        except pyrage.EncryptError:
            # pyrage makes its own error, without a cause, of anything that is raised below it.
            if error := reader.error or writer.error:
                raise error from None
            raise


def _recipient(name: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(name)
    except pyrage.RecipientError:
        shown = f"{name[:12]}…" if len(name) > 12 else name  # noqa: PLR2004  a private key put there by mistake stays private
        raise ConfigurationError(
            f"HHH_AGE_RECIPIENTS: {shown!r} is no age recipient", hint="age-keygen prints them as 'Public key: age1…'"
        ) from None


class PieceReader:
    """Pieces as a file; pyrage reads 8 KiB at a time. What was raised is kept: pyrage makes its own error of it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            if not self._rest:  # an empty piece is not the end
                self._rest = memoryview(next(filter(None, self._pieces), b""))
        except BaseException as error:
            self.error = error
            raise
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


class PieceWriter:
    """A function as a file; what was raised is kept as well."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.error: BaseException | None = None

    def write(self, piece: bytes) -> int:
        try:
            self._write(piece)
        except BaseException as error:
            self.error = error
            raise
        return len(piece)

    def flush(self) -> None:
        """Called at the end; every piece has been handed on already."""
