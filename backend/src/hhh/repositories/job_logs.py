"""Rows of what jobs wrote to the log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, delete
from sqlalchemy.orm import Session

from hhh.models import JobLog


def get(session: Session, job_id: str, *, locked: bool = False) -> JobLog | None:
    """The lines of a job; locked, so that no other attempt writes its own meanwhile."""
    return session.get(JobLog, job_id, with_for_update=locked)


def add(session: Session, row: JobLog) -> None:
    """Writes the first lines of a job."""
    session.add(row)


def forget(session: Session, job_ids: Select[Any]) -> None:
    """Removes the lines of these jobs."""
    session.execute(delete(JobLog).where(JobLog.job_id.in_(job_ids)).execution_options(synchronize_session=False))
