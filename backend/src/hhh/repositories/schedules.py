"""Rows of schedules: whoever locks a due one begins its run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from hhh.models import BackupLog, BackupStatus, Job, Schedule, Verification, VerificationStatus
from hhh.models.job import ACTIVE
from hhh.repositories.batches import in_batches
from hhh.repositories.levels import reaches


def add(session: Session, row: Schedule) -> None:
    """Writes a new schedule."""
    session.add(row)


def get(session: Session, schedule_id: str) -> Schedule | None:
    """The schedule of that id."""
    return session.get(Schedule, schedule_id)


def locked(session: Session, schedule_id: str) -> Schedule | None:
    """The schedule of that id, which nobody else changes before this transaction ends."""
    return session.get(Schedule, schedule_id, with_for_update=True)


def page(session: Session, *, target: str | None, limit: int, offset: int) -> Sequence[Schedule]:
    """Schedules in the order of their targets, the oldest of each first."""
    statement = select(Schedule).order_by(Schedule.target, Schedule.created_at, Schedule.id)
    if target is not None:
        statement = statement.where(Schedule.target == target)
    return session.scalars(statement.limit(limit).offset(offset)).all()


def next_runs(session: Session, targets: Collection[str]) -> Mapping[str, datetime]:
    """By target: when the next of its schedules runs."""
    found: dict[str, datetime] = {}
    for some in in_batches(targets):
        first = select(Schedule.target, func.min(Schedule.next_run_at)).where(Schedule.target.in_(some))
        runs = session.execute(first.group_by(Schedule.target))
        found.update({target: moment for target, moment in runs if moment is not None})
    return found


def next_backup(session: Session, target: str) -> datetime | None:
    """When the next of the schedules runs that back a target up."""
    asked = select(func.min(Schedule.next_run_at)).where(Schedule.target == target, Schedule.verify_level.is_(None))
    return session.scalar(asked)


def verified(session: Session) -> Mapping[str, Collection[str]]:
    """By target: the levels at which its schedules verify, but for those that are paused."""
    asked = select(Schedule.target, Schedule.verify_level).where(
        Schedule.verify_level.is_not(None), Schedule.paused.is_(False)
    )
    found: dict[str, set[str]] = {}
    rows: Iterable[Any] = session.execute(asked.distinct())
    for target, level in rows:
        found.setdefault(target, set()).add(level)
    return found


def is_anything_due(session: Session, now: datetime) -> bool:
    """Whether the run of any schedule is to be begun."""
    return session.scalar(select(Schedule.id).where(Schedule.next_run_at <= now).limit(1)) is not None


def due(session: Session, now: datetime, *, limit: int) -> Sequence[Schedule]:
    """Schedules whose run is to be begun, the longest due first; locked, without those that somebody else has."""
    statement = select(Schedule).where(Schedule.next_run_at <= now).order_by(Schedule.next_run_at)
    return session.scalars(statement.limit(limit).with_for_update(skip_locked=True)).all()


def planned_after(session: Session, moment: datetime) -> Sequence[Schedule]:
    """Schedules that were planned after a moment, and for after it; locked, without those that somebody else has."""
    statement = select(Schedule).where(Schedule.updated_at > moment, Schedule.next_run_at > moment)
    return session.scalars(statement.with_for_update(skip_locked=True)).all()


def remove(session: Session, schedule: Schedule) -> None:
    """Removes a schedule."""
    session.delete(schedule)


def busy(session: Session, targets: Collection[str]) -> Mapping[str, Job]:
    """By target: the job that keeps it busy."""
    return {job.target: job for job in session.scalars(select(Job).where(Job.target.in_(targets), ACTIVE))}


def newest_successes(session: Session, targets: Collection[str]) -> Mapping[str, datetime]:
    """By target: when its newest stored backup was begun."""
    newest = (
        select(BackupLog.created_at)
        .where(
            BackupLog.target == Schedule.target,
            BackupLog.status == BackupStatus.SUCCESS,
            BackupLog.deleted_at.is_(None),
        )
        # As the index has it, so that one row is read of it.
        .order_by(BackupLog.created_at.desc(), BackupLog.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return _newest_of_each(session, Schedule.target, newest, targets)


def newest_verifications(session: Session, schedules: Collection[str]) -> Mapping[str, datetime]:
    """By schedule: when the newest successful verification of its target, of its level or a higher one, was asked for.

    Those that take backups have none.
    """
    newest = (
        select(Verification.created_at)
        .where(
            Verification.target == Schedule.target,
            Verification.status == VerificationStatus.SUCCESS,
            reaches(Verification.level, Schedule.verify_level),
        )
        .order_by(Verification.created_at.desc(), Verification.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return _newest_of_each(session, Schedule.id, newest, schedules)


def last_results(session: Session, job_ids: Collection[str]) -> Mapping[str, str]:
    """By id of a job: what has become of its backup or verification, in small letters; without those that are gone."""
    found = dict[str, str]()
    for some in in_batches(job_ids):
        backups = select(BackupLog.id, BackupLog.status).where(BackupLog.id.in_(some), BackupLog.deleted_at.is_(None))
        verifications = select(Verification.id, Verification.status).where(Verification.id.in_(some))
        for statement in (backups, verifications):
            found |= {job_id: status.lower() for job_id, status in session.execute(statement)}
    return found


def _newest_of_each(
    session: Session, column: InstrumentedAttribute[str], newest: ScalarSelect[datetime], values: Collection[str]
) -> Mapping[str, datetime]:
    found = dict[str, datetime | None]()
    for some in in_batches(values):
        rows: Iterable[Any] = session.execute(select(column, newest).where(column.in_(some)))
        found.update(dict(tuple(row) for row in rows))
    return {value: moment for value, moment in found.items() if moment is not None}
