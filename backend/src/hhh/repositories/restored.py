"""Rows of a restored own database: what ends before it goes live, and what comes over from the one that was live."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session, selectinload

from hhh.core.database import Base
from hhh.models import (
    AlertDelivery,
    BackupLog,
    BackupStatus,
    Job,
    RefreshToken,
    Restore,
    Trouble,
    UserSession,
    Verification,
)
from hhh.models.backup_log import DELETED
from hhh.models.job import SWEEPS
from hhh.repositories import backups as backup_rows
from hhh.repositories import jobs as job_rows


def end_sessions(session: Session) -> None:
    """Signs everybody out."""
    session.execute(delete(RefreshToken))
    session.execute(delete(UserSession))


def forget_sweeps(session: Session) -> None:
    """Makes the next sweep due: those of another time saw other stores."""
    session.execute(delete(Job).where(SWEEPS))


def forget_alerts(session: Session) -> None:
    """Drops messages that waited then, which were told since or are no longer true.

    What was wrong then goes with them, so that the next round tells once what is wrong now, also where its message was
    among those.
    """
    session.execute(delete(AlertDelivery).where(AlertDelivery.next_try_at.is_not(None)))
    session.execute(delete(Trouble))


def carried_over(live: Session) -> Sequence[Base]:
    """The record of all restores, the active jobs with what they make, and all tombstones; loaded whole."""
    jobs = job_rows.active(live)
    ids = [job.id for job in jobs]
    backups = select(BackupLog).where(or_(BackupLog.id.in_(ids), DELETED)).options(selectinload(BackupLog.copies))
    verifications = select(Verification).where(Verification.id.in_(ids))
    return [*live.scalars(select(Restore)), *jobs, *live.scalars(backups), *live.scalars(verifications)]


def take_over(session: Session, carried: Sequence[Base]) -> None:
    """Writes rows of another database here, over those of the same ids."""
    for row in carried:
        if isinstance(row, BackupLog) and row.deleted_at is not None:
            _count_no_longer(session, row.id)
        session.merge(row)


def _count_no_longer(session: Session, backup_id: str) -> None:
    """Takes out of the totals what was not being removed when they were counted."""
    row = backup_rows.get(session, backup_id)
    if row is not None and row.finished_at is not None:
        backup_rows.take_from_totals(session, status=BackupStatus(row.status), stored_bytes=row.backup_size)
