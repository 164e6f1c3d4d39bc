"""The copy of a live database that is kept before it is overwritten."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any

import apsw

from hhh.engines.sqlite.child.backup_copy import make_copy, make_file
from hhh.engines.sqlite.child.checks import take_facts
from hhh.engines.sqlite.child.protocol import Failed
from hhh.engines.sqlite.child.said import said
from hhh.engines.sqlite.child.snapshot import Snapshot


class SafetyCopy:
    """A copy that has its name only once it is whole, checked and durable.

    Args:
        live: the path of what is copied.
        request: ``part`` and ``kept``, the paths of the copy before and after; ``busy_timeout``;
            ``thorough_check_size``; ``accept_damage``, whether a copy that is as damaged as the live database will do.
    """

    def __init__(self, live: str, request: dict[str, Any]) -> None:
        self._live = live
        self._part: str = request["part"]
        self._kept: str = request["kept"]
        self._busy_timeout: int = request["busy_timeout"]
        self._thorough_check_size: int = request["thorough_check_size"]
        self._accept_damage: bool = request["accept_damage"]

    def take(self) -> None:
        """Copies what is committed; whoever calls holds the write lock, so that it stays the last that is."""
        self.close()
        make_file(self._part)
        with Snapshot(self._live, self._busy_timeout, may_stand_alone=False) as snapshot:
            size = make_copy(snapshot, self._part, lambda _: None)
        _sync(self._part)
        self._check(thorough=size <= self._thorough_check_size)

    def keep(self) -> None:
        """Gives it its name, and whom the live database belongs to."""
        look_alike(self._part, self._live)
        os.rename(self._part, self._kept)
        _sync(os.path.dirname(self._kept))

    def close(self) -> None:
        """Removes what is not whole: it may fill the disk that the application needs."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part)

    def _check(self, *, thorough: bool) -> None:
        damage = _damage(self._part, thorough=thorough)
        if damage and not self._accept_damage:
            hint = "accept that by the name live_integrity, or restore as a new file"
            raise Failed("unreadable", f"{self._live} is damaged, and what is kept of it would be: {damage}", hint)


def _damage(path: str, *, thorough: bool) -> str:
    try:
        take_facts(path, thorough=thorough)
    except apsw.CorruptError as error:
        return said(error)
    return ""


def look_alike(path: str, other: str) -> None:
    """Gives a file the owner and the mode of another one; it stays private where we may not."""
    like = os.stat(other)
    with contextlib.suppress(PermissionError):
        os.chown(path, like.st_uid, like.st_gid)
        os.chmod(path, stat.S_IMODE(like.st_mode))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
