"""Which queued jobs a worker may have, and begin."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hhh.core.config import QueueName
from hhh.core.errors import Cancelled, HHHError
from hhh.jobs.base import Handled
from hhh.jobs.endings import Claim
from hhh.jobs.timing import Timing
from hhh.models import QUEUES, JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.repositories.clock import Clock
from hhh.services import job_ends
from hhh.services.cancelling import said
from hhh.services.container import Services
from hhh.services.work import Attempt, Failure

_UNLIMITED = sys.maxsize
#: The kinds by what limits them: all backups and restores together, verifications of one worker, nothing.
_MAIN, _VERIFICATIONS = rows.MAIN_KINDS, QUEUES["verify"]
_GROUPS = (_MAIN, _VERIFICATIONS, QUEUES["upkeep"])


class Taking:
    """Claims and adopts for one worker.

    Args:
        services: whose jobs they are.
        worker: its id.
        timing: for how long leases are given.
        clock: in whose time.
        queues: of which it takes whatever waits; None: it runs its own jobs alone, and keeps them.
    """

    def __init__(
        self,
        services: Services,
        worker: str,
        timing: Timing,
        clock: Clock,
        *,
        queues: Collection[QueueName] | None = None,
    ) -> None:
        self._database = services.database
        self._works = services.works
        self._limit = services.settings.running_limit
        self._worker = worker
        self._timing = timing
        self._clock = clock
        self._shares = queues is not None
        self._kinds = {kind for name in (QUEUES if queues is None else queues) for kind in QUEUES[name]}
        #: Restoring for a drill takes all that a machine has: what else this worker does must not wait for several.
        self._one_verification_at_a_time = self._shares and self._kinds != {*_VERIFICATIONS}
        #: Whether a verification that found no room may still wait: when one ends, it is looked for at once.
        self._verification_was_refused = False

    def takes(self, kind: JobKind) -> bool:
        """Whether jobs of that kind are for this worker."""
        return kind in self._kinds

    @property
    def waits_for_room(self) -> bool:
        """Whether a job that ends may make room for one that could not be begun."""
        return self._limit > 0 or self._verification_was_refused

    def claim(self, job_id: str) -> Claim | Handled:
        """Makes a queued job ours and running; or why it is not.

        Raises:
            DatabaseUnavailable: the database can't be reached.
        """
        with self._database.transaction() as session:
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
            if kind not in self._kinds or not self._has_room(session, kind):
                if self._shares:
                    rows.let_go(session, job_id, now=now)
                return Handled.REFUSED
            return self._begin(session, job_id, kind, now)

    def adopt(self, *, shared: bool, limit: int) -> list[str]:
        """See `Worker.adopt_queued`."""
        with self._database.transaction() as session:
            now = self._clock.now(session)
            found = [each for group in _GROUPS for each in self._adopt(session, group, now, shared=shared, limit=limit)]
            mine = [] if shared else rows.queued_of(session, self._worker)
            return [*dict.fromkeys([*found, *mine])]

    def _begin(self, session: Session, job_id: str, kind: JobKind, now: datetime) -> Claim | Handled:
        job = rows.claim(session, job_id, worker=self._worker, lease_expires_at=now + self._timing.lease, now=now)
        if job is None:
            return Handled.ELSEWHERE
        if not self._works[kind].begin(session, job):
            # Without a row of its own, nobody is left who wants it.
            error = f"The {kind} has no row"
            job_ends.finish(session, job_id, job.attempt, state=JobState.FAILED, error=error, now=now)
            return Handled.ENDED
        attempt = Attempt(job_id, job.attempt, job.target, self._worker)
        asker = job_ends.asker(job.asked_by, job.schedule_id)
        return Claim(kind, attempt, job.retries_left, job.time_limit_seconds, asker)

    def _end(self, session: Session, job_id: str, kind: JobKind, error: HHHError, now: datetime) -> None:
        failure = Failure(JobState.CANCELLED, str(error), error.code)
        if job_ends.end_queued(session, job_id, state=failure.state, error=failure.text, now=now):
            self._works[kind].record_failure(session, job_id, failure, now)

    def _has_room(self, session: Session, kind: JobKind) -> bool:
        """Whether one more of that kind may run; remembers a verification that may not."""
        if kind not in _VERIFICATIONS:
            return self._room(session, _group_of(kind)) > 0
        if self._one_verification_at_a_time:
            # Another thread of this process may be about to begin one as well.
            rows.lock_claims(session)
        has_room = self._room(session, _VERIFICATIONS) > 0
        self._verification_was_refused |= not has_room
        return has_room

    def _room(self, session: Session, group: Collection[JobKind]) -> int:
        """How many more may run of a group."""
        if group is _MAIN and self._limit:
            return max(0, self._limit - rows.running_main(session))
        if group is _VERIFICATIONS and self._one_verification_at_a_time:
            return max(0, 1 - rows.running_of(session, self._worker, JobKind.VERIFY))
        return _UNLIMITED

    def _is_early(self, not_before: datetime | None, now: datetime) -> bool:
        return not_before is not None and now < not_before <= now + self._latest

    def _adopt(
        self, session: Session, group: Collection[JobKind], now: datetime, *, shared: bool, limit: int
    ) -> Sequence[str]:
        kinds = [kind for kind in group if kind in self._kinds]
        if not kinds:
            return []
        room = self._room(session, group)
        if group is _VERIFICATIONS and room:
            # Whichever was refused was let go of, so that it is among those that are adopted here.
            self._verification_was_refused = False
        return rows.adopt(
            session,
            worker="" if shared else self._worker,
            kinds=kinds,
            lease_expires_at=now + self._timing.lease,
            now=now,
            latest_not_before=now + self._latest,
            limit=min(room, limit),
        )

    @property
    def _latest(self) -> timedelta:
        # What is to wait for longer was written before the clock was set back.
        return timedelta(seconds=self._timing.longest_retry)


def _group_of(kind: JobKind) -> Collection[JobKind]:
    return next(group for group in _GROUPS if kind in group)
