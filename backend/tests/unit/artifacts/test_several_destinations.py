"""A publication in several stores: which faults it goes on without, and what is left where."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hhh.artifacts import fanout, publication
from hhh.artifacts.destinations import Destination
from hhh.artifacts.encryption import Recipients
from hhh.artifacts.naming import ATTACHMENTS, ArtifactKeys
from hhh.artifacts.publication import Publication
from hhh.artifacts.stream import PIECE
from hhh.core.errors import Cancelled, ConfigurationError, NotFound, StorageUnavailable
from hhh.core.run import Progress, Run, Unattended
from hhh.engines.base import Attachment
from hhh.engines.postgresql.dump import SCHEMA_SUFFIX
from hhh.storages.base import Storage
from hhh.storages.local import LocalStorage
from support.faulty_stores import FaultyStore, HangingStore, Step
from support.file_dumps import FileDump
from support.stored_backups import FACTS
from support.waiting import wait_until

KEYS = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", 1, encrypted=False)
ALL = {KEYS.object, KEYS.facts, KEYS.attachment("schema.dump"), KEYS.manifest}
#: More than a queue has room for, and more than one piece when it is compressed.
LARGE = (fanout.QUEUED + 4) * PIECE

#: Every step at which a store can fail, and the object at which it does.
FAULTS = [
    *((step, ending) for step in (Step.OPEN, Step.WRITE, Step.COMMIT) for ending in (".1.zst", ".json", ".dump.zst")),
    (Step.CREATE, ".sql.json"),
    (Step.CREATED, ".sql.json"),
]


@pytest.fixture
def attachment(tmp_path: Path) -> Attachment:
    (tmp_path / "schema").write_bytes(b"create table")
    return Attachment("schema.dump", tmp_path / "schema")


@pytest.fixture
def dump(tmp_path: Path) -> Iterator[FileDump]:
    (tmp_path / "dump").write_bytes(os.urandom(LARGE))
    made = FileDump(tmp_path / "dump")
    yield made
    made.stdout.close()


@pytest.fixture
def good(tmp_path: Path) -> list[Storage]:
    return [LocalStorage(tmp_path / "good 1"), LocalStorage(tmp_path / "good 2")]


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that hangs is not waited for when it should remove something."""
    monkeypatch.setattr(publication, "_REMOVAL_SECONDS", 0.4)
    monkeypatch.setattr(fanout, "_ENDING_SECONDS", 0.4)


class Polled:
    """A run that is told how often it was asked whether it goes on, and may end then."""

    def __init__(self, ended_at: int | None = None) -> None:
        self.asked = 0
        self._ended_at = ended_at

    def report(self, progress: Progress) -> None:
        self.asked = 0 if progress.stage == "stream" else self.asked

    def raise_if_cancelled(self) -> None:
        self.asked += 1
        if self._ended_at is not None and self.asked >= self._ended_at:
            raise Cancelled("by the operator")


def publishing(
    stores: Sequence[Storage], *, minimum: int | None, stall_seconds: float = 30, run: Run | None = None
) -> Publication:
    wanted = [Destination(f"store {number}", store) for number, store in enumerate(stores)]
    return Publication(wanted, KEYS, Recipients(), run or Unattended(), minimum=minimum, stall_seconds=stall_seconds)


def publish_all(publication: Publication, dump: FileDump, attachment: Attachment) -> None:
    publication.store_dump(dump)
    publication.store_facts(FACTS)
    publication.store_attachment(attachment)
    publication.publish(b"{}\n")


def keys_of(store: Storage) -> set[str]:
    return {info.key for info in store.list()}


def assert_same(stores: Sequence[Storage]) -> None:
    """The backup is whole and the same in all of them."""
    first, *others = ({key: b"".join(store.read(key)) for key in keys_of(store)} for store in stores)
    assert first.keys() == ALL
    assert all(other == first for other in others)


@pytest.mark.parametrize(("step", "ending"), FAULTS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_store_that_fails_at_any_step_is_gone_on_without_and_has_nothing_of_it(
    tmp_path: Path, good: list[Storage], dump: FileDump, attachment: Attachment, step: Step, ending: str, place: int
) -> None:
    bad = FaultyStore(tmp_path / "bad", step, ending)
    stores = [*good[:place], bad, *good[place:]]

    with publishing(stores, minimum=2) as publication:
        publish_all(publication, dump, attachment)
        publication.keep()

    assert bad.struck == 1
    assert_same(good)
    assert keys_of(bad) == set()
    assert [each.storage for each in publication.stored] == good
    assert {name: str(error) for name, error in publication.missing.items()} == {
        f"store {place}": f"it fails at {step.value}"
    }


@pytest.mark.parametrize(("step", "ending"), FAULTS)
def test_a_store_that_fails_and_is_needed_leaves_nothing_in_any(
    tmp_path: Path, good: list[Storage], dump: FileDump, attachment: Attachment, step: Step, ending: str
) -> None:
    stores = [good[0], FaultyStore(tmp_path / "bad", step, ending)]

    with pytest.raises(StorageUnavailable, match=f"fails at {step.value}"), publishing(stores, minimum=None) as opened:
        publish_all(opened, dump, attachment)

    assert [keys_of(store) for store in stores] == [set(), set()]


@pytest.mark.parametrize(("step", "ending"), FAULTS)
def test_a_store_that_hangs_at_any_step_is_gone_on_without(
    tmp_path: Path,
    good: list[Storage],
    dump: FileDump,
    attachment: Attachment,
    step: Step,
    ending: str,
    short_patience: None,
) -> None:
    hanging = HangingStore(tmp_path / "bad", step, ending)

    with publishing([hanging, *good], minimum=1, stall_seconds=1.0) as publication:
        publish_all(publication, dump, attachment)
        publication.keep()

    assert hanging.struck == 1
    assert_same(good)
    assert "kept the backup waiting" in str(publication.missing["store 0"])
    hanging.let_go()
    # What comes late is at most a whole copy: never a manifest without its objects.
    wait_until(no_store_thread, what="the thread of the store that hung to end")
    left = keys_of(hanging)
    assert KEYS.manifest not in left or left == ALL


def no_store_thread() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "hhh-store"]


def test_a_store_that_hangs_and_is_needed_is_waited_for(tmp_path: Path, good: list[Storage], dump: FileDump) -> None:
    hanging = HangingStore(tmp_path / "bad", Step.WRITE)

    class LettingGo(Polled):
        def raise_if_cancelled(self) -> None:
            super().raise_if_cancelled()
            if self.asked > 5:  # longer than a store may take that is not needed
                hanging.let_go()

    with publishing([good[0], hanging], minimum=2, stall_seconds=0.4, run=LettingGo()) as publication:
        publication.store_dump(dump)

    assert keys_of(hanging) == keys_of(good[0]) == {KEYS.object}
    assert publication.missing == {}


def test_of_two_stores_that_hang_the_one_that_is_needed_is_waited_for(
    tmp_path: Path, dump: FileDump, short_patience: None
) -> None:
    hanging = [HangingStore(tmp_path / name, Step.WRITE) for name in ("a", "b")]

    class LettingGo(Polled):
        def raise_if_cancelled(self) -> None:
            super().raise_if_cancelled()
            if self.asked > 10:
                hanging[1].let_go()

    with publishing(hanging, minimum=1, stall_seconds=0.4, run=LettingGo()) as publication:
        publication.store_dump(dump)

    assert [*publication.missing] == ["store 0"]
    assert keys_of(hanging[1]) == {KEYS.object}
    hanging[0].let_go()
    wait_until(no_store_thread)
    assert keys_of(hanging[0]) == set()


def test_a_store_that_hangs_holds_up_neither_a_cancel_nor_what_is_removed_elsewhere(
    tmp_path: Path, good: list[Storage], dump: FileDump, short_patience: None
) -> None:
    hanging = HangingStore(tmp_path / "bad", Step.WRITE)
    stores = [good[0], hanging]

    with pytest.raises(Cancelled) as raised, publishing(stores, minimum=None, run=Polled(ended_at=5)) as publication:
        publication.store_dump(dump)

    assert keys_of(good[0]) == set()
    assert any("store 1" in note and "does not answer" in note for note in raised.value.__notes__)
    hanging.let_go()
    wait_until(no_store_thread)
    assert keys_of(hanging) == set()


def test_what_hung_and_comes_late_is_removed_where_the_backup_failed(
    tmp_path: Path, good: list[Storage], dump: FileDump, attachment: Attachment, short_patience: None
) -> None:
    hanging = HangingStore(tmp_path / "bad", Step.CREATE, ".sql.json")

    def publish_and_fail() -> None:
        with publishing([good[0], hanging], minimum=1, stall_seconds=0.4) as opened:
            publish_all(opened, dump, attachment)
            raise RuntimeError("the reason")

    with pytest.raises(RuntimeError, match="the reason"):
        publish_and_fail()
    assert keys_of(good[0]) == set()
    hanging.let_go()
    wait_until(no_store_thread)
    assert keys_of(hanging) == set()


@pytest.mark.parametrize("error", [NotFound("no such store"), ConfigurationError("no key")])
def test_a_store_that_can_not_be_opened_is_missing_from_the_start(
    good: list[Storage], dump: FileDump, attachment: Attachment, error: NotFound
) -> None:
    wanted = [Destination("good", good[0])]
    with Publication(wanted, KEYS, Recipients(), Unattended(), unopened={"bad": error}, minimum=1) as publication:
        publish_all(publication, dump, attachment)

    assert publication.missing == {"bad": error}
    assert keys_of(good[0]) == ALL
    with pytest.raises(type(error)):
        Publication(wanted, KEYS, Recipients(), Unattended(), unopened={"bad": error})


def test_objects_of_earlier_attempts_are_known_by_their_keys() -> None:
    third = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", 3, encrypted=True)

    earlier = set(third.earlier())

    assert SCHEMA_SUFFIX in ATTACHMENTS
    for attempt in (1, 2):
        for encrypted in (False, True):
            keys = ArtifactKeys("installation", "app", "backup_20250101_120000.sql", attempt, encrypted)
            assert {keys.object, keys.facts, keys.attachment(SCHEMA_SUFFIX)} <= earlier
    assert len(earlier) == 12
    assert not earlier & {third.object, third.facts, third.manifest}
