"""What prune, repair and sweep have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.artifacts.naming import valid_target_name
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, LeaseLost, NotFound
from hhh.models import Job, JobState
from hhh.models.audit import Detail
from hhh.repositories import jobs as job_rows
from hhh.repositories import retention as retention_rows
from hhh.services import job_ends
from hhh.services.storing import insistently
from hhh.services.targets import TargetService
from hhh.services.work import Attempt, Failure


def _nothing(_session: Session) -> None:
    """Writes nothing more."""


class Upkeep:
    """The part of a `hhh.services.work.Work` that follows from having no row but the job's own."""

    #: What was done stays, and what was not is done by the next attempt.
    repeatable = True

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, _session: Session, _job: Job) -> bool:
        """See `hhh.services.work.Work`: there is nothing to write."""
        return True

    def record_failure(self, _session: Session, _job_id: str, _failure: Failure, _now: datetime) -> None:
        """See `hhh.services.work.Work`: there is nothing to write."""

    def requeue(self, _session: Session, _job_id: str) -> None:
        """See `hhh.services.work.Work`: there is nothing to write."""

    def recorded(self, session: Session, job_id: str) -> bool:
        """See `hhh.services.work.Work`: what the job's row says."""
        job = job_rows.get(session, job_id)
        return job is not None and job.state == JobState.SUCCESS

    def sweep(self, _worker: str) -> None:
        """See `hhh.services.work.Work`: what an attempt leaves, the next one goes on with."""

    def outcome(self, job_id: str) -> tuple[JobState, str | None]:
        """How a job has ended, and why.

        Raises:
            NotFound: there was none.
        """
        with self._database.snapshot() as session:
            job = job_rows.get(session, job_id)
        if job is None:
            raise NotFound("No job has that id")
        return JobState(job.state), job.error

    def _succeed(
        self, attempt: Attempt, also: Callable[[Session], None] = _nothing, *, changed: Detail | None = None
    ) -> None:
        """Writes that an attempt has succeeded, and in the same transaction what else is to be written.

        Args:
            attempt: that has.
            also: writes what else there is.
            changed: how much it changed, by what that is called.

        Raises:
            LeaseLost: another worker may have the job by now.
            DatabaseUnavailable: the own database stays away.
        """

        def write() -> None:
            with self._database.transaction() as session:
                ours = job_ends.finish(
                    session,
                    attempt.job_id,
                    attempt.number,
                    state=JobState.SUCCESS,
                    error=None,
                    now=utcnow(),
                    detail=changed,
                )
                if not ours:
                    raise LeaseLost("The job was given up while it ran; another worker may have it now")
                also(session)

        insistently(write, is_done=lambda: self._has_succeeded(attempt.job_id))

    def _has_succeeded(self, job_id: str) -> bool:
        try:
            with self._database.snapshot() as session:
                return self.recorded(session, job_id)
        except DatabaseUnavailable:  # not known yet; a second write of it does no harm
            return False


def refuse_unknown(database: Database, targets: TargetService, name: str) -> None:
    """A target that was removed is known as long as there is a backup of it: its upkeep goes on.

    Raises:
        NotFound: no such target, and no backup of one.
    """
    if valid_target_name(name):
        if name in targets.names():
            return
        with database.snapshot() as session:
            if retention_rows.has_any(session, name):
                return
    raise NotFound(f"No target is named {name!r}", hint="see `hhh target list`")
