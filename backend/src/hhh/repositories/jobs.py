"""Rows of jobs: leases are taken, kept and lost here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.engine import CursorResult, Result
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.models import Job, JobKind, JobState
from hhh.models.job import ACTIVE, UNFINISHED, UPKEEP

#: The states of a job that has not ended.
#: The kinds of which one alone is active for a target, whichever it is; the limit of what runs counts them too.
MAIN_KINDS = (JobKind.BACKUP, JobKind.RESTORE)
#: The number of the lock under which claims are counted, of our own choosing.
_CLAIMING = 0x68686863


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued job, as far as whoever wants to begin it must know it."""

    kind: str
    not_before: datetime | None
    cancel_requested: bool


def server_time(session: Session) -> datetime:
    """Now, by the clock that all workers share: that of the database's server, or this machine's for a SQLite file."""
    if session.get_bind().dialect.name != "postgresql":
        return utcnow()
    return cast("datetime", session.scalar(select(func.clock_timestamp())))


def get(session: Session, job_id: str) -> Job | None:
    """The job of that id."""
    return session.get(Job, job_id)


def among(session: Session, job_ids: Collection[str]) -> Sequence[Job]:
    """Those of the given jobs that there are."""
    return session.scalars(select(Job).where(Job.id.in_(job_ids))).all()


def kind_of(session: Session, job_id: str) -> str | None:
    """What the job of that id does."""
    return session.scalar(select(Job.kind).where(Job.id == job_id))


def state_of(session: Session, job_id: str) -> JobState:
    """Where the job of that id is in its life."""
    return JobState(session.scalars(select(Job.state).where(Job.id == job_id)).one())


def settled(session: Session, job_id: str) -> Job | None:
    """The job, if no other transaction is changing it: one whose connection was lost may still be committed.

    Raises:
        DatabaseUnavailable: another transaction is.
    """
    return session.scalar(select(Job).where(Job.id == job_id).with_for_update(nowait=True))


def active_of(session: Session, kind: JobKind, target: str) -> Job | None:
    """The job that is in the way of a new one of that kind; of verifications there may be any number."""
    if kind is JobKind.VERIFY:
        return None
    condition = ACTIVE if kind in MAIN_KINDS else and_(Job.kind == kind, Job.state.in_(UNFINISHED))
    return session.scalar(select(Job).where(Job.target == target, condition))


def active(session: Session) -> Sequence[Job]:
    """All jobs that wait or run, the oldest first."""
    return session.scalars(select(Job).where(Job.state.in_(UNFINISHED)).order_by(Job.created_at)).all()


def waiting(session: Session, job_id: str) -> Waiting | None:
    """What decides whether a job may be begun; None where it does not wait."""
    found = session.execute(
        select(Job.kind, Job.not_before, Job.cancel_requested).where(Job.id == job_id, Job.state == JobState.QUEUED)
    ).one_or_none()
    return Waiting(*found) if found is not None else None


def unfinished(session: Session) -> set[str]:
    """The ids of all jobs that have not ended."""
    return {*session.scalars(select(Job.id).where(Job.state.in_(UNFINISHED)))}


def active_among(session: Session, job_ids: Collection[str]) -> Sequence[Job]:
    """Those of the given jobs that wait or run."""
    return session.scalars(select(Job).where(Job.id.in_(job_ids), Job.state.in_(UNFINISHED))).all()


def running(session: Session) -> Sequence[Job]:
    """All jobs that run, the oldest first."""
    return session.scalars(select(Job).where(Job.state == JobState.RUNNING).order_by(Job.started_at)).all()


def longest_waiting(session: Session, *, limit: int) -> Sequence[Job]:
    """Jobs that wait, the oldest first."""
    return session.scalars(
        select(Job).where(Job.state == JobState.QUEUED).order_by(Job.created_at, Job.id).limit(limit)
    ).all()


def ended_upkeep(session: Session, *, limit: int) -> Sequence[Job]:
    """Prunes, repairs and sweeps that have ended, the newest end first."""
    ended = select(Job).where(UPKEEP, Job.finished_at.is_not(None))
    return session.scalars(ended.order_by(Job.finished_at.desc()).limit(limit)).all()


def running_main(session: Session) -> int:
    """How many backups and restores run."""
    counted = select(func.count()).where(Job.state == JobState.RUNNING, Job.kind.in_(MAIN_KINDS))
    return session.scalar(counted) or 0


def running_of(session: Session, worker: str, kind: JobKind) -> int:
    """How many jobs of that kind a worker runs."""
    counted = select(func.count()).where(Job.state == JobState.RUNNING, Job.worker == worker, Job.kind == kind)
    return session.scalar(counted) or 0


def waiting_by_kind(session: Session) -> dict[str, int]:
    """By kind, how many jobs wait for a worker."""
    counted = select(Job.kind, func.count()).where(Job.state == JobState.QUEUED).group_by(Job.kind)
    return dict(session.execute(counted).all())


def unfinished_by_state(session: Session) -> dict[str, int]:
    """By state, how many jobs wait and run."""
    counted = select(Job.state, func.count()).where(Job.state.in_(UNFINISHED)).group_by(Job.state)
    return dict(session.execute(counted).all())


def kinds_of(session: Session, job_ids: Collection[str]) -> dict[str, str]:
    """By id, what each of the given jobs does; without those that nobody knows."""
    return dict(session.execute(select(Job.id, Job.kind).where(Job.id.in_(job_ids))).all())


def lock_claims(session: Session) -> None:
    """Lets one transaction at a time count what runs and then claim; SQLite has no others anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))


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
            not_before=None,
            progress=None,
            started_at=now,
            version=Job.version + 1,
        )
        .returning(Job)
    )
    return claimed.scalar_one_or_none()


def adopt(
    session: Session,
    *,
    worker: str,
    kinds: Collection[str],
    lease_expires_at: datetime,
    now: datetime,
    latest_not_before: datetime,
    limit: int,
) -> Sequence[str]:
    """Makes queued jobs that nobody is believed to have that worker's, the oldest first.

    Args:
        session: of a transaction.
        worker: whose they are then; empty: of whoever is free.
        kinds: that it can do.
        lease_expires_at: until then whoever has them is believed; the latest that any lease can say.
        now: the time.
        latest_not_before: the latest that any job may have to wait; what says more is of another time.
        limit: how many at the most.

    Returns:
        Their ids.
    """
    free = (
        select(Job.id)
        .where(
            Job.state == JobState.QUEUED,
            Job.kind.in_(kinds),
            _overdue(now, lease_expires_at),
            or_(Job.not_before.is_(None), Job.not_before <= now, Job.not_before > latest_not_before),
        )
        .order_by(Job.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = session.scalars(free).all()
    session.execute(
        update(Job).where(Job.id.in_(ids)).values(worker=worker, lease_expires_at=lease_expires_at, not_before=None)
    )
    return ids


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
    """Keeps the lease of a running attempt and writes its progress, where there is one to write.

    Returns:
        Whether its cancellation was asked for; None when the attempt no longer holds the job.
    """
    values: dict[str, Any] = {"lease_expires_at": lease_expires_at}
    if progress is not None:
        values |= {"progress": progress, "version": Job.version + 1}
    renewed = session.execute(
        update(Job).where(*_held_by(job_id, attempt)).values(**values).returning(Job.cancel_requested)
    )
    return renewed.scalar_one_or_none()


def request_cancel(session: Session, job_id: str) -> bool:
    """Asks for an active job to be cancelled; False when it has ended."""
    asked = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(UNFINISHED))
        .values(cancel_requested=True, version=Job.version + 1)
    )
    return _changed(asked)


def note_progress(session: Session, job_id: str, attempt: int, progress: dict[str, Any]) -> bool | None:
    """Writes the progress of a running attempt at once; answers as `renew`."""
    noted = session.execute(
        update(Job)
        .where(*_held_by(job_id, attempt))
        .values(progress=progress, version=Job.version + 1)
        .returning(Job.cancel_requested)
    )
    return noted.scalar_one_or_none()


def finish(
    session: Session, job_id: str, attempt: int, *, state: JobState, error: str | None, now: datetime
) -> Job | None:
    """Ends a running attempt; None when it no longer holds the job, also where that only waits for the next one."""
    finished = session.execute(
        update(Job)
        .where(*_held_by(job_id, attempt))
        .values(state=state, error=error, finished_at=now, version=Job.version + 1)
        .returning(Job)
    )
    return finished.scalar_one_or_none()


def end_queued(session: Session, job_id: str, *, state: JobState, error: str | None, now: datetime) -> Job | None:
    """Ends a job that waits; None where it does not."""
    ended = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(state=state, error=error, finished_at=now, version=Job.version + 1)
        .returning(Job)
    )
    return ended.scalar_one_or_none()


def end(session: Session, job: Job, *, state: JobState, error: str | None, now: datetime) -> Job | None:
    """Ends an active job, whether it waits or runs; None when it has ended, or gone on, since it was read."""
    if job.state == JobState.RUNNING:
        return finish(session, job.id, job.attempt, state=state, error=error, now=now)
    return end_queued(session, job.id, state=state, error=error, now=now)


def requeue(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    error: str,
    not_before: datetime | None,
    retries_used: int,
    now: datetime,
) -> bool:
    """Ends a running attempt and queues its job for the next; False as `finish`, and where it is to be cancelled."""
    queued = session.execute(
        update(Job)
        .where(*_held_by(job_id, attempt), Job.cancel_requested.is_(False))
        .values(
            state=JobState.QUEUED,
            worker="",
            lease_expires_at=now,
            not_before=not_before,
            retries_left=Job.retries_left - retries_used,
            error=error,
            progress=None,
            version=Job.version + 1,
        )
    )
    return _changed(queued)


def overdue(session: Session, *, now: datetime, latest: datetime, dead_workers: Collection[str]) -> Sequence[Job]:
    """Running jobs whose lease ran out or is none that could be given now, or whose worker is known to be dead.

    Nobody renews them while this transaction is open; what somebody renews now is left out.
    """
    return session.scalars(
        select(Job)
        .where(Job.state == JobState.RUNNING, or_(_overdue(now, latest), Job.worker.in_(dead_workers)))
        .with_for_update(skip_locked=True)
    ).all()


def is_overdue(job: Job, *, now: datetime, latest: datetime) -> bool:
    """Whether the lease of a job ran out, or is none that could be given now: it is of another time."""
    return not now <= job.lease_expires_at <= latest


def _overdue(now: datetime, latest: datetime) -> ColumnElement[bool]:
    return or_(Job.lease_expires_at <= now, Job.lease_expires_at > latest)


def _held_by(job_id: str, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING


def _changed(result: Result[Any]) -> bool:
    return cast("CursorResult[Any]", result).rowcount == 1
