"""Rows of restores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, literal, select, tuple_
from sqlalchemy.orm import Session, defer

from hhh.core.database import UtcDateTime
from hhh.models import Job, JobState, Restore
from hhh.models.job import ACTIVE
from hhh.repositories.backups import Position


def add(session: Session, row: Restore) -> None:
    """Writes a new restore."""
    session.add(row)


def get(session: Session, restore_id: str) -> Restore | None:
    """The restore of that id."""
    return session.get(Restore, restore_id)


def page_before(session: Session, *, position: Position | None, limit: int) -> Sequence[Restore]:
    """Restores older than a position, newest first."""
    statement = select(Restore)
    if position is not None:
        statement = statement.where(
            tuple_(Restore.created_at, Restore.id)
            < tuple_(literal(position.created_at, UtcDateTime()), literal(position.id))
        )
    return session.scalars(statement.order_by(Restore.created_at.desc(), Restore.id.desc()).limit(limit)).all()


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
_WITHOUT_DOCUMENTS = (defer(Restore.plan, raiseload=True), defer(Restore.receipt, raiseload=True))
