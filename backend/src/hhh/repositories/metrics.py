"""What is counted for monitoring: of all targets, stores and jobs at once, each by one query.

Columns only, as plain tuples: of many targets there are many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVarTuple

from sqlalchemy import ColumnElement, Select, case, func, literal_column, select
from sqlalchemy.orm import Session

from hhh.core.database import UtcDateTime
from hhh.models import AlertChannel, AlertDelivery, BackupCopy, BackupLog, BackupStatus, CopyStatus, Job
from hhh.models.job import JobState
from hhh.repositories.batches import as_table

_Columns = TypeVarTuple("_Columns")


class Kept(NamedTuple):
    """What the catalogue has of a target, without what is being removed."""

    target: str
    successful: int
    failed: int
    cancelled: int
    #: Of the successful ones, as stored, one copy each.
    size: int


class InStore(NamedTuple):
    """What a store has."""

    storage: str
    copies: int
    #: As stored.
    size: int


class Lacking(NamedTuple):
    """What a store lacks of a target."""

    target: str
    storage: str
    copies: int


class Measured(NamedTuple):
    """How large a backup is, and how long it took."""

    #: Its last attempt; of one whose job is not known any more, when it was asked for.
    started_at: datetime
    finished_at: datetime | None
    #: Bytes as stored.
    size: int
    #: Bytes of the dump.
    raw_size: int | None


class Waiting(NamedTuple):
    """How many jobs of a kind are in a state, and since when the first of them is asked for."""

    kind: str
    state: str
    jobs: int
    since: datetime


class Alerted(NamedTuple):
    """How a channel for alerts takes them."""

    channel: str
    #: Whether what was sent last was not taken.
    is_failing: bool
    #: Messages that are still to be delivered.
    waiting: int


def kept_backups(session: Session) -> Sequence[Kept]:
    """Of every target that the catalogue knows."""
    # By its target alone an index has them in their order, and all that is asked for.
    size = case((BackupLog.status == BackupStatus.SUCCESS, BackupLog.backup_size), else_=0)
    counted = select(
        BackupLog.target,
        _count(BackupStatus.SUCCESS),
        _count(BackupStatus.FAILED),
        _count(BackupStatus.CANCELLED),
        func.sum(size),
    ).where(BackupLog.deleted_at.is_(None))
    found = _rows(session, counted.group_by(BackupLog.target))
    return [Kept(target, *map(int, counts)) for target, *counts in found]


def stored_copies(session: Session) -> Sequence[InStore]:
    """Of every store that has any; also copies of backups that are being removed, which fill it as well."""
    counted = select(BackupCopy.storage, func.count(), func.sum(BackupCopy.size))
    found = _rows(session, counted.where(BackupCopy.status != CopyStatus.MISSING).group_by(BackupCopy.storage))
    return [InStore(name, copies, int(size)) for name, copies, size in found]


def missing_copies(session: Session) -> Sequence[Lacking]:
    """What stores lack of backups that are stored, and not being removed."""
    there = BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)
    # Of all copies, few are missing; joined, SQLite would begin with all backups that are stored.
    target = select(BackupLog.target).where(BackupLog.id == BackupCopy.backup_id, *there).scalar_subquery()
    # As `hhh.models.backup_log.MISSING`, where another table has a column of that name.
    missing = BackupCopy.status == literal_column("'missing'")
    lacked = select(target.label("target"), BackupCopy.storage).where(missing).subquery()
    of_each = lacked.c.target, lacked.c.storage
    counted = select(*of_each, func.count()).where(lacked.c.target.is_not(None)).group_by(*of_each)
    return [Lacking._make(row) for row in _rows(session, counted)]


def measured(session: Session, backup_ids: Iterable[str]) -> Mapping[str, Measured]:
    """By id: the sizes and times of backups."""
    started_at = func.coalesce(Job.started_at, BackupLog.created_at, type_=UtcDateTime())
    asked = (
        select(BackupLog.id, started_at, BackupLog.finished_at, BackupLog.backup_size, BackupLog.raw_size)
        .outerjoin(Job, Job.id == BackupLog.id)
        .where(BackupLog.id.in_(as_table(session, backup_ids)))
    )
    return {backup_id: Measured(*values) for backup_id, *values in _rows(session, asked)}


def unfinished_jobs(session: Session) -> Sequence[Waiting]:
    """What waits and what runs."""
    of_each = Job.kind, Job.state
    counted = select(*of_each, func.count(), func.min(Job.created_at))
    unfinished = counted.where(Job.state.in_((JobState.QUEUED, JobState.RUNNING)))
    return [Waiting._make(row) for row in _rows(session, unfinished.group_by(*of_each))]


def alert_channels(session: Session) -> Sequence[Alerted]:
    """Of every channel that is switched on."""
    waits = AlertDelivery.channel_id == AlertChannel.id, AlertDelivery.next_try_at.is_not(None)
    waiting = select(func.count()).where(*waits).scalar_subquery()
    of_each = select(AlertChannel.name, AlertChannel.last_error.is_not(None), waiting)
    enabled = of_each.where(AlertChannel.enabled).order_by(AlertChannel.name)
    return [Alerted(name, bool(is_failing), count) for name, is_failing, count in _rows(session, enabled)]


def _count(status: BackupStatus) -> ColumnElement[int]:
    return func.sum(case((BackupLog.status == status, 1), else_=0))


def _rows(session: Session, statement: Select[*_Columns]) -> Sequence[Any]:
    # By the connection: the session looks at each row for objects that it knows.
    return session.connection().execute(statement).all()
