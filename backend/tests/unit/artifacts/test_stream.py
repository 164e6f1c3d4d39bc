import contextlib
import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyrage
import pytest
import zstandard

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.stream import PIECE, copy_stream
from hhh.core.errors import Cancelled, StorageFull
from hhh.core.run import Progress, Unattended
from hhh.storages.base import ObjectWriter

IDENTITY = pyrage.x25519.Identity.generate()
NOBODY = Recipients([])
SOMEBODY = Recipients([str(IDENTITY.to_public())])


class Kept(ObjectWriter):
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        self.pieces.append(chunk)

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


class Full(ObjectWriter):
    """A writer of a store that is full."""

    def write(self, chunk: bytes) -> None:
        raise StorageFull("no space left")


class Watched:
    """A run that keeps its progress, and is cancelled after some pieces."""

    def __init__(self, pieces: int | None = None) -> None:
        self.seen: list[Progress] = []
        self._pieces = pieces

    def report(self, progress: Progress) -> None:
        self.seen.append(progress)

    def raise_if_cancelled(self) -> None:
        if self._pieces is not None and len(self.seen) >= self._pieces:
            raise Cancelled("by the operator")


def rows(size: int) -> bytes:
    """Text that compresses about as well as a dump does."""
    words = [os.urandom(4).hex().encode() for _ in range(1000)]
    line = b"\t".join(words) + b"\n"
    return (line * (size // len(line) + 1))[:size]


@contextlib.contextmanager
def source_of(content: bytes) -> Iterator[io.RawIOBase]:
    """A pipe that somebody writes into, until nobody reads it any longer."""
    reading, writing = os.pipe()

    def fill() -> None:
        with contextlib.suppress(BrokenPipeError), io.FileIO(writing, "w") as pipe:
            pipe.write(content)

    with ThreadPoolExecutor(1) as thread:
        filled = thread.submit(fill)
        with io.FileIO(reading) as pipe:
            yield pipe
    filled.result()


def restored(content: bytes, *, sealed: bool) -> bytes:
    frame = pyrage.decrypt(content, [IDENTITY]) if sealed else content
    return zstandard.ZstdDecompressor().decompressobj().decompress(frame)


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
@pytest.mark.parametrize(
    "content",
    [b"", b"x", rows(100_000), rows(PIECE), rows(5_000_001), os.urandom(3 * PIECE + 1)],
    ids=["empty", "one byte", "small", "one piece", "large", "random"],
)
def test_what_is_stored_is_the_source_its_sizes_and_its_hash(content: bytes, recipients: Recipients) -> None:
    writer = Kept()
    with source_of(content) as source:
        result = copy_stream(source, writer, recipients=recipients, run=Unattended())

    stored = writer.content
    assert restored(stored, sealed=bool(recipients)) == content
    assert (result.raw_size, result.stored_size) == (len(content), len(stored))
    assert result.sha256 == hashlib.sha256(stored).hexdigest()


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
def test_stores_get_few_large_immutable_pieces(recipients: Recipients) -> None:
    writer = Kept()
    with source_of(os.urandom(5 * PIECE)) as source:
        copy_stream(source, writer, recipients=recipients, run=Unattended())

    assert {type(piece) for piece in writer.pieces} == {bytes}
    assert all(PIECE <= len(piece) < 2 * PIECE for piece in writer.pieces[:-1])


def test_the_frame_has_a_checksum() -> None:
    writer = Kept()
    with source_of(rows(1000)) as source:
        copy_stream(source, writer, recipients=NOBODY, run=Unattended())

    assert zstandard.get_frame_parameters(writer.content).has_checksum


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
def test_standard_tools_read_it_back(recipients: Recipients, tmp_path: Path) -> None:
    for tool in ("age", "zstd"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    content, writer = rows(3_000_000), Kept()
    with source_of(content) as source:
        copy_stream(source, writer, recipients=recipients, run=Unattended())
    (tmp_path / "key").write_text(str(IDENTITY))
    (tmp_path / "object").write_bytes(writer.content)

    opened = f"age -d -i {tmp_path}/key {tmp_path}/object | zstd -d" if recipients else f"zstd -dc {tmp_path}/object"
    printed = subprocess.run(["bash", "-o", "pipefail", "-c", opened], capture_output=True, check=True).stdout

    assert printed == content


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
def test_progress_grows_to_the_whole(recipients: Recipients) -> None:
    run, content = Watched(), os.urandom(6 * PIECE)
    with source_of(content) as source:
        result = copy_stream(source, Kept(), recipients=recipients, run=run, expected_size=7)

    assert run.seen[-1] == Progress("stream", len(content), result.stored_size, 7)
    assert [each.raw_bytes for each in run.seen] == sorted(each.raw_bytes for each in run.seen)
    assert len(run.seen) > 5


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
def test_a_cancelled_run_stops_between_two_pieces(recipients: Recipients) -> None:
    with source_of(os.urandom(6 * PIECE)) as source, pytest.raises(Cancelled, match="by the operator"):
        copy_stream(source, Kept(), recipients=recipients, run=Watched(pieces=3))


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
def test_a_store_that_fails_ends_the_stream_with_its_own_error(recipients: Recipients) -> None:
    with source_of(rows(PIECE)) as source, pytest.raises(StorageFull, match="no space left"):
        copy_stream(source, Full(), recipients=recipients, run=Unattended())


@pytest.mark.parametrize("recipients", [NOBODY, SOMEBODY], ids=["plain", "sealed"])
def test_a_cancelled_run_does_not_wait_for_a_source_that_gives_nothing(recipients: Recipients) -> None:
    class CancelledWhileItWaits(Watched):
        def raise_if_cancelled(self) -> None:
            raise Cancelled("by the operator")

    reading, writing = os.pipe()
    with io.FileIO(reading) as source, io.FileIO(writing, "w"), pytest.raises(Cancelled, match="by the operator"):
        copy_stream(source, Kept(), recipients=recipients, run=CancelledWhileItWaits())
