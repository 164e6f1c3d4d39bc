"""A database that somebody works with, and that is to get another content."""

from __future__ import annotations

import os
from typing import Any, Self

import apsw

from hhh.engines.sqlite.child import locks
from hhh.engines.sqlite.child.checks import check_integrity, names_of_tables
from hhh.engines.sqlite.child.opening import is_wal, open_to_write, patience
from hhh.engines.sqlite.child.protocol import OPEN_DATABASES, Failed
from hhh.engines.sqlite.child.said import said
from hhh.engines.sqlite.child.snapshot import Snapshot

#: KiB of pages kept while one is overwritten. In rollback mode the journal is synced each time they are full.
_CACHE = 16 << 10
_MODE_OF_JOURNAL = (18, 2)
_CHANGE_COUNTER = (24, 4)


class Live:
    """A live database, opened for writing.

    A descriptor of the file is opened before all connections and closed after them: closing one drops all locks that
    this process has on the file.
    """

    def __init__(self, path: str, busy_timeout: int) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.connection = open_to_write(path)
        OPEN_DATABASES.opened()
        try:
            self.be_patient()
            self.connection.pragma("synchronous", "extra")
            self.connection.pragma("cache_size", -_CACHE)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        os.close(self._descriptor)
        OPEN_DATABASES.closed()

    def be_patient(self) -> None:
        """From now on a lock of somebody else is waited for as long as the caller said."""
        self.connection.set_busy_handler(patience(self._busy_timeout))

    def is_wal(self) -> bool:
        """Whether the header of the file says so; it stays so while a lock is held."""
        length, offset = reversed(_MODE_OF_JOURNAL)
        return os.pread(self._descriptor, length, offset) == b"\2\2"

    def change_counter(self) -> bytes:
        """What each transaction in rollback mode changes (https://www.sqlite.org/fileformat2.html, section 1.3.8)."""
        length, offset = reversed(_CHANGE_COUNTER)
        return os.pread(self._descriptor, length, offset)

    def expect_in_place(self) -> None:
        """Refuses a file that was renamed or removed: nobody would see what is written to it."""
        if not os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
            raise Failed("busy", f"{self.path} was replaced by another file meanwhile", "plan the restore again")

    def checkpoint(self) -> None:
        """Moves what stands in the WAL into the file, as far as readers let us, and holds nobody up."""
        self.connection.set_busy_handler(None)
        for mode in ("PASSIVE", "TRUNCATE"):
            self.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()


def look(path: str, busy_timeout: int, thorough_check_size: int) -> dict[str, Any]:
    """What a restore must know of a live database, without a lock that keeps its writers waiting for long.

    Returns:
        ``size`` and ``page_size`` in bytes, ``encoding``, ``wal``, ``writer`` and ``reader`` (processes or None), and
        ``damage``: the first line that SQLite says of it, empty for none, None for one too large to check now.
    """
    wal = is_wal(path)
    found: dict[str, Any] = {"wal": wal, "writer": locks.writer(path, wal=wal), "reader": locks.reader(path)}
    with Snapshot(path, busy_timeout) as snapshot:
        found["page_size"], found["size"] = snapshot.page_size, snapshot.size
        found["encoding"] = snapshot.connection.pragma("encoding")
        found["damage"] = _damage(snapshot.connection) if snapshot.size <= thorough_check_size else None
    return found


def _damage(connection: apsw.Connection) -> str:
    try:
        check_integrity(connection, names_of_tables(connection), thorough=False)
    except apsw.CorruptError as error:
        return said(error)
    return ""
