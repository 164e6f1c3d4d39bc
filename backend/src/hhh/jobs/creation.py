"""The row of a new job."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.core.actor import Actor, ActorKind, actor
from hhh.models import Job, JobState
from hhh.repositories import jobs as rows
from hhh.services import job_ends
from hhh.services.work import NewJob


def insert(session: Session, new: NewJob, now: datetime, *, worker: str, lease_expires_at: datetime) -> str:
    """Writes a queued job and its own row, in the caller's transaction; returns its id. Its check is not called.

    Args:
        session: of that transaction.
        new: what is asked for.
        now: when.
        worker: who will run it; empty: whoever is free.
        lease_expires_at: until then whoever it is handed to is believed.

    Raises:
        IntegrityError: an active job is in its way, or one with its id was there ever.
    """
    job_id = new.job_id or str(uuid.uuid4())
    job = Job(
        id=job_id,
        kind=new.kind,
        target=new.target,
        state=JobState.QUEUED,
        attempt=0,
        worker=worker,
        lease_expires_at=lease_expires_at,
        retries_left=new.retries,
        time_limit_seconds=new.time_limit_seconds,
        schedule_id=new.schedule_id,
        asked_by=_asked_by(new),
        cancel_requested=False,
        version=0,
        created_at=now,
    )
    rows.add(session, job)
    new.write(session, job_id, now)
    job_ends.asked(session, job)
    return job_id


def _asked_by(new: NewJob) -> dict[str, str | None]:
    asking = actor()
    if asking.kind == ActorKind.SERVICE and new.schedule_id is not None:
        asking = Actor(ActorKind.SCHEDULE, new.schedule_id)
    return asking.told()
