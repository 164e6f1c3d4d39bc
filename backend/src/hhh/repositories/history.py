"""What was backed up day by day: of some targets, the backups that the catalogue has, and the jobs that asked for them.

Columns only, as plain tuples: a page asks for thousands of rows. None is behind the manifest in its row, which SQLite
would read as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from hhh.core.database import UtcDateTime
from hhh.models import BackupLog, Job, Schedule
from hhh.models.job import BACKUPS
from hhh.repositories.batches import in_batches
from hhh.repositories.retention import PROVEN


class PastBackup(NamedTuple):
    """A backup of any state, also one that is being removed."""

    id: str
    target: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    #: Bytes as stored.
    size: int
    #: Bytes of the dump.
    raw_size: int | None


class PastJob(NamedTuple):
    """A job of a backup; its id is the backup's."""

    id: str
    target: str
    state: str
    schedule_id: str | None
    created_at: datetime
    #: Of its last attempt.
    started_at: datetime | None
    finished_at: datetime | None


class Named(NamedTuple):
    """What names the instants at which a target is backed up."""

    id: str
    target: str
    cron: str
    time_zone: str
    jitter_seconds: int
    #: It names none before.
    since: datetime


def backups(session: Session, targets: Collection[str], *, since: datetime) -> Sequence[PastBackup]:
    """The backups of targets that were begun since then."""
    columns = (
        BackupLog.id,
        BackupLog.target,
        BackupLog.status,
        BackupLog.created_at,
        BackupLog.finished_at,
        BackupLog.backup_size,
        BackupLog.raw_size,
    )
    found: list[PastBackup] = []
    for some in in_batches(targets):
        statement = select(*columns).where(BackupLog.target.in_(some), BackupLog.created_at >= _moment(since))
        found += map(PastBackup._make, session.execute(statement))
    return found


def proven(session: Session, targets: Collection[str], *, since: datetime) -> Collection[str]:
    """The ids of those of them that a restore has proven."""
    found: set[str] = set()
    for some in in_batches(targets):
        is_proven = BackupLog.verified_level == PROVEN
        statement = select(BackupLog.id).where(BackupLog.target.in_(some), is_proven)
        found.update(session.scalars(statement.where(BackupLog.created_at >= _moment(since))))
    return found


def jobs(session: Session, targets: Collection[str], *, since: datetime) -> Sequence[PastJob]:
    """The jobs of backups of targets that were asked for since then, also where the backup is no longer kept."""
    columns = Job.id, Job.target, Job.state, Job.schedule_id, Job.created_at, Job.started_at, Job.finished_at
    found: list[PastJob] = []
    for some in in_batches(targets):
        statement = select(*columns).where(BACKUPS, Job.target.in_(some), Job.created_at >= _moment(since))
        found += map(PastJob._make, session.execute(statement))
    return found


def schedules(session: Session, targets: Collection[str]) -> Sequence[Named]:
    """The schedules that back targets up, but for those that are paused."""
    columns = (
        Schedule.id,
        Schedule.target,
        Schedule.cron,
        Schedule.time_zone,
        Schedule.jitter_seconds,
        func.coalesce(Schedule.unchanged_since, Schedule.created_at, type_=UtcDateTime()),
    )
    found: list[Named] = []
    for some in in_batches(targets):
        names = Schedule.target.in_(some), Schedule.verify_level.is_(None), Schedule.paused.is_(False)
        found += map(Named._make, session.execute(select(*columns).where(*names)))
    return found


def _moment(at: datetime) -> object:
    return literal(at, UtcDateTime())
