"""age, backwards, of a stream of any length: its payload (https://age-encryption.org/v1, "Payload").

The header is pyrage's (`Identities.payload_key`). The payload is opened here: pyrage hands over 8 KiB at a time under
the interpreter's lock, for which it competes with our other threads. Of 176 MB it took 0.2 s, and the restore 0.5 s
longer; this takes 0.05 s. See ``docs/decisions/0013`` for what else was tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hhh.artifacts.identities import Identities
from hhh.artifacts.stream import PIECE
from hhh.core.errors import ArtifactDamaged

#: The last line of a header begins with it.
_END_OF_HEADER: Final = b"\n--- "
#: Far more than any header has.
_LARGEST_HEADER: Final = 1 << 20
_NONCE_SIZE: Final = 16
_TAG_SIZE: Final = 16
#: Of all chunks but the last, as they are stored.
_CHUNK: Final = (64 << 10) + _TAG_SIZE
#: Chunks that are handed on together.
_AT_ONCE: Final = PIECE // (64 << 10)


def decrypted(pieces: Iterator[bytes], identities: Identities) -> Iterator[bytes]:
    """The content of an age file, in pieces of at most `PIECE` bytes.

    Each is authentic when it is handed on; that the end is the end only the end of the iterator tells.

    Raises:
        IdentityMissing: none of them opens it.
        ArtifactDamaged: it was changed or cut off, or something stands behind it.
        BaseException: whatever ``pieces`` raised, unchanged.
    """
    held = bytearray()
    while (end := _end_of_header(held)) is None:
        if (piece := next(pieces, None)) is None or len(held) > _LARGEST_HEADER:
            raise _damaged("it has no header of age")
        held += piece
    payload = _Payload(identities.payload_key(bytes(held[: end - _NONCE_SIZE]), bytes(held[end - _NONCE_SIZE : end])))
    del held[:end]
    for piece in pieces:
        held += piece
        # What may be the last chunk is kept until more comes behind it.
        while len(held) > _AT_ONCE * _CHUNK:
            yield payload.opened(held, _AT_ONCE)
            del held[: _AT_ONCE * _CHUNK]
    whole = max(0, len(held) - 1) // _CHUNK
    yield payload.opened(held, whole)
    yield payload.last(bytes(held[whole * _CHUNK :]))


def _end_of_header(held: bytearray) -> int | None:
    """Where the payload's chunks begin: behind the header and a nonce. None where that has not come yet."""
    last_line = held.find(_END_OF_HEADER)
    line_break = held.find(b"\n", last_line + 1) if last_line >= 0 else -1
    end = line_break + 1 + _NONCE_SIZE
    return end if line_break >= 0 and end <= len(held) else None


class _Payload:
    """ChaCha20-Poly1305 of chunks whose nonces count them and tell the last one (STREAM)."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._count = 0

    def opened(self, sealed: bytearray, count: int) -> bytes:
        """The content of so many chunks, none of which is the last."""
        with memoryview(sealed) as view:
            return b"".join(self._open(view[at * _CHUNK : (at + 1) * _CHUNK], b"\0") for at in range(count))

    def last(self, sealed: bytes) -> bytes:
        """The content of the last chunk, which is empty only where it is the only one."""
        content = self._open(sealed, b"\1")
        if not content and self._count > 1:
            raise _damaged("its last chunk is empty")
        return content

    def _open(self, chunk: memoryview | bytes, last: bytes) -> bytes:
        nonce = self._count.to_bytes(11, "big") + last
        self._count += 1
        try:
            return self._cipher.decrypt(nonce, chunk, None)
        except InvalidTag:
            raise _damaged(f"its chunk {self._count} is another, or not the last") from None


def _damaged(why: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"It does not decrypt, so it was changed or cut off: {why}")
