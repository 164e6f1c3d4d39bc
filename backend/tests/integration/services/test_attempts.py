"""Attempts at one backup: a later one takes over, an earlier one that was only frozen wakes and finishes nothing."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import HHHError, LeaseLost, ObjectExists
from hhh.core.run import Unattended
from hhh.jobs.worker import working
from hhh.models import Job, JobState
from hhh.services.container import Services
from hhh.services.work import Attempt
from hhh.storages.base import Storage
from hhh.storages.local import LocalStorage
from support.backing_up import files_below
from support.faulty_stores import FaultyStore, HangingStore, Step
from support.local_services import services_with_a_target, storing_in
from support.waiting import wait_until


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def job_id(services: Services) -> str:
    """A backup that is queued."""
    with working(services) as worker:
        return worker.create(services.backups.request("source"))


def begin(services: Services, job_id: str, number: int) -> None:
    """Whoever had the job before has it no more."""
    with services.database.transaction() as session:
        held = {"state": JobState.RUNNING, "attempt": number, "worker": f"worker {number}"}
        session.execute(update(Job).where(Job.id == job_id).values(**held, lease_expires_at=utcnow()))


def perform(services: Services, job_id: str, number: int, storage: Storage) -> None:
    attempt = Attempt(job_id, number, "source", f"worker-{number}")
    storing_in(services, storage).backups.perform(attempt, Unattended())


def store_of(services: Services) -> Path:
    return services.settings.data_dir / "backups"


def assert_only_attempt(services: Services, job_id: str, number: int) -> None:
    """It is recorded, and all that is in the store is of that attempt."""
    backup = services.catalogue.get(job_id)
    assert backup.status == "success"
    assert backup.manifest is not None
    assert backup.manifest["attempt"] == number
    names = [name.rsplit("/", 1)[1] for name in files_below(store_of(services))]
    file = backup.backup_file
    assert names == [f"{file}.{number}.facts.json", f"{file}.{number}.zst", f"{file}.json"]
    assert services.contents.of(job_id).tables


@pytest.mark.parametrize(
    ("step", "ending", "error"),
    [
        (Step.COMMIT, ".1.zst", LeaseLost),
        (Step.OPEN, ".facts.json", LeaseLost),
        (Step.CREATE, ".sql.json", ObjectExists),
        (Step.CREATED, ".sql.json", LeaseLost),
    ],
)
def test_an_attempt_that_was_frozen_and_wakes_finishes_nothing(
    services: Services, job_id: str, step: Step, ending: str, error: type[HHHError]
) -> None:
    frozen = HangingStore(store_of(services), step, ending)
    begin(services, job_id, 1)
    with ThreadPoolExecutor(1) as thread:
        first: Future[None] = thread.submit(perform, services, job_id, 1, frozen)
        frozen.wait_until_struck()
        begin(services, job_id, 2)
        perform(services, job_id, 2, LocalStorage(store_of(services)))
        frozen.let_go()
        with pytest.raises(error):
            first.result()
    assert_only_attempt(services, job_id, 2)


class FrozenAroundTheManifest(LocalStorage):
    """Frozen before it creates the manifest, and again once it has."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.may, self.created, self.may_end = (threading.Event() for _ in range(4))

    def create(self, key: str, content: bytes) -> None:
        self.asked.set()
        self.may.wait()
        super().create(key, content)
        self.created.set()
        self.may_end.wait()


def test_a_manifest_that_a_frozen_attempt_created_late_does_not_block_the_next_one(
    services: Services, job_id: str
) -> None:
    frozen = FrozenAroundTheManifest(store_of(services))
    held = HangingStore(store_of(services), Step.COMMIT, ".2.zst")
    begin(services, job_id, 1)
    with ThreadPoolExecutor(2) as threads:
        first: Future[None] = threads.submit(perform, services, job_id, 1, frozen)
        wait_until(frozen.asked.is_set)
        begin(services, job_id, 2)
        second: Future[None] = threads.submit(perform, services, job_id, 2, held)
        held.wait_until_struck()
        frozen.may.set()
        wait_until(frozen.created.is_set)
        held.let_go()
        second.result()
        frozen.may_end.set()
        with pytest.raises(LeaseLost):
            first.result()
    assert_only_attempt(services, job_id, 2)


def test_what_a_killed_attempt_left_is_removed_by_the_next(services: Services, job_id: str) -> None:
    begin(services, job_id, 1)
    killed = HangingStore(store_of(services), Step.CREATED, ".sql.json")
    held = HangingStore(store_of(services), Step.OPEN, ".2.zst")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(perform, services, job_id, 1, killed)
        killed.wait_until_struck()  # it is not heard of again
        assert len(files_below(store_of(services))) == 3
        begin(services, job_id, 2)
        second = threads.submit(perform, services, job_id, 2, held)
        held.wait_until_struck()
        assert files_below(store_of(services)) == []
        held.let_go()
        second.result()
        assert_only_attempt(services, job_id, 2)
        killed.let_go()
        assert isinstance(first.exception(), LeaseLost)


def test_a_job_that_was_given_up_creates_no_manifest(services: Services, job_id: str) -> None:
    begin(services, job_id, 2)
    storage = FaultyStore(store_of(services), Step.CREATE)

    with pytest.raises(LeaseLost):
        perform(services, job_id, 1, storage)

    assert storage.struck == 0
    assert files_below(store_of(services)) == []


def test_the_manifest_of_another_backup_is_never_replaced(services: Services, job_id: str) -> None:
    begin(services, job_id, 1)
    held = HangingStore(store_of(services), Step.CREATE)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(perform, services, job_id, 1, held)
        held.wait_until_struck()
        file = services.catalogue.get(job_id).backup_file
        key = f"{services.identity.installation}/source/{file}.json"
        LocalStorage(store_of(services)).create(key, b"{}")
        held.let_go()
        with pytest.raises(ObjectExists):
            first.result()
    assert [(store_of(services) / name).read_bytes() for name in files_below(store_of(services))] == [b"{}"]
