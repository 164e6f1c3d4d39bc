"""Tells the other processes of this machine whether a worker lives.

A worker holds a lock on a file of its own; the kernel takes the lock away when the process ends, however it ends. So a
job of a worker that was killed is given up at once, and not only when its lease runs out. A worker on another machine
has no file here: of that one, only the lease speaks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from hhh.core.files import needed


class Liveness:
    """The lock files of the workers that share one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "workers"
        self._left_for_others: set[str] = set()

    @contextlib.contextmanager
    def alive(self) -> Iterator[str]:
        """Names a new worker, and holds its lock until the block is left."""
        worker = str(uuid.uuid4())
        path = self._path(worker)
        with needed(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = _locked(path)
        try:
            yield worker
        finally:
            if worker not in self._left_for_others:
                path.unlink(missing_ok=True)
            os.close(descriptor)

    def leave_for_others(self, worker: str) -> None:
        """Keeps the file of a worker that ends with work under way, so that others find it dead and tidy up."""
        self._left_for_others.add(worker)

    def dead(self) -> list[str]:
        """The workers whose process is gone, though nobody has buried them yet."""
        return [path.stem for path in self._folder.glob("*.lock") if _is_free(path)]

    def bury(self, worker: str) -> None:
        """Forgets a dead worker, once all it left was seen to."""
        self._path(worker).unlink(missing_ok=True)

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"


def _locked(path: Path) -> int:
    # It gets its name once it is locked: nobody may find it free in between, and take the worker for dead.
    unlocked = path.with_suffix(".new")
    descriptor = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unlocked.rename(path)
    return descriptor


def _is_free(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
