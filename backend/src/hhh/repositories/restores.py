"""Rows of restores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, literal, select, tuple_
from sqlalchemy.orm import Session, defer

from hhh.core.database import UtcDateTime
from hhh.models import BackupLog, Job, JobState, Restore
from hhh.models.job import ACTIVE
from hhh.repositories.backups import Position


class PastRestore(NamedTuple):
    """A restore without what it planned and did: both may be long."""

    id: str
    backup_id: str | None
    undo_of: str | None
    target: str
    destination_target: str
    mode: str
    destination: str
    dry_run: bool
    requested_by: str
    #: `hhh.models.JobState`.
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    kept_until: datetime | None
    undone_at: datetime | None
    #: The moment that it goes back to; None where the backup is gone.
    backup_created_at: datetime | None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None of one that did not, or still does."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


def add(session: Session, row: Restore) -> None:
    """Writes a new restore."""
    session.add(row)


def get(session: Session, restore_id: str) -> Restore | None:
    """The restore of that id."""
    return session.get(Restore, restore_id)


def page_before(session: Session, *, dry_run: bool | None, position: Position | None, limit: int) -> Sequence[Restore]:
    """Restores older than a position, newest first; with `dry_run` only those that are, or are not."""
    statement = select(Restore)
    if dry_run is not None:
        statement = statement.where(Restore.dry_run.is_(dry_run))
    if position is not None:
        statement = statement.where(
            tuple_(Restore.created_at, Restore.id)
            < tuple_(literal(position.created_at, UtcDateTime()), literal(position.id))
        )
    return session.scalars(statement.order_by(Restore.created_at.desc(), Restore.id.desc()).limit(limit)).all()


def history(session: Session, *, dry_run: bool | None, position: Position | None, limit: int) -> Sequence[PastRestore]:
    """Restores older than a position, newest first; with `dry_run` only those that are, or are not."""
    statement = select(*_SHORT).outerjoin(BackupLog, BackupLog.id == Restore.backup_id)
    if dry_run is not None:
        statement = statement.where(Restore.dry_run.is_(dry_run))
    if position is not None:
        place = tuple_(literal(position.created_at, UtcDateTime()), literal(position.id))
        statement = statement.where(tuple_(Restore.created_at, Restore.id) < place)
    found = session.execute(statement.order_by(Restore.created_at.desc(), Restore.id.desc()).limit(limit))
    return [PastRestore._make(row) for row in found]


def undone_by(session: Session, restore_id: str) -> str | None:
    """The id of the undo that took a restore back, or is about to; None if there is none."""
    asked = select(Restore.id).where(
        Restore.undo_of == restore_id, Restore.status.in_((JobState.QUEUED, JobState.RUNNING, JobState.SUCCESS))
    )
    return session.scalar(asked.order_by(Restore.created_at.desc()).limit(1))


def newest_receipts(session: Session, targets: Collection[str], *, limit: int) -> Sequence[dict[str, Any]]:
    """Receipts of the newest restores of these targets' backups that succeeded."""
    statement = select(Restore.receipt).where(
        Restore.status == JobState.SUCCESS,
        Restore.dry_run.is_(False),
        Restore.undo_of.is_(None),
        Restore.target.in_(targets),
    )
    found = session.scalars(statement.order_by(Restore.created_at.desc(), Restore.id.desc()).limit(limit))
    return [receipt for receipt in found if receipt is not None]


def unfinished(session: Session) -> Sequence[Restore]:
    """Ended restores of which something may be left beside their destination, where nothing else is at work now."""
    statement = select(Restore).where(Restore.unfinished, _NOT_BUSY).options(*_WITHOUT_DOCUMENTS)
    return session.scalars(statement.order_by(Restore.created_at)).all()


def expired(session: Session, *, now: datetime) -> Sequence[Restore]:
    """Restores whose replaced database is kept no longer, where nothing else is at work now."""
    statement = select(Restore).where(Restore.kept.is_not(None), Restore.kept_until < now, _NOT_BUSY)
    return session.scalars(statement.options(*_WITHOUT_DOCUMENTS).order_by(Restore.created_at)).all()


#: Its own job keeps the same target busy.
_NOT_BUSY: ColumnElement[bool] = ~select(Job.id).where(Job.target == Restore.destination_target, ACTIVE).exists()
_SHORT = (
    Restore.id,
    Restore.backup_id,
    Restore.undo_of,
    Restore.target,
    Restore.destination_target,
    Restore.mode,
    Restore.destination,
    Restore.dry_run,
    Restore.requested_by,
    Restore.status,
    Restore.created_at,
    Restore.started_at,
    Restore.finished_at,
    Restore.kept_until,
    Restore.undone_at,
    BackupLog.created_at,
)
_WITHOUT_DOCUMENTS = (defer(Restore.plan, raiseload=True), defer(Restore.receipt, raiseload=True))
