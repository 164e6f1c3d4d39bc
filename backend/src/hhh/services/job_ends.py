"""How jobs begin and end, as the audit log tells it. Whoever ends a job does it here, so that none ends untold.

The event is part of the transaction that ends the job: it is there once, or not at all, however often that is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.core.actor import Actor, ActorKind, acting
from hhh.models import QUEUES, Action, Job, JobKind, JobState, Result
from hhh.models.audit import Detail
from hhh.repositories import jobs as rows
from hhh.repositories import restores as restore_rows
from hhh.repositories import verifications as verification_rows
from hhh.services import audit

#: What the log calls each kind.
ACTIONS: Mapping[JobKind, Action] = {
    JobKind.BACKUP: Action.BACKUP,
    JobKind.RESTORE: Action.RESTORE,
    JobKind.PRUNE: Action.PRUNE,
    JobKind.REPAIR: Action.REPAIR,
    JobKind.SWEEP: Action.SWEEP,
    JobKind.VERIFY: Action.VERIFY,
}
_RESULTS: Mapping[str, Result] = {
    JobState.SUCCESS: Result.DONE,
    JobState.FAILED: Result.FAILED,
    JobState.CANCELLED: Result.CANCELLED,
}
#: Whoever asks by themselves; what a schedule and the service ask for is told once, when it has ended.
_PEOPLE = frozenset({ActorKind.USER, ActorKind.TOKEN, ActorKind.CLI})
#: The target of a job that is for all of them.
_EVERYTHING = "*"


def asker(asked_by: Mapping[str, str | None] | None, schedule_id: str | None) -> Actor:
    """Whoever asked for a job; for one of an older version, as far as that is known."""
    if asked_by is None and schedule_id is not None:
        return Actor(ActorKind.SCHEDULE, schedule_id)
    return Actor.of(asked_by)


def asked(session: Session, job: Job) -> None:
    """Records that somebody asked for a job, in the transaction that writes it and its own row."""
    if asker(job.asked_by, job.schedule_id).kind in _PEOPLE:
        _record(session, job, Result.ASKED, {})


def finish(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    state: JobState,
    error: str | None,
    now: datetime,
    detail: Detail | None = None,
) -> bool:
    """As `hhh.repositories.jobs.finish`, and records it.

    Args:
        session: of the transaction that ends the job.
        job_id: of the job.
        attempt: that ends it.
        state: how it ends.
        error: why, where it did not succeed.
        now: when.
        detail: what else is worth knowing; of upkeep what it changed.
    """
    job = rows.finish(session, job_id, attempt, state=state, error=error, now=now)
    return _ended(session, job, state, error, detail)


def end_queued(session: Session, job_id: str, *, state: JobState, error: str | None, now: datetime) -> bool:
    """As `hhh.repositories.jobs.end_queued`, and records it."""
    return _ended(session, rows.end_queued(session, job_id, state=state, error=error, now=now), state, error)


def end(session: Session, job: Job, *, state: JobState, error: str | None, now: datetime) -> bool:
    """As `hhh.repositories.jobs.end`, and records it."""
    return _ended(session, rows.end(session, job, state=state, error=error, now=now), state, error)


def ended(session: Session, job_id: str, state: JobState) -> None:
    """Records how a job ended that somebody else had ended otherwise before."""
    _ended(session, rows.get(session, job_id), state, None)


def _ended(session: Session, job: Job | None, state: JobState, error: str | None, detail: Detail | None = None) -> bool:
    """Records how a job ended, in the transaction that says so; False where it did not end."""
    if job is None:
        return False
    if state is not JobState.SUCCESS or not _is_idle(job, detail or {}):
        told = {"error": error} if error else {}
        _record(session, job, _RESULTS[state], {**(detail or {}), **told})
    return True


def _is_idle(job: Job, detail: Detail) -> bool:
    """Whether it is upkeep that the service does by itself, and that had nothing to do: nobody looks for that."""
    by_itself = asker(job.asked_by, job.schedule_id).kind is ActorKind.SERVICE
    return by_itself and job.kind in QUEUES["upkeep"] and not any(detail.values())


def _record(session: Session, job: Job, result: Result, detail: Detail) -> None:
    kind = JobKind(job.kind)
    target = None if job.target == _EVERYTHING else job.target
    with acting(asker(job.asked_by, job.schedule_id)):
        audit.record(
            session,
            ACTIONS[kind],
            job.id,
            target=target,
            result=result,
            detail={**_particulars(session, kind, job.id), **detail},
        )


def _particulars(session: Session, kind: JobKind, job_id: str) -> Detail:
    """What a job's own row has to tell, in words that do not change while it runs."""
    if kind is JobKind.RESTORE and (restore := restore_rows.get(session, job_id)) is not None:
        told = {
            "backup": restore.backup_id,
            "undo_of": restore.undo_of,
            "mode": restore.mode,
            "destination": restore.destination,
            "tables": restore.tables,
            "accepted": restore.acknowledge,
            "dry_run": restore.dry_run,
        }
        return {name: value for name, value in told.items() if value}
    if kind is JobKind.VERIFY and (verification := verification_rows.get(session, job_id)) is not None:
        return {"backup": verification.backup_id, "level": verification.level}
    return {}
