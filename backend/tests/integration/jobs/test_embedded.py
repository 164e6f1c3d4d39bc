"""The queue of one process: its slots, its end, and stores that fail or hang meanwhile."""

import asyncio
import threading
from pathlib import Path

import pytest

from hhh.core.errors import Interrupted
from hhh.jobs.embedded import embedded_queue
from hhh.jobs.liveness import Liveness
from hhh.jobs.runtime import Jobs
from hhh.services.container import Services
from hhh.storages.registry import open_storage
from support.backing_up import scratch_leftovers, upload_of_a_dump
from support.faulty_proxy import FaultyS3
from support.local_services import storing_in


@pytest.fixture
def s3_services(sqlite_services: Services, faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services that store in a bucket behind a proxy, and give up on it after a second."""
    for name, value in faulty_s3.bucket.environment().items():
        monkeypatch.setenv(name, value)
    return storing_in(sqlite_services, open_storage(faulty_s3.bucket.url(), retry_seconds=1))


def ending_of(services: Services, backup_id: str) -> tuple[str, str]:
    found = services.catalogue.get(backup_id)
    return found.status, found.error or ""


@pytest.mark.s3
@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_fails_for_ever_fails_the_backup(
    s3_services: Services, faulty_s3: FaultyS3, tmp_path: Path, status: int
) -> None:
    with embedded_queue(s3_services) as queue:
        faulty_s3.proxy.answer(status)
        failed = queue.enqueue(s3_services.backups.request("source"))
        asyncio.run(queue.finished(failed))
        ending, error = ending_of(s3_services, failed)
        assert ending == "failed"
        assert str(status) in error
        assert scratch_leftovers(tmp_path / "scratch") == []
        faulty_s3.proxy.clear()
        assert faulty_s3.bucket.keys() == faulty_s3.bucket.unfinished_uploads() == []
        stored = queue.enqueue(s3_services.backups.request("source"))
        asyncio.run(queue.finished(stored))
        assert ending_of(s3_services, stored) == ("success", "")


@pytest.mark.s3
def test_a_store_that_drops_every_connection_fails_the_backup(
    s3_services: Services, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    with embedded_queue(s3_services) as queue:
        faulty_s3.proxy.drop(where=upload_of_a_dump, after_bytes=1000)
        failed = queue.enqueue(s3_services.backups.request("source"))
        asyncio.run(queue.finished(failed))
    assert ending_of(s3_services, failed)[0] == "failed"
    assert faulty_s3.bucket.keys() == faulty_s3.bucket.unfinished_uploads() == []
    assert scratch_leftovers(tmp_path / "scratch") == []


@pytest.mark.s3
def test_a_stop_hands_back_a_backup_whose_store_hangs_and_the_next_worker_takes_it(
    s3_services: Services, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
    before = set(threading.enumerate())
    with embedded_queue(s3_services, grace=0.01, ending=0.01) as queue:
        hanging = queue.enqueue(s3_services.backups.request("source"))
        stall.wait_for_hit()
    assert ending_of(s3_services, hanging)[0] == "queued"
    assert scratch_leftovers(tmp_path / "scratch") != []
    stall.release()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("job"):
            thread.join(timeout=30)
    assert ending_of(s3_services, hanging)[0] == "queued"
    assert faulty_s3.bucket.keys() == []
    with embedded_queue(s3_services) as queue:
        assert Liveness(s3_services.settings.data_dir).dead() == []
        asyncio.run(queue.finished(hanging))
    assert ending_of(s3_services, hanging) == ("success", "")
    assert s3_services.catalogue.stats().total_backups == 1
    assert scratch_leftovers(tmp_path / "scratch") == []


def test_jobs_start_once_and_end_for_good(sqlite_services: Services) -> None:
    jobs = Jobs(sqlite_services)
    assert jobs.start() is jobs.start()
    jobs.stop()
    jobs.stop()
    with pytest.raises(Interrupted):
        jobs.start()


def test_nobody_waits_for_a_job_that_has_ended_or_never_was(sqlite_services: Services) -> None:
    with embedded_queue(sqlite_services) as queue:
        backup_id = queue.enqueue(sqlite_services.backups.request("source"))
        for _ in range(2):
            asyncio.run(asyncio.wait_for(queue.finished(backup_id), timeout=30))
        asyncio.run(asyncio.wait_for(queue.finished("none"), timeout=30))
