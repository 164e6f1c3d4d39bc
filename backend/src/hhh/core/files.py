"""Small files that must be whole or absent, and private."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


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


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
