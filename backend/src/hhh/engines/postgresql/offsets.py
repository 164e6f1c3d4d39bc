"""Tells a dump that was piped where its rows are, so that the jobs of ``pg_restore`` find them.

``pg_dump`` goes back to its table of contents for that, which a pipe does not allow. Without, each job of pg_restore
reads the whole dump up to the rows it wants, chunk by chunk, and the largest tables are not begun with. The blocks are
those of ``_StartData``, ``_StartLOs`` and ``_skipData`` in PostgreSQL's ``src/bin/pg_dump/pg_backup_custom.c``, the
slots those of ``WriteOffset`` in ``pg_backup_archiver.c``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path

from hhh.core.errors import ScratchError
from hhh.core.run import Run
from hhh.engines.postgresql.archive import Archive, Entry, Layout

_ROWS, _LARGE_OBJECTS = 1, 3
_NOT_SET, _SET = 1, 2
_BLOBS = "BLOBS"
_WINDOW = 256 << 10
#: Chunks between two questions whether the run is cancelled.
_CHUNKS_AT_ONCE = 4096


class _OtherwiseError(Exception):
    """The file is not as it was thought to be."""


def fill_offsets(path: Path, archive: Archive, run: Run) -> bool:
    """Writes where the rows of each entry are into the table of contents of a dump.

    Args:
        path: the dump, which is changed in place; a private copy.
        archive: read from it.
        run: who may cancel.

    Returns:
        Whether it was done. The file is as it was if each entry has its offset already, or if its blocks are not
        exactly those that its table of contents tells of: what is wrong with it, pg_restore says.

    Raises:
        ScratchError: the file can't be read or written.
        Cancelled, LeaseLost: the run is over.
    """
    layout = archive.layout
    wanted = {entry.dump_id: entry for entry in archive.entries if entry.has_data}
    if layout is None or not wanted or any(layout.flags[each] != _NOT_SET for each in wanted):
        return False
    try:
        with path.open("r+b") as file:
            try:
                found = dict(_Blocks(file, layout, run).find(wanted))
            except _OtherwiseError:
                return False
            if found.keys() != wanted.keys() or max(found.values()).bit_length() > 8 * layout.offset_size:
                return False
            _write(file, layout, found)
    except OSError as error:
        raise ScratchError(f"{path} can't be read or written: {error.strerror}") from error
    return True


def _write(file: BufferedRandom, layout: Layout, found: dict[int, int]) -> None:
    for dump_id, offset in found.items():
        file.seek(layout.slots[dump_id])
        file.write(bytes([_SET]) + offset.to_bytes(layout.offset_size, "little"))
    file.flush()


class _Blocks:
    """The blocks of rows behind the table of contents."""

    def __init__(self, file: BufferedRandom, layout: Layout, run: Run) -> None:
        self._file = file
        self._run = run
        self._int_size = layout.int_size
        self._is_plain = layout.is_plain
        self._size = os.fstat(file.fileno()).st_size
        self._place = layout.blocks_at
        self._end = re.compile(bytes(1 + layout.int_size))  # a literal: a repetition takes twenty times as long
        self._window = bytearray(_WINDOW)

    def find(self, wanted: dict[int, Entry]) -> Iterator[tuple[int, int]]:
        """Each block's entry and offset, to the end of the file.

        Raises:
            _OtherwiseError: a block is not one of the wanted, is there twice, or has no end.
        """
        left = dict(wanted)
        while self._place < self._size:
            self._run.raise_if_cancelled()
            offset = self._place
            self._file.seek(offset)
            kind, entry = self._byte(), left.pop(self._integer(), None)
            if entry is None or kind != (_LARGE_OBJECTS if entry.description == _BLOBS else _ROWS):
                raise _OtherwiseError
            yield entry.dump_id, offset
            if kind == _LARGE_OBJECTS:
                self._skip_large_objects()
            elif self._is_plain:
                self._skip_text()
            else:
                self._skip_chunks()

    def _skip_text(self) -> None:
        """To the end of a table's rows: the first run of NULs that is as long as a number.

        A number is a sign, which is 0, and its bytes, the lowest first; a chunk is its length, which is not 0, and as
        many bytes of text, of which none is NUL; a length of 0 ends the block. So a length is two runs of NULs at
        most, shorter than a number each, since a byte between them is none, and text stands on both sides: the end
        alone has so many in a row, and begins with the first of them. In a block without rows it follows the number of
        the entry, which may end in NULs: the search begins behind that.
        """
        while (read := self._file.readinto(self._window)) > self._int_size:
            self._run.raise_if_cancelled()
            if end := self._end.search(self._window, 0, read):
                self._place += end.end()
                return
            self._place += read - self._int_size  # it may have begun there
            self._file.seek(self._place)
        raise _OtherwiseError

    def _skip_chunks(self) -> None:
        count = 0
        while length := self._integer():
            if length < 0 or self._place + length > self._size:
                raise _OtherwiseError
            self._place += length
            self._file.seek(length, os.SEEK_CUR)
            count += 1
            if count % _CHUNKS_AT_ONCE == 0:
                self._run.raise_if_cancelled()

    def _skip_large_objects(self) -> None:
        """Each begins with its oid, and an oid of 0 ends them."""
        while self._integer():
            self._skip_chunks()
            self._run.raise_if_cancelled()

    def _byte(self) -> int:
        return self._take(1)[0]

    def _integer(self) -> int:
        content = self._take(1 + self._int_size)
        if content[0] > 1:
            raise _OtherwiseError
        number = int.from_bytes(content[1:], "little")
        return -number if content[0] else number

    def _take(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) < size:
            raise _OtherwiseError
        self._place += size
        return content
