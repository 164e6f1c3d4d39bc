"""Who works, and at what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from hhh.core.config import QueueName
from hhh.core.database import Database
from hhh.models import QUEUES, Job, WorkerRow
from hhh.repositories import jobs as job_rows
from hhh.repositories import workers as rows
from hhh.schemas.worker import RunningJob, WorkerResource

#: How long a worker is believed without a sign of life.
LEASE = timedelta(seconds=30)


class WorkerService:
    """Lists workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Sequence[WorkerResource]:
        """Every process that takes jobs, the longest at work first; those that died stay for a while."""
        with self._database.snapshot() as session:
            now = job_rows.server_time(session)
            running = job_rows.running(session)
            return [_resource(row, running, now) for row in rows.all_rows(session)]

    def untaken(self) -> Mapping[QueueName, int]:
        """The queues of which no living worker takes jobs, each with how many wait in it."""
        with self._database.snapshot() as session:
            now = job_rows.server_time(session)
            taken = rows.taken_queues(session, since=now - LEASE, until=now + LEASE)
            waiting = job_rows.waiting_by_kind(session)
        free = {name: kinds for name, kinds in QUEUES.items() if name not in taken}
        return {name: sum(waiting.get(kind, 0) for kind in kinds) for name, kinds in free.items()}

    def hosts_taking(self, queue: QueueName) -> Collection[str]:
        """The machines on which living workers take jobs of a queue."""
        with self._database.snapshot() as session:
            now = job_rows.server_time(session)
            return rows.hosts_taking(session, queue, since=now - LEASE, until=now + LEASE)


def _resource(row: WorkerRow, running: Sequence[Job], now: datetime) -> WorkerResource:
    return WorkerResource(
        id=row.id,
        name=row.name,
        host=row.host,
        pid=row.pid,
        version=row.version,
        state=row.state,
        slots=row.slots,
        queues=row.queues.split(","),
        running=[RunningJob(id=job.id, kind=job.kind, target=job.target) for job in running if job.worker == row.id],
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        alive=abs(now - row.heartbeat_at) <= LEASE,
    )
