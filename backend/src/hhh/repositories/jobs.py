"""Rows of jobs: leases are taken, kept and lost here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import func, select, update
from sqlalchemy.engine import CursorResult, Result
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.models import Job, JobState
from hhh.models.job import ACTIVE

#: The states of a job that has not ended.
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def server_time(session: Session) -> datetime:
    """Now, by the clock that all workers share: that of the database's server, or this machine's for a SQLite file."""
    if session.get_bind().dialect.name != "postgresql":
        return utcnow()
    return cast("datetime", session.scalar(select(func.clock_timestamp())))


def get(session: Session, job_id: str) -> Job | None:
    """The job of that id."""
    return session.get(Job, job_id)


def settled(session: Session, job_id: str) -> Job | None:
    """The job, if no other transaction is changing it: one whose connection was lost may still be committed.

    Raises:
        DatabaseUnavailable: another transaction is.
    """
    return session.scalar(select(Job).where(Job.id == job_id).with_for_update(nowait=True))


def active_of(session: Session, target: str) -> Job | None:
    """The job that keeps a target busy."""
    return session.scalar(select(Job).where(Job.target == target, ACTIVE))


def active(session: Session) -> Sequence[Job]:
    """All jobs that wait or run, the oldest first."""
    return session.scalars(select(Job).where(Job.state.in_(_UNFINISHED)).order_by(Job.created_at)).all()


def active_among(session: Session, job_ids: Collection[str]) -> Sequence[Job]:
    """Those of the given jobs that wait or run."""
    return session.scalars(select(Job).where(Job.id.in_(job_ids), Job.state.in_(_UNFINISHED))).all()


def queued_of(session: Session, worker: str) -> Sequence[str]:
    """The ids of the jobs that wait for that worker."""
    return session.scalars(select(Job.id).where(Job.worker == worker, Job.state == JobState.QUEUED)).all()


def add(session: Session, job: Job) -> None:
    """Writes a new job.

    Raises:
        IntegrityError: its target has an active one.
    """
    session.add(job)
    session.flush()


def claim(session: Session, job_id: str, *, worker: str, lease_expires_at: datetime, now: datetime) -> Job | None:
    """Takes a queued job: it is running, one attempt further, and ours; None when somebody else has it."""
    claimed = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            lease_expires_at=lease_expires_at,
            started_at=now,
        )
        .returning(Job)
    )
    return claimed.scalar_one_or_none()


def adopt(session: Session, *, worker: str, lease_expires_at: datetime, now: datetime) -> None:
    """Makes every queued job whose lease ran out that worker's."""
    session.execute(
        update(Job)
        .where(Job.state == JobState.QUEUED, Job.lease_expires_at <= now)
        .values(worker=worker, lease_expires_at=lease_expires_at)
    )


def renew_queued(session: Session, workers: Collection[str], *, lease_expires_at: datetime) -> None:
    """Moves the end of the leases of what waits for these workers; to now, where they let go of it."""
    session.execute(
        update(Job)
        .where(Job.worker.in_(workers), Job.state == JobState.QUEUED)
        .values(lease_expires_at=lease_expires_at)
    )


def let_go(session: Session, job_id: str, *, now: datetime) -> None:
    """Lets whoever looks next have a queued job."""
    session.execute(
        update(Job).where(Job.id == job_id, Job.state == JobState.QUEUED).values(worker="", lease_expires_at=now)
    )


def queued_of(session: Session, worker: str) -> Sequence[str]:
    """The ids of the jobs that wait for that worker, the oldest first."""
    waiting = select(Job.id).where(Job.worker == worker, Job.state == JobState.QUEUED)
    return session.scalars(waiting.order_by(Job.created_at)).all()


def held(session: Session, job_ids: Collection[str]) -> dict[tuple[str, int], bool]:
    """By job and attempt, of those of the given jobs that run: whether their cancellation was asked for."""
    found = session.execute(
        select(Job.id, Job.attempt, Job.cancel_requested).where(Job.id.in_(job_ids), Job.state == JobState.RUNNING)
    )
    return {(job_id, attempt): cancelled for job_id, attempt, cancelled in found}


def renew(
    session: Session, job_id: str, attempt: int, *, lease_expires_at: datetime, progress: dict[str, Any] | None
) -> bool | None:
    """Keeps the lease of a running attempt and writes its progress.

    Returns:
        Whether its cancellation was asked for; None when the attempt no longer holds the job.
    """
    renewed = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
        .values(lease_expires_at=lease_expires_at, progress=progress)
        .returning(Job.cancel_requested)
    )
    return renewed.scalar_one_or_none()


def request_cancel(session: Session, job_id: str) -> bool:
    """Asks for an active job to be cancelled; False when it has ended."""
    asked = session.execute(
        update(Job).where(Job.id == job_id, Job.state.in_(_UNFINISHED)).values(cancel_requested=True)
    )
    return _changed(asked)


def note_progress(session: Session, job_id: str, attempt: int, progress: dict[str, Any]) -> bool | None:
    """Writes the progress of a running attempt at once; answers as `renew`."""
    noted = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
        .values(progress=progress)
        .returning(Job.cancel_requested)
    )
    return noted.scalar_one_or_none()


def finish(session: Session, job_id: str, attempt: int, *, state: JobState, error: str | None, now: datetime) -> bool:
    """Ends an active job; False when that attempt no longer holds it."""
    finished = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.state.in_(_UNFINISHED))
        .values(state=state, error=error, finished_at=now)
    )
    return _changed(finished)


def expired(session: Session, *, now: datetime, dead_workers: Collection[str]) -> Sequence[Job]:
    """Running jobs whose lease ran out, or whose worker is known to be dead."""
    return session.scalars(
        select(Job).where(
            Job.state == JobState.RUNNING,
            (Job.lease_expires_at < now) | Job.worker.in_(dead_workers),
        )
    ).all()


def _changed(result: Result[Any]) -> bool:
    return cast("CursorResult[Any]", result).rowcount == 1
