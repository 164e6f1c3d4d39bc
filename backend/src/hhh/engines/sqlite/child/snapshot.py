"""A source, read in one transaction."""

from __future__ import annotations

import os
from typing import Self

import apsw

from hhh.engines.sqlite.child.opening import harden, has_content, is_wal, open_immutable, patience
from hhh.engines.sqlite.child.protocol import OPEN_DATABASES, Failed

#: What SQLite says of a WAL database beside which it can't make a -shm.
_NEEDS_WRITING = (apsw.CantOpenError, apsw.ReadOnlyError)
_MAGIC = b"SQLite format 3\0"


class FirstPage(apsw.VFS):
    """The usual access to files, which remembers the first page of a database that was read last.

    An online backup writes the first page last, but it must be sent first. Within a read transaction it is read before
    any other page, from the database or from its WAL.
    """

    NAME = "first-page"

    def __init__(self) -> None:
        super().__init__(self.NAME, "")
        self.content = b""
        self._watching = True

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  apsw's
        return _WatchedFile(self, name, flags) if self._watching else apsw.VFSFile("", name, flags)

    def see(self, content: bytes) -> None:
        """A piece of a file that was read."""
        if self._watching and content.startswith(_MAGIC) and len(content) == _page_size(content):
            self.content = content

    def stop(self) -> None:
        """The transaction has begun: what was seen is its first page."""
        self._watching = False


class _WatchedFile(apsw.VFSFile):
    def __init__(self, first_page: FirstPage, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._first_page = first_page

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  apsw's
        content = super().xRead(amount, offset)
        self._first_page.see(content)
        return content


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 1 << 16 if size == 1 else size


class Snapshot:
    """A source, with one read transaction held on it.

    Args:
        path: of the database.
        busy_timeout: milliseconds that a lock of somebody else is waited for.
        may_stand_alone: whether a WAL database may be read without locks where its folder can't be written. Looking at
            its file for that would drop all locks that this process has on it.
    """

    def __init__(self, path: str, busy_timeout: int, *, may_stand_alone: bool = True) -> None:
        self.path = path
        self._first_page = FirstPage()
        self._seen: os.stat_result | None = None
        OPEN_DATABASES.opened()
        try:
            self.connection = self._open(busy_timeout, may_stand_alone=may_stand_alone)
        except BaseException:
            OPEN_DATABASES.closed()
            raise
        self._first_page.stop()

    def _open(self, busy_timeout: int, *, may_stand_alone: bool) -> apsw.Connection:
        try:
            return _begin(self.path, busy_timeout, immutable=False)
        except _NEEDS_WRITING:
            # WAL needs a -shm, and we may not make one. Where there is no WAL either, the file alone is the database.
            self._seen = os.stat(self.path)
            if not (may_stand_alone and _stands_alone(self.path)):
                raise
            return _begin(self.path, busy_timeout, immutable=True)

    @property
    def first_page(self) -> bytes:
        """The page with the header; empty for a database without a page."""
        return self._first_page.content

    @property
    def page_size(self) -> int:
        """Bytes."""
        return int(self.connection.pragma("page_size"))

    @property
    def size(self) -> int:
        """Bytes of all pages."""
        return int(self.connection.pragma("page_count")) * self.page_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._let_go()

    def close(self) -> None:
        """Ends the transaction.

        Raises:
            Failed: nothing kept writers away, and one came: what was read is no snapshot.
        """
        self._let_go()
        if self._seen is not None and not (_stands_alone(self.path) and _same(self._seen, os.stat(self.path))):
            hint = "try again, or let this user write to its folder: readers of a WAL database need a -shm there"
            raise Failed("busy", f"{self.path} was changed while it was read", hint)

    def _let_go(self) -> None:
        self.connection.close()
        OPEN_DATABASES.closed()


def _begin(path: str, busy_timeout: int, *, immutable: bool) -> apsw.Connection:
    connection = _connect(path, immutable=immutable)
    try:
        connection.set_busy_handler(patience(busy_timeout))
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str, *, immutable: bool) -> apsw.Connection:
    # Opened for writing where that is allowed (SQLite falls back to reading by itself), as by every other user of the
    # file: a crashed writer's journal must be rolled back, and who opens a WAL database only for reading leaves a -wal
    # and a -shm behind. Nothing else is written: what stands in a WAL that was there before stays in it.
    if immutable:
        connection = open_immutable(path, FirstPage.NAME)
    else:
        left_by_others = os.path.exists(os.path.realpath(path) + "-wal")
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=FirstPage.NAME)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(left_by_others))
        harden(connection)
    connection.pragma("query_only", 1)
    return connection


def _stands_alone(path: str) -> bool:
    """Whether a WAL database has nothing in a WAL (or in the journal of its last days without one)."""
    real = os.path.realpath(path)
    return is_wal(real) and not any(has_content(real + suffix) for suffix in ("-wal", "-journal"))


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)
