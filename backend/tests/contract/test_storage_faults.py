"""What stores do when what is below them fails: full disks, servers in trouble, lost connections."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hhh.core.errors import ObjectExists, StorageFull, StorageUnavailable
from hhh.storages.base import Storage
from hhh.storages.check import check_storage
from hhh.storages.local import LocalStorage
from hhh.storages.objectstore import Patience, Place, open_s3
from hhh.storages.registry import open_storage
from support.faulty_proxy import FaultyS3, Request, any_upload, completion, part_upload
from support.filesystems import SmallFilesystem

MEBIBYTE = 1 << 20


def write_large(storage: Storage, key: str = "a/b", mebibytes: int = 20) -> None:
    """Some parts and a rest."""
    with storage.open_writer(key, expected_size=mebibytes * MEBIBYTE) as writer:
        for _ in range(mebibytes):
            writer.write(os.urandom(MEBIBYTE))


def write_small(storage: Storage, key: str = "a/b") -> None:
    with storage.open_writer(key) as writer:
        writer.write(b"content")


@pytest.fixture
def environment(faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in faulty_s3.bucket.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def storage(faulty_s3: FaultyS3, environment: None) -> Storage:
    return open_storage(faulty_s3.bucket.url(), retry_seconds=5)


@pytest.fixture
def impatient(faulty_s3: FaultyS3, environment: None) -> Storage:
    """Gives up soon, so that tests of lasting faults are quick; but it hears every answer, however busy the machine."""
    return open_s3(Place(faulty_s3.bucket.name, ""), Patience(retry_seconds=0.3, request_seconds=60))


@pytest.fixture
def nothing_left(faulty_s3: FaultyS3) -> Iterator[None]:
    """After the test the bucket is empty, and a write into it works."""
    yield
    assert faulty_s3.bucket.keys() == []
    assert faulty_s3.bucket.unfinished_uploads() == []


# ------------------------------------------------------------------------------------------ a folder


def test_a_full_disk_leaves_nothing_and_the_next_write_works(small_filesystem: SmallFilesystem) -> None:
    storage = LocalStorage(small_filesystem(4 * MEBIBYTE) / "store")

    with pytest.raises(StorageFull, match="No space left on device"):
        write_large(storage, mebibytes=8)

    assert list(storage.list()) == []
    assert list(storage.unfinished()) == []
    write_large(storage, mebibytes=3)
    assert storage.head("a/b").size == 3 * MEBIBYTE


@pytest.mark.parametrize("goes_on", [True, False], ids=["writes more", "commits"])
def test_a_write_that_a_full_disk_failed_is_not_taken_for_a_whole_one(
    small_filesystem: SmallFilesystem, goes_on: bool
) -> None:
    storage = LocalStorage(small_filesystem(4 * MEBIBYTE) / "store")

    def go_on() -> None:
        with storage.open_writer("a/b") as writer:
            with pytest.raises(StorageFull):
                writer.write(bytes(8 * MEBIBYTE))
            if goes_on:
                writer.write(b"")

    with pytest.raises(StorageUnavailable, match="failed before"):
        go_on()
    assert list(storage.list()) == []
    assert list(storage.unfinished()) == []


def test_a_disk_too_full_for_a_small_object_says_so(small_filesystem: SmallFilesystem) -> None:
    storage = LocalStorage(small_filesystem(2 * MEBIBYTE) / "store")
    write_large(storage, mebibytes=1)

    with pytest.raises(StorageFull):
        storage.create("a/manifest.json", bytes(2 * MEBIBYTE))

    assert [info.key for info in storage.list()] == ["a/b"]
    storage.create("a/manifest.json", b"{}")


def test_a_folder_that_is_a_file_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")

    with pytest.raises(StorageUnavailable, match=f"{tmp_path}/store.*Not a directory"):
        write_small(LocalStorage(tmp_path / "store"))


def test_a_folder_that_was_made_before_and_is_gone_is_neither_made_again_nor_empty(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "mount" / "store", must_exist=True)
    attempts: dict[str, Callable[[], object]] = {
        "write": lambda: write_small(storage),
        "create": lambda: storage.create("a/b", b"1"),
        "read": lambda: [*storage.read("a/b")],
        "read a range": lambda: [*storage.read_range("a/b", 0, 1)],
        "head": lambda: storage.head("a/b"),
        "list": lambda: [*storage.list()],
        "list a folder": lambda: [*storage.list("a")],
        "unfinished": lambda: [*storage.unfinished()],
        "delete": lambda: storage.delete("a/b"),
    }
    storage.make_root()
    storage.create("a/b", b"1")
    (tmp_path / "mount").rename(tmp_path / "elsewhere")

    for attempt in attempts.values():
        with pytest.raises(StorageUnavailable, match=f"{tmp_path}/mount/store is gone: is its disk mounted?"):
            attempt()

    assert not (tmp_path / "mount").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "mount")
    assert b"".join(storage.read("a/b")) == b"1"
    assert [*storage.list("of nothing")] == []


def test_what_a_killed_write_left_is_no_object(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    writing = storage.open_writer("a/b")
    writing.__enter__().write(b"half")

    assert list(storage.list()) == []
    assert [each.key for each in storage.unfinished()] == [f"a/{path.name}" for path in (tmp_path / "a").iterdir()]
    writing.__exit__(None, None, None)
    assert list(storage.unfinished()) == []


def test_files_and_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        storage = LocalStorage(tmp_path / "new" / "store")
        write_small(storage, "a/b/c")
        storage.create("a/b/d", b"1")
    finally:
        os.umask(previous)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"new": 0o700, "store": 0o700, "a": 0o700, "b": 0o700, "c": 0o600, "d": 0o600}


# ------------------------------------------------------------------------------------------ an object store


@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_of_the_server_that_pass_are_not_noticed(faulty_s3: FaultyS3, storage: Storage, status: int) -> None:
    faulty_s3.proxy.answer(status, where=part_upload, times=2)
    faulty_s3.proxy.answer(status, where=completion, times=1)

    write_large(storage)

    assert storage.head("a/b").size == 20 * MEBIBYTE


def test_a_connection_lost_in_the_middle_of_a_part_is_not_noticed(faulty_s3: FaultyS3, storage: Storage) -> None:
    faulty_s3.proxy.drop(after_bytes=100_000, where=part_upload, times=2)

    write_large(storage)

    assert storage.head("a/b").size == 20 * MEBIBYTE


def test_reading_goes_on_after_errors_that_pass(faulty_s3: FaultyS3, storage: Storage) -> None:
    write_small(storage)
    faulty_s3.proxy.answer(503, times=2)

    assert b"".join(storage.read("a/b")) == b"content"


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("where", [part_upload, completion])
def test_errors_that_last_end_the_upload_and_leave_nothing(
    faulty_s3: FaultyS3, impatient: Storage, where: Callable[[Request], bool]
) -> None:
    faulty_s3.proxy.answer(500, where=where)

    with pytest.raises(StorageUnavailable, match="500 Internal Server Error, InternalError: made by a test"):
        write_large(impatient)


@pytest.mark.usefixtures("nothing_left")
def test_a_server_that_only_fails_is_told_for_every_method(faulty_s3: FaultyS3, impatient: Storage) -> None:
    faulty_s3.proxy.answer(500)

    for method in (
        lambda: write_large(impatient),
        lambda: write_small(impatient),
        lambda: impatient.create("a/b", b"1"),
        lambda: b"".join(impatient.read("a/b")),
        lambda: impatient.head("a/b"),
        lambda: list(impatient.list()),
        lambda: impatient.delete("a/b"),
    ):
        with pytest.raises(StorageUnavailable, match="500 Internal Server Error"):
            method()


@pytest.mark.usefixtures("nothing_left")
def test_connections_that_are_always_lost_end_the_upload(faulty_s3: FaultyS3, impatient: Storage) -> None:
    faulty_s3.proxy.drop(after_bytes=100_000, where=part_upload)

    with pytest.raises(StorageUnavailable, match="writing 'a/b' failed: HTTP error"):
        write_large(impatient)


def test_a_server_that_does_not_answer_is_given_up(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        storage = open_s3(Place("bucket", ""), Patience(retry_seconds=0.3, request_seconds=0.3))

        with pytest.raises(StorageUnavailable):
            write_large(storage)
        with pytest.raises(StorageUnavailable):
            storage.create("a/b", b"1")


@pytest.mark.usefixtures("nothing_left")
def test_a_failed_write_is_not_taken_for_a_whole_one_if_the_caller_goes_on(
    faulty_s3: FaultyS3, impatient: Storage
) -> None:
    faulty_s3.proxy.answer(500, where=lambda request: request.method == "POST")

    def go_on() -> None:
        with impatient.open_writer("a/b", expected_size=1) as writer:
            with pytest.raises(StorageUnavailable):
                writer.write(bytes(9 * MEBIBYTE))
            faulty_s3.proxy.clear()
            writer.write(b"more")

    with pytest.raises(StorageUnavailable, match="failed before"):
        go_on()


@pytest.mark.usefixtures("nothing_left")
def test_a_store_without_room_is_told_as_full(faulty_s3: FaultyS3, impatient: Storage) -> None:
    faulty_s3.proxy.answer(507, where=any_upload)

    with pytest.raises(StorageFull, match="507 Insufficient Storage"):
        write_small(impatient)


def test_a_create_that_fails_and_passes_is_done_once(faulty_s3: FaultyS3, storage: Storage) -> None:
    faulty_s3.proxy.answer(503, where=any_upload, times=1)
    faulty_s3.proxy.drop(where=any_upload, times=1)

    storage.create("a/b", b"content")

    assert faulty_s3.bucket.read("a/b") == b"content"


def test_a_create_whose_answer_was_lost_is_known_as_ours(faulty_s3: FaultyS3, storage: Storage) -> None:
    def done_all_the_same(request: Request) -> bool:
        faulty_s3.bucket.write("a/b", b"content")
        return any_upload(request)

    faulty_s3.proxy.answer(500, where=done_all_the_same, times=1)

    storage.create("a/b", b"content")

    assert faulty_s3.proxy.count(any_upload) == 2


def test_a_create_that_another_one_was_faster_with_is_refused(faulty_s3: FaultyS3, storage: Storage) -> None:
    def another_one_comes(request: Request) -> bool:
        faulty_s3.bucket.write("a/b", b"of another one")
        return any_upload(request)

    faulty_s3.proxy.answer(500, where=another_one_comes, times=1)

    with pytest.raises(ObjectExists):
        storage.create("a/b", b"content")

    assert faulty_s3.bucket.read("a/b") == b"of another one"


def test_a_missing_bucket_is_a_failure_of_the_store_and_says_what_to_do(faulty_s3: FaultyS3, environment: None) -> None:
    storage = open_storage("s3://no-such-bucket/prefix", retry_seconds=1)

    for method in (
        lambda: write_small(storage),
        lambda: storage.create("a/b", b"1"),
        lambda: b"".join(storage.read("a/b")),
        lambda: list(storage.list()),
    ):
        with pytest.raises(StorageUnavailable, match=r"NoSuchBucket.*make the bucket"):
            method()


def test_a_check_stops_at_the_step_that_fails_and_clears_up(faulty_s3: FaultyS3, impatient: Storage) -> None:
    faulty_s3.proxy.answer(500, where=lambda request: request.method == "GET")

    steps = check_storage(impatient)

    assert [(step.name, step.ok) for step in steps] == [("write", True), ("read back", False)]
    assert "500 Internal Server Error" in steps[-1].detail
    assert faulty_s3.bucket.keys() == []


def test_a_check_finds_a_store_that_ignores_conditions(faulty_s3: FaultyS3, impatient: Storage) -> None:
    def forgotten(request: Request) -> bool:
        # What is there is taken away just before it is created again, as a store would that does not look.
        if any_upload(request):
            for key in faulty_s3.bucket.keys("hhh-check"):
                if key.endswith("created"):
                    faulty_s3.bucket.client().delete_object(Bucket=faulty_s3.bucket.name, Key=key)
        return False

    faulty_s3.proxy.answer(500, where=forgotten)

    steps = check_storage(impatient)

    assert [step.name for step in steps if not step.ok] == ["refuse a second create"]
    assert "If-None-Match" in steps[-1].detail
    assert faulty_s3.bucket.keys() == []


def test_what_is_no_file_in_a_folder_is_no_object_and_keeps_nobody_from_listing_it(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.create("a/object", b"1")
    (tmp_path / "a" / "loop").symlink_to("loop")
    (tmp_path / "a" / "nowhere").symlink_to("nothing")
    os.mkfifo(tmp_path / "a" / "pipe")
    (tmp_path / "lost+found").mkdir()  # at the top of a disk, and its administrator's alone
    (tmp_path / "lost+found" / "#1").write_bytes(b"1")
    assert [info.key for info in storage.list()] == ["a/object"]
