"""A copy of a snapshot, byte for byte, and its way to whoever wants it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import apsw

from hhh.engines.sqlite.child.protocol import ABANDONED, Abandoned, Failed
from hhh.engines.sqlite.child.said import SCRATCH_HINT
from hhh.engines.sqlite.child.snapshot import Snapshot

#: Bytes copied before they are sent on.
STEP_SIZE = 16 << 20
#: KiB of pages that each side of a copy keeps: each page is needed once, and few stay in the processor's cache.
COPY_CACHE = 256
SEND_SIZE = 64 << 20
#: What an online backup writes into the first page of a copy by itself (https://www.sqlite.org/fileformat2.html,
#: section 1.3): the change counter, the schema cookie, and the version that wrote it.
_WRITTEN_BY_BACKUP = (slice(24, 28), slice(40, 44), slice(92, 100))


def make_copy(snapshot: Snapshot, path: str, final: Callable[[int], None]) -> int:
    """Copies the snapshot to an empty file and returns its size; the read transaction keeps writers from restarting it.

    The copy is the source page by page, its header included: what is restored has the journal mode that the source had.

    Args:
        snapshot: what to copy.
        path: of the copy.
        final: called with the number of bytes that no longer change, but for the first page.
    """
    copy = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    for setting, value in (("locking_mode", "exclusive"), ("journal_mode", "off"), ("synchronous", "off")):
        copy.pragma(setting, value)
    for connection in (copy, snapshot.connection):
        connection.pragma("cache_size", -COPY_CACHE)
    page_size = snapshot.page_size
    with copy.backup("main", snapshot.connection, "main") as backup:
        while not backup.done:
            backup.step(STEP_SIZE // page_size)
            if ABANDONED.is_set():
                raise Abandoned
            copy.cache_flush()
            final((backup.page_count - backup.remaining) * page_size)
    copy.close()
    _finish_first_page(path, snapshot.first_page)
    return os.stat(path).st_size


def _finish_first_page(path: str, content: bytes) -> None:
    """Makes the first page of a copy what was sent, and with it the copy what is sent, byte for byte."""
    with open(path, "r+b", buffering=0) as file:
        written = file.read(len(content))
        if _without_marks(written) != _without_marks(content):
            raise Failed("unreadable", "The first page of the copy is not the one that was sent", "please report this")
        os.pwrite(file.fileno(), content, 0)


def _without_marks(page: bytes) -> bytes:
    content = bytearray(page)
    for written in _WRITTEN_BY_BACKUP:
        content[written] = bytes(written.stop - written.start)
    return bytes(content)


def make_file(path: str) -> None:
    """Makes a new and empty file that nobody else may read."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Failed("scratch", f"{path} can't be made: {error.strerror}", SCRATCH_HINT) from error


class Stream(threading.Thread):
    """Sends a growing file to standard output and closes it, beside the work.

    Args:
        path: of the file.
        beginning: what will stand at its beginning in the end; without it nothing is sent before the end.
    """

    def __init__(self, path: str, beginning: bytes) -> None:
        super().__init__(name="stream", daemon=True)
        self._path = path
        self._beginning = beginning
        self._final = 0
        self._is_complete = False
        self._grown = threading.Condition()
        self._error: OSError | None = None

    def grow(self, final: int) -> None:
        """The first ``final`` bytes stay as they are."""
        with self._grown:
            self._final = final
            self._grown.notify()

    def end_at(self, size: int) -> None:
        """The file is complete."""
        with self._grown:
            self._final, self._is_complete = size, True
            self._grown.notify()

    def finish(self) -> None:
        """Waits until all is sent."""
        self.join()
        if self._error is not None:
            raise Failed("scratch", f"{self._path} can't be sent: {self._error.strerror}")

    def run(self) -> None:
        try:
            self._send()
        except OSError as error:
            self._error = error
        finally:
            os.close(1)

    def _send(self) -> None:
        rest = self._beginning
        while rest:
            rest = rest[os.write(1, rest) :]
        offset = len(self._beginning)
        with open(self._path, "rb", buffering=0) as file:
            while count := self._ready(offset):
                sent = os.sendfile(1, file.fileno(), offset, min(count, SEND_SIZE))
                if not sent:
                    raise OSError(errno.EIO, "it is shorter than it was")
                offset += sent

    def _ready(self, offset: int) -> int:
        """How many bytes may be sent, as soon as there are any; 0 at the end."""
        with self._grown:
            self._grown.wait_for(lambda: self._is_complete or (self._beginning and self._final > offset))
            return max(0, self._final - offset)
