"""What verifications look for in the catalogue, and what they write into it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import literal, select, tuple_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased, defer

from hhh.core.database import UtcDateTime
from hhh.models import BackupCopy, BackupLog, CopyStatus, Verification, VerificationStatus
from hhh.models.backup_log import READ_BACK, VERIFY_DUE

_WITHOUT_MANIFEST = defer(BackupLog.manifest, raiseload=True)


def to_be_verified(session: Session, *, requested_by: str, limit: int) -> Sequence[BackupLog]:
    """Backups that their targets' policies have verified, the oldest first, without their manifests.

    One of each target, and none where the verification of another that the same one asked for has not ended: the code
    in a dump may never come to an end, and would have one slot after the other.
    """
    older = aliased(BackupLog)
    comes_first = tuple_(older.created_at, older.id) < tuple_(BackupLog.created_at, BackupLog.id)
    an_older_one = select(older.id).where(
        older.target == BackupLog.target, older.verify_due.is_not(None), older.deleted_at.is_(None), comes_first
    )
    busy = select(Verification.target).where(
        Verification.status.in_((VerificationStatus.QUEUED, VerificationStatus.RUNNING)),
        Verification.requested_by == requested_by,
    )
    due = select(BackupLog).where(VERIFY_DUE, BackupLog.target.not_in(busy), ~an_older_one.exists())
    return session.scalars(due.order_by(BackupLog.created_at).limit(limit).options(_WITHOUT_MANIFEST)).all()


def to_be_verified_of(session: Session, target: str) -> Sequence[BackupLog]:
    """The backups of one target that its policy has verified, the newest first, without their manifests."""
    due = select(BackupLog).where(BackupLog.target == target, VERIFY_DUE).order_by(BackupLog.created_at.desc())
    return session.scalars(due.options(_WITHOUT_MANIFEST)).all()


def take_to_be_verified(session: Session, backup_id: str) -> bool:
    """Writes that the verification of a backup was asked for; false where somebody else has asked, or it is gone."""
    taken = update(BackupLog).where(BackupLog.id == backup_id, VERIFY_DUE).values(verify_due=None)
    return _changed(session, taken)


def to_be_read_back(session: Session, *, before: datetime, limit: int) -> Sequence[BackupLog]:
    """Stored backups that were not to be read back since a moment, who waits longest first, without their manifests.

    One of which a verification waits or runs is read back by that.
    """
    active = select(Verification.id).where(Verification.backup_id == BackupLog.id, Verification.finished_at.is_(None))
    due = select(BackupLog).where(READ_BACK, BackupLog.read_back_at < literal(before, UtcDateTime()), ~active.exists())
    return session.scalars(due.order_by(BackupLog.read_back_at).limit(limit).options(_WITHOUT_MANIFEST)).all()


def take_to_be_read_back(session: Session, backup_id: str, *, before: datetime, now: datetime) -> bool:
    """Writes that a backup is to be read back now; false where somebody else has asked, or it is gone."""
    taken = (
        update(BackupLog)
        .where(BackupLog.id == backup_id, READ_BACK, BackupLog.read_back_at < literal(before, UtcDateTime()))
        .values(read_back_at=now)
    )
    return _changed(session, taken)


def locked(session: Session, backup_id: str) -> BackupLog | None:
    """The backup of that id, which nobody else changes before this transaction ends; None where it is removed."""
    statement = select(BackupLog).where(BackupLog.id == backup_id, BackupLog.deleted_at.is_(None))
    return session.scalar(statement.options(_WITHOUT_MANIFEST).with_for_update())


def note_read(session: Session, backup_id: str, stores: Collection[str], *, now: datetime) -> None:
    """Writes that the copies of a backup in these stores were read to their end, and are what was stored.

    One that was missing is there again, as where a disk was not mounted.
    """
    session.execute(
        update(BackupCopy)
        .where(
            BackupCopy.backup_id == backup_id,
            BackupCopy.storage.in_(stores),
            BackupCopy.status != CopyStatus.UNDELETABLE,
        )
        .values(read_at=now, status=CopyStatus.STORED, error=None)
    )


def _changed(session: Session, statement: Any) -> bool:
    return cast("CursorResult[Any]", session.execute(statement)).rowcount == 1
