"""What SQLite says of an error, and what the operator is told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import apsw

from hhh.engines.sqlite.child.protocol import Failed

DESTINATION_HINT = "free some space in its folder, and give this user write access to it and its folder"
REPLACE_BY_HAND = "restore as a new file, and put it in its place while the application is stopped"
SCRATCH_HINT = "free some space, or set HHH_SCRATCH_DIR to a folder that is large enough and may be written to"

#: What SQLite says of these codes; an online backup raises them without a message.
_MESSAGES = {
    apsw.SQLITE_FULL: "database or disk is full",
    apsw.SQLITE_IOERR: "disk I/O error",
    apsw.SQLITE_CORRUPT: "database disk image is malformed",
}
#: Extended codes of input and output errors that only who writes can get: they are the copy's, not the source's.
_WRITE_ERRORS = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_DELETE,
    }
)


@contextlib.contextmanager
def mapped_errors(source: str) -> Iterator[None]:
    """Turns apsw's errors into `Failed`, with SQLite's own message."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Failed("busy", f"{source} is locked: {said(error)}", "try again when its writer has finished") from error
    except apsw.FullError as error:
        raise Failed("scratch", f"The copy of {source} can't be written: {said(error)}", SCRATCH_HINT) from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) in _WRITE_ERRORS:
            raise Failed("scratch", f"The copy of {source} can't be written: {said(error)}", SCRATCH_HINT) from error
        raise Failed("unreadable", f"{source} can't be read: {said(error)}") from error
    except apsw.NotADBError as error:
        hint = "it is no SQLite database, or an encrypted one"
        raise Failed("unreadable", f"{source} can't be read: {said(error)}", hint) from error
    except (apsw.CorruptError, apsw.FormatError) as error:
        raise Failed(
            "unreadable", f"{source} is damaged: {said(error)}", "restore it from an earlier backup"
        ) from error
    except apsw.CantOpenError as error:
        raise Failed("unreadable", f"{source} can't be opened: {said(error)}", _permission_hint(source)) from error
    except (apsw.Error, UnicodeDecodeError) as error:
        raise Failed("unreadable", f"{source} can't be read: {said(error)}") from error


@contextlib.contextmanager
def mapped_errors_of_writing(path: str) -> Iterator[None]:
    """As `mapped_errors`, where a database of somebody else is written, or a file beside it."""
    try:
        with mapped_errors(path):
            yield
    except Failed as failed:
        cause = failed.__cause__
        if failed.reason == "scratch" or isinstance(cause, apsw.ReadOnlyError):
            text = said(cause) if isinstance(cause, apsw.Error) else failed.message
            raise Failed("destination", f"{path} can't be replaced: {text}", DESTINATION_HINT) from failed
        if failed.reason == "busy":
            raise Failed("busy", failed.message, "try again when its writers and readers have finished") from failed
        if isinstance(cause, apsw.CorruptError | apsw.NotADBError):
            raise Failed(failed.reason, failed.message, REPLACE_BY_HAND) from failed
        raise
    except OSError as error:
        raise Failed("destination", f"{path} can't be replaced: {error.strerror}", DESTINATION_HINT) from error


def said(error: Exception) -> str:
    """SQLite's own message."""
    if str(error) != "not an error":
        return str(error)
    code = getattr(error, "extendedresult", apsw.SQLITE_OK)
    return _MESSAGES.get(code & 0xFF) or str(apsw.mapping_extended_result_codes.get(code, code))


def _permission_hint(source: str) -> str:
    if os.access(source, os.R_OK):
        return "a WAL database needs write access to its folder, or a -wal and a -shm that may be read"
    return "give this user read access to the file"
