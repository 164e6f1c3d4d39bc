"""What becomes of a backup that is stored, when nobody can tell whether it was recorded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.run import Progress
from hhh.jobs.worker import working
from hhh.models import BackupLog, BackupStatus
from hhh.services.container import Services
from support.backing_up import files_below
from support.local_services import services_with_a_target
from support.waiting import wait_until

RECORDING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE jobs SET state%'"


def test_an_interrupt_after_the_commit_leaves_the_backup_where_it_is(services: Services) -> None:
    with working(services) as worker, interrupted_once_recorded():
        backup_id = worker.create(services.backups.request("source"))
        with pytest.raises(KeyboardInterrupt):
            worker.execute(backup_id)
    assert_stored(services, backup_id)


@pytest.mark.postgres
def test_a_commit_whose_connection_was_lost_may_come_late(tmp_path: Path, postgresql_database: Database) -> None:
    services = services_with_a_target(tmp_path, postgresql_database)
    connect = partial(
        psycopg.connect, **postgresql_database.url.translate_connect_args(username="user", database="dbname")
    )
    with (
        connect() as late,
        connect(autocommit=True) as watcher,
        ThreadPoolExecutor(1) as thread,
        working(services) as worker,
    ):
        backup_id = worker.create(services.backups.request("source"))

        def record_without_commit(progress: Progress) -> None:
            if progress.stage == "finalise":
                late.execute("UPDATE jobs SET state = 'success' WHERE id = %s", [backup_id])
                late.execute("UPDATE backup_log SET status = 'SUCCESS', finished_at = now() WHERE id = %s", [backup_id])

        ended = thread.submit(worker.execute, backup_id, record_without_commit)
        wait_until(lambda: watcher.execute(RECORDING).fetchone(), what="the backup to be recorded")
        watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({RECORDING}) lost")
        wait_until(lambda: watcher.execute(RECORDING).fetchone(), what="the failure to be recorded")
        late.commit()
        ended.result()
    assert_stored(services, backup_id)


@pytest.mark.postgres
def test_a_commit_that_was_lost_is_tried_again(tmp_path: Path, postgresql_database: Database) -> None:
    services = services_with_a_target(tmp_path, postgresql_database)
    connect = partial(
        psycopg.connect, **postgresql_database.url.translate_connect_args(username="user", database="dbname")
    )
    with (
        connect() as other,
        connect(autocommit=True) as watcher,
        ThreadPoolExecutor(1) as thread,
        working(services) as worker,
    ):
        backup_id = worker.create(services.backups.request("source"))

        def hold_the_row(progress: Progress) -> None:
            if progress.stage == "finalise":
                other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [backup_id])

        ended = thread.submit(worker.execute, backup_id, hold_the_row)
        wait_until(lambda: watcher.execute(RECORDING).fetchone(), what="the backup to be recorded")
        watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({RECORDING}) lost")
        other.rollback()
        ended.result()
    assert_stored(services, backup_id)


@contextmanager
def interrupted_once_recorded() -> Iterator[None]:
    """Ctrl-C between the end of the commit and whatever comes next."""
    recording: list[Session] = []

    def notice(session: Session, *_: object) -> None:
        if any(isinstance(row, BackupLog) and row.status == BackupStatus.SUCCESS for row in session.dirty):
            recording.append(session)

    def interrupt(session: Session) -> None:
        if session in recording:
            raise KeyboardInterrupt

    event.listen(Session, "before_flush", notice)
    event.listen(Session, "after_commit", interrupt)
    try:
        yield
    finally:
        event.remove(Session, "before_flush", notice)
        event.remove(Session, "after_commit", interrupt)


def assert_stored(services: Services, backup_id: str) -> None:
    """It is recorded, and its object, facts and manifest are in the store."""
    backup = services.catalogue.get(backup_id)
    assert (backup.status, backup.error) == ("success", None)
    assert len(files_below(services.settings.data_dir / "backups")) == 3
