"""Begins the runs of schedules. Every process that works may be the one that does: rows are locked, ids derive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, HHHError, InvalidInput
from hhh.jobs import creation
from hhh.jobs.timing import Timing
from hhh.models import Job, JobKind, JobState, Schedule
from hhh.repositories import jobs as job_rows
from hhh.repositories import schedules as rows
from hhh.repositories.clock import Clock, ServerClock
from hhh.services.cancelling import noun
from hhh.services.container import Services
from hhh.services.schedules import move_on, plan_anew

log = structlog.get_logger(__name__)

#: Schedules in one transaction: few, since on SQLite nobody else writes meanwhile.
_BATCH = 25
#: Transactions of one tick at most: after a long stop there is much to catch up, and the process may be asked to end.
_BATCHES = 20
#: Seconds between two looks for a clock that was wrong.
_CLOCK_INTERVAL = 60.0
#: What is planned by a clock so much further ahead was planned by a wrong one.
_TOLERANCE = timedelta(minutes=1)


class Ticker:
    """Turns what is due into queued jobs.

    Args:
        services: know what a schedule asks for.
        database: has the schedules.
        hand_over: is given the ids of jobs that were committed as queued.
        clock: says what is due.
    """

    def __init__(
        self,
        services: Services,
        database: Database,
        hand_over: Callable[[Sequence[str]], None],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._schedules = services.schedules
        self._database = database
        self._hand_over = hand_over
        self._clock = clock or ServerClock()
        self._lease = Timing().lease
        self._next_look = 0.0

    def tick(self) -> None:
        """Begins what is due; to be called every second, in as many processes as there are.

        Raises:
            DatabaseUnavailable: what is due stays so.
        """
        self._look_at_the_clock()
        if not self._is_anything_due():
            return
        for _ in range(_BATCHES):
            begun, more = self._begin_batch()
            if begun:
                # Should this fail, or this process end, whoever tidies up finds them when their lease has run out.
                self._hand_over(begun)
            if not more:
                return

    def _is_anything_due(self) -> bool:
        # A look that keeps nobody from writing: as a rule nothing is.
        with self._database.snapshot() as session:
            return rows.is_anything_due(session, self._clock.now(session))

    def _begin_batch(self) -> tuple[list[str], bool]:
        with self._database.transaction() as session:
            now = self._clock.now(session)
            due = rows.due(session, now, limit=_BATCH)
            busy = rows.busy(session, {row.target for row in due}) if due else {}
            # In one order, lest two tickers wait for each other's jobs.
            by_target = sorted(due, key=lambda row: (row.target, row.id))
            begun = [self._begin(session, row, busy.get(row.target), now) for row in by_target]
        return [job_id for job_id in begun if job_id is not None], len(due) == _BATCH

    def _begin(self, session: Session, row: Schedule, busy: Job | None, now: datetime) -> str | None:
        """Begins the planned run of a schedule, or leaves it out, and plans the next; the id of the job, if any."""
        job_id = None
        try:
            job_id = self._insert(session, row, busy, now)
            row.last_run_at, row.last_job_id = row.planned_at, job_id
        except DatabaseUnavailable:
            raise
        except (HHHError, ValueError) as reason:  # e.g. a policy of another version; the others go on
            _leave_out(row, reason, now)
        try:
            move_on(row, now)
        except InvalidInput as reason:
            _leave_out(row, reason, now)
        return job_id

    def _insert(self, session: Session, row: Schedule, busy: Job | None, now: datetime) -> str:
        """The id of the job, also where the instant had one before; whoever is handed one that has ended leaves it."""
        new = self._schedules.due_job(row)
        # Planned once more, e.g. since a clock was set back: it had its run, whatever is in the way now. And a
        # verification that is looked for below could not be written again in the session that has read it.
        if new.job_id is not None and new.job_id == row.last_job_id:
            return new.job_id
        before = busy if new.kind == JobKind.BACKUP else _unfinished_verification(session, row)
        if before is not None and before.id != new.job_id:
            raise _Busy(before)
        try:
            with session.begin_nested():
                return creation.insert(session, new, now, worker="", lease_expires_at=now + self._lease)
        except IntegrityError:
            if new.job_id is not None and job_rows.get(session, new.job_id) is not None:
                return new.job_id
            raise _Busy(rows.busy(session, [new.target]).get(new.target)) from None

    def _look_at_the_clock(self) -> None:
        if time.monotonic() < self._next_look:
            return
        with self._database.transaction() as session:
            now = self._clock.now(session)
            for row in rows.planned_after(session, now + _TOLERANCE):
                log.warning("schedule_planned_anew", schedule_id=row.id, target=row.target, planned_at=row.planned_at)
                try:
                    plan_anew(row, now)
                except InvalidInput as reason:
                    _leave_out(row, reason, now)
        self._next_look = time.monotonic() + _CLOCK_INTERVAL


class _Busy(HHHError):
    """The target has an active job."""

    def __init__(self, job: Job | None) -> None:
        if job is None:
            super().__init__("The target was busy")
        else:
            super().__init__(f"A {noun(JobKind(job.kind))} of the target was still {job.state}")


def _unfinished_verification(session: Session, row: Schedule) -> Job | None:
    """What the schedule asked for last: others of the target are in nobody's way, but these would pile up."""
    job = job_rows.get(session, row.last_job_id) if row.last_job_id is not None else None
    unfinished = job is not None and job.kind == JobKind.VERIFY and job.state in (JobState.QUEUED, JobState.RUNNING)
    return job if unfinished else None


def _leave_out(row: Schedule, reason: HHHError | ValueError, now: datetime) -> None:
    log.warning("scheduled_run_left_out", schedule_id=row.id, target=row.target, reason=str(reason))
    row.last_skipped_at, row.last_skipped_reason = now, str(reason)
