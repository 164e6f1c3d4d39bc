import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyrage
import pytest
import zstandard

from hhh.artifacts.destinations import Destination
from hhh.artifacts.encryption import Recipients
from hhh.artifacts.naming import ArtifactKeys
from hhh.artifacts.publication import Publication
from hhh.core.errors import Cancelled, ObjectExists, StorageFull, StorageUnavailable, ToolFailed
from hhh.core.run import Progress, Unattended
from hhh.engines.base import Attachment
from hhh.storages.base import ObjectWriter, Storage
from hhh.storages.local import LocalStorage
from support.file_dumps import FileDump
from support.filesystems import SmallFilesystem
from support.stored_backups import FACTS

IDENTITY = pyrage.x25519.Identity.generate()
CONTENT = b"a row of a table\n" * 100_000
KEYS = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", 1, encrypted=False)
SEALED = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", 1, encrypted=True)


class Refusing(LocalStorage):
    """A store that answers nothing more once it has a manifest to take or an object to remove."""

    def __init__(self, root: Path, *, create: bool = False, delete: bool = False) -> None:
        super().__init__(root)
        self._refuses_create = create
        self._refuses_delete = delete

    def create(self, key: str, content: bytes) -> None:
        if self._refuses_create:
            raise StorageUnavailable("no answer to a create")
        super().create(key, content)

    def delete(self, key: str) -> None:
        if self._refuses_delete:
            raise StorageUnavailable("no answer to a delete")
        super().delete(key)


class Uncertain(LocalStorage):
    """A store that does what it was asked, and then loses the answer."""

    def create(self, key: str, content: bytes) -> None:
        super().create(key, content)
        raise StorageUnavailable("the answer was lost")


class CancelledAt:
    """A run that is cancelled once so many bytes were read."""

    def __init__(self, raw_bytes: int) -> None:
        self._at = raw_bytes
        self._raw_bytes = 0

    def report(self, progress: Progress) -> None:
        self._raw_bytes = progress.raw_bytes

    def raise_if_cancelled(self) -> None:
        if self._raw_bytes >= self._at:
            raise Cancelled("by the operator")


@pytest.fixture
def stores(tmp_path: Path) -> list[Storage]:
    return [LocalStorage(tmp_path / "first"), LocalStorage(tmp_path / "second")]


@pytest.fixture
def dump(tmp_path: Path) -> Iterator[FileDump]:
    (tmp_path / "dump").write_bytes(CONTENT)
    made = FileDump(tmp_path / "dump")
    yield made
    made.stdout.close()


@pytest.fixture
def attachment(tmp_path: Path) -> Attachment:
    (tmp_path / "schema").write_bytes(b"create table")
    return Attachment("schema.dump", tmp_path / "schema")


def destinations(stores: list[Storage]) -> list[Destination]:
    return [Destination(f"store {number}", store) for number, store in enumerate(stores)]


def publication_in(stores: list[Storage], run: CancelledAt | None = None) -> Publication:
    return Publication(destinations(stores), KEYS, Recipients(), run or Unattended())


def keys_of(store: Storage) -> set[str]:
    return {info.key for info in store.list()}


def read(store: Storage, key: str) -> bytes:
    return b"".join(store.read(key))


def unpacked(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


@contextmanager
def nothing_left(stores: list[Storage]) -> Iterator[None]:
    yield
    assert [keys_of(store) for store in stores] == [set() for _ in stores]


def test_a_backup_is_the_same_in_every_destination(
    stores: list[Storage], dump: FileDump, attachment: Attachment
) -> None:
    with publication_in(stores) as publication:
        stored, result = publication.store_dump(dump)
        facts = publication.store_facts(result.facts)
        schema = publication.store_attachment(attachment)
        publication.publish(b"{}\n")

    for store in stores:
        assert keys_of(store) == {KEYS.object, KEYS.facts, KEYS.attachment("schema.dump"), KEYS.manifest}
        assert unpacked(read(store, KEYS.object)) == CONTENT
        assert unpacked(read(store, KEYS.attachment("schema.dump"))) == b"create table"
        assert json.loads(read(store, KEYS.facts)) == FACTS.model_dump(mode="json")
        assert read(store, KEYS.manifest) == b"{}\n"
        assert store.head(KEYS.object).size == stored.size
    assert (stored.raw_size, stored.compression, stored.encryption) == (len(CONTENT), "zstd", None)
    assert (facts.key, facts.compression) == (KEYS.facts, None)
    assert (schema.name, schema.raw_size) == ("schema.dump", 12)


def test_with_recipients_nothing_that_tells_of_the_content_is_in_clear(
    stores: list[Storage], dump: FileDump, attachment: Attachment
) -> None:
    recipients = Recipients([str(IDENTITY.to_public())])
    with Publication(destinations(stores), SEALED, recipients, Unattended()) as publication:
        stored, result = publication.store_dump(dump)
        facts = publication.store_facts(result.facts)
        publication.store_attachment(attachment)

    assert stored.encryption == facts.encryption == "age"
    for key in keys_of(stores[0]):
        assert key.endswith(".age")
        assert read(stores[0], key).startswith(b"age-encryption.org/v1\n")
    assert unpacked(pyrage.decrypt(read(stores[0], SEALED.object), [IDENTITY])) == CONTENT
    assert json.loads(pyrage.decrypt(read(stores[0], SEALED.facts), [IDENTITY])) == FACTS.model_dump(mode="json")


def test_a_tool_that_ends_badly_leaves_no_object(stores: list[Storage], tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(CONTENT)
    dump = FileDump(tmp_path / "dump", ToolFailed("pg_dump failed with status 1"))

    with nothing_left(stores), pytest.raises(ToolFailed, match="pg_dump failed"), publication_in(stores) as publication:
        publication.store_dump(dump)


@pytest.mark.parametrize("raw_bytes", [1, len(CONTENT)], ids=["soon", "after the last byte"])
def test_a_cancelled_run_leaves_no_object(stores: list[Storage], dump: FileDump, raw_bytes: int) -> None:
    run = CancelledAt(raw_bytes)

    with nothing_left(stores), pytest.raises(Cancelled), publication_in(stores, run) as publication:
        publication.store_dump(dump)


@pytest.mark.parametrize("error", [RuntimeError("a reason"), KeyboardInterrupt("a reason"), SystemExit("a reason")])
def test_whatever_comes_after_takes_everything_back(
    stores: list[Storage], dump: FileDump, attachment: Attachment, error: BaseException
) -> None:
    def publish_and_fail() -> None:
        with publication_in(stores) as publication:
            publication.store_dump(dump)
            publication.store_attachment(attachment)
            publication.store_facts(FACTS)
            publication.publish(b"{}")
            assert all(KEYS.manifest in keys_of(store) for store in stores)
            raise error

    with nothing_left(stores), pytest.raises(type(error), match="a reason"):
        publish_and_fail()


def test_what_is_to_be_kept_stays_whatever_comes_after(stores: list[Storage]) -> None:
    def publish_and_fail() -> None:
        with publication_in(stores) as publication:
            publication.store_facts(FACTS)
            publication.publish(b"{}")
            publication.keep()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        publish_and_fail()
    assert keys_of(stores[0]) == keys_of(stores[1]) == {KEYS.facts, KEYS.manifest}


def test_one_full_destination_leaves_nothing_in_any(
    tmp_path: Path, dump: FileDump, small_filesystem: SmallFilesystem
) -> None:
    (tmp_path / "dump").write_bytes(os.urandom(4 << 20))
    stores: list[Storage] = [LocalStorage(tmp_path / "first"), LocalStorage(small_filesystem(1 << 20))]

    with nothing_left(stores), pytest.raises(StorageFull), publication_in(stores) as publication:
        publication.store_dump(dump)


def store_and_publish(stores: list[Storage], manifest: bytes) -> None:
    with publication_in(stores) as publication:
        publication.store_facts(FACTS)
        publication.publish(manifest)


def test_a_manifest_that_one_destination_refuses_is_taken_back_from_the_others(tmp_path: Path) -> None:
    stores: list[Storage] = [LocalStorage(tmp_path / "first"), Refusing(tmp_path / "second", create=True)]

    with nothing_left(stores), pytest.raises(StorageUnavailable, match="no answer to a create"):
        store_and_publish(stores, b"{}")


def test_a_manifest_whose_answer_was_lost_is_taken_back(tmp_path: Path) -> None:
    stores: list[Storage] = [Uncertain(tmp_path)]

    with nothing_left(stores), pytest.raises(StorageUnavailable, match="the answer was lost"):
        store_and_publish(stores, b"{}")


def test_the_manifest_of_a_faster_attempt_stays(stores: list[Storage]) -> None:
    stores[1].create(KEYS.manifest, b"of the faster one")

    with pytest.raises(ObjectExists):
        store_and_publish(stores, b"of the slower one")

    assert keys_of(stores[0]) == set()
    assert keys_of(stores[1]) == {KEYS.manifest}
    assert read(stores[1], KEYS.manifest) == b"of the faster one"


def test_what_cannot_be_removed_is_told_beside_the_reason_and_the_rest_is_removed(tmp_path: Path) -> None:
    stores: list[Storage] = [Refusing(tmp_path / "first", delete=True), LocalStorage(tmp_path / "second")]

    def store_and_fail() -> None:
        with publication_in(stores) as publication:
            publication.store_facts(FACTS)
            publication.publish(b"{}")
            raise RuntimeError("the reason")

    with pytest.raises(RuntimeError, match="the reason") as raised:
        store_and_fail()

    assert [note for note in raised.value.__notes__ if "store 0" in note and "no answer to a delete" in note]
    # A manifest is never left without its objects.
    assert keys_of(stores[0]) == {KEYS.facts, KEYS.manifest}
    assert keys_of(stores[1]) == set()


def test_a_store_that_fails_at_the_end_of_an_object_leaves_nothing_in_the_others(
    tmp_path: Path, dump: FileDump
) -> None:
    class FailsAtTheEnd(LocalStorage):
        @contextmanager
        def open_writer(
            self, key: str, *, expected_size: int | None = None, writers: int = 1
        ) -> Iterator[ObjectWriter]:
            with super().open_writer(key, expected_size=expected_size, writers=writers) as writer:
                yield writer
                raise StorageUnavailable("at the end")

    stores: list[Storage] = [FailsAtTheEnd(tmp_path / "first"), LocalStorage(tmp_path / "second")]

    with nothing_left(stores), pytest.raises(StorageUnavailable, match="at the end"):  # noqa: SIM117
        with publication_in(stores) as publication:
            publication.store_dump(dump)
