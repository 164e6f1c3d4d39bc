"""What waits, runs and has ended, of all kinds of jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hhh.core.config import QueueName, Settings
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.models import Job, JobKind, JobState
from hhh.models.job import queue_of
from hhh.repositories import jobs as rows
from hhh.repositories import workers as worker_rows
from hhh.schemas.backup import RunProgress
from hhh.services import cursors
from hhh.services.cancelling import Cancelling
from hhh.services.following import ended, progress_of
from hhh.services.workers import LEASE

#: Of those that wait, and of those that have ended.
_MOST_WAITING = 50
_MOST_ENDED = 20


class WaitsFor(StrEnum):
    """Why a job has not begun."""

    CANCELLATION = "cancellation"  #: whoever looks at it next ends it
    TIME = "time"  #: its next attempt begins no sooner
    TAKER = "taker"  #: no living worker takes jobs of its queue
    LIMIT = "limit"  #: as many backups and restores run as ``HHH_RUNNING_LIMIT`` lets
    ROOM = "room"  #: a worker with a free slot; for a verification, one that is at no other


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One job."""

    id: str
    kind: JobKind
    #: Of a sweep ``*``.
    target: str
    state: JobState
    #: How often it was begun.
    attempt: int
    #: The id of whoever runs it; empty where nobody does.
    worker: str
    cancel_requested: bool
    #: None while it waits, and before it has told.
    progress: RunProgress | None
    #: None for one that runs or has ended.
    waits_for: WaitsFor | None
    #: Of the next attempt; None: as soon as it can.
    not_before: datetime | None
    #: How it ended; while it waits, how the last attempt did.
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobList:
    """All that is under way, and the upkeep that has ended."""

    #: The longest first.
    running: Sequence[ListedJob]
    #: The longest first; of many only the first.
    waiting: Sequence[ListedJob]
    waiting_total: int
    #: Prunes, repairs and sweeps, the newest end first.
    ended_upkeep: Sequence[ListedJob]


@dataclass(frozen=True, slots=True)
class _Busy:
    """What keeps jobs waiting."""

    now: datetime
    taken: Collection[QueueName | str]
    is_full: bool


@dataclass(frozen=True, slots=True)
class JobListing:
    """Lists jobs, and cancels any of them by its id.

    Args:
        database: the own one.
        settings: have the limit of what runs.
        cancelling: who ends jobs of every kind.
    """

    database: Database
    settings: Settings
    cancelling: Cancelling

    def list(self) -> JobList:
        """All of it, as it is now."""
        with self.database.snapshot() as session:
            now = rows.server_time(session)
            limit = self.settings.running_limit
            busy = _Busy(
                now=now,
                taken=worker_rows.taken_queues(session, since=now - LEASE, until=now + LEASE),
                is_full=bool(limit) and rows.running_main(session) >= limit,
            )
            return JobList(
                running=[_listed(job, busy) for job in rows.running(session)],
                waiting=[_listed(job, busy) for job in rows.longest_waiting(session, limit=_MOST_WAITING)],
                waiting_total=sum(rows.waiting_by_kind(session).values()),
                ended_upkeep=[_listed(job, busy) for job in rows.ended_upkeep(session, limit=_MOST_ENDED)],
            )

    def cancel(self, job_id: str) -> JobState:
        """Ends a job that waits; asks for the end of one that runs; see `Following.cancel`.

        Raises:
            NotFound: no job has that id.
            AlreadyEnded: it has ended.
        """
        kind = None
        if cursors.is_id(job_id):
            with self.database.snapshot() as session:
                kind = rows.kind_of(session, job_id)
        if kind is None:
            raise NotFound("No job has that id", hint="it may have been removed with what it made")
        state = self.cancelling.cancel(job_id, JobKind(kind))
        if state in {JobState.SUCCESS, JobState.FAILED}:
            raise ended(JobKind(kind), state)
        return state


def _listed(job: Job, busy: _Busy) -> ListedJob:
    return ListedJob(
        id=job.id,
        kind=JobKind(job.kind),
        target=job.target,
        state=JobState(job.state),
        attempt=job.attempt,
        worker=job.worker if job.state == JobState.RUNNING else "",
        cancel_requested=job.cancel_requested,
        progress=progress_of(job),
        waits_for=_waits_for(job, busy) if job.state == JobState.QUEUED else None,
        not_before=job.not_before,
        error=job.error,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def _waits_for(job: Job, busy: _Busy) -> WaitsFor:
    if job.cancel_requested:
        return WaitsFor.CANCELLATION
    if job.not_before is not None and job.not_before > busy.now:
        return WaitsFor.TIME
    if queue_of(job.kind) not in busy.taken:
        return WaitsFor.TAKER
    if busy.is_full and job.kind in rows.MAIN_KINDS:
        return WaitsFor.LIMIT
    return WaitsFor.ROOM
