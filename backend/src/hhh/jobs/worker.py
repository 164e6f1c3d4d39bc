"""One worker: takes jobs, runs them under a lease, records how they end, and sees to what dead workers left."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core import scratch
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, Cancelled, HHHError, Interrupted, LeaseLost, OutcomeUnknown, Unrecorded
from hhh.jobs import creation
from hhh.jobs.base import Handled
from hhh.jobs.heartbeat import LEASE, Heartbeat, Observer
from hhh.jobs.liveness import Liveness
from hhh.jobs.timing import Timing
from hhh.models import Job, JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.services.container import Services
from hhh.services.work import Attempt, Failure, NewJob

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A job that is ours, and what it does."""

    kind: JobKind
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class _Ending:
    """How an attempt ended without success."""

    job_id: str
    kind: JobKind
    attempt: int
    failure: Failure
    #: What to do once it is certain that this is how it ended.
    withdraw: Callable[[], None] | None = None


class Worker:
    """Runs jobs in this process. Make one with `working`."""

    def __init__(self, services: Services, name: str, heartbeat: Heartbeat, liveness: Liveness) -> None:
        self.name = name
        self._settings: Settings = services.settings
        self._database: Database = services.database
        self._works = services.works
        self._heartbeat = heartbeat
        self._liveness = liveness
        #: By job: writes of how it ended, which the database did not take when they came.
        self._unrecorded: dict[str, Callable[[], None]] = {}
        self._recording = threading.Lock()

    def create(self, new: NewJob, *, shared: bool = False) -> str:
        """Commits a queued job; returns its id.

        Args:
            new: what is asked for.
            shared: whether it waits for any worker; else for this one.

        Raises:
            BackupInProgress: the target has an active job.
            HHHError: the job's own check does not hold.
        """
        self._record_endings()
        if new.check is not None:
            with self._database.transaction() as session:
                self._refuse_if_busy(session, new.target)
            new.check(self.name)
        now = utcnow()
        try:
            with self._database.transaction() as session:
                self._refuse_if_busy(session, new.target)
                job_id = creation.insert(
                    session, new, now, worker="" if shared else self.name, lease_expires_at=now + LEASE
                )
        except IntegrityError:  # another process was first
            raise _in_progress(new.target) from None
        return job_id

    def execute(self, job_id: str, observer: Observer | None = None) -> None:
        """Runs a queued job to its end and records how it ended, for whoever waits; a no-op when somebody else has it.

        It waits until as many run as may. A failure is recorded, not raised; an interrupt goes on, once recorded.
        """
        self.attempt(job_id, observer)

    def attempt(self, job_id: str, observer: Observer | None = None) -> Handled:
        """Runs one attempt at a queued job, if it may be begun now, and records how it ended; for queues.

        A failure is recorded, not raised; only an interrupt of the process goes on, after it was recorded.
        """
        try:
            claim = self._claim(job_id)
        except (HHHError, SQLAlchemyError) as error:
            # It stays queued, and `adopt_queued` names it again.
            log.warning("job_not_claimed", job_id=job_id, error=str(error))
            return Handled.REFUSED
        if claim is None:
            return Handled.ELSEWHERE
        with self._heartbeat.running(job_id, claim.kind, claim.attempt.number, observer) as run:
            try:
                self._works[claim.kind].perform(claim.attempt, run)
            except BaseException as error:
                self._see_to(claim, error)
                if not isinstance(error, Exception):
                    raise
        return Handled.ENDED

    def drain(self) -> None:
        """Tells that this worker takes no more."""

    def end_all(self) -> None:
        """Ends everything that runs here, since the process stops."""
        for run in self._heartbeat.runs():
            run.end(_stopped(run.kind))

    def abandon_all(self) -> None:
        """Records what runs here as failed though its thread has not ended; what can't be, the next worker finds."""
        self._liveness.leave_for_others(self.name)
        for run in self._heartbeat.runs():
            reason = _stopped(run.kind)
            log.error("job_abandoned", kind=run.kind, job_id=run.job_id, error=str(reason))
            failure = Failure(JobState.FAILED, str(reason), reason.code)
            self._end(_Ending(run.job_id, run.kind, run.attempt, failure))

    def tidy(self) -> None:
        """Sees to what dead workers left: running jobs are failed, scratch is removed, queued jobs are let go of."""
        self._record_endings()
        dead = self._liveness.dead()
        with self._database.transaction() as session:
            for job in rows.expired(session, now=utcnow(), dead_workers=dead):
                self._give_up(session, job)
            rows.renew_queued(session, dead, lease_expires_at=utcnow())
        scratch.sweep(self._settings.scratch_dir)
        for worker in dead:
            self._liveness.bury(worker)

    def sweep(self) -> None:
        """Sees to what ended jobs left outside of the database; may take its time."""
        for work in self._works.values():
            work.sweep(self.name)

    def adopt_queued(self, *, shared: bool = False, limit: int = 1000) -> list[str]:
        """Takes queued jobs that nobody is believed to have and that may begin now, to be handed over; their ids.

        Args:
            shared: whether they go on waiting for any worker, and only whoever hands them over is believed for a
                while; else they are this worker's.
            limit: how many at the most.
        """
        now = utcnow()
        with self._database.transaction() as session:
            rows.adopt(session, worker=self.name, lease_expires_at=now + LEASE, now=now)
            return [*rows.queued_of(session, self.name)]

    def release_queued(self) -> None:
        """Lets go of what was queued here and not begun, for another worker to adopt at once."""
        with self._database.transaction() as session:
            rows.renew_queued(session, [self.name], lease_expires_at=utcnow())

    def _claim(self, job_id: str) -> _Claim | None:
        now = utcnow()
        with self._database.transaction() as session:
            job = rows.claim(session, job_id, worker=self.name, lease_expires_at=now + LEASE, now=now)
            if job is None:
                return None
            kind = JobKind(job.kind)
            # Without a row of its own, nobody is left who wants it; the lease runs out.
            known = self._works[kind].begin(session, job)
            return _Claim(kind, Attempt(job_id, job.attempt, job.target, self.name)) if known else None

    def _see_to(self, claim: _Claim, error: BaseException) -> None:
        attempt = claim.attempt
        if isinstance(error, LeaseLost):
            log.warning("lease_lost", kind=claim.kind, job_id=attempt.job_id, target=attempt.target, error=str(error))
        elif isinstance(error, Unrecorded):
            self._record(attempt.job_id, error.record)
        else:
            self._record_failure(claim, error)

    def _record_failure(self, claim: _Claim, error: BaseException) -> None:
        attempt, known = claim.attempt, error if isinstance(error, HHHError) else None
        text = str(known) if known else _said(error)
        log.error(
            "job_failed",
            kind=claim.kind,
            job_id=attempt.job_id,
            target=attempt.target,
            error=text,
            left_behind=getattr(error, "__notes__", None),
            exc_info=None if known else error,
        )
        state = JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED
        failure = Failure(state, text, known.code if known else HHHError.code)
        withdraw = error.withdraw if isinstance(error, OutcomeUnknown) else None
        self._end(_Ending(attempt.job_id, claim.kind, attempt.number, failure, withdraw))

    def _end(self, ending: _Ending) -> None:
        self._record(ending.job_id, functools.partial(self._write, ending))

    def _record(self, job_id: str, write: Callable[[], None]) -> None:
        try:
            write()
        except (HHHError, SQLAlchemyError) as error:
            # It is tried again; should this process end before, whoever finds it dead records that.
            log.warning("ending_not_recorded", job_id=job_id, error=str(error))
            with self._recording:
                self._unrecorded[job_id] = write

    def _record_endings(self) -> None:
        with self._recording:
            for job_id, write in list(self._unrecorded.items()):
                try:
                    write()
                except (HHHError, SQLAlchemyError) as error:
                    log.warning("ending_not_recorded", job_id=job_id, error=str(error))
                else:
                    del self._unrecorded[job_id]

    def _write(self, ending: _Ending) -> None:
        with self._database.transaction() as session:
            self._finish(session, ending.kind, ending.job_id, ending.attempt, ending.failure)
            recorded = self._works[ending.kind].recorded(session, ending.job_id)
        if ending.withdraw is not None and not recorded:
            ending.withdraw()

    def _refuse_if_busy(self, session: Session, target: str) -> None:
        busy = rows.active_of(session, target)
        if busy is None:
            return
        if busy.lease_expires_at >= utcnow() and busy.worker not in self._liveness.dead():
            raise _in_progress(target)
        self._give_up(session, busy)
        session.flush()

    def _give_up(self, session: Session, job: Job) -> None:
        log.warning("job_given_up", kind=job.kind, job_id=job.id, target=job.target, worker=job.worker)
        text = f"The process that ran the {job.kind} ended; start it again"
        self._finish(session, JobKind(job.kind), job.id, job.attempt, Failure(JobState.FAILED, text, HHHError.code))

    def _finish(self, session: Session, kind: JobKind, job_id: str, attempt: int, failure: Failure) -> None:
        # The job must end also where its own row is gone: it would keep its target busy, and whoever tidies up from
        # what others left.
        now = utcnow()
        if rows.finish(session, job_id, attempt, state=failure.state, error=failure.text, now=now):
            self._works[kind].record_failure(session, job_id, failure, now)


@contextlib.contextmanager
def working(services: Services, *, slots: int = 0, label: str = "", timing: Timing | None = None) -> Iterator[Worker]:
    """A worker of this process, alive until the block is left.

    Args:
        services: what it works with.
        slots: how many jobs of a queue it takes at once; 0: it runs its own alone, and is not listed.
        label: what the operator calls it; ``host:pid`` unless they said.
        timing: shorter in tests.

    Raises:
        DatabaseUnavailable: the own database can't be reached.
    """
    liveness = Liveness(services.settings.data_dir)
    with liveness.alive() as name, Heartbeat(services.database, name) as heartbeat:
        yield Worker(services, name, heartbeat, liveness)


def _stopped(kind: JobKind) -> Interrupted:
    return Interrupted(f"The service was stopped while the {kind} ran", hint="start it again")


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "It was interrupted"
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _in_progress(target: str) -> BackupInProgress:
    hint = "wait until it has ended; `hhh backup list` shows it"
    return BackupInProgress(f"A backup or restore of {target!r} is in progress", hint=hint)
