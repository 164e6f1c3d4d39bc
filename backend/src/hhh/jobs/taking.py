"""Which queued jobs a worker may have, and begin."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.errors import Cancelled, HHHError
from hhh.jobs.base import Handled
from hhh.jobs.clock import JobClock
from hhh.jobs.endings import Claim
from hhh.jobs.timing import Timing
from hhh.models import JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.services.cancelling import said
from hhh.services.container import Services
from hhh.services.work import Attempt, Failure

_UNLIMITED = sys.maxsize


class Taking:
    """Claims and adopts for one worker.

    Args:
        services: whose jobs they are.
        worker: its id.
        timing: for how long leases are given.
        clock: in whose time.
        takes_all: whether it takes whatever waits; else it runs its own jobs alone, and keeps them.
    """

    def __init__(self, services: Services, worker: str, timing: Timing, clock: JobClock, *, takes_all: bool) -> None:
        self._database = services.database
        self._works = services.works
        self._limit = services.settings.running_limit
        self._worker = worker
        self._timing = timing
        self._clock = clock
        self._takes_all = takes_all

    def claim(self, job_id: str) -> Claim | Handled:
        """Makes a queued job ours and running; or why it is not.

        Raises:
            DatabaseUnavailable: the database can't be reached.
        """
        with self._database.transaction() as session:
            rows.end_if_frozen(session)
            if self._limit:
                rows.lock_claims(session)
            waiting, now = rows.waiting(session, job_id), self._clock.now(session)
            if waiting is None:
                return Handled.ELSEWHERE
            if waiting.kind not in self._works or self._is_early(waiting.not_before, now):
                return Handled.REFUSED
            kind = JobKind(waiting.kind)
            if waiting.cancel_requested:
                self._end(session, job_id, kind, Cancelled(said(kind)), now)
                return Handled.ENDED
            if kind in rows.MAIN_KINDS and self._room(session) == 0:
                if self._takes_all:
                    rows.let_go(session, job_id, now=now)
                return Handled.REFUSED
            return self._begin(session, job_id, kind, now)

    def adopt(self, *, shared: bool, limit: int) -> list[str]:
        """See `Worker.adopt_queued`."""
        with self._database.transaction() as session:
            rows.end_if_frozen(session)
            now = self._clock.now(session)
            room = self._room(session)
            main = self._adopt(session, rows.MAIN_KINDS, now, shared=shared, limit=min(room, limit))
            upkeep = [kind for kind in self._works if kind not in rows.MAIN_KINDS]
            others = self._adopt(session, upkeep, now, shared=shared, limit=limit)
            mine = [] if shared else rows.queued_of(session, self._worker)
            return [*dict.fromkeys([*main, *others, *mine])]

    def _begin(self, session: Session, job_id: str, kind: JobKind, now: datetime) -> Claim | Handled:
        job = rows.claim(session, job_id, worker=self._worker, lease_expires_at=now + self._timing.lease, now=now)
        if job is None:
            return Handled.ELSEWHERE
        if not self._works[kind].begin(session, job):
            # Without a row of its own, nobody is left who wants it.
            rows.finish(session, job_id, job.attempt, state=JobState.FAILED, error=f"The {kind} has no row", now=now)
            return Handled.ENDED
        attempt = Attempt(job_id, job.attempt, job.target, self._worker)
        return Claim(kind, attempt, job.retries_left, job.time_limit_seconds)

    def _end(self, session: Session, job_id: str, kind: JobKind, error: HHHError, now: datetime) -> None:
        failure = Failure(JobState.CANCELLED, str(error), error.code)
        if rows.end_queued(session, job_id, state=failure.state, error=failure.text, now=now):
            self._works[kind].record_failure(session, job_id, failure, now)

    def _room(self, session: Session) -> int:
        """How many more backups and restores may run."""
        return max(0, self._limit - rows.running_main(session)) if self._limit else _UNLIMITED

    def _is_early(self, not_before: datetime | None, now: datetime) -> bool:
        return not_before is not None and now < not_before <= now + self._latest

    def _adopt(
        self, session: Session, kinds: Collection[JobKind], now: datetime, *, shared: bool, limit: int
    ) -> Sequence[str]:
        return rows.adopt(
            session,
            worker="" if shared else self._worker,
            kinds=kinds,
            lease_expires_at=now + self._timing.lease,
            now=now,
            latest_not_before=now + self._latest,
            limit=limit,
        )

    @property
    def _latest(self) -> timedelta:
        # What is to wait for longer was written before the clock was set back.
        return timedelta(seconds=self._timing.longest_retry)
