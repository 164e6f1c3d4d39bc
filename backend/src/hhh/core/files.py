"""Small files that must be whole or absent, and private."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from hhh.core.errors import ConfigurationError

#: What the system says where no more can be written: of the disk, the account's quota, the file.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def needed(path: Path) -> Iterator[None]:
    """For work on a file or folder that the service can't do without: what the system says of it becomes ours.

    Raises:
        ConfigurationError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if isinstance(error, PermissionError) and (whose := accounts(path)):
            reason = f"{reason}; {whose}"
        raise ConfigurationError(
            f"{path} can't be used: {reason}", hint="see HHH_DATA_DIR, and who may write where"
        ) from error


@contextlib.contextmanager
def chosen(path: Path) -> Iterator[None]:
    """For a new file at a place that somebody just named: what the system says of it becomes ours.

    Raises:
        ConfigurationError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{path.absolute().parent} can't be written by this account: {error.strerror}",
            hint="name a file in another folder",
        ) from error


def write_private(path: Path, content: bytes, *, exclusive: bool = False) -> None:
    """Writes a file of mode 0600 so that it is there whole, durable, or not at all.

    Args:
        path: where; its folder is made (0700) if it is missing.
        content: all of it.
        exclusive: keep a file that somebody else made first, instead of replacing it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        else:
            aside.replace(path)
        fsync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def accounts(path: Path) -> str:
    """Whose the path is, or the nearest of its folders that can be seen, and who asks; empty where none can be."""
    for each in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            owner = each.stat().st_uid
            return f"{each} belongs to {account(owner)}, and this is {account(os.geteuid())}"
    return ""


def account(uid: int) -> str:
    """What an account of this machine is called."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the account {uid}"


def readable_by_others(path: Path) -> bool:
    """Whether its group or everybody may read a file, and may enter all the folders that it is in."""
    path = path.resolve()
    return any(
        path.stat().st_mode & may_read and all(folder.stat().st_mode & may_enter for folder in path.parents)
        for may_read, may_enter in ((stat.S_IRGRP, stat.S_IXGRP), (stat.S_IROTH, stat.S_IXOTH))
    )


def begin_write_back(descriptor: int, start: int, size: int) -> None:
    """Asks the disk to begin with what was written to a file; else all of it waits for the one fsync at its end.

    Linux answers this advice by starting to write the pages, without waiting, and keeps those in memory that are not
    written yet. Elsewhere it is just advice.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
