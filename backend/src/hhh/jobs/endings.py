"""How attempts end without success: failed, cancelled, or queued again for the next one."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core.actor import Actor
from hhh.core.database import Database
from hhh.core.errors import Cancelled, HHHError, Interrupted, LeaseLost, OutcomeUnknown, Unrecorded
from hhh.jobs.base import Handled
from hhh.jobs.timing import MAX_ATTEMPTS, Timing
from hhh.models import Job, JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.repositories.clock import Clock
from hhh.services import job_ends
from hhh.services.cancelling import noun, said
from hhh.services.work import Attempt, Failure, Work

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is ours, and what it does."""

    kind: JobKind
    attempt: Attempt
    retries_left: int
    time_limit_seconds: int | None
    #: Who asked for it.
    asker: Actor


@dataclass(frozen=True, slots=True)
class _Ending:
    """How an attempt ended without success."""

    job_id: str
    kind: JobKind
    attempt: int
    failure: Failure
    #: After so long another attempt follows; None: none does.
    again_after: timedelta | None = None
    #: How many of the job's retries that takes.
    retries_used: int = 0
    #: What to do once it is certain that it did not succeed after all.
    withdraw: Callable[[], None] | None = None


class Endings:
    """Records them, again and again where the database does not take them. Thread-safe."""

    def __init__(self, database: Database, works: Mapping[JobKind, Work], timing: Timing, clock: Clock) -> None:
        self._database = database
        self._works = works
        self._timing = timing
        self._clock = clock
        #: By job and attempt: writes of how it ended, which the database did not take when they came.
        self._unrecorded: dict[tuple[str, int], Callable[[], None]] = {}
        self._recording = threading.Lock()

    @property
    def is_behind(self) -> bool:
        """Whether something is not recorded yet."""
        return bool(self._unrecorded)

    def see_to(self, claim: Claim, error: BaseException) -> Handled:
        """Records how an attempt ended that raised; logged, and tried again later, where that can't be done now."""
        attempt = claim.attempt
        if isinstance(error, LeaseLost):
            log.warning("lease_lost", kind=claim.kind, job_id=attempt.job_id, target=attempt.target, error=str(error))
            return Handled.ELSEWHERE
        if isinstance(error, Unrecorded):
            self._record((attempt.job_id, attempt.number), error.record)
            return Handled.ENDED
        ending = self._ending(claim, error)
        _log_failure(claim, error, ending)
        self._record((attempt.job_id, attempt.number), functools.partial(self._write, ending))
        return Handled.ENDED if ending.again_after is None else Handled.QUEUED

    def stop(self, job_id: str, kind: JobKind, attempt: int) -> None:
        """Hands back or fails an attempt whose thread does not end, though its process must."""
        error = stopped(kind, repeatable=self._works[kind].repeatable)
        log.error("job_abandoned", kind=kind, job_id=job_id, error=str(error))
        ending = _Ending(job_id, kind, attempt, _failure(error), self._again(kind))
        self._record((job_id, attempt), functools.partial(self._write, ending))

    def give_up(self, session: Session, job: Job) -> None:
        """Fails a job that nobody goes on with, or writes that it was cancelled, where that was asked for.

        The job ends also where its own row is gone: it would keep its target busy, and whoever tidies up from what
        others left.
        """
        kind, now = JobKind(job.kind), self._clock.now(session)
        log.warning("job_given_up", kind=kind, job_id=job.id, target=job.target, worker=job.worker)
        failure = _failure(_lost(kind, job.attempt))
        if job.cancel_requested:
            failure = _failure(Cancelled(said(kind)))
        if job_ends.end(session, job, state=failure.state, error=failure.text, now=now):
            self._works[kind].record_failure(session, job.id, failure, now)

    def take_over(self, session: Session, job: Job) -> None:
        """Queues a job of a dead worker again for whoever is free."""
        kind = JobKind(job.kind)
        log.warning("job_taken_over", kind=kind, job_id=job.id, target=job.target, worker=job.worker)
        error = f"The worker of attempt {job.attempt} died"
        now = self._clock.now(session)
        if rows.requeue(session, job.id, job.attempt, error=error, not_before=None, retries_used=0, now=now):
            self._works[kind].requeue(session, job.id)

    def can_follow(self, job: Job) -> bool:
        """Whether another attempt may follow one whose worker died."""
        work = self._works.get(JobKind(job.kind))
        return work is not None and work.repeatable and job.attempt < MAX_ATTEMPTS and not job.cancel_requested

    def retry(self) -> None:
        """Tries again to record what could not be."""
        with self._recording:
            for key, write in list(self._unrecorded.items()):
                try:
                    write()
                except (HHHError, SQLAlchemyError) as error:
                    log.warning("ending_not_recorded", job_id=key[0], error=str(error))
                else:
                    del self._unrecorded[key]

    def _ending(self, claim: Claim, error: BaseException) -> _Ending:
        attempt, again_after, retries_used = claim.attempt, None, 0
        if isinstance(error, Interrupted):
            again_after = self._again(claim.kind)
        elif isinstance(error, HHHError) and error.retryable and claim.retries_left > 0:
            again_after, retries_used = self._timing.retry_after(attempt.number), 1
        withdraw = error.withdraw if isinstance(error, OutcomeUnknown) else None
        return _Ending(attempt.job_id, claim.kind, attempt.number, _failure(error), again_after, retries_used, withdraw)

    def _again(self, kind: JobKind) -> timedelta | None:
        return timedelta(0) if self._works[kind].repeatable else None

    def _record(self, key: tuple[str, int], write: Callable[[], None]) -> None:
        try:
            write()
        except (HHHError, SQLAlchemyError) as error:
            # It is tried again; should this process end before, whoever finds it dead sees to the job.
            log.warning("ending_not_recorded", job_id=key[0], error=str(error))
            with self._recording:
                self._unrecorded[key] = write

    def _write(self, ending: _Ending) -> None:
        with self._database.transaction() as session:
            if ending.again_after is None:
                self._finish(session, ending, ending.failure)
            else:
                self._requeue(session, ending, ending.again_after)
            recorded = self._works[ending.kind].recorded(session, ending.job_id)
        if ending.withdraw is not None and not recorded:
            ending.withdraw()

    def _requeue(self, session: Session, ending: _Ending, after: timedelta) -> None:
        now = self._clock.now(session)
        if rows.requeue(
            session,
            ending.job_id,
            ending.attempt,
            error=ending.failure.text,
            not_before=now + after if after else None,
            retries_used=ending.retries_used,
            now=now,
        ):
            self._works[ending.kind].requeue(session, ending.job_id)
        else:  # its cancellation was asked for meanwhile, or it is no longer ours, and then this changes nothing
            self._finish(session, ending, _failure(Cancelled(said(ending.kind))))

    def _finish(self, session: Session, ending: _Ending, failure: Failure) -> None:
        now = self._clock.now(session)
        if job_ends.finish(session, ending.job_id, ending.attempt, state=failure.state, error=failure.text, now=now):
            self._works[ending.kind].record_failure(session, ending.job_id, failure, now)


def stopped(kind: JobKind, *, repeatable: bool) -> Interrupted:
    """Why a run ends that its process can't wait for."""
    hint = "it goes on as soon as a worker is there" if repeatable else "start it again"
    return Interrupted(f"The service was stopped while the {noun(kind)} ran", hint=hint)


def _lost(kind: JobKind, attempt: int) -> HHHError:
    if attempt < MAX_ATTEMPTS:
        return HHHError(f"The process that ran the {noun(kind)} ended; start it again")
    return HHHError(
        f"The process that ran the {noun(kind)} ended, at its attempt {attempt}, and no other is made: see what ends "
        "it, e.g. too little memory, before you start it again"
    )


def _failure(error: BaseException) -> Failure:
    state = JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED
    if isinstance(error, HHHError):
        return Failure(state, str(error), error.code)
    return Failure(state, _said(error), HHHError.code)


def _log_failure(claim: Claim, error: BaseException, ending: _Ending) -> None:
    attempt, again = claim.attempt, ending.again_after
    log.error(
        "job_failed" if again is None else "attempt_failed",
        kind=claim.kind,
        job_id=attempt.job_id,
        target=attempt.target,
        attempt=attempt.number,
        again_after=round(again.total_seconds(), 1) if again is not None else None,
        error=ending.failure.text,
        left_behind=getattr(error, "__notes__", None),
        exc_info=None if isinstance(error, HHHError) else error,
    )


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "It was interrupted"
    return f"{type(error).__name__}: {error}".rstrip(": ")
