"""What was backed up day by day: of some targets, the backups that the catalogue has, and the jobs that asked for them.

Columns only, as plain tuples, their moments as seconds since 1970: a page asks for thousands of rows. Of backups all of
them stand in the index by target.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVarTuple

from sqlalchemy import ColumnElement, Float, Select, cast, extract, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from hhh.core.database import UtcDateTime
from hhh.models import BackupLog, Job, Schedule
from hhh.models.job import BACKUPS
from hhh.repositories.batches import in_batches

_Columns = TypeVarTuple("_Columns")
_JULIAN_DAY_OF_1970 = 2_440_587.5
_DAY_SECONDS = 86_400


class PastBackup(NamedTuple):
    """A backup of any state, also one that is being removed."""

    id: str
    target: str
    status: str
    created_at: float
    finished_at: float | None
    #: Bytes as stored.
    size: int
    #: Bytes of the dump.
    raw_size: int | None
    verified_level: str | None


class PastJob(NamedTuple):
    """A job of a backup; its id is the backup's."""

    id: str
    target: str
    state: str
    schedule_id: str | None
    created_at: float
    #: Of its last attempt.
    started_at: float | None
    finished_at: float | None


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
    statement = select(
        BackupLog.id,
        BackupLog.target,
        BackupLog.status,
        _seconds(session, BackupLog.created_at),
        _seconds(session, BackupLog.finished_at),
        BackupLog.backup_size,
        BackupLog.raw_size,
        BackupLog.verified_level,
    ).where(BackupLog.created_at >= literal(since, UtcDateTime()))
    return [PastBackup._make(row) for row in _of_targets(session, statement, BackupLog.target, targets)]


def jobs(session: Session, targets: Collection[str], *, since: datetime) -> Sequence[PastJob]:
    """The jobs of backups of targets that were asked for since then, also where the backup is no longer kept."""
    statement = select(
        Job.id,
        Job.target,
        Job.state,
        Job.schedule_id,
        _seconds(session, Job.created_at),
        _seconds(session, Job.started_at),
        _seconds(session, Job.finished_at),
    ).where(BACKUPS, Job.created_at >= literal(since, UtcDateTime()))
    return [PastJob._make(row) for row in _of_targets(session, statement, Job.target, targets)]


def schedules(session: Session, targets: Collection[str]) -> Sequence[Named]:
    """The schedules that back targets up, but for those that are paused."""
    statement = select(
        Schedule.id,
        Schedule.target,
        Schedule.cron,
        Schedule.time_zone,
        Schedule.jitter_seconds,
        func.coalesce(Schedule.unchanged_since, Schedule.created_at, type_=UtcDateTime()),
    ).where(Schedule.verify_level.is_(None), Schedule.paused.is_(False))
    return [Named._make(row) for row in _of_targets(session, statement, Schedule.target, targets)]


def _of_targets(
    session: Session, statement: Select[*_Columns], column: InstrumentedAttribute[str], targets: Collection[str]
) -> Sequence[Any]:
    # By the connection: the session looks at each row for objects that it knows.
    found: list[Any] = []
    for some in in_batches(targets):
        found += session.connection().execute(statement.where(column.in_(some))).all()
    return found


def _seconds(session: Session, column: InstrumentedAttribute[Any]) -> ColumnElement[float]:
    """A moment as seconds since 1970."""
    if session.get_bind().dialect.name == "postgresql":
        return cast(extract("epoch", column), Float)
    return (func.julianday(column, type_=Float()) - _JULIAN_DAY_OF_1970) * _DAY_SECONDS
