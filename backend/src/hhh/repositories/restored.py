"""Rows of a restored copy of the own database: what ends before it goes live, and what comes over from the live one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hhh.models import BackupLog, Job, JobKind, JobState, RefreshToken, Restore, UserSession

_ACTIVE = (JobState.QUEUED, JobState.RUNNING)


def end_sessions(copy: Session) -> None:
    """Signs everybody out."""
    copy.execute(delete(RefreshToken))
    copy.execute(delete(UserSession))


def active_jobs(session: Session) -> Sequence[Job]:
    """The jobs that wait or run."""
    return session.scalars(select(Job).where(Job.state.in_(_ACTIVE)).order_by(Job.created_at)).all()


def carry_over(live: Session, copy: Session) -> None:
    """Brings the record of all restores, and the jobs that are active now with their backups, into the copy."""
    for restore in live.scalars(select(Restore)):
        copy.merge(restore)
    for job in active_jobs(live):
        copy.merge(job)
        backup = live.get(BackupLog, job.id) if job.kind == JobKind.BACKUP else None
        if backup is not None:
            copy.merge(backup)
