"""Rows of a restored own database: what ends before it goes live, and what comes over from the one that was live."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, selectinload

from hhh.core.database import Base
from hhh.models import BackupLog, RefreshToken, Restore, UserSession
from hhh.repositories import jobs as job_rows


def end_sessions(session: Session) -> None:
    """Signs everybody out."""
    session.execute(delete(RefreshToken))
    session.execute(delete(UserSession))


def carried_over(live: Session) -> Sequence[Base]:
    """The record of all restores, and the jobs that are active now with their backups; loaded whole."""
    jobs = job_rows.active(live)
    ids = [job.id for job in jobs]
    backups = select(BackupLog).where(BackupLog.id.in_(ids)).options(selectinload(BackupLog.copies))
    return [*live.scalars(select(Restore)), *jobs, *live.scalars(backups)]


def take_over(session: Session, carried: Sequence[Base]) -> None:
    """Writes rows of another database here, over those of the same ids."""
    for row in carried:
        session.merge(row)
