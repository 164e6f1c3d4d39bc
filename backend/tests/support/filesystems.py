"""File systems of a chosen size, for disks that fill up."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.session import current_session

SmallFilesystem = Callable[[int], Path]


@contextlib.contextmanager
def mounted_tmpfs(size_bytes: int) -> Iterator[Path]:
    """An empty file system of that size (rounded up to pages), open to every account; skips where we may not mount."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = current_session().new_folder("small")
    options = f"size={size_bytes},mode=1777,nosuid,nodev"
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mount.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        _unmount(folder)
        folder.rmdir()


def _unmount(folder: Path) -> None:
    """At once, or, while some process still has a file open there, as soon as it has let go."""
    if subprocess.run(["umount", folder], capture_output=True, check=False).returncode:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_filesystem() -> Iterator[SmallFilesystem]:
    """A factory: `small_filesystem(size_bytes)` mounts one and answers its folder; unmounted after the test."""
    with contextlib.ExitStack() as mounts:
        yield lambda size_bytes: mounts.enter_context(mounted_tmpfs(size_bytes))
