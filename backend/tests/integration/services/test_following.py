"""Jobs under way: what is told of them, and how they are cancelled."""

import dataclasses
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from hhh.core.database import Database
from hhh.core.errors import AlreadyEnded, BackupInProgress, NotFound
from hhh.core.run import Progress
from hhh.jobs.base import Handled
from hhh.jobs.timing import Timing
from hhh.jobs.worker import Worker, working
from hhh.models import Job, JobKind, JobState
from hhh.schemas.backup import RunProgress
from hhh.services.container import Services
from hhh.services.following import Look
from hhh.storages.registry import open_storage
from support.backing_up import files_below, scratch_leftovers
from support.faulty_proxy import FaultyS3, Request, any_upload
from support.local_services import services_with_a_target, storing_in


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def worker(services: Services) -> Iterator[Worker]:
    with working(services, timing=Timing(watch=0.2)) as worker:
        yield worker


@pytest.fixture
def s3_services(
    tmp_path: Path, sqlite_database: Database, faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> Services:
    """Services that store in a bucket behind a proxy, and give up on it after a second."""
    for name, value in faulty_s3.bucket.environment().items():
        monkeypatch.setenv(name, value)
    services = services_with_a_target(tmp_path, sqlite_database)
    return storing_in(services, open_storage(faulty_s3.bucket.url(), retry_seconds=1))


def look(services: Services, backup_id: str) -> Look:
    return services.following.look(JobKind.BACKUP, backup_id)


def cancel(services: Services, backup_id: str) -> JobState:
    return services.following.cancel(JobKind.BACKUP, backup_id)


def change(services: Services, backup_id: str, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(Job).where(Job.id == backup_id).values(**values))


def assert_cancelled(services: Services, backup_id: str) -> None:
    """It ended once, as cancelled, and nothing of it is left."""
    found, seen = services.catalogue.get(backup_id), look(services, backup_id)
    assert (found.status, found.error) == ("cancelled", "The backup was cancelled")
    assert (found.progress, found.retry, found.copies) == (None, None, [])
    assert (seen.is_last, seen.news.status, seen.news.error) == (True, "cancelled", "The backup was cancelled")
    assert services.catalogue.stats().failed_backups == 1
    assert files_below(services.settings.data_dir / "backups") == []
    assert scratch_leftovers(services.settings.scratch_dir) == []


def assert_the_next_one_works(services: Services, worker: Worker) -> None:
    following = worker.create(services.backups.request("source"))
    worker.execute(following)
    assert services.catalogue.get(following).status == "success"


def test_every_change_has_a_position_of_its_own(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    seen = [look(services, backup_id)]

    def note(_: Progress) -> None:
        seen.append(look(services, backup_id))

    worker.execute(backup_id, note)
    seen.append(look(services, backup_id))
    told = list(dict.fromkeys(each.position for each in seen))
    assert (told[0], seen[0].news.status, seen[0].is_last) == ("0/0", "queued", False)
    assert (seen[-1].news.status, seen[-1].is_last) == ("success", True)
    versions = [tuple(map(int, position.split("/"))) for position in told]
    assert len(versions) >= 3
    assert versions == sorted(versions)


def test_what_nobody_knows_is_not_found(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    for kind, job_id in (
        (JobKind.BACKUP, str(uuid.uuid4())),
        (JobKind.BACKUP, "no\0id"),
        (JobKind.RESTORE, backup_id),
    ):
        with pytest.raises(NotFound):
            services.following.look(kind, job_id)
        with pytest.raises(NotFound):
            services.following.cancel(kind, job_id)
    assert look(services, backup_id).news.status == "queued"


def test_a_backup_without_a_job_has_ended(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    worker.execute(backup_id)
    with services.database.transaction() as session:
        session.execute(delete(Job))
    assert look(services, backup_id).news.status == "success"
    assert look(services, backup_id).is_last
    assert services.following.looks([backup_id]) == {}
    with pytest.raises(AlreadyEnded, match="it is success"):
        cancel(services, backup_id)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"stage": "swap"}, RunProgress(stage="swap", attempt=2)),
        (
            {"stage": "stream", "raw_bytes": 7, "of_another_version": 1},
            RunProgress(stage="stream", raw_bytes=7, attempt=2),
        ),
        (
            {"stage": "stream", "raw_bytes": 5, "expected_bytes": 10, "percent": 50.0, "seconds_left": 3},
            RunProgress(stage="stream", raw_bytes=5, expected_bytes=10, percent=50, seconds_left=3, attempt=2),
        ),
        (None, None),
    ],
)
def test_progress_is_shown_whatever_version_wrote_it(
    services: Services, worker: Worker, written: dict[str, object] | None, shown: RunProgress | None
) -> None:
    backup_id = worker.create(services.backups.request("source"))
    change(services, backup_id, state=JobState.RUNNING, attempt=2, progress=written)
    assert services.catalogue.get(backup_id).progress == shown
    assert look(services, backup_id).news.progress == shown


@pytest.mark.s3
def test_what_waits_for_another_attempt_tells_why_and_until_when(s3_services: Services, faulty_s3: FaultyS3) -> None:
    services = s3_services
    faulty_s3.proxy.answer(503)
    with working(services) as worker:
        backup_id = worker.create(dataclasses.replace(services.backups.request("source"), retries=2))
        assert worker.attempt(backup_id) is Handled.QUEUED
        found, news = services.catalogue.get(backup_id), look(services, backup_id).news
        assert (found.status, found.error, found.progress) == ("queued", None, None)
        assert found.retry == news.retry
        assert found.retry is not None
        assert found.retry.not_before is not None
        assert timedelta(0) < found.retry.not_before - found.created_at < timedelta(seconds=60)
        assert (found.retry.attempt, found.retry.retries_left, "503" in found.retry.error) == (2, 1, True)

        assert cancel(services, backup_id) == JobState.CANCELLED
        assert_cancelled(services, backup_id)
        assert worker.attempt(backup_id) is Handled.ELSEWHERE
        faulty_s3.proxy.clear()
        assert faulty_s3.bucket.keys() == faulty_s3.bucket.unfinished_uploads() == []
        assert_the_next_one_works(services, worker)


def test_one_that_waits_is_cancelled_at_once(services: Services, worker: Worker) -> None:
    backup_id = worker.create(services.backups.request("source"))
    assert cancel(services, backup_id) == JobState.CANCELLED
    assert_cancelled(services, backup_id)
    worker.execute(backup_id)
    assert_cancelled(services, backup_id)
    assert_the_next_one_works(services, worker)


@pytest.mark.parametrize("stage", ["snapshot", "stream", "finalise"])
def test_one_that_runs_is_cancelled_at_any_stage_and_keeps_its_target_until_it_has_ended(
    services: Services, worker: Worker, stage: str
) -> None:
    backup_id = worker.create(services.backups.request("source"))
    answers: list[JobState] = []

    def end_it(progress: Progress) -> None:
        if progress.stage == stage and not answers:
            answers.append(cancel(services, backup_id))
            assert look(services, backup_id).news.cancel_requested
            with pytest.raises(BackupInProgress):
                worker.create(services.backups.request("source"))

    worker.execute(backup_id, end_it)
    assert answers == [JobState.RUNNING]
    assert_cancelled(services, backup_id)
    with pytest.raises(AlreadyEnded, match="it is cancelled"):
        cancel(services, backup_id)
    assert_the_next_one_works(services, worker)


@pytest.mark.s3
@pytest.mark.parametrize("part", [".zst", ".facts.json", ".sql.json"])
def test_one_that_is_cancelled_while_the_store_takes_it_ends_in_one_way_and_the_row_says_which(
    s3_services: Services, faulty_s3: FaultyS3, part: str
) -> None:
    services, bucket = s3_services, faulty_s3.bucket
    with working(services) as worker:
        backup_id = worker.create(services.backups.request("source"))

        def is_part(request: Request) -> bool:
            return any_upload(request) and request.path.endswith(part)

        stall = faulty_s3.proxy.stall(where=is_part)
        running = threading.Thread(target=worker.execute, args=[backup_id])
        running.start()
        stall.wait_for_hit()
        assert cancel(services, backup_id) == JobState.RUNNING
        faulty_s3.proxy.clear()
        running.join(timeout=60)
        found = services.catalogue.get(backup_id)
        assert found.status in ({"cancelled", "success"} if part == ".sql.json" else {"cancelled"})
        keys = bucket.keys()
        assert bool(keys) == (found.status == "success")
        assert any(key.endswith(".sql.json") for key in keys) == (found.status == "success")
        assert bucket.unfinished_uploads() == []
        stats = services.catalogue.stats()
        assert (stats.total_backups, stats.successful_backups) == (1, int(found.status == "success"))
        assert_the_next_one_works(services, worker)


def test_a_cancelled_one_whose_worker_died_ends_as_cancelled_and_not_with_another_attempt(
    services: Services, worker: Worker
) -> None:
    backup_id = worker.create(services.backups.request("source"))
    long_ago = services.catalogue.get(backup_id).created_at - timedelta(hours=1)
    change(services, backup_id, state=JobState.RUNNING, attempt=1, worker="dead", lease_expires_at=long_ago)
    assert cancel(services, backup_id) == JobState.RUNNING
    assert_the_next_one_works(services, worker)
    assert services.catalogue.get(backup_id).status == look(services, backup_id).news.status == "cancelled"
