"""What becomes of the jobs of a dead worker: who may go on with them, and who may not."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from hhh.core.errors import BackupInProgress
from hhh.jobs.timing import MAX_ATTEMPTS, Timing
from hhh.jobs.worker import Worker, working
from hhh.models import Job, JobKind, JobState, WorkerRow, WorkerState
from hhh.repositories import jobs as rows
from hhh.repositories import workers as worker_rows
from hhh.services.container import Services
from support.waiting import wait_until

BRISK = Timing(watch=0.02, beat=0.05)


@pytest.fixture
def taker(services: Services) -> Iterator[Worker]:
    """A worker that takes whatever waits."""
    with working(services, slots=2, timing=BRISK) as worker:
        yield worker


@pytest.fixture
def command(services: Services) -> Iterator[Worker]:
    """A worker that runs its own jobs alone."""
    with working(services, timing=BRISK) as worker:
        yield worker


def job(services: Services, job_id: str) -> Job:
    with services.database.snapshot() as session:
        return session.get_one(Job, job_id)


def left_by_the_dead(services: Services, worker: Worker, *, attempts: int = 1, **values: object) -> str:
    """A running job of a machine that is gone, and whose lease ran out."""
    job_id = worker.create(services.backups.request("source"))
    with services.database.transaction() as session:
        now = rows.server_time(session)
        claimed = rows.claim(session, job_id, worker="gone", lease_expires_at=now, now=now)
        assert claimed is not None
        services.backups.begin(session, claimed)
        session.execute(update(Job).where(Job.id == job_id).values(attempt=attempts, **values))
    return job_id


def tidied(services: Services, worker: Worker, job_id: str) -> Job:
    """The job, once its overdue lease is believed."""

    def is_seen_to() -> bool:
        worker.tidy()
        return job(services, job_id).state != JobState.RUNNING

    wait_until(is_seen_to, what="the job to be seen to")
    return job(services, job_id)


def test_a_backup_is_queued_for_whoever_is_free(services: Services, taker: Worker) -> None:
    job_id = left_by_the_dead(services, taker)
    waiting = tidied(services, taker, job_id)
    assert (waiting.state, waiting.worker, waiting.attempt) == (JobState.QUEUED, "", 1)
    assert services.catalogue.get(job_id).status == "queued"
    assert taker.adopt_queued() == [job_id]
    taker.attempt(job_id)
    assert (job(services, job_id).state, job(services, job_id).attempt) == (JobState.SUCCESS, 2)


def test_where_nobody_takes_jobs_it_has_failed(services: Services, command: Worker) -> None:
    job_id = left_by_the_dead(services, command)
    ended = tidied(services, command, job_id)
    assert (ended.state, "start it again" in (ended.error or "")) == (JobState.FAILED, True)
    assert services.catalogue.get(job_id).status == "failed"


@pytest.mark.parametrize("change", [{"state": WorkerState.DRAINING}, {"heartbeat_at": None}])
def test_who_stops_or_is_silent_takes_no_jobs(services: Services, command: Worker, change: dict[str, object]) -> None:
    with services.database.transaction() as session:
        now = rows.server_time(session)
        values = {"state": WorkerState.ACTIVE, "heartbeat_at": now, **change}
        values["heartbeat_at"] = values["heartbeat_at"] or now - 2 * BRISK.lease
        row = WorkerRow(id="w", name="w", host="h", pid=1, version="1", slots=1, started_at=now, **values)
        worker_rows.put(session, row)
    assert tidied(services, command, left_by_the_dead(services, command)).state == JobState.FAILED


def test_what_killed_its_workers_too_often_has_failed(services: Services, taker: Worker) -> None:
    job_id = left_by_the_dead(services, taker, attempts=MAX_ATTEMPTS)
    job = tidied(services, taker, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert f"at its attempt {MAX_ATTEMPTS}, and no other is made" in job.error


def test_what_was_to_be_cancelled_is_cancelled(services: Services, taker: Worker) -> None:
    job_id = left_by_the_dead(services, taker, cancel_requested=True)
    ended = tidied(services, taker, job_id)
    assert (ended.state, ended.error) == (JobState.CANCELLED, "The backup was cancelled")
    assert services.catalogue.get(job_id).status == "cancelled"


def test_what_can_not_be_repeated_has_failed(services: Services, taker: Worker) -> None:
    job_id = left_by_the_dead(services, taker, kind=JobKind.RESTORE)
    assert tidied(services, taker, job_id).state == JobState.FAILED


def test_what_a_newer_version_does_is_left_to_it(services: Services, taker: Worker) -> None:
    running = left_by_the_dead(services, taker, kind="newer")
    queued = taker.create(services.backups.request("app"), shared=True)
    with services.database.transaction() as session:
        now = rows.server_time(session)
        values = {"kind": "newer", "lease_expires_at": now}
        session.execute(update(Job).where(Job.id == queued).values(**values))
    for _ in range(3):
        taker.tidy()
    taker.attempt(queued)
    assert taker.adopt_queued() == []
    assert (job(services, running).state, job(services, queued).state) == (JobState.RUNNING, JobState.QUEUED)


def test_who_asks_for_what_somebody_will_go_on_with_is_told_so(services: Services, taker: Worker) -> None:
    left_by_the_dead(services, taker)
    with pytest.raises(BackupInProgress):
        taker.create(services.backups.request("source"))


def test_who_asks_for_what_waits_for_anybody_is_told_so_as_long_as_somebody_lives(services: Services) -> None:
    with working(services, slots=1, timing=BRISK) as taker:
        waiting = taker.create(services.backups.request("source"), shared=True)
        with services.database.transaction() as session:
            rows.let_go(session, waiting, now=rows.server_time(session))
        with working(services, timing=BRISK) as command, pytest.raises(BackupInProgress):
            command.create(services.backups.request("source"))
    with working(services, timing=BRISK) as command:
        command.execute(command.create(services.backups.request("source")))
    assert job(services, waiting).state == JobState.FAILED
    assert services.catalogue.stats().successful_backups == 1


def test_an_attempt_that_lost_its_job_ends_it_neither_way(services: Services, taker: Worker) -> None:
    job_id = left_by_the_dead(services, taker)
    tidied(services, taker, job_id)
    with services.database.transaction() as session:
        now = rows.server_time(session)
        for state in (JobState.SUCCESS, JobState.FAILED):
            assert not rows.finish(session, job_id, 1, state=state, error=None, now=now)
        assert rows.renew(session, job_id, 1, lease_expires_at=now, progress={"stage": "late"}) is None
    assert (job(services, job_id).state, job(services, job_id).progress) == (JobState.QUEUED, None)
