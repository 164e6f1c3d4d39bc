"""What becomes of a backup that is stored, when nobody can tell whether it was recorded."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.run import Progress
from hhh.jobs.worker import Worker, working
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
    with recording_disturbed(tmp_path, postgresql_database) as recording:

        def record_without_commit(progress: Progress) -> None:
            if progress.stage == "finalise":
                for statement in (
                    "UPDATE jobs SET state = 'success' WHERE id = %s",
                    "UPDATE backup_log SET status = 'SUCCESS', finished_at = now() WHERE id = %s",
                ):
                    recording.other.execute(statement, [recording.backup_id])

        ended = recording.begin(record_without_commit)
        recording.lose()
        recording.wait()
        recording.other.commit()
        ended.result()
    assert_stored(recording.services, recording.backup_id)


@pytest.mark.postgres
def test_a_commit_that_was_lost_is_tried_again(tmp_path: Path, postgresql_database: Database) -> None:
    with recording_disturbed(tmp_path, postgresql_database) as recording:

        def hold_the_row(progress: Progress) -> None:
            if progress.stage == "finalise":
                recording.other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [recording.backup_id])

        ended = recording.begin(hold_the_row)
        recording.lose()
        recording.other.rollback()
        ended.result()
    assert_stored(recording.services, recording.backup_id)


@dataclass
class Recording:
    """A backup on a thread, whose recording waits for a lock of another connection."""

    services: Services
    worker: Worker
    backup_id: str
    #: In a transaction of its own.
    other: psycopg.Connection
    watcher: psycopg.Connection
    thread: ThreadPoolExecutor

    def begin(self, observe: Callable[[Progress], None]) -> Future[None]:
        return self.thread.submit(self.worker.execute, self.backup_id, observe)

    def wait(self) -> None:
        wait_until(lambda: self.watcher.execute(RECORDING).fetchone(), what="the end of the backup to be recorded")

    def lose(self) -> None:
        """Waits for the recording, and ends its connection."""
        self.wait()
        self.watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({RECORDING}) lost")


@contextmanager
def recording_disturbed(folder: Path, database: Database) -> Iterator[Recording]:
    services = services_with_a_target(folder, database)
    parameters = database.url.translate_connect_args(username="user", database="dbname")
    with (
        psycopg.connect(**parameters) as other,
        psycopg.connect(**parameters, autocommit=True) as watcher,
        ThreadPoolExecutor(1) as thread,
        working(services) as worker,
    ):
        backup_id = worker.create(services.backups.request("source"))
        yield Recording(services, worker, backup_id, other, watcher, thread)


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
