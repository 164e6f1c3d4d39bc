"""What tests of restores ask for again and again, below the API and through it."""

import functools
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from hhh.core.run import Unattended
from hhh.engines.base import Engine, Workplace
from hhh.engines.restoring import RestoreSource
from hhh.jobs.heartbeat import Observer
from hhh.jobs.worker import Worker
from hhh.models import Job, JobState
from hhh.schemas.policy import Fingerprint
from hhh.schemas.restore import RestoreRequest, RestoreResource
from hhh.services.container import Services
from support import forking, restoring_process
from support.waiting import wait_until

_CHUNK = 1 << 20

RESTORES = "/api/v1/restores"
WHO = "root@example.com"
ADDRESS = "192.0.2.7"


class RestoreBench:
    """Services with a worker: each restore is run to its end where it is asked for."""

    def __init__(self, services: Services, worker: Worker) -> None:
        self.services = services
        self.worker = worker

    def backup(self, target: str = "source") -> str:
        """Takes a backup and answers its id."""
        backup_id = self.worker.create(self.services.backups.request(target))
        self.worker.execute(backup_id)
        taken = self.services.catalogue.get(backup_id)
        assert taken.status == "success", taken.error
        return backup_id

    def ask(self, backup_id: str, **asked: Any) -> str:
        """Asks for a restore and answers its id; it waits."""
        request = RestoreRequest(backup_id=backup_id, **asked)
        return self.worker.create(self.services.restores.request(request, requested_by=WHO, address=ADDRESS))

    def restore(self, backup_id: str, observer: Observer | None = None, **asked: Any) -> RestoreResource:
        """Restores."""
        return self.run(self.ask(backup_id, **asked), observer)

    def replace(self, backup_id: str, observer: Observer | None = None, *, target: str = "source") -> RestoreResource:
        """Restores into the place of the target."""
        return self.restore(backup_id, observer, mode="replace", confirm=target)

    def undo(self, restore_id: str, observer: Observer | None = None) -> RestoreResource:
        """Takes a restore back."""
        new = self.services.restores.undo(restore_id, requested_by=WHO, address=ADDRESS)
        return self.run(self.worker.create(new), observer)

    def run(self, restore_id: str, observer: Observer | None = None) -> RestoreResource:
        """Runs what waits."""
        self.worker.execute(restore_id, observer)
        return self.get(restore_id)

    def die(self, restore_id: str, stage: str, *, times: int = 1) -> None:
        """Runs what waits in another process, which is killed when it reports that stage, or does so again."""
        settings = self.services.settings
        environment = {"HHH_DATA_DIR": str(settings.data_dir), "HHH_SCRATCH_DIR": str(settings.scratch_dir)}
        if settings.pg_bin_dir is not None:
            environment["HHH_PG_BIN_DIR"] = str(settings.pg_bin_dir)
        order = {
            "restore_id": restore_id,
            "stage": stage,
            "times": times,
            "database": self.services.database.url.render_as_string(hide_password=False),
            "environment": environment,
        }
        work = functools.partial(restoring_process.restore, order)
        done = forking.run(work, folder=Path.cwd(), environment=os.environ)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr

    def clear_up(self) -> None:
        """Does what a worker does at its start, until the dead one's jobs are ended.

        A PostgreSQL server goes on holding the rows of a client that was killed until it has noticed.
        """
        wait_until(self._is_tidy, what="the jobs of the dead worker to be ended")
        self.worker.sweep()

    def _is_tidy(self) -> bool:
        self.worker.tidy()
        with self.services.database.transaction() as session:
            return session.scalar(select(Job.id).where(Job.state == JobState.RUNNING)) is None

    def get(self, restore_id: str) -> RestoreResource:
        """As the row is now."""
        return self.services.restores.get(restore_id)


def content(path: Path) -> list[str]:
    """Everything that a SQLite file holds, as SQL. Nobody else in this process may have it open."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def change(path: Path, statement: str = "DELETE FROM note") -> None:
    """Changes a SQLite file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def ask_for_restore(client: httpx.Client, backup_id: str, **asked: Any) -> httpx.Response:
    """Asks the running service."""
    return client.post(RESTORES, json={"backup_id": backup_id, **asked})


def restored(client: httpx.Client, answer: httpx.Response, *, seconds: float = 60) -> dict[str, Any]:
    """The end of a restore that was accepted."""
    assert answer.status_code == 202, answer.text
    location = f"{RESTORES}/{answer.json()['restore_id']}"
    assert answer.headers["Location"] == location

    def ended() -> dict[str, Any]:
        found: dict[str, Any] = client.get(location).raise_for_status().json()
        return found if found["status"] not in {"queued", "running"} else {}

    return wait_until(ended, seconds=seconds, what=f"the end of {location}")


def taken(engine: Engine, url: str, workplace: Workplace, *, fingerprint: Fingerprint = "off") -> RestoreSource:
    """A backup of a database, whole and plain in the scratch of the workplace, as a restore gets it."""
    path = workplace.scratch / "dump"
    with engine.dump(url, workplace, Unattended(), fingerprint=fingerprint) as dump, path.open("wb") as file:
        while chunk := dump.stdout.read(_CHUNK):
            file.write(chunk)
        result = dump.finish()
    return RestoreSource(
        facts=result.facts,
        versions=result.versions,
        raw_size=path.stat().st_size,
        attachments={attachment.suffix: Path(attachment.path) for attachment in result.attachments},
        dump=path,
    )
