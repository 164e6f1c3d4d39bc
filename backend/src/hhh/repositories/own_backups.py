"""What decides whether the service's own database is to be backed up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hhh.models import Action, AuditEvent, BackupCopy, BackupLog, BackupStatus, CopyStatus


@dataclass(frozen=True, slots=True)
class Newest:
    """Of the backups of one target."""

    #: The newest that was begun, whatever became of it.
    begun_at: datetime | None
    #: The newest that is stored.
    stored_at: datetime | None


def newest(session: Session, target: str) -> Newest:
    """The newest backups of a target, without those that are being removed."""
    begun = select(func.max(BackupLog.created_at)).where(BackupLog.target == target, BackupLog.deleted_at.is_(None))
    return Newest(session.scalar(begun), session.scalar(begun.where(BackupLog.status == BackupStatus.SUCCESS)))


def newest_of_all(session: Session) -> tuple[str, datetime] | None:
    """The target of the newest backup that is stored, and when that was taken."""
    found = session.execute(
        select(BackupLog.target, BackupLog.created_at)
        .where(BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None))
        .order_by(BackupLog.created_at.desc())
        .limit(1)
    ).one_or_none()
    return (found.target, found.created_at) if found is not None else None


def taken_at(session: Session, target: str, backup_file: str) -> datetime | None:
    """When a backup was taken, to the microsecond, which no manifest has; None where the catalogue does not know it."""
    asked = BackupLog.target == target, BackupLog.backup_file == backup_file
    return session.scalar(select(BackupLog.created_at).where(*asked))


def first_event(session: Session, actions: Collection[Action], *, after: datetime) -> datetime | None:
    """When the first of these was done after a moment."""
    return session.scalar(select(func.min(AuditEvent.at)).where(AuditEvent.at > after, AuditEvent.action.in_(actions)))


def newest_manifests(session: Session, target: str, *, limit: int) -> Sequence[dict[str, Any]]:
    """The manifests of the newest backups of a target that are stored, the oldest first."""
    newest_first = (
        select(BackupLog.manifest)
        .where(BackupLog.target == target, BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None))
        .order_by(BackupLog.created_at.desc())
        .limit(limit)
    )
    return [each for each in reversed(session.scalars(newest_first).all()) if each is not None]


def newest_by_store(session: Session, target: str) -> dict[str, datetime]:
    """By store: when the newest backup of a target was taken that is stored in it."""
    found = session.execute(
        select(BackupCopy.storage, func.max(BackupLog.created_at))
        .join(BackupLog, BackupLog.id == BackupCopy.backup_id)
        .where(
            BackupLog.target == target,
            BackupLog.status == BackupStatus.SUCCESS,
            BackupLog.deleted_at.is_(None),
            BackupCopy.status == CopyStatus.STORED,
        )
        .group_by(BackupCopy.storage)
    )
    return {store: moment for store, moment in found}  # noqa: C416  rows are no pairs to a type checker
