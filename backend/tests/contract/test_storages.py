"""What every store must do, asked of all that run here."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hhh.core.errors import InvalidInput, ObjectExists, ObjectMissing, StorageUnavailable
from hhh.storages.base import Storage
from hhh.storages.check import check_storage
from hhh.storages.keys import LONGEST_PART, UNFINISHED
from hhh.storages.registry import open_storage

MEBIBYTE = 1 << 20


def open_local(request: pytest.FixtureRequest) -> Storage:
    folder: Path = request.getfixturevalue("tmp_path")
    return open_storage(f"file://{folder}/store")


def open_s3(request: pytest.FixtureRequest) -> Storage:
    bucket = request.getfixturevalue("s3")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ALLOW_HTTP")  # an endpoint with http:// says it already
    return open_storage(bucket.url("some/prefix"), retry_seconds=5)


def open_emulator(variable: str) -> Callable[[pytest.FixtureRequest], Storage]:
    return lambda request: open_storage(os.environ[variable], retry_seconds=5)


#: Variables that name a storage URL where an emulator runs; its own variables (AZURE_…, GOOGLE_…) stand beside it.
EMULATORS = {"azure": "TEST_AZURE_STORAGE_URL", "gcs": "TEST_GOOGLE_STORAGE_URL"}

STORES = {"local": open_local, "s3": open_s3} | {
    name: open_emulator(variable) for name, variable in EMULATORS.items() if variable in os.environ
}


@pytest.fixture(params=STORES)
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    opened = STORES[request.param](request)
    yield opened
    for info in list(opened.list()):
        opened.delete(info.key)


def write(storage: Storage, key: str, *chunks: bytes, expected_size: int | None = None) -> None:
    with storage.open_writer(key, expected_size=expected_size) as writer:
        for chunk in chunks:
            writer.write(chunk)


def begin(storage: Storage, key: str, chunks: list[bytes], error: BaseException) -> None:
    """A write that ends with an error of somebody else."""
    with storage.open_writer(key, expected_size=1) as writer:
        for chunk in chunks:
            writer.write(chunk)
        raise error


def content_of(storage: Storage, key: str) -> bytes:
    return b"".join(storage.read(key))


def keys_of(storage: Storage, prefix: str = "") -> list[str]:
    return sorted(info.key for info in storage.list(prefix))


def test_an_object_reads_back_as_it_was_written(storage: Storage) -> None:
    write(storage, "installation/app/one.zst", b"first, ", b"", b"second")

    assert content_of(storage, "installation/app/one.zst") == b"first, second"
    info = storage.head("installation/app/one.zst")
    assert (info.key, info.size) == ("installation/app/one.zst", 13)
    assert info.modified_at.tzinfo is not None
    assert [each.size for each in storage.list()] == [13]


def test_an_object_may_be_empty(storage: Storage) -> None:
    write(storage, "a/empty")
    storage.create("a/created", b"")

    assert content_of(storage, "a/empty") == content_of(storage, "a/created") == b""
    assert storage.head("a/empty").size == 0


def test_an_object_may_be_larger_than_a_part(storage: Storage) -> None:
    chunks = [os.urandom(MEBIBYTE) for _ in range(20)]

    write(storage, "a/large", *chunks, b"and a rest", expected_size=20 * MEBIBYTE)

    assert content_of(storage, "a/large") == b"".join(chunks) + b"and a rest"


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (0, 100), (5 * MEBIBYTE - 1, 2), (1, 9 * MEBIBYTE), (10 * MEBIBYTE + 9, 1), (10 * MEBIBYTE, 100)],
)
def test_a_part_of_an_object_can_be_read(storage: Storage, start: int, length: int) -> None:
    content = os.urandom(10 * MEBIBYTE + 10)
    write(storage, "a/large", content)

    assert b"".join(storage.read_range("a/large", start, length)) == content[start : start + length]


def test_there_is_no_part_behind_the_end_of_an_object_or_of_one_that_is_not_there(storage: Storage) -> None:
    write(storage, "a/b", b"0123456789")

    with pytest.raises(StorageUnavailable, match="a/b"):
        list(storage.read_range("a/b", 10, 1))
    with pytest.raises(ObjectMissing, match="a/none"):
        list(storage.read_range("a/none", 0, 1))


def test_an_object_is_not_there_before_its_block_has_ended(storage: Storage) -> None:
    with storage.open_writer("a/b", expected_size=12 * MEBIBYTE) as writer:
        for _ in range(12):
            writer.write(bytes(MEBIBYTE))
        assert keys_of(storage) == []

    assert keys_of(storage) == ["a/b"]


@pytest.mark.parametrize("error", [RuntimeError("a reason"), KeyboardInterrupt("a reason"), SystemExit("a reason")])
@pytest.mark.parametrize("chunks", [0, 1, 12])
def test_whatever_ends_the_block_leaves_nothing(storage: Storage, error: BaseException, chunks: int) -> None:
    with pytest.raises(type(error), match="a reason"):
        begin(storage, "a/b", [bytes(MEBIBYTE)] * chunks, error)

    assert keys_of(storage) == []
    with pytest.raises(ObjectMissing):
        storage.head("a/b")


def test_an_object_is_replaced_only_by_a_whole_one(storage: Storage) -> None:
    write(storage, "a/b", b"old")
    with pytest.raises(RuntimeError):
        begin(storage, "a/b", [b"half"], RuntimeError())
    assert content_of(storage, "a/b") == b"old"

    write(storage, "a/b", b"new")
    assert content_of(storage, "a/b") == b"new"


def test_a_second_create_is_refused_and_changes_nothing(storage: Storage) -> None:
    storage.create("a/manifest.json", b"first")

    for content in (b"second", b"first"):
        with pytest.raises(ObjectExists, match=r"manifest\.json"):
            storage.create("a/manifest.json", content)

    assert content_of(storage, "a/manifest.json") == b"first"
    assert keys_of(storage) == ["a/manifest.json"]


def test_of_many_creates_at_once_exactly_one_wins(storage: Storage) -> None:
    together = threading.Barrier(8)

    def create(number: int) -> bytes | None:
        together.wait()
        try:
            storage.create("a/manifest.json", f"by {number}".encode())
        except ObjectExists:
            return None
        return f"by {number}".encode()

    with ThreadPoolExecutor(8) as threads:
        winners = [each for each in threads.map(create, range(8)) if each]

    assert winners == [content_of(storage, "a/manifest.json")]


def test_writes_at_once_do_not_meet(storage: Storage) -> None:
    contents = {f"a/{number}": os.urandom(300_000) for number in range(8)}

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: write(storage, key, contents[key]), contents))

    assert {key: content_of(storage, key) for key in contents} == contents


def test_listing_is_by_folder_and_not_by_the_beginning_of_a_name(storage: Storage) -> None:
    for key in ("a/b/x", "a/b/deep/er/y", "a/bc/x", "a/b.json", "c"):
        storage.create(key, b"1")

    assert keys_of(storage, "a/b") == keys_of(storage, "a/b/") == ["a/b/deep/er/y", "a/b/x"]
    assert keys_of(storage, "a") == ["a/b.json", "a/b/deep/er/y", "a/b/x", "a/bc/x"]
    assert len(keys_of(storage)) == 5


def test_a_folder_that_is_not_there_is_empty(storage: Storage) -> None:
    assert keys_of(storage) == keys_of(storage, "no/such") == []


def test_a_missing_object_is_told_as_missing(storage: Storage) -> None:
    for attempt in (lambda: content_of(storage, "no/such"), lambda: storage.head("no/such")):
        with pytest.raises(ObjectMissing, match="'no/such'"):
            attempt()


def test_a_folder_is_no_object(storage: Storage) -> None:
    storage.create("a/b", b"1")

    with pytest.raises(ObjectMissing):
        storage.head("a")
    with pytest.raises(ObjectMissing):
        content_of(storage, "a")
    storage.delete("a")
    assert keys_of(storage) == ["a/b"]


def test_a_deleted_object_is_gone_and_deleting_it_again_does_nothing(storage: Storage) -> None:
    storage.create("a/b", b"1")

    storage.delete("a/b")
    storage.delete("a/b")
    storage.delete("never/was")

    assert keys_of(storage) == []


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "Ünïcödé-名前-🗝",
        'quote\'s "double" `back`',
        "100%25 %2e%2e %00",
        "a+b&c=d?e#f*g|h<i>j:k;l,m!n$o~p^q{r}s[t]",
        "back\\slash",
        "-rf",
        "...",
        ".hidden",
        "x" * LONGEST_PART,
    ],
)
def test_a_strange_name_is_a_name(storage: Storage, name: str) -> None:
    key = f"a/{name}"
    write(storage, key, b"content")

    assert content_of(storage, key) == b"content"
    assert keys_of(storage) == keys_of(storage, "a") == [key]
    storage.delete(key)
    assert keys_of(storage) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "../outside",
        "a/../../outside",
        "a/./b",
        "..",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "a/\x7f",
        "lone-\ud800",
        "x" * (LONGEST_PART + 1),
        "/".join(["x" * 99] * 9),
        f"a/{UNFINISHED}b",
    ],
)
def test_a_key_that_is_none_is_refused_by_every_method(storage: Storage, key: str) -> None:
    methods: list[Callable[[], object]] = [
        lambda: write(storage, key, b"1"),
        lambda: storage.create(key, b"1"),
        lambda: content_of(storage, key),
        lambda: storage.head(key),
        lambda: storage.delete(key),
    ]
    for method in methods:
        with pytest.raises(InvalidInput):
            method()

    assert keys_of(storage) == []


def test_every_store_passes_its_check(storage: Storage) -> None:
    steps = check_storage(storage)

    assert [step.name for step in steps if not step.ok] == []
    assert len(steps) == 7
    assert keys_of(storage) == []


def test_a_store_says_where_it_is_without_secrets(storage: Storage) -> None:
    shown = f"{storage.address} {storage!r}"

    assert "://" in shown
    assert "test-secret-key" not in shown
    assert "test-access-key" not in shown


@pytest.mark.parametrize("name", EMULATORS)
def test_an_emulator_is_asked_as_well(name: str) -> None:
    if name not in STORES:
        pytest.skip(f"no emulator of {name} here: {EMULATORS[name]} names no storage URL")
