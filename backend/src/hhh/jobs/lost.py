"""Tells the jobs of dead workers from those of living ones.

On this machine the kernel knows who is dead (`hhh.jobs.liveness`). Of other machines, and of a process that was frozen,
only the lease speaks, and clocks jump: an hour forward makes every lease overdue, an hour back makes leases of what
died last for an hour. So a lease that no worker could give now counts as overdue as well, and an overdue one is watched
for some seconds of a clock that can't jump. A living worker renews it meanwhile, and so shows that it lives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.jobs.liveness import Liveness
from hhh.jobs.timing import Timing
from hhh.models import Job
from hhh.repositories import jobs as rows
from hhh.repositories import workers as worker_rows


@dataclass(frozen=True, slots=True)
class _Suspect:
    """An overdue lease, since when it was seen so."""

    attempt: int
    lease_expires_at: datetime
    seen: float


class Lost:
    """What one process has seen of others. Thread-safe."""

    def __init__(self, liveness: Liveness, timing: Timing, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._liveness = liveness
        self._timing = timing
        self._monotonic = monotonic
        self._suspects: dict[str, _Suspect] = {}
        self._lock = threading.Lock()

    def among_running(self, session: Session, now: datetime, dead: Collection[str]) -> list[Job]:
        """The running jobs that nobody runs any more; nobody else can renew them in this transaction."""
        overdue = rows.overdue(session, now=now, latest=now + self._timing.lease, dead_workers=dead)
        with self._lock:
            names = {job.id for job in overdue}
            self._suspects = {job_id: each for job_id, each in self._suspects.items() if job_id in names}
        return [job for job in overdue if job.worker in dead or self._is_confirmed(job)]

    def is_lost(self, job: Job, now: datetime) -> bool | None:
        """Whether whoever has a job is dead; None where that is not certain yet, and its lease is to be watched."""
        if job.worker in self._liveness.dead():
            return True
        if not rows.is_overdue(job, now=now, latest=now + self._timing.lease):
            return False
        return self._is_confirmed(job) or None

    def has_takers(self, session: Session, now: datetime) -> bool:
        """Whether somebody lives who takes jobs that nobody has."""
        lease = self._timing.lease
        living = worker_rows.taking_jobs(session, since=now - lease, until=now + lease)
        return bool({*living} - {*self._liveness.dead()})

    def _is_confirmed(self, job: Job) -> bool:
        now = self._monotonic()
        with self._lock:
            known = self._suspects.get(job.id)
            if known is None or (known.attempt, known.lease_expires_at) != (job.attempt, job.lease_expires_at):
                self._suspects[job.id] = _Suspect(job.attempt, job.lease_expires_at, now)
                return False
            return now - known.seen >= self._timing.watch
