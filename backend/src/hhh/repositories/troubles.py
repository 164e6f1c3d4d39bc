"""What the own database tells of what is wrong, beside how targets stand (`hhh.repositories.recoverability`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, String, cast, delete, func, literal_column, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from hhh.models import (
    BackupCopy,
    BackupLog,
    BackupStatus,
    CopyStatus,
    Installation,
    Job,
    JobKind,
    JobState,
    LostWorker,
    Schedule,
    Target,
    Verification,
    VerificationStatus,
    WorkerRow,
)
from hhh.models.job import UPKEEP
from hhh.repositories.batches import as_table, in_batches


class Faulted(NamedTuple):
    """A backup that failed a verification, whatever was found out later."""

    id: str
    target: str
    backup_file: str


class Lacking(NamedTuple):
    """What is missing in a store that should have it, or can't be deleted from it."""

    #: Of the backups, where they are told by target; else None.
    target: str | None
    store: str
    copies: int
    #: What was said of the newest one.
    error: str


class FailedPrune(NamedTuple):
    """The newest prune of a target, which failed."""

    target: str
    error: str
    at: datetime


class Lost(NamedTuple):
    """A worker that gives no sign of life."""

    id: str
    name: str
    host: str
    heartbeat_at: datetime


def known_since(session: Session) -> Mapping[str | None, datetime]:
    """By name of a registered target: when it was registered; by None when the installation was begun."""
    since: dict[str | None, datetime] = dict(session.execute(select(Target.name, Target.created_at)).all())
    if (begun := session.scalar(select(Installation.created_at))) is not None:
        since[None] = begun
    return since


def first_stored(session: Session, targets: Collection[str]) -> Mapping[str, datetime]:
    """By target: when the oldest of its backups was begun that is stored."""
    found: dict[str, datetime] = {}
    for some in in_batches(targets):
        stored = BackupLog.target.in_(some), BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)
        oldest = select(BackupLog.target, func.min(BackupLog.created_at)).where(*stored).group_by(BackupLog.target)
        found |= dict(session.execute(oldest).all())
    return found


def newest_sizes(session: Session, targets: Collection[str], *, count: int) -> Mapping[str, Sequence[int]]:
    """By target: the sizes of the dumps of its newest stored backups, the newest first."""
    asked = as_table(session, targets).cte("asked")
    stored = BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)
    newest = (
        select(func.coalesce(BackupLog.raw_size, BackupLog.backup_size).label("size"))
        .where(BackupLog.target == asked.c.value, *stored)
        .order_by(BackupLog.created_at.desc(), BackupLog.id.desc())
        .limit(count)
        .correlate(asked)
        .subquery()
    )
    # All of a target as one value, so that of each target only the newest are looked at, in the index.
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    listed = cast(func.json_agg(newest.c.size), String) if is_postgresql else func.json_group_array(newest.c.size)
    found = session.execute(select(asked.c.value, select(listed).scalar_subquery()))
    return {target: json.loads(sizes or "[]") for target, sizes in found}


def faulted(session: Session, targets: Collection[str], *, since: datetime) -> Sequence[Faulted]:
    """The backups that are there and failed a verification since then, the newest first."""
    failed = select(Verification.backup_id).where(
        Verification.status == VerificationStatus.FAILED, Verification.created_at >= since
    )
    there = BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)
    query = select(BackupLog.id, BackupLog.target, BackupLog.backup_file).where(BackupLog.id.in_(failed), *there)
    newest_first = query.order_by(BackupLog.created_at.desc(), BackupLog.id)
    return [each for each in map(Faulted._make, session.execute(newest_first)) if each.target in targets]


def lacking(session: Session, *, without: str) -> Sequence[Lacking]:
    """By store: the copies that it lacks, without those that say so: they are on their way."""
    # As `hhh.models.backup_log.MISSING`, which has an index. By a join, SQLite would begin with all backups.
    missing = (BackupCopy.status == literal_column("'missing'")) & (func.coalesce(BackupCopy.error, "") != without)
    there = BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)
    begun = select(BackupLog.created_at).where(BackupLog.id == BackupCopy.backup_id, *there).scalar_subquery()
    dated = select(BackupCopy.storage, func.coalesce(BackupCopy.error, "").label("error"), begun.label("begun")).where(
        missing
    )
    each = dated.subquery()
    newest = (
        select(
            each.c.storage,
            each.c.error,
            func.count().over(partition_by=each.c.storage).label("count"),
            func.row_number().over(partition_by=each.c.storage, order_by=each.c.begun.desc()).label("place"),
        )
        .where(each.c.begun.is_not(None))
        .subquery()
    )
    query = select(newest.c.storage, newest.c.count, newest.c.error).where(newest.c.place == 1)
    return [Lacking(None, store, count, error) for store, count, error in session.execute(query)]


def has_copies(session: Session, store: str) -> bool:
    """Whether the catalogue has a copy in a store."""
    stored = BackupCopy.storage == store, BackupCopy.status == CopyStatus.STORED
    return session.scalar(select(BackupCopy.backup_id).where(*stored).limit(1)) is not None


def undeletable(session: Session) -> Sequence[Lacking]:
    """By target and store: the copies that should be gone, and are kept by their store."""
    kept = BackupLog.deleted_at.is_not(None), BackupCopy.status == CopyStatus.UNDELETABLE
    newest = (
        select(
            BackupLog.target,
            BackupCopy.storage,
            func.coalesce(BackupCopy.error, "").label("error"),
            func.count().over(partition_by=(BackupLog.target, BackupCopy.storage)).label("count"),
            _newest_first(BackupLog.target, BackupCopy.storage).label("place"),
        )
        .join(BackupCopy)
        .where(*kept)
        .subquery()
    )
    columns = newest.c.target, newest.c.storage, newest.c.count, newest.c.error
    return [*map(Lacking._make, session.execute(select(*columns).where(newest.c.place == 1)))]


def _newest_first(*partition: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[int]:
    return func.row_number().over(partition_by=partition, order_by=(BackupLog.created_at.desc(), BackupLog.id.desc()))


def failed_prunes(session: Session, *, since: datetime) -> Sequence[FailedPrune]:
    """The targets whose newest prune has failed since then."""
    ended = UPKEEP, Job.kind == JobKind.PRUNE, Job.finished_at >= since
    newest = (
        select(
            Job.target,
            Job.state,
            func.coalesce(Job.error, "").label("error"),
            Job.finished_at,
            func.row_number().over(partition_by=Job.target, order_by=Job.finished_at.desc()).label("place"),
        )
        .where(*ended)
        .subquery()
    )
    failed = (newest.c.place == 1) & (newest.c.state == JobState.FAILED)
    return [
        *map(
            FailedPrune._make,
            session.execute(select(newest.c.target, newest.c.error, newest.c.finished_at).where(failed)),
        )
    ]


def late_schedule(session: Session, *, before: datetime) -> str | None:
    """The target of a schedule whose run should have begun before then; None: every run that was due has begun."""
    late = (Schedule.next_run_at < before) & Schedule.planned_at.is_not(None)
    return session.scalar(select(Schedule.target).where(late).limit(1))


# ------------------------------------------------------------------------------------------------------------- workers


def note_lost(session: Session, workers: Collection[str], *, since: datetime, until: datetime, now: datetime) -> None:
    """Keeps that these workers are dead, and those whose last sign of life is not of that time."""
    silent = or_(WorkerRow.heartbeat_at < since, WorkerRow.heartbeat_at > until, WorkerRow.id.in_(workers))
    for row in session.scalars(select(WorkerRow).where(silent)):
        session.merge(LostWorker(id=row.id, name=row.name, host=row.host, heartbeat_at=row.heartbeat_at, lost_at=now))


def lost_workers(session: Session, *, alive_since: datetime) -> Sequence[Lost]:
    """Workers that ended without a word and have no successor: none of their name or, since, on their host."""
    rows = session.scalars(select(WorkerRow)).all()
    alive = [row for row in rows if row.heartbeat_at >= alive_since]
    silent = [_lost(row) for row in rows if row.heartbeat_at < alive_since]
    gone = map(_lost, session.scalars(select(LostWorker)))
    return [each for each in [*gone, *silent] if not any(_follows(row, each) for row in alive)]


def forget_lost(session: Session, *, before: datetime, alive_since: datetime) -> None:
    """Removes what is kept of workers that were lost before then, or have a successor."""
    alive = session.scalars(select(WorkerRow).where(WorkerRow.heartbeat_at >= alive_since)).all()
    lost = map(_lost, session.scalars(select(LostWorker)))
    followed = [each.id for each in lost if any(_follows(row, each) for row in alive)]
    session.execute(delete(LostWorker).where(or_(LostWorker.lost_at < before, LostWorker.id.in_(followed))))


def _lost(row: WorkerRow | LostWorker) -> Lost:
    return Lost(row.id, row.name, row.host, row.heartbeat_at)


def _follows(row: WorkerRow, lost: Lost) -> bool:
    is_later = row.started_at >= lost.heartbeat_at
    # One that was frozen for long may be back itself.
    return row.id == lost.id or (is_later and (row.name == lost.name or row.host == lost.host))
