"""zstd, backwards: of any number of frames, to the very end of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, cast

import zstandard

from hhh.artifacts.encryption import PieceReader
from hhh.artifacts.stream import PIECE
from hhh.core.errors import ArtifactDamaged

#: What ``zstd -d`` takes without ``--long`` or ``--memory``: 128 MiB.
_LARGEST_WINDOW = 1 << 27
#: The library ends at the end of its input, whether or not that is the end of a frame. So a last frame of ours stands
#: behind the input: it comes out as it is only if what stands before it is whole.
_END = b"hhh: the end \x1f"
_END_FRAME = zstandard.ZstdCompressor(write_checksum=True).compress(_END)


def decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The content of zstd frames, in pieces of at most `PIECE` bytes; their checksums are compared.

    Raises:
        ArtifactDamaged: it is no zstd, was changed or cut off, or something else stands behind it.
        BaseException: whatever ``pieces`` raised, unchanged.
    """
    source = cast("IO[bytes]", PieceReader(_with_end(pieces)))  # nothing but its `read` is used
    unpacked = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(
        source, read_size=PIECE, read_across_frames=True
    )
    held = b""
    while piece := _read(unpacked):
        if len(piece) < len(_END):  # there may be a part of the mark before it
            held += piece
            continue
        if held:
            yield held
        held = piece
    if not held.endswith(_END):
        raise ArtifactDamaged("it does not unpack: its end is missing")
    yield held[: -len(_END)]


def _read(unpacked: zstandard.ZstdDecompressionReader) -> bytes:
    try:
        return unpacked.read(PIECE)
    except zstandard.ZstdError as error:
        raise ArtifactDamaged(f"it does not unpack: {error}") from None


def _with_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from pieces
    yield _END_FRAME
