"""Rows of workers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from hhh.core.config import QueueName
from hhh.models import LostWorker, WorkerRow, WorkerState


class Living(NamedTuple):
    """A worker that gives signs of life."""

    name: str
    host: str
    version: str


def put(session: Session, row: WorkerRow) -> None:
    """Writes the row of a worker, also where it was removed meanwhile."""
    session.merge(row)


def remove(session: Session, workers: Collection[str]) -> None:
    """Removes the rows of these workers; a no-op for those that have none."""
    session.execute(delete(WorkerRow).where(WorkerRow.id.in_(workers)))


def remove_silent(session: Session, *, since: datetime, until: datetime) -> None:
    """Removes the rows of all whose last sign of life is not of that time."""
    silent = or_(WorkerRow.heartbeat_at < since, WorkerRow.heartbeat_at > until)
    session.execute(delete(WorkerRow).where(silent))


def forget_all(session: Session) -> None:
    """Removes what is known of workers, also of those that were lost: they are another machine's."""
    session.execute(delete(WorkerRow))
    session.execute(delete(LostWorker))


def all_rows(session: Session) -> Sequence[WorkerRow]:
    """Every row, the longest at work first."""
    return session.scalars(select(WorkerRow).order_by(WorkerRow.started_at, WorkerRow.id)).all()


def living(session: Session, *, since: datetime, until: datetime) -> Sequence[Living]:
    """Those whose last sign of life is of that time; of a database of any version that has workers."""
    asked = select(WorkerRow.name, WorkerRow.host, WorkerRow.version)
    alive = asked.where(WorkerRow.heartbeat_at.between(since, until)).order_by(WorkerRow.name)
    return [Living(*row) for row in session.execute(alive)]


def taking_jobs(session: Session, *, since: datetime, until: datetime) -> Sequence[str]:
    """The ids of the workers that take jobs, and whose last sign of life is of that time."""
    return session.scalars(select(WorkerRow.id).where(*_taking(since, until))).all()


def taken_queues(session: Session, *, since: datetime, until: datetime) -> set[str]:
    """The queues that those workers take jobs from."""
    found = session.scalars(select(WorkerRow.queues).where(*_taking(since, until)))
    return {name for queues in found for name in queues.split(",")}


def hosts_taking(session: Session, queue: QueueName, *, since: datetime, until: datetime) -> set[str]:
    """The machines of the workers that take jobs of a queue."""
    found = session.execute(select(WorkerRow.host, WorkerRow.queues).where(*_taking(since, until)))
    return {host for host, queues in found if queue in queues.split(",")}


def _taking(since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return WorkerRow.state == WorkerState.ACTIVE, WorkerRow.heartbeat_at.between(since, until)
