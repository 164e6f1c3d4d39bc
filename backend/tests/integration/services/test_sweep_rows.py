"""Rows, jobs and scratch folders that belong to nothing; and the sweep as a job."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, StorageUnavailable
from hhh.core.scratch import SCRATCH_PREFIX, scratch_folder
from hhh.jobs.timing import Timing
from hhh.jobs.worker import working
from hhh.models import BackupLog, BackupStatus, Installation, Job, JobKind, JobState
from hhh.services.container import Services
from hhh.services.sweep import EVERYTHING
from hhh.storages.base import ObjectInfo
from hhh.storages.local import LocalStorage
from support.local_services import services_with_a_target
from support.sweeping import SOURCE, folder, found, key_of, left_over, look, sweeping_in, take
from support.waiting import wait_until

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def sqlite_services(tmp_path: Path, sqlite_database: Database) -> Services:
    return services_with_a_target(tmp_path, sqlite_database)


def queued(services: Services, kind: JobKind = JobKind.BACKUP, target: str = SOURCE) -> str:
    """A job that waits, without the row of what it makes."""
    now, job_id = utcnow(), str(uuid.uuid4())
    with services.database.transaction() as session:
        session.add(
            Job(
                id=job_id,
                kind=kind,
                target=target,
                state=JobState.QUEUED,
                attempt=0,
                worker="",
                lease_expires_at=now + HOUR,
                created_at=now,
            )
        )
    return job_id


def job(services: Services, job_id: str) -> Job:
    with services.database.snapshot() as session:
        return session.get_one(Job, job_id)


# ------------------------------------------------------------------------------------------- what belongs to nothing


@pytest.mark.parametrize("status", [BackupStatus.QUEUED, BackupStatus.RUNNING])
def test_a_backup_that_no_job_is_on_is_told_and_then_recorded_as_failed(
    services: Services, status: BackupStatus
) -> None:
    take(services)
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(SOURCE))
    with services.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(status=status))
        session.execute(delete(Job).where(Job.id == backup_id))

    assert found(look(services, repair=False)) == [("backup_without_job", backup_id, False)]
    assert services.catalogue.get(backup_id).status == status.lower()

    assert found(look(services)) == [("backup_without_job", backup_id, True)]

    backup = services.catalogue.get(backup_id)
    assert (backup.status, backup.error) == ("failed", "Its job was lost")
    assert services.catalogue.stats().failed_backups == 1
    assert found(look(services)) == []


def test_a_backup_that_waits_for_a_worker_is_left_alone(services: Services) -> None:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(SOURCE))
        assert found(look(services)) == []
    assert services.catalogue.get(backup_id).status == "queued"


@pytest.mark.parametrize("kind", [JobKind.BACKUP, JobKind.RESTORE])
def test_a_job_without_the_row_of_what_it_makes_is_told_and_then_ended(services: Services, kind: JobKind) -> None:
    job_id = queued(services, kind)

    assert found(look(services, repair=False)) == [("job_without_record", job_id, False)]
    assert job(services, job_id).state == JobState.QUEUED

    assert found(look(services)) == [("job_without_record", job_id, True)]

    assert job(services, job_id).state == JobState.FAILED
    assert found(look(services)) == []


def test_jobs_that_make_no_row_are_left_alone(sqlite_services: Services) -> None:
    for kind in (JobKind.PRUNE, JobKind.REPAIR, JobKind.SWEEP):
        queued(sqlite_services, kind)
    assert found(look(sqlite_services)) == []


def test_a_job_whose_worker_is_silent_is_told_and_handed_on_by_a_worker(services: Services) -> None:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(SOURCE))
    with services.database.transaction() as session:
        session.execute(update(Job).values(state=JobState.RUNNING, attempt=1, lease_expires_at=utcnow() - HOUR))

    for repair in (False, True):
        assert found(look(services, repair=repair)) == [("job_without_worker", backup_id, False)]

    with working(services, timing=Timing(watch=0.01)) as worker:

        def tidy() -> None:
            wait_until(was_handed_on)

        def was_handed_on() -> bool:
            worker.tidy()
            return not services.sweep.has_silent_jobs()

        assert found(services.sweep.look(repair=True, tidy=tidy)) == []
    assert job(services, backup_id).state == JobState.FAILED
    assert services.catalogue.get(backup_id).status == "failed"


def test_a_removal_that_was_not_finished_is_told_and_gone_on_with(services: Services) -> None:
    kept, removed = take(services), take(services)
    services.deletion.delete(removed, by="ann", force=services.catalogue.get(removed).backup_file)
    assert found(look(services)) == []  # somebody may be at it
    with services.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == removed).values(deleted_at=utcnow() - 2 * HOUR))
    files = [path for path in folder(services).rglob("*") if path.is_file()]

    assert found(look(services, repair=False)) == [("removal_unfinished", removed, False)]
    assert [path for path in folder(services).rglob("*") if path.is_file()] == files

    assert found(look(services)) == [("removal_unfinished", removed, True)]

    assert len([path for path in folder(services).rglob("*") if path.is_file()]) == len(files) // 2
    with services.database.snapshot() as session:
        assert {row.id for row in session.query(BackupLog)} == {kept}
    assert found(look(services)) == []


def test_scratch_of_killed_processes_is_told_and_then_removed(sqlite_services: Services) -> None:
    scratch = sqlite_services.settings.scratch_dir
    left = scratch / f"{SCRATCH_PREFIX}killed-abc"
    left.mkdir(parents=True)
    with scratch_folder(scratch, "alive") as held:
        assert found(look(sqlite_services, repair=False)) == [("scratch_left", str(left), False)]
        assert left.exists()
        assert found(look(sqlite_services)) == [("scratch_left", str(left), True)]
        assert not left.exists()
        assert held.exists()
        assert found(look(sqlite_services)) == []


# ------------------------------------------------------------------------------------------------ the sweep as a job


def test_a_job_sweeps_and_says_when(services: Services) -> None:
    take(services)
    gone = left_over(services)
    with working(services) as worker:
        job_id = worker.create(services.sweep.request())
        with pytest.raises(BackupInProgress, match="A sweep"):
            worker.create(services.sweep.request())
        worker.execute(job_id)

    assert not gone.exists()
    assert (job(services, job_id).state, job(services, job_id).target) == (JobState.SUCCESS, EVERYTHING)
    last = services.sweep.last()
    assert last is not None
    assert last.state == JobState.SUCCESS


def test_a_job_that_could_not_look_at_a_store_fails_after_it_has_swept_the_others(
    sqlite_services: Services, tmp_path: Path
) -> None:
    class Down(LocalStorage):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise StorageUnavailable(f"503 of {prefix}")

    services = sqlite_services
    second = tmp_path / "second"
    services.stores.add("second", second.as_uri())
    gone = second / key_of(services, left_over(services))
    gone.parent.mkdir(parents=True)
    left_over(services).rename(gone)
    services = sweeping_in(services, Down(folder(services)))

    with working(services) as worker:
        job_id = worker.create(services.sweep.request())
        worker.execute(job_id)

    assert not gone.exists()
    ended = job(services, job_id)
    assert ended.state == JobState.FAILED
    assert "1 store(s) could not be swept; default: 503 of" in (ended.error or "")


def due_after(services: Services, **values: object) -> bool:
    with services.database.transaction() as session:
        session.execute(update(Job).where(Job.kind == JobKind.SWEEP).values(**values))
    return bool(services.sweep.due())


def test_it_is_due_a_day_after_the_first_use_and_then_daily(services: Services) -> None:
    assert services.sweep.due() == []
    assert services.identity.installation
    assert services.sweep.due() == []
    with services.database.transaction() as session:
        session.execute(update(Installation).values(created_at=utcnow() - DAY))
    (new,) = services.sweep.due()
    assert (new.kind, new.target) == (JobKind.SWEEP, EVERYTHING)

    with working(services) as worker:
        worker.execute(worker.create(new))
    assert services.sweep.due() == []
    assert not due_after(services, created_at=utcnow() - DAY + HOUR)
    assert due_after(services, created_at=utcnow() - DAY)


def test_it_is_due_an_hour_after_one_that_failed_and_where_the_last_one_is_of_a_time_to_come(
    services: Services,
) -> None:
    assert services.identity.installation
    with services.database.transaction() as session:
        session.execute(update(Installation).values(created_at=utcnow() - DAY))
    with working(services) as worker:
        worker.execute(worker.create(services.sweep.request()))
    assert not due_after(services, state=JobState.FAILED, created_at=utcnow() - HOUR / 2)
    assert due_after(services, state=JobState.FAILED, created_at=utcnow() - HOUR)
    # A clock that was ahead is not waited for.
    assert due_after(services, state=JobState.SUCCESS, created_at=utcnow() + 30 * DAY)
