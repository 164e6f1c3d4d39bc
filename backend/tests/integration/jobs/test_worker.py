"""Who may run a job, for how long that is believed, and what becomes of jobs that nobody runs any more."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from hhh.core.clock import utcnow
from hhh.core.errors import BackupInProgress, Cancelled, LeaseLost, NotFound
from hhh.core.run import Progress
from hhh.core.scratch import SCRATCH_PREFIX, scratch_folder
from hhh.jobs.heartbeat import Heartbeat, LeasedRun
from hhh.jobs.liveness import Liveness
from hhh.jobs.timing import Timing
from hhh.jobs.worker import Worker, working
from hhh.models import BackupLog, Job, JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.schemas.backup import RunProgress
from hhh.services.container import Services
from hhh.services.workers import LEASE
from support.backing_up import files_below, scratch_leftovers
from support.session import current_session
from support.waiting import wait_until

LONG_AGO = utcnow() - timedelta(hours=1)


@pytest.fixture
def worker(services: Services) -> Iterator[Worker]:
    with working(services, timing=Timing(watch=0.05)) as worker:
        yield worker


def state(services: Services, job_id: str) -> str:
    with services.database.snapshot() as session:
        job = rows.get(session, job_id)
        assert job is not None
        return job.state


def change(services: Services, job_id: str, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def claim(services: Services, job_id: str, worker: str = "another") -> Job | None:
    now = utcnow()
    with services.database.transaction() as session:
        return rows.claim(session, job_id, worker=worker, lease_expires_at=now + LEASE, now=now)


def tidy_until_ended(services: Services, worker: Worker, job_id: str) -> None:
    """An overdue lease is watched for a while before it is believed."""

    def ended() -> bool:
        worker.tidy()
        return state(services, job_id) != JobState.RUNNING

    wait_until(ended, what="the job to be given up")


def status(services: Services, backup_id: str) -> tuple[str, str | None]:
    found = services.catalogue.get(backup_id)
    return found.status, found.error


def test_a_queued_job_is_run_and_recorded(services: Services, worker: Worker, tmp_path: Path) -> None:
    seen: list[Progress] = []
    backup_id = worker.create(services.backups.request("source"))
    assert status(services, backup_id) == ("queued", None)
    worker.execute(backup_id, seen.append)
    assert status(services, backup_id) == ("success", None)
    assert [seen[0].stage, seen[-1].stage] == ["snapshot", "finalise"]
    assert seen[-1].stored_bytes == services.catalogue.get(backup_id).stored_size > 0
    assert scratch_leftovers(tmp_path / "scratch") == []


def test_a_job_is_claimed_once_however_many_try(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    with ThreadPoolExecutor(8) as crowd:
        claims = list(crowd.map(lambda name: claim(services, backup_id, f"worker {name}"), range(8)))
    (claimed,) = [job for job in claims if job is not None]
    assert (claimed.state, claimed.attempt) == (JobState.RUNNING, 1)
    worker.execute(backup_id)  # somebody else has it
    assert state(services, backup_id) == JobState.RUNNING


def test_of_many_triggers_at_once_one_is_taken(services: Services, worker: Worker) -> None:
    def create(_: int) -> str | None:
        try:
            return worker.create(services.backups.request("source"))
        except BackupInProgress:
            return None

    with ThreadPoolExecutor(8) as crowd:
        taken = [backup_id for backup_id in crowd.map(create, range(8)) if backup_id]
    assert len(taken) == 1


def test_an_unknown_target_leaves_no_row(services: Services, worker: Worker) -> None:
    with pytest.raises(NotFound, match="nobody"):
        worker.create(services.backups.request("nobody"))
    assert services.catalogue.stats().total_backups == 0


def test_a_job_whose_lease_ran_out_is_failed_by_whoever_tidies_up(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    claim(services, backup_id)
    worker.tidy()
    assert state(services, backup_id) == JobState.RUNNING
    change(services, backup_id, lease_expires_at=LONG_AGO)
    tidy_until_ended(services, worker, backup_id)
    assert status(services, backup_id)[0] == "failed"
    assert services.catalogue.stats().failed_backups == 1


def test_a_job_whose_lease_ran_out_does_not_keep_its_target_busy(services: Services, worker: Worker) -> None:
    dead = worker.create(services.backups.request("source"))
    claim(services, dead)
    with pytest.raises(BackupInProgress):
        worker.create(services.backups.request("source"))
    change(services, dead, lease_expires_at=LONG_AGO)
    worker.execute(worker.create(services.backups.request("source")))
    stats = services.catalogue.stats()
    assert (stats.failed_backups, stats.successful_backups) == (1, 1)


def test_a_job_whose_backup_was_removed_by_hand_holds_up_nobody(services: Services, worker: Worker) -> None:
    removed, left = worker.create(services.backups.request("source")), worker.create(services.backups.request("app"))
    for job_id in (removed, left):
        claim(services, job_id)
        change(services, job_id, lease_expires_at=LONG_AGO)
    with services.database.transaction() as session:
        session.execute(delete(BackupLog).where(BackupLog.id == removed))
    for job_id in (removed, left):
        tidy_until_ended(services, worker, job_id)
    assert [state(services, job_id) for job_id in (removed, left)] == [JobState.FAILED] * 2
    worker.execute(worker.create(services.backups.request("source")))
    stats = services.catalogue.stats()
    assert (stats.failed_backups, stats.successful_backups) == (1, 1)


def test_a_queued_job_whose_worker_is_gone_is_adopted(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    change(services, backup_id, worker="gone", lease_expires_at=LONG_AGO)
    assert worker.adopt_queued() == [backup_id]
    worker.execute(backup_id)
    assert state(services, backup_id) == JobState.SUCCESS


def test_a_worker_that_died_is_known_at_once(services: Services, worker: Worker) -> None:
    with another_process_that_holds(services.settings.data_dir) as (dead, process):
        running, queued = (
            worker.create(services.backups.request("source")),
            worker.create(services.backups.request("app")),
        )
        claim(services, running, dead)
        change(services, queued, worker=dead)
        worker.tidy()
        assert state(services, running) == JobState.RUNNING
        process.kill()
        process.wait()
    worker.tidy()
    assert worker.adopt_queued() == [queued]
    assert status(services, running)[0] == "failed"
    assert Liveness(services.settings.data_dir).dead() == []


def test_scratch_that_nobody_holds_is_swept_and_what_is_worked_in_stays(worker: Worker, tmp_path: Path) -> None:
    left = tmp_path / "scratch" / f"{SCRATCH_PREFIX}somebody-x"
    left.mkdir(parents=True)
    with scratch_folder(tmp_path / "scratch", "another") as held:
        worker.tidy()
        assert (left.exists(), held.exists()) == (False, True)


def test_the_heartbeat_keeps_leases_and_writes_progress(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    claim(services, backup_id)
    change(services, backup_id, lease_expires_at=LONG_AGO)
    run = LeasedRun(backup_id, JobKind.BACKUP, 1)
    with Heartbeat(services.database, "another") as heartbeat, heartbeat.running(run):
        run.report(Progress("stream", 10, 5, 20))
        wait_until(lambda: services.catalogue.get(backup_id).progress, what="progress in the row")
        worker.tidy()
        assert state(services, backup_id) == JobState.RUNNING
        run.raise_if_cancelled()
    progress = services.catalogue.get(backup_id).progress
    assert progress == RunProgress(
        stage="stream", raw_bytes=10, stored_bytes=5, expected_bytes=20, percent=50, attempt=1
    )


def test_a_run_hears_that_it_was_cancelled(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))

    def cancel(_: Progress) -> None:
        change(services, backup_id, cancel_requested=True)
        (run,) = worker._heartbeat.runs()
        wait_until(lambda: run._ended, what="the heartbeat to hear of it")

    worker.execute(backup_id, cancel)
    assert status(services, backup_id) == ("cancelled", "The backup was cancelled")
    assert services.catalogue.stats().failed_backups == 1
    assert files_below(services.settings.data_dir / "backups") == []


def test_a_run_that_lost_its_lease_finalises_nothing(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    given_up = threading.Event()

    def give_up(progress: Progress) -> None:
        # After its last look for cancellation but one: only the row itself tells.
        if progress.stage == "finalise" and not given_up.is_set():
            change(services, backup_id, lease_expires_at=LONG_AGO, attempt=7)
            given_up.set()

    worker.execute(backup_id, give_up)
    assert given_up.is_set()
    assert (state(services, backup_id), services.catalogue.stats().total_backups) == (JobState.RUNNING, 0)
    assert files_below(services.settings.data_dir / "backups") == []


def test_errors_of_a_run_that_ended_stay_the_first() -> None:
    run = LeasedRun("none", JobKind.BACKUP, 1)
    run.end(Cancelled("first"))
    run.end(LeaseLost("second"))
    with pytest.raises(Cancelled, match="first"):
        run.raise_if_cancelled()


@contextmanager
def another_process_that_holds(data_dir: Path) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """A process with a worker's lock; its name, and the process to kill."""
    program = (
        "import sys; from pathlib import Path; from hhh.jobs.liveness import Liveness\n"
        f"with Liveness(Path({str(data_dir)!r})).alive() as name:\n"
        "    print(name, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        current_session().watch(process)
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.kill()
        current_session().release(process)
