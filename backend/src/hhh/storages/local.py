"""A folder as a store: every object a file, private, durable, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hhh.core.errors import InvalidInput, ObjectExists, ObjectMissing, StorageFull, StorageUnavailable
from hhh.core.files import NO_ROOM, begin_write_back, fsync_folder
from hhh.storages.base import ObjectInfo, ObjectWriter, Storage, Unfinished
from hhh.storages.keys import UNFINISHED, checked_folder, checked_key

#: Bytes after which the disk is asked to begin.
_WRITE_BACK = 8 << 20
_READ_SIZE = 1 << 20
_NOWHERE = {errno.ENOENT, errno.ELOOP}
#: At the top of a whole file system, and its administrator's alone.
_FOREIGN_FOLDER = "lost+found"
_HINTS = {
    errno.EACCES: "the service's user needs to own the folder",
    errno.EPERM: "the service's user needs to own the folder, and the file system needs hard links",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOENT: "the folder went away; is the disk mounted?",
    errno.ENOTDIR: "a part of the path is a file",
}


class LocalStorage(Storage):
    """A store in a folder of this machine.

    Folders are made with mode 0700 and files with 0600. An object is written aside, in its own folder under a name
    that begins with `UNFINISHED`, made durable and then renamed; a killed process leaves such a file behind, which
    `list` leaves out and `unfinished` finds.

    Args:
        root: the folder.
        must_exist: whether it was made before (`make_root`), so that without it nothing is written, read or empty: its
            disk is not mounted. Otherwise the first write makes it.
    """

    def __init__(self, root: Path, *, must_exist: bool = False) -> None:
        if not root.is_absolute():
            raise InvalidInput(f"A local store needs an absolute path, not {str(root)!r}")
        self._root = root
        self._must_exist = must_exist

    def __repr__(self) -> str:
        return f"LocalStorage({self.address})"

    @property
    def address(self) -> str:
        return self._root.as_uri()

    def make_root(self) -> None:
        """Makes the folder, if it is not there.

        Raises:
            StorageFull, StorageUnavailable: it can't be made.
        """
        with _mapped_errors(self._root):
            _make_folder(self._root)

    @contextlib.contextmanager
    def open_writer(
        self,
        key: str,
        *,
        expected_size: int | None = None,  # noqa: ARG002  a file has no parts
        writers: int = 1,  # noqa: ARG002  nor memory of its own
    ) -> Iterator[ObjectWriter]:
        path = self._path(key)
        with self._written_aside(path) as writer:
            yield writer
            with _mapped_errors(path):
                writer.make_durable()
                writer.path.replace(path)
                fsync_folder(path.parent)

    def create(self, key: str, content: bytes) -> None:
        path = self._path(key)
        with self._written_aside(path) as writer:
            writer.write(content)
            with _mapped_errors(path):
                writer.make_durable()
                try:
                    # Unlike a rename, a link refuses to take the place of what is there.
                    path.hardlink_to(writer.path)
                except FileExistsError:
                    raise ObjectExists(f"{self.address} has an object {key!r} already") from None
                fsync_folder(path.parent)

    def read(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        with _mapped_errors(path, missing=self._missing(key)), path.open("rb", buffering=0) as file:
            while piece := file.read(_READ_SIZE):
                yield piece

    def read_range(self, key: str, start: int, length: int) -> Iterator[bytes]:
        path = self._path(key)
        with _mapped_errors(path, missing=self._missing(key)), path.open("rb", buffering=0) as file:
            if file.seek(0, os.SEEK_END) <= start:
                raise StorageUnavailable(f"{self.address}: the object {key!r} ends before byte {start}")
            file.seek(start)
            while length and (piece := file.read(min(length, _READ_SIZE))):
                length -= len(piece)
                yield piece

    def head(self, key: str) -> ObjectInfo:
        path = self._path(key)
        with _mapped_errors(path, missing=self._missing(key)):
            if not path.is_file():
                raise self._missing(key)
            return self._info(path, path.stat())

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for path in self._files(prefix):
            if not path.name.startswith(UNFINISHED) and (info := self._found(path)) is not None:
                yield info

    def unfinished(self, prefix: str = "") -> Iterator[Unfinished]:
        for path in self._files(prefix):
            if path.name.startswith(UNFINISHED) and (info := self._found(path)) is not None:
                yield Unfinished(info.key, info.modified_at, path.name)

    def drop(self, unfinished: Unfinished) -> None:
        folder, _, name = unfinished.key.rpartition("/")
        if not name.startswith(UNFINISHED):
            raise InvalidInput(f"{unfinished.key!r} is no unfinished write")
        path = self._root / checked_folder(folder) / name
        self._check_root()
        with _mapped_errors(path):
            path.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _mapped_errors(path), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
            fsync_folder(path.parent)

    def _path(self, key: str) -> Path:
        path = self._root / checked_key(key)
        self._check_root()
        return path

    def _check_root(self) -> None:
        if not self._must_exist:
            return
        with _mapped_errors(self._root):
            try:
                self._root.stat()
            except FileNotFoundError:
                raise StorageUnavailable(
                    f"The store's folder {self._root} is gone: is its disk mounted?",
                    hint="mount it; the folder of a store that is new is made by hand",
                ) from None

    def _missing(self, key: str) -> ObjectMissing:
        return ObjectMissing(f"{self.address} has no object {key!r}")

    def _found(self, path: Path) -> ObjectInfo | None:
        """None where it is gone by now, or no file: a link that leads nowhere, or a pipe, which nobody could read."""
        with _mapped_errors(path):
            try:
                status = path.stat()
            except OSError as error:
                if error.errno in _NOWHERE:
                    return None
                raise
        return self._info(path, status) if stat.S_ISREG(status.st_mode) else None

    def _info(self, path: Path, status: os.stat_result) -> ObjectInfo:
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
        return ObjectInfo(path.relative_to(self._root).as_posix(), status.st_size, modified_at)

    def _files(self, prefix: str) -> Iterator[Path]:
        top = self._root / checked_folder(prefix)
        self._check_root()

        def fail(error: OSError) -> None:
            raise error

        with _mapped_errors(top):
            if not top.is_dir():
                return
            for folder, folders, names in os.walk(top, onerror=fail):
                if _FOREIGN_FOLDER in folders:
                    folders.remove(_FOREIGN_FOLDER)
                yield from (Path(folder, name) for name in names)

    @contextlib.contextmanager
    def _written_aside(self, path: Path) -> Iterator[_FileWriter]:
        aside = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        with _mapped_errors(path):
            _make_folder(path.parent)
            writer = _FileWriter(aside)
        try:
            yield writer
        finally:
            writer.close()
            # What can't be removed is found as unfinished later; it must not hide why the write ended.
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)


class _FileWriter(ObjectWriter):
    """A file being written aside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        self._asked = 0
        self._failed = False
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, chunk: bytes) -> None:
        if self._failed:  # what came now would stand behind a hole
            raise StorageUnavailable(f"Writing {self.path} failed before")
        self._failed = True
        with _mapped_errors(self.path):
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._failed = False
        self._size += len(chunk)
        if self._size - self._asked >= _WRITE_BACK:
            begin_write_back(self._descriptor, self._asked, self._size - self._asked)
            self._asked = self._size

    def make_durable(self) -> None:
        if self._failed:
            raise StorageUnavailable(f"Writing {self.path} failed before")
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def _make_folder(folder: Path) -> None:
    """Makes the folder and what is missing above it, each private and durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    fsync_folder(folder.parent)


@contextlib.contextmanager
def _mapped_errors(path: Path, *, missing: ObjectMissing | None = None) -> Iterator[None]:
    """Turns the operating system's errors into ours.

    Args:
        path: what was being worked at, for the message.
        missing: the error where there is no such file.
    """
    try:
        yield
    except OSError as error:
        if missing and error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}:
            raise missing from None
        message = f"The store's folder failed at {path}: {error.strerror}"
        if error.errno in NO_ROOM:
            raise StorageFull(message, hint="make room, or let retention remove more") from error
        raise StorageUnavailable(message, hint=_HINTS.get(error.errno or 0)) from error
