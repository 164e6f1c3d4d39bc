"""Who holds a lock on a database just now, found out without taking one.

The bytes that SQLite locks are part of its file format: https://www.sqlite.org/src/file/src/os.h (PENDING_BYTE) and
https://www.sqlite.org/walformat.html, section 2.3 ("WAL Locks").
"""

from __future__ import annotations

import fcntl
import os
import struct

_RESERVED = (0x40000001, 1)
_SHARED = (0x40000002, 510)
_WAL_WRITER = (120, 1)
#: ``struct flock`` of Linux on 64 bits: type, whence, start, length, process.
_FLOCK = struct.Struct("@hhqqi0q")


def writer(path: str, *, wal: bool) -> int | None:
    """The process that has a write transaction open, None without any; 0 or less where it can't be seen from here."""
    return _holder(os.path.realpath(path) + "-shm", _WAL_WRITER) if wal else _holder(path, _RESERVED)


def reader(path: str) -> int | None:
    """A process that reads; in WAL mode, one that has the database open."""
    return _holder(path, _SHARED)


def _holder(path: str, locked: tuple[int, int]) -> int | None:
    # Closing the file drops all locks of this process on it: nothing of ours may have it open.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *locked, 0)
        kind, _, _, _, process = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else int(process)
