import errno
import os

import pytest

from support.filesystems import SmallFilesystem, mounted_tmpfs


def test_a_small_file_system_is_full_when_it_is_full(small_filesystem: SmallFilesystem) -> None:
    folder = small_filesystem(64 * 1024)
    (folder / "fits").write_bytes(b"x" * 60 * 1024)
    with pytest.raises(OSError, match="No space left") as caught:
        (folder / "too much").write_bytes(b"x" * 60 * 1024)
    assert caught.value.errno == errno.ENOSPC


def test_it_is_unmounted_also_when_a_file_is_still_open_there() -> None:
    with mounted_tmpfs(64 * 1024) as folder:
        open_file = (folder / "file").open("wb")
        assert os.path.ismount(folder)
    assert not folder.exists()
    open_file.close()
