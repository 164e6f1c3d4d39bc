"""Reads a dump to its end by pg_restore, which writes it to nowhere; nothing of it is kept.

The beginning is read here first, and tells which pg_restore it needs; so one pass is enough.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hhh.core.errors import ArtifactDamaged, InvalidInput, Lacking, SourceUnreadable, ToolFailed, ToolMissing
from hhh.core.process import Child, running
from hhh.core.run import Progress, Run
from hhh.core.text import counted
from hhh.engines.base import Workplace
from hhh.engines.postgresql.archive import Archive, UnknownVersionError
from hhh.engines.postgresql.binaries import Tool, find_tool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_NAME = "dump"
_MAJOR = re.compile(r"\d{1,4}")


def read_through(pieces: Iterator[bytes], raw_size: int, workplace: Workplace, run: Run) -> str:
    """Reads a dump to its end; see `Prover.read_through`.

    Raises:
        Lacking: there is no pg_restore that could read it.
        ArtifactDamaged: it is no dump in the custom format, or not a whole one.
        Cancelled, LeaseLost: the run is over.
    """
    begun = _Begun(pieces)
    archive = _beginning(begun)
    tool = _pg_restore(archive, workplace)
    # By a pipe: the whole dump may be larger than scratch.
    command: list[str | Path] = [tool.path, "--format=custom", "--file=/dev/null"]
    with running(command, environment={"LC_ALL": "C"}, stdin=True) as child:
        _feed(child, _watched(begun.all_pieces(), raw_size, run))
    return counted(len(archive.entries), "entry", "entries")


class _Begun(io.RawIOBase):
    """Pieces as a file that can be set back to its beginning; what was read of it is kept."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._kept = bytearray()
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        wanted = memoryview(buffer)
        if self._place == len(self._kept):
            self._kept += next(filter(None, self._pieces), b"")
        taken = self._kept[self._place : self._place + len(wanted)]
        wanted[: len(taken)] = taken
        self._place += len(taken)
        return len(taken)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET:
            self._place = offset
        elif offset or whence != io.SEEK_CUR:
            raise io.UnsupportedOperation("only from the beginning")
        return self._place

    def all_pieces(self) -> Iterator[bytes]:
        """All of them, from the first on; the beginning is not kept any longer."""
        kept, self._kept = self._kept, bytearray()
        yield bytes(kept)
        del kept
        yield from self._pieces


def _beginning(begun: _Begun) -> Archive:
    try:
        return Archive.begun_by(io.BufferedReader(begun), _NAME)
    except UnknownVersionError as error:
        raise Lacking(error.message, hint="a newer version of HHH Backup may know it") from error
    except (InvalidInput, SourceUnreadable) as error:
        raise ArtifactDamaged(error.message) from error


def _pg_restore(archive: Archive, workplace: Workplace) -> Tool:
    """Of the version that made the dump, or a newer one."""
    made_by = archive.dump_version.partition(" ")[0]
    major = _MAJOR.match(made_by)
    if major is None:
        raise ArtifactDamaged(f"The dump does not say which pg_dump made it: {made_by!r}")
    try:
        return find_tool("pg_restore", int(major[0]), pg_bin_dir=workplace.pg_bin_dir)[0]
    except ToolMissing as error:
        raise Lacking(
            f"The dump was made by pg_dump {made_by}, and no pg_restore of that version or a newer one is here",
            hint=error.hint,
        ) from error


def _watched(pieces: Iterator[bytes], raw_size: int, run: Run) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        run.raise_if_cancelled()
        yield piece
        done += len(piece)
        run.report(Progress(stage="read", raw_bytes=done, expected_bytes=raw_size))


def _feed(child: Child, pieces: Iterator[bytes]) -> None:
    """Hands all pieces over; those that the program does not want any more are read to their end all the same."""
    is_reading = True
    for piece in pieces:
        if is_reading and not _is_taken(child, piece):
            is_reading = False
            _finish(child)
    child.stdin.close()
    _finish(child)


def _is_taken(child: Child, piece: bytes) -> bool:
    left = memoryview(piece)
    try:
        while left:
            left = left[child.stdin.write(left) :]
    except BrokenPipeError:
        return False
    return True


def _finish(child: Child) -> None:
    try:
        child.finish()
    except ToolFailed as error:
        raise ArtifactDamaged(f"The dump can't be read to its end: {error.message}") from error
