"""Private keys (age identities) that open backups."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyrage

from hhh.artifacts.encryption import PieceReader, PieceWriter
from hhh.core.errors import ArtifactDamaged, ConfigurationError, IdentityMissing

#: What to do where none fits.
IDENTITY_HINT = "name the file with the private key in HHH_AGE_IDENTITY_FILE; `hhh restore --from` takes --identity"
#: pyrage has no error of its own for it (rage: `DecryptError::NoMatchingKeys`).
_NO_MATCH = "No matching keys found"


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
        """A small age file.

        Raises:
            IdentityMissing: none of them opens it.
            ArtifactDamaged: it was changed.
        """
        with _mapped_errors():
            opened: bytes = pyrage.decrypt(content, self._keys)
        return opened

    def decrypt_to(self, pieces: Iterator[bytes], write: Callable[[bytes], object]) -> None:
        """A stream of any length; see `hhh.artifacts.encryption.Recipients.encrypt_to` for its other direction.

        Args:
            pieces: the age file.
            write: gets pieces of 8 KiB, each of which is authentic; that the end is the end only a return tells.

        Raises:
            IdentityMissing: none of them opens it.
            ArtifactDamaged: it was changed or cut off.
            BaseException: whatever ``pieces`` or ``write`` raised, unchanged.
        """
        reader, writer = PieceReader(pieces), PieceWriter(write)
        try:
            with _mapped_errors():
                pyrage.decrypt_io(reader, writer, self._keys)
        except BaseException:
            if error := reader.error or writer.error:
                raise error from None
            raise


def _identity(name: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(name)
    except pyrage.IdentityError:
        raise ConfigurationError(
            "This is no age identity of X25519", hint="age-keygen writes them as 'AGE-SECRET-KEY-1…'"
        ) from None


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    """Turns pyrage's errors into ours: DecryptError of the header, OSError of what comes after it."""
    try:
        yield
    except (pyrage.DecryptError, OSError) as error:
        if str(error) == _NO_MATCH:
            raise IdentityMissing("No identity that is here opens this age file", hint=IDENTITY_HINT) from None
        raise ArtifactDamaged(f"It does not decrypt, so it was changed or cut off: {error}") from None
