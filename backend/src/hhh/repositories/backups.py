"""Rows of the catalogue and its totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_, select, update
from sqlalchemy.orm import Session, selectinload

from hhh.models import BackupLog, BackupStatus, BackupTotals
from hhh.models.backup_log import FINISHED

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class BackupFilter:
    """What a listing of backups is narrowed to; None means no limit."""

    target: str | None = None
    status: BackupStatus | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the catalogue, which is ordered newest first."""

    created_at: datetime
    id: str


def get(session: Session, backup_id: str) -> BackupLog | None:
    """The backup of that id, with its copies."""
    return session.get(BackupLog, backup_id, options=[selectinload(BackupLog.copies)])


def files_named_like(session: Session, target: str, stem: str) -> Sequence[str]:
    """The file names of a target that begin with ``stem``."""
    return session.scalars(
        select(BackupLog.backup_file).where(
            BackupLog.target == target, BackupLog.backup_file.startswith(stem, autoescape=True)
        )
    ).all()


def finished_page(session: Session, *, limit: int, offset: int) -> Sequence[BackupLog]:
    """Finished backups, newest first.

    The page's ids are looked up in the index alone, and only their rows are read: skipping 10,000 rows reads none.
    """
    page = _newest_first(select(BackupLog.id).where(FINISHED)).limit(limit).offset(offset).subquery()
    return session.scalars(_newest_first(select(BackupLog).join(page, BackupLog.id == page.c.id))).all()


def newest_successful(session: Session) -> BackupLog | None:
    """The newest backup that is stored."""
    return session.scalar(_newest_first(select(BackupLog).where(BackupLog.status == BackupStatus.SUCCESS)).limit(1))


def page_before(
    session: Session, narrowed: BackupFilter, *, position: Position | None, limit: int
) -> Sequence[BackupLog]:
    """Backups older than a position, newest first, with their copies."""
    statement = select(BackupLog).options(selectinload(BackupLog.copies))
    if narrowed.target is not None:
        statement = statement.where(BackupLog.target == narrowed.target)
    if narrowed.status is not None:
        statement = statement.where(BackupLog.status == narrowed.status)
    if narrowed.created_from is not None:
        statement = statement.where(BackupLog.created_at >= narrowed.created_from)
    if narrowed.created_before is not None:
        statement = statement.where(BackupLog.created_at < narrowed.created_before)
    if position is not None:
        statement = statement.where(_older_than(position))
    return session.scalars(_newest_first(statement).limit(limit)).all()


def totals(session: Session) -> BackupTotals:
    """The totals over finished backups."""
    return session.scalars(select(BackupTotals)).one()


def add_to_totals(session: Session, *, status: BackupStatus, stored_bytes: int) -> None:
    """Counts a backup that finishes in this transaction."""
    succeeded = int(status is BackupStatus.SUCCESS)
    session.execute(
        update(BackupTotals).values(
            total=BackupTotals.total + 1,
            successful=BackupTotals.successful + succeeded,
            failed=BackupTotals.failed + 1 - succeeded,
            stored_bytes=BackupTotals.stored_bytes + stored_bytes,
        )
    )


def _newest_first(statement: Select[_Row]) -> Select[_Row]:
    return statement.order_by(BackupLog.created_at.desc(), BackupLog.id.desc())


def _older_than(position: Position) -> ColumnElement[bool]:
    return or_(
        BackupLog.created_at < position.created_at,
        and_(BackupLog.created_at == position.created_at, BackupLog.id < position.id),
    )
