"""Rows as the sweep looks at them: copies by their store, and what has lost what it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, literal_column, or_, select
from sqlalchemy.orm import Session, defer, selectinload

from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus, Installation, Job, JobKind, JobState, Restore
from hhh.models.backup_log import DELETED
from hhh.models.job import SWEEPS
from hhh.repositories.copies import IS_IN_A_STORE

_ACTIVE = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
_UNFINISHED = BackupLog.status.in_((BackupStatus.QUEUED, BackupStatus.RUNNING))
#: As `hhh.models.backup_log.MISSING`, where another table has a column of that name.
_MISSING = BackupCopy.status == literal_column("'missing'")
_THERE = and_(BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None))

#: How many ids are looked up at once.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class CopyRow:
    """What the catalogue knows of a copy."""

    backup_id: str
    target: str
    backup_file: str
    #: Of the dump.
    key: str
    #: Bytes of the dump.
    size: int
    status: str
    error: str | None
    #: Whether its backup is being removed.
    removed: bool
    manifest: dict[str, Any] | None


def copies_in(session: Session, store: str, *, after: str, limit: int) -> Sequence[CopyRow]:
    """Copies in a store, in the order of their backups' ids, from the one after that id."""
    columns = (
        BackupLog.id,
        BackupLog.target,
        BackupLog.backup_file,
        BackupCopy.key,
        BackupCopy.size,
        BackupCopy.status,
        BackupCopy.error,
        BackupLog.deleted_at.is_not(None),
        BackupLog.manifest,
    )
    statement = select(*columns).join(BackupCopy, BackupCopy.backup_id == BackupLog.id)
    page = statement.where(BackupCopy.storage == store, BackupCopy.backup_id > after)
    return [CopyRow(*row) for row in session.execute(page.order_by(BackupCopy.backup_id).limit(limit))]


def installations_in(session: Session, store: str) -> set[str]:
    """The ids of all installations whose backups the catalogue has in a store."""
    # An id has 36 characters; the databases don't agree on how to look for the slash after it.
    beginnings = select(func.substr(BackupCopy.key, 1, 37)).where(BackupCopy.storage == store).distinct()
    return {beginning.partition("/")[0] for beginning in session.scalars(beginnings)}


def still_stored(session: Session, backup_id: str, store: str) -> bool:
    """Whether the catalogue says, now, that a backup is in a store and is to stay there."""
    found = select(BackupCopy.key).join(BackupLog, BackupLog.id == BackupCopy.backup_id)
    found = found.where(BackupCopy.backup_id == backup_id, BackupCopy.storage == store)
    return session.scalar(found.where(BackupCopy.status == CopyStatus.STORED, _THERE)) is not None


def has_good_copy(session: Session, backup_id: str) -> bool:
    """Whether the catalogue says that any store has a backup."""
    found = select(BackupCopy.key).where(BackupCopy.backup_id == backup_id, BackupCopy.status == CopyStatus.STORED)
    return session.scalar(found.limit(1)) is not None


def stored_in(session: Session, store: str) -> int:
    """How many backups are in a store, by the catalogue."""
    counted = select(func.count()).select_from(BackupCopy).join(BackupLog, BackupLog.id == BackupCopy.backup_id)
    counted = counted.where(BackupCopy.storage == store, BackupCopy.status == CopyStatus.STORED, _THERE)
    return session.scalar(counted) or 0


def missing_by_store(session: Session) -> dict[str, int]:
    """How many copies are missing in which store."""
    # By a join, SQLite would begin with all backups that are stored.
    there = exists().where(BackupLog.id == BackupCopy.backup_id, _THERE)
    counted = (
        select(BackupCopy.storage, func.count())
        .where(_MISSING, there)
        .group_by(BackupCopy.storage)
        .order_by(BackupCopy.storage)
    )
    return {store: int(count) for store, count in session.execute(counted)}


def backed_up_targets(session: Session) -> set[str]:
    """The targets that have a stored backup."""
    return {*session.scalars(select(BackupLog.target).where(_THERE).distinct())}


def is_wanted(session: Session, store: str, *, target: str, backup_file: str, stem: str) -> bool:
    """Whether objects of an attempt at a backup that have no manifest in a store may be of use all the same.

    They are while its backup, or a repair of its target, waits or runs, and where the catalogue has them as a copy
    there, or no good copy anywhere.

    Args:
        session: of a snapshot.
        store: that they are in.
        target: of the backup.
        backup_file: of the backup.
        stem: how the keys of the attempt begin.
    """
    row = and_(BackupLog.target == target, BackupLog.backup_file == backup_file)
    here = exists().where(
        BackupCopy.backup_id == BackupLog.id,
        BackupCopy.storage == store,
        BackupCopy.key.startswith(stem, autoescape=True),
    )
    wanted = or_(_has_active_job(), here, and_(_THERE, ~IS_IN_A_STORE))
    if session.scalar(select(BackupLog.id).where(row, wanted).limit(1)) is not None:
        return True
    return _has_job(session, target, JobKind.REPAIR)


def is_busy(session: Session, target: str) -> bool:
    """Whether a backup or a repair of a target waits or runs: it may be writing."""
    return _has_job(session, target, JobKind.BACKUP, JobKind.REPAIR)


def lost(session: Session, incomplete: AbstractSet[tuple[str, str]]) -> Sequence[BackupLog]:
    """Backups that no store has a whole copy of, without their manifests.

    Args:
        session: of a snapshot.
        incomplete: copies that the catalogue says are stored and that are not: backup and store.
    """
    options = (defer(BackupLog.manifest, raiseload=True), selectinload(BackupLog.copies))
    found = list(session.scalars(select(BackupLog).where(_THERE, ~IS_IN_A_STORE).options(*options)))
    ids = sorted({backup_id for backup_id, _ in incomplete})
    for start in range(0, len(ids), _AT_ONCE):
        some = BackupLog.id.in_(ids[start : start + _AT_ONCE])
        rows = session.scalars(select(BackupLog).where(some, _THERE, IS_IN_A_STORE).options(*options))
        found += [row for row in rows if {(row.id, name) for name in _stored_in(row)} <= incomplete]
    return found


# --------------------------------------------------------------------------------------- rows that belong to nothing


def backups_without_job(session: Session) -> Sequence[BackupLog]:
    """Backups that wait or run by their rows, with no job that does."""
    statement = select(BackupLog).where(_UNFINISHED, BackupLog.deleted_at.is_(None), ~_has_active_job())
    return session.scalars(statement.order_by(BackupLog.created_at)).all()


def jobs_without_record(session: Session) -> Sequence[Job]:
    """Backups and restores that wait or run, without the row of what they make."""
    backup = and_(Job.kind == JobKind.BACKUP, ~exists().where(BackupLog.id == Job.id))
    restore = and_(Job.kind == JobKind.RESTORE, ~exists().where(Restore.id == Job.id))
    return session.scalars(select(Job).where(_ACTIVE, or_(backup, restore)).order_by(Job.created_at)).all()


def silent_jobs(session: Session, *, before: datetime) -> Sequence[Job]:
    """Running jobs whose lease ran out before a moment."""
    silent = select(Job).where(Job.state == JobState.RUNNING, Job.lease_expires_at < before)
    return session.scalars(silent.order_by(Job.started_at)).all()


def removals(session: Session, *, before: datetime) -> Sequence[BackupLog]:
    """Backups with a tombstone of before a moment, with their copies, without their manifests, the oldest first."""
    statement = select(BackupLog).where(DELETED, BackupLog.deleted_at < before)
    statement = statement.options(selectinload(BackupLog.copies), defer(BackupLog.manifest, raiseload=True))
    return session.scalars(statement.order_by(BackupLog.deleted_at)).all()


# ------------------------------------------------------------------------------------------------- when it was swept


@dataclass(frozen=True, slots=True)
class LastSweep:
    """The newest sweep."""

    state: str
    created_at: datetime
    finished_at: datetime | None
    error: str | None


def last_sweep(session: Session, *, now: datetime) -> LastSweep | None:
    """The newest sweep, leaving out those of a time that has not come."""
    columns = (Job.state, Job.created_at, Job.finished_at, Job.error)
    newest = select(*columns).where(SWEEPS, Job.created_at <= now).order_by(Job.created_at.desc()).limit(1)
    row = session.execute(newest).first()
    return LastSweep(*row) if row is not None else None


def installed_at(session: Session) -> datetime | None:
    """Since when this installation is there; None before its first use."""
    return session.scalar(select(Installation.created_at))


def _stored_in(row: BackupLog) -> list[str]:
    return [copy.storage for copy in row.copies if copy.status == CopyStatus.STORED]


def _has_active_job() -> ColumnElement[bool]:
    return exists().where(Job.id == BackupLog.id, _ACTIVE)


def _has_job(session: Session, target: str, *kinds: JobKind) -> bool:
    return session.scalar(select(Job.id).where(Job.target == target, Job.kind.in_(kinds), _ACTIVE).limit(1)) is not None
