import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.artifacts.retrieval import StoredBackup
from hhh.core.errors import ArtifactDamaged, ObjectMissing, ScratchError, StorageUnavailable
from hhh.core.run import Unattended
from hhh.services.downloads import Download, Form, Span
from hhh.storages.local import LocalStorage
from support.stored_backups import BackupMaker
from support.waiting import wait_until

CONTENT = random.Random(1).randbytes(5_000_000)
SMALL = b"a few rows"


class BreakingOff(LocalStorage):
    """A store that stops to answer after some pieces of an object."""

    pieces = 1

    def read(self, key: str) -> Iterator[bytes]:
        yield from itertools.islice(super().read(key), self.pieces)
        raise StorageUnavailable("no answer")


class BreakingOffLater(BreakingOff):
    pieces = 4


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "hhh-pipeline"])


def stored(folder: Path, content: bytes, store: type[LocalStorage] = LocalStorage) -> StoredBackup:
    maker = BackupMaker(store(folder))
    return maker.opened(maker.store(content))


def download(form: Form, *copies: StoredBackup) -> Download:
    found = copies[0].manifest.object
    size = found.size if form is Form.STORED else found.raw_size
    return Download("name", size, "tag", form, copies)


def damage(backup: StoredBackup) -> None:
    """Changes the last byte of the object."""
    key = backup.manifest.object.key
    content = b"".join(backup.storage.read(key))
    BackupMaker(backup.storage).replace(key, content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("content", [CONTENT, SMALL, b""])
def test_the_whole_is_what_was_stored(tmp_path: Path, form: Form, content: bytes) -> None:
    backup = stored(tmp_path, content)
    packed = b"".join(backup.storage.read(backup.manifest.object.key))

    found = download(form, backup)
    assert b"".join(found.pieces()) == (packed if form is Form.STORED else content)
    found.save(tmp_path / "file", Unattended())
    assert (tmp_path / "file").read_bytes() == (packed if form is Form.STORED else content)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (0, 1 << 20), (1 << 20, (1 << 20) + 5), (3_000_000, -1), (-1, -1), (0, -1), (1, -2)]
)
def test_a_part_is_a_part_of_the_whole(tmp_path: Path, form: Form, first: int, last: int) -> None:
    found = download(form, stored(tmp_path, CONTENT))
    whole = b"".join(found.pieces())
    span = Span(first % found.size, last % found.size)

    assert b"".join(found.pieces(span)) == whole[span.first : span.last + 1]


@pytest.mark.parametrize("form", Form)
def test_the_last_piece_of_what_is_damaged_does_not_come(tmp_path: Path, form: Form) -> None:
    backup = stored(tmp_path, CONTENT)
    found = download(form, backup)
    damage(backup)

    received = 0
    with pytest.raises(ArtifactDamaged):  # noqa: PT012  what came before it is the point
        for piece in found.pieces():
            received += len(piece)
    assert 0 < received < found.size
    with pytest.raises(ArtifactDamaged):
        found.save(tmp_path / "file", Unattended())
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("form", Form)
def test_a_small_one_that_is_damaged_fails_before_anything_comes(tmp_path: Path, form: Form) -> None:
    backup = stored(tmp_path, SMALL)
    damage(backup)

    with pytest.raises(ArtifactDamaged):
        download(form, backup).pieces()


@pytest.mark.parametrize("form", Form)
def test_a_copy_that_is_gone_is_replaced_by_the_next(tmp_path: Path, form: Form) -> None:
    first, second = stored(tmp_path / "1", CONTENT), stored(tmp_path / "2", CONTENT)
    found = download(form, first, second)
    whole = b"".join(found.pieces())
    first.storage.delete(first.manifest.object.key)

    assert b"".join(found.pieces()) == whole
    assert b"".join(found.pieces(Span(1000, 2000))) == whole[1000:2001]
    found.save(tmp_path / "file", Unattended())
    assert (tmp_path / "file").read_bytes() == whole

    second.storage.delete(second.manifest.object.key)
    with pytest.raises(ObjectMissing):
        found.pieces()


@pytest.mark.parametrize("form", Form)
def test_a_copy_that_breaks_off_before_anything_came_is_replaced_by_the_next(tmp_path: Path, form: Form) -> None:
    found = download(form, stored(tmp_path / "1", CONTENT, BreakingOff), stored(tmp_path / "2", CONTENT))

    assert b"".join(found.pieces()) == b"".join(download(form, found.copies[1]).pieces())


@pytest.mark.parametrize("form", Form)
def test_a_copy_that_breaks_off_later_is_not_mixed_with_another(tmp_path: Path, form: Form) -> None:
    found = download(form, stored(tmp_path / "1", CONTENT, BreakingOffLater), stored(tmp_path / "2", CONTENT))

    received = 0
    with pytest.raises(StorageUnavailable):  # noqa: PT012  what came before it is the point
        for piece in found.pieces():
            received += len(piece)
    assert 0 < received < found.size
    found.save(tmp_path / "file", Unattended())  # begins anew
    assert (tmp_path / "file").stat().st_size == found.size


def test_a_part_of_an_object_that_is_shorter_now_is_damaged(tmp_path: Path) -> None:
    backup = stored(tmp_path, CONTENT)
    found = download(Form.STORED, backup)
    key = backup.manifest.object.key
    BackupMaker(backup.storage).replace(key, b"".join(backup.storage.read(key))[:-10])

    with pytest.raises(ArtifactDamaged, match="10 bytes of an object where 20"):
        found.pieces(Span(found.size - 20, found.size - 1))


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")

    with pytest.raises(ScratchError, match="File exists"):
        download(Form.STORED, stored(tmp_path / "1", SMALL)).save(tmp_path / "file", Unattended())
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.parametrize("form", Form)
def test_a_client_may_go_away(tmp_path: Path, form: Form) -> None:
    content = random.randbytes(20 << 20)
    pieces = download(form, stored(tmp_path, content)).pieces()
    assert next(pieces)

    pieces.close()  # and the fixture sees that its threads end
