"""Private folders for work in progress, below ``HHH_SCRATCH_DIR``."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import structlog

from hhh.core.errors import ScratchError

#: How the folders of runs begin.
SCRATCH_PREFIX = "hhh-scratch-"

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def scratch_folder(parent: Path, worker: str) -> Iterator[Path]:
    """A private, empty folder (0700) that is gone when the block is left, however that happens.

    Args:
        parent: ``HHH_SCRATCH_DIR``.
        worker: who works there; after a crash, `sweep` finds the folder by this name.

    Raises:
        ScratchError: the folder can't be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{worker}-", dir=parent))
    except OSError as error:
        raise ScratchError(
            f"The scratch folder {parent} can't be written: {error.strerror}",
            hint="free some space, or set HHH_SCRATCH_DIR to a folder that this user may write to",
        ) from error
    try:
        yield folder
    finally:
        _remove(folder)


def sweep(parent: Path, workers: Collection[str]) -> int:
    """Removes what dead workers left behind; returns how many folders that were."""
    removed = 0
    for worker in workers:
        for folder in parent.glob(f"{SCRATCH_PREFIX}{worker}-*"):
            # Another process may be sweeping at the same time.
            with contextlib.suppress(FileNotFoundError):
                if folder.stat(follow_symlinks=False).st_uid == os.geteuid():
                    _remove(folder)
                    removed += 1
    return removed


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        # What lies there may be a copy of a database in clear.
        log.warning("scratch_left_behind", folder=str(folder), hint="remove it by hand")
