"""How full the disk of a store is, where it is a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hhh.core.errors import StorageUnavailable

_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of a file system, as far as this account may use them."""

    total: int
    free: int

    @property
    def used_percent(self) -> float:
        """How much of it is used, as ``df`` tells it."""
        return _PERCENT * (1 - self.free / self.total) if self.total else 0.0


def room_of(url: str) -> Room | None:
    """How full it is; None of a store that is no folder. It waits for as long as the file system does.

    Raises:
        StorageUnavailable: the folder is not there, or can't be written.
    """
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    folder = Path(unquote(parts.path))
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise StorageUnavailable(f"{folder}: {error.strerror}; is its disk mounted?") from error
    if found.f_flag & os.ST_RDONLY:
        raise StorageUnavailable(f"{folder}: its file system is mounted read-only")
    used = found.f_blocks - found.f_bfree
    return Room(total=(used + found.f_bavail) * found.f_frsize, free=found.f_bavail * found.f_frsize)
