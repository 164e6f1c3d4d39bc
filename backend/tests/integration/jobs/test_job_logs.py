"""What a job wrote to the log stands beside what it made, however its attempts ended, as long as that is there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.database import Database
from hhh.core.errors import StorageUnavailable
from hhh.core.run import Progress, Unattended
from hhh.jobs.heartbeat import Observer
from hhh.jobs.timing import Timing
from hhh.jobs.worker import Worker, working
from hhh.models import JobKind
from hhh.repositories import jobs as rows
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services
from hhh.services.removal import Removal
from support.logs import Log, log
from support.waiting import wait_until

__all__ = ["log"]

pytestmark = pytest.mark.usefixtures("log")

SECRET = "hunter2"


@pytest.fixture
def worker(services: Services) -> Iterator[Worker]:
    with working(services, slots=1, timing=Timing(watch=0.02, beat=0.05)) as worker:
        yield worker


def events(services: Services, job_id: str) -> list[str]:
    return [line.event for line in services.job_logs.of(job_id)]


def back_up(services: Services, worker: Worker, observer: Observer | None = None) -> str:
    backup_id = worker.create(services.backups.request("source"))
    worker.execute(backup_id, observer)
    return backup_id


def failing(error: BaseException) -> Observer:
    """Has a run fail with that as soon as it tells anything."""

    def fail(_: Progress) -> None:
        raise error

    return fail


@contextlib.contextmanager
def away(database: Database, table: str) -> Iterator[None]:
    """Has the own database lack a table."""
    for old, new in ((table, "elsewhere"), ("elsewhere", table)):
        with database.transaction() as session:
            session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
        if new != table:
            yield


def test_a_backup_keeps_what_was_logged_while_it_was_taken(services: Services, worker: Worker) -> None:
    lines = services.job_logs.of(back_up(services, worker))

    told = [line.event for line in lines]
    assert (told[0], told[-1]) == ("attempt begun", "backup stored")
    assert told.count("stage begun") == 3
    assert dict(lines[0].rest) == {"kind": "backup", "target": "source", "attempt": "1"}
    assert all(line.at is not None and line.level == "info" for line in lines)


def test_a_failed_attempt_keeps_its_lines_without_secrets(services: Services, worker: Worker) -> None:
    away = StorageUnavailable(f"s3://key:{SECRET}@bucket is away")
    last = services.job_logs.of(back_up(services, worker, failing(away)))[-1]

    assert (last.event, last.level) == ("job failed", "error")
    assert "s3://key:***@bucket is away" in dict(last.rest)["error"]
    assert SECRET not in repr(last)


def test_an_error_that_nobody_foresaw_leaves_its_traceback(services: Services, worker: Worker) -> None:
    unforeseen = ZeroDivisionError(f"postgresql://u:{SECRET}@h/d")
    last = services.job_logs.of(back_up(services, worker, failing(unforeseen)))[-1]

    assert "ZeroDivisionError" in dict(last.rest)["exception"]
    assert SECRET not in repr(last)


def test_an_interrupt_is_written_down_before_it_goes_on(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    with pytest.raises(KeyboardInterrupt):
        worker.execute(backup_id, failing(KeyboardInterrupt()))

    assert events(services, backup_id)[-1] == "job failed"


def test_a_cancelled_one_says_so(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))

    def cancel(_: Progress) -> None:
        services.cancelling.cancel(backup_id, JobKind.BACKUP)

    worker.execute(backup_id, cancel)
    last = services.job_logs.of(backup_id)[-1]

    assert dict(last.rest)["error"] == "The backup was cancelled"


def test_attempts_add_to_the_same_lines_also_after_a_killed_one(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    with services.database.transaction() as session:
        now = rows.server_time(session)
        claimed = rows.claim(session, backup_id, worker="gone", lease_expires_at=now, now=now)
        assert claimed is not None
        services.backups.begin(session, claimed)

    def is_taken_over() -> bool:
        worker.tidy()
        return "job taken over" in events(services, backup_id)

    wait_until(is_taken_over, what="the job to be taken over")
    worker.adopt_queued()
    worker.attempt(backup_id)

    lines = services.job_logs.of(backup_id)
    assert [line.event for line in lines[:2]] == ["job taken over", "attempt begun"]
    assert dict(lines[1].rest)["attempt"] == "2"
    assert lines[-1].event == "backup stored"


def test_a_log_that_cannot_be_written_harms_no_backup(services: Services, worker: Worker, log: Log) -> None:
    with away(services.database, "job_logs"):
        backup_id = back_up(services, worker)

    assert services.catalogue.get(backup_id).status == "success"
    assert events(services, backup_id) == []
    assert len(log.lines("job_log_not_written")) == 1


def test_it_goes_with_its_backup(services: Services, worker: Worker) -> None:
    kept, removed = back_up(services, worker), back_up(services, worker)
    services.deletion.delete(removed, by="root", force=services.catalogue.get(removed).backup_file)
    assert events(services, removed)
    Removal(services.database, services.stores, Unattended()).remove(removed)

    assert not events(services, removed)
    assert events(services, kept)


def test_it_goes_with_a_store_whose_backups_are_forgotten(services: Services, worker: Worker, tmp_path: Path) -> None:
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())
    kept = back_up(services, worker)
    services.targets.update("source", None, PolicyFields(storages=["offsite"]), whole=False)
    gone = back_up(services, worker)
    services.targets.update("source", None, PolicyFields(storages=[]), whole=False)
    services.stores.remove("offsite", "forget-backups")

    assert not events(services, gone)
    assert events(services, kept)


def test_an_attempt_that_its_process_does_not_wait_for_is_written_down_so_far(
    services: Services, worker: Worker
) -> None:
    seen: list[list[str]] = []

    def abandon(_: Progress) -> None:
        worker.abandon_all()
        seen.append(events(services, backup_id))

    backup_id = worker.create(services.backups.request("source"))
    worker.execute(backup_id, abandon)

    assert seen[0] == ["attempt begun", "stage begun", "job abandoned"]
    assert events(services, backup_id)[:3] == seen[0]


def test_that_of_a_verification_outlives_the_backup(services: Services, worker: Worker) -> None:
    backup_id = back_up(services, worker)
    verification_id = worker.create(services.verifications.request(backup_id, "stored", requested_by="root"))
    worker.execute(verification_id)
    services.deletion.delete(backup_id, by="root", force=services.catalogue.get(backup_id).backup_file)
    Removal(services.database, services.stores, Unattended()).remove(backup_id)

    assert events(services, verification_id)[-1] == "verification ended"


def test_upkeep_leaves_none(services: Services, worker: Worker) -> None:
    job_id = worker.create(services.sweep.request())
    worker.execute(job_id)

    assert events(services, job_id) == []


def test_of_what_is_no_job_there_are_none(services: Services) -> None:
    assert services.job_logs.of("no id") == []
