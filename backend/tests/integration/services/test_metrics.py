"""What is counted for monitoring, on both own databases."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import BackupStatus, CopyStatus, Job, JobKind, JobState
from hhh.repositories.metrics import InStore, Kept, Lacking
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.recoverable import HOUR, a_backup, a_verification

STORED, MISSING, UNDELETABLE = CopyStatus.STORED, CopyStatus.MISSING, CopyStatus.UNDELETABLE


@pytest.fixture
def services(own_database: Database, tmp_path: Path) -> Services:
    return services_with_a_target(tmp_path, own_database, target="shop")


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Those that are sent meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def a_job(services: Services, kind: JobKind, state: JobState, age: timedelta, target: str = "shop") -> None:
    asked = utcnow() - age
    job = Job(id=str(uuid.uuid4()), kind=kind, target=target, state=state, worker="", lease_expires_at=asked)
    job.created_at = asked
    with services.database.transaction() as session:
        session.add(job)


def test_what_is_being_removed_counts_for_its_store_alone(services: Services) -> None:
    database = services.database
    a_backup(database, "shop", copies={"default": STORED, "second": MISSING})
    a_backup(database, "shop", age=2 * HOUR)
    a_backup(database, "shop", age=3 * HOUR, copies={"default": UNDELETABLE, "second": MISSING}, deleted_at=utcnow())
    a_backup(database, "shop", status=BackupStatus.FAILED)
    a_backup(database, "shop", status=BackupStatus.CANCELLED)
    a_backup(database, "shop", status=BackupStatus.RUNNING)

    found = services.metrics.measure()

    assert found.kept == [Kept("shop", successful=2, failed=1, cancelled=1, size=20)]
    assert found.stores == [InStore("default", copies=3, size=30)]
    assert found.lacking == [Lacking("shop", "second", copies=1)]


def test_a_target_that_is_registered_no_more_is_counted_while_it_has_backups(services: Services) -> None:
    a_backup(services.database, "shop")
    services.targets.remove("shop")
    found = services.metrics.measure()
    assert [each.target for each in found.kept] == ["shop"]
    assert "shop" not in {each.target for each in found.targets}


def test_of_jobs_that_wait_the_oldest_is_told(services: Services) -> None:
    a_job(services, JobKind.VERIFY, JobState.QUEUED, 2 * HOUR)
    a_job(services, JobKind.VERIFY, JobState.QUEUED, HOUR)
    a_job(services, JobKind.PRUNE, JobState.RUNNING, HOUR)
    a_job(services, JobKind.PRUNE, JobState.SUCCESS, HOUR, target="app")
    found = services.metrics.measure()
    told = {(each.kind, each.state): (each.jobs, round((found.at - each.since) / HOUR)) for each in found.jobs}
    assert told == {("verify", "queued"): (2, 2), ("prune", "running"): (1, 1)}


def test_a_backup_takes_as_long_as_its_job_worked(services: Services) -> None:
    backup_id = a_backup(services.database, "shop", finished_at=utcnow(), raw_size=1000)
    assert services.metrics.measure().newest["shop"].started_at == services.catalogue.get(backup_id).created_at
    started = utcnow() - timedelta(seconds=30)
    job = Job(id=backup_id, kind="backup", target="shop", state="success", worker="", lease_expires_at=started)
    job.created_at, job.started_at = started - HOUR, started
    with services.database.transaction() as session:
        session.add(job)
    newest = services.metrics.measure().newest["shop"]
    assert (newest.started_at, newest.size, newest.raw_size) == (started, 10, 1000)


def test_many_targets_are_measured_by_as_many_queries_as_one(services: Services, tmp_path: Path) -> None:
    with statements(services.database) as before:
        services.metrics.measure()
    for number in range(20):
        services.targets.add(f"t{number}", f"sqlite:///{tmp_path}/{number}.db")
        a_verification(services.database, a_backup(services.database, f"t{number}"))
    with statements(services.database) as after:
        assert len(services.metrics.measure().targets) == 22
    assert len(after) <= len(before) + 2  # what is asked of verified backups, where there are any
