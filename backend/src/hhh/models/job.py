"""Long work: what is asked for, who is on it, and until when that may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from hhh.core.config import QueueName
from hhh.core.database import Base


class JobKind(StrEnum):
    """What a job does."""

    BACKUP = "backup"
    RESTORE = "restore"
    PRUNE = "prune"  #: removes the backups of a target that its policy drops
    REPAIR = "repair"  #: makes the missing copies of a target's backups again
    SWEEP = "sweep"  #: looks for what belongs to nothing, in every store
    VERIFY = "verify"  #: finds out what a backup is good for; any number of them at once


#: What a worker takes that is told to take from some queues alone. Each kind is in one.
QUEUES: Mapping[QueueName, tuple[JobKind, ...]] = {
    "backup": (JobKind.BACKUP,),
    "restore": (JobKind.RESTORE,),
    "verify": (JobKind.VERIFY,),
    "upkeep": (JobKind.PRUNE, JobKind.REPAIR, JobKind.SWEEP),
}


def queue_of(kind: str) -> QueueName:
    """The queue that jobs of a kind are in."""
    return next(name for name, kinds in QUEUES.items() if kind in kinds)


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"  #: committed, and waiting for a worker, also for a further attempt
    RUNNING = "running"  #: a worker holds the lease
    SUCCESS = "success"  #: done, and recorded as done
    FAILED = "failed"  #: ended with an error, or its worker died
    CANCELLED = "cancelled"  #: ended because the operator asked for it


#: Of a job that has not ended.
UNFINISHED = (JobState.QUEUED, JobState.RUNNING)
#: The condition under which a job keeps its target busy; literal, so that both databases match it with the index.
ACTIVE = text("kind IN ('backup', 'restore') AND state IN ('queued', 'running')")
#: The condition under which there is upkeep of a kind for a target already; literal too. No backup waits for it.
ACTIVE_UPKEEP = text("kind IN ('prune', 'repair', 'sweep') AND state IN ('queued', 'running')")
#: Jobs that a schedule asked for; literal too.
SCHEDULED = text("schedule_id IS NOT NULL")
#: Jobs of backups, by whose target; literal too.
BACKUPS = text("kind = 'backup'")
#: Upkeep, of which the newest are told; literal too.
UPKEEP = text("kind IN ('prune', 'repair', 'sweep')")
#: Sweeps, of which the newest is asked for again and again; literal too.
SWEEPS = text("kind = 'sweep'")


class Job(Base):
    """One job. The id of a backup's job is the id of the backup; that of a scheduled one derives from its instant."""

    __tablename__ = "jobs"
    __table_args__ = (
        # The 409: a second active backup or restore of a target can't be inserted.
        Index("uq_jobs_active_target", "target", unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE),
        Index(
            "uq_jobs_active_upkeep",
            "kind",
            "target",
            unique=True,
            sqlite_where=ACTIVE_UPKEEP,
            postgresql_where=ACTIVE_UPKEEP,
        ),
        Index("ix_jobs_state", "state", "lease_expires_at"),
        Index("ix_jobs_schedule", "schedule_id", "created_at", sqlite_where=SCHEDULED, postgresql_where=SCHEDULED),
        Index("ix_jobs_backups", "target", "created_at", sqlite_where=BACKUPS, postgresql_where=BACKUPS),
        Index("ix_jobs_upkeep", "finished_at", sqlite_where=UPKEEP, postgresql_where=UPKEEP),
        Index("ix_jobs_sweeps", "created_at", sqlite_where=SWEEPS, postgresql_where=SWEEPS),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    #: The target that it is for; of a sweep ``*``.
    target: Mapped[str] = mapped_column(String(63))
    state: Mapped[str] = mapped_column(String(16))
    #: How often it was started; whoever runs attempt n may finalise only while this is n.
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    #: The worker that will run it or runs it; empty while it waits for any.
    worker: Mapped[str] = mapped_column(String(64))
    #: Until then the worker is believed. Of a queued job: until then whoever it was handed to is.
    lease_expires_at: Mapped[datetime]
    #: A further attempt begins no sooner.
    not_before: Mapped[datetime | None]
    #: How often it may still fail and be tried again.
    retries_left: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    #: After so long an attempt is ended; None: never.
    time_limit_seconds: Mapped[int | None] = mapped_column(Integer)
    #: The schedule that asked for it.
    schedule_id: Mapped[str | None] = mapped_column(String(36))
    #: Who asked for it: `hhh.core.actor.Actor` as a mapping; None: the service did.
    asked_by: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    #: `hhh.core.run.Progress` as a mapping.
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    #: Grows with every change that somebody who watches should see.
    version: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
