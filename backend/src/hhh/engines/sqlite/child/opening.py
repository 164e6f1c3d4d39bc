"""How SQLite files are opened: with patience, and without trust."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

import apsw

from hhh.engines.sqlite.child.protocol import ABANDONED, Failed

#: Seconds between two looks at a lock.
BUSY_INTERVAL = 0.001


def check_file(path: str) -> None:
    """Refuses what is no file, before SQLite makes less of it (and before a named pipe keeps us waiting)."""
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
        if is_file:
            open(path, "rb").close()
    except OSError as error:
        hint = "check the path of the target" if isinstance(error, FileNotFoundError) else None
        hint = "give this user read access to the file" if isinstance(error, PermissionError) else hint
        raise Failed("unreadable", f"{path} can't be opened: {error.strerror}", hint) from error
    if not is_file:
        raise Failed("unreadable", f"{path} can't be opened: it is not a regular file")
    for beside in (os.path.realpath(path) + suffix for suffix in ("-journal", "-wal", "-shm")):
        if _is_no_file(beside):  # SQLite would open it, and wait for ever for a named pipe
            raise Failed("unreadable", f"{beside} can't be opened: it is not a regular file")


def _is_no_file(path: str) -> bool:
    """Whether something else is there; what can't be looked at, SQLite itself says more about."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def patience(milliseconds: int) -> Callable[[int], bool]:
    """A busy handler that looks again and again until the time is over.

    SQLite's own looks ten times a second at last, and so misses the short gaps that a busy writer leaves.
    """
    deadline = time.monotonic() + milliseconds / 1000

    def wait(_attempts: int) -> bool:
        time.sleep(BUSY_INTERVAL)
        return time.monotonic() < deadline and not ABANDONED.is_set()

    return wait


def harden(connection: apsw.Connection) -> None:
    """Whoever owns a database may have put code into it: none of it runs here."""
    for setting, value in (
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    ):
        connection.config(setting, value)


def _immutable_uri(path: str) -> str:
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?immutable=1"


def open_to_write(path: str) -> apsw.Connection:
    """Opens a file that is there."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    harden(connection)
    return connection


def open_immutable(path: str, vfs: str = "") -> apsw.Connection:
    """Opens a file that nobody changes, without a lock and without anything beside it."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(_immutable_uri(path), flags=flags, vfs=vfs or None)
    harden(connection)
    return connection


def is_wal(path: str) -> bool:
    """Whether the header says so; every other journal mode is a connection's own and lasts no longer."""
    with open(path, "rb") as file:
        return file.read(20)[18:] == b"\2\2"  # https://www.sqlite.org/fileformat2.html, section 1.3.3


def has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False
