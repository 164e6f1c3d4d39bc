"""Private folders for work in progress, below ``HHH_SCRATCH_DIR``.

Whoever works in one holds a lock on it. The kernel lets go of the lock when the process ends, however it ends: so
whoever comes next finds what a killed one left, which may be a copy of a database in clear.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from hhh.core.errors import ScratchError
from hhh.core.orphans import end_processes_in, end_processes_of_removed

#: How the folders of runs begin.
SCRATCH_PREFIX = "hhh-scratch-"

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def scratch_folder(parent: Path, holder: str) -> Iterator[Path]:
    """A private, empty folder (0700) that is gone when the block is left, however that happens.

    Args:
        parent: ``HHH_SCRATCH_DIR``.
        holder: who works there: told by the folder's name, to whoever looks.

    Raises:
        ScratchError: the folder can't be made.
    """
    with scratch_written(parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder, lock = _made(parent, holder)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


@contextlib.contextmanager
def scratch_written(folder: Path) -> Iterator[None]:
    """For work on files in scratch: what the system says of it becomes ours.

    Raises:
        ScratchError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise ScratchError(
            f"The scratch folder {folder} can't be written: {error.strerror}",
            hint="free some space, or set HHH_SCRATCH_DIR to a folder that this user may write to",
        ) from error


def sweep(parent: Path) -> int:
    """Removes this user's folders that nobody holds any more, once what works there is ended; returns how many."""
    removed = 0
    for folder in left_behind(parent):
        end_processes_in(folder)  # such as a server that a drill made there
        _remove(folder)
        removed += 1
    end_processes_of_removed(parent, SCRATCH_PREFIX)  # of those that somebody has tidied away by hand
    return removed


def left_behind(parent: Path) -> Iterator[Path]:
    """This user's folders that nobody holds any more; each is held until the next is asked for."""
    for folder in parent.glob(f"{SCRATCH_PREFIX}*"):
        # Another process may be sweeping at the same time. What can't be locked may be somebody's.
        with contextlib.suppress(OSError), _opened(folder) as lock:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder


def _made(parent: Path, holder: str) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{holder}-", dir=parent))
        with contextlib.suppress(FileNotFoundError):  # swept before it was locked
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            # A file system without locks: what a killed process leaves there has to be removed by hand.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        # What lies there may be a copy of a database in clear.
        log.warning("scratch_left_behind", folder=str(folder), hint="remove it by hand")
