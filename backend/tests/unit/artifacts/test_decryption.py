import os
from collections.abc import Callable, Iterator

import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hhh.artifacts.decryption import decrypted
from hhh.artifacts.identities import Identities
from hhh.artifacts.stream import PIECE
from hhh.core.errors import ArtifactDamaged, IdentityMissing

IDENTITY = pyrage.x25519.Identity.generate()
CHUNK = 64 << 10
STORED_CHUNK = CHUNK + 16


def opened(sealed: bytes, *, by: int = 10_000, identity: pyrage.x25519.Identity = IDENTITY) -> bytes:
    return b"".join(decrypted(in_pieces(sealed, by), Identities([str(identity)])))


def in_pieces(content: bytes, by: int) -> Iterator[bytes]:
    return (content[at : at + by] for at in range(0, len(content), by))


def sealed_for_us(content: bytes) -> bytes:
    return bytes(pyrage.encrypt(content, [IDENTITY.to_public()]))


def beginning_and_chunks(sealed: bytes) -> tuple[bytes, list[bytes]]:
    """Header and nonce, and the chunks behind them."""
    begin = sealed.index(b"\n", sealed.index(b"\n--- ") + 1) + 1 + 16
    return sealed[:begin], list(in_pieces(sealed[begin:], STORED_CHUNK))


@pytest.mark.parametrize("by", [1, 1000, STORED_CHUNK, PIECE, 10 * PIECE])
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_what_pyrage_sealed_is_opened(size: int, by: int) -> None:
    content = os.urandom(size)

    assert opened(sealed_for_us(content), by=by) == content


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, PIECE + CHUNK, 3 * PIECE + 5])
def test_pieces_are_no_larger_than_others_expect(size: int) -> None:
    content = os.urandom(size)

    pieces = list(decrypted(in_pieces(sealed_for_us(content), 3 * PIECE), Identities([str(IDENTITY)])))

    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= PIECE


def test_it_is_opened_by_any_of_its_recipients_and_by_nobody_else() -> None:
    others = [pyrage.x25519.Identity.generate() for _ in range(3)]
    sealed = pyrage.encrypt(b"content", [others[0].to_public(), IDENTITY.to_public(), others[1].to_public()])

    assert opened(sealed) == opened(sealed, identity=others[1]) == b"content"
    with pytest.raises(IdentityMissing):
        opened(sealed, identity=others[2])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda chunks: [chunks[1], chunks[0], chunks[2]], id="two chunks changed places"),
        pytest.param(lambda chunks: [chunks[0], chunks[2]], id="a chunk is missing"),
        pytest.param(lambda chunks: [chunks[0], *chunks], id="a chunk came twice"),
        pytest.param(lambda chunks: chunks[:2], id="the last chunk is missing"),
        pytest.param(lambda chunks: [], id="all chunks are missing"),
        pytest.param(lambda chunks: [*chunks, chunks[2]], id="the last chunk came twice"),
        pytest.param(lambda chunks: [*chunks[:2], chunks[2][:10]], id="it ends within a tag"),
    ],
)
def test_chunks_that_are_not_as_they_were_are_damage(change: Callable[[list[bytes]], list[bytes]]) -> None:
    beginning, chunks = beginning_and_chunks(sealed_for_us(os.urandom(2 * CHUNK + 100)))

    with pytest.raises(ArtifactDamaged):
        opened(beginning + b"".join(change(chunks)))


def test_an_empty_chunk_behind_others_is_damage() -> None:
    beginning, _ = beginning_and_chunks(sealed_for_us(b""))
    cipher = ChaCha20Poly1305(Identities([str(IDENTITY)]).payload_key(beginning[:-16], beginning[-16:]))
    full = cipher.encrypt(bytes(12), bytes(CHUNK), None)
    empty = cipher.encrypt(bytes(10) + b"\1\1", b"", None)

    with pytest.raises(ArtifactDamaged, match="empty"):
        opened(beginning + full + empty)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header: header.replace(b"v1", b"v2"), id="another version"),
        pytest.param(lambda header: header.replace(b"-> X25519 ", b"-> X25519 x ", 1), id="another stanza"),
        pytest.param(lambda header: header.replace(b"\n-> ", b"\n-> added stanza\n\n-> ", 1), id="one stanza more"),
        pytest.param(lambda header: header[:-3] + bytes([header[-3] ^ 1]) + header[-2:], id="another MAC"),
        pytest.param(lambda header: header * 2, id="two headers"),
    ],
)
def test_a_header_that_is_not_as_it_was_is_refused(change: Callable[[bytes], bytes]) -> None:
    beginning, chunks = beginning_and_chunks(sealed_for_us(b"content"))
    header, nonce = beginning[:-16], beginning[-16:]

    with pytest.raises((ArtifactDamaged, IdentityMissing)):
        opened(change(header) + nonce + b"".join(chunks))


def test_what_has_no_header_is_not_read_to_its_end() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(PIECE)

    with pytest.raises(ArtifactDamaged, match="no header"):
        next(decrypted(endless(), Identities([str(IDENTITY)])))
