"""Jobs that an operator no longer wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.errors import Cancelled, NotFound
from hhh.models import Action, JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.services import audit, job_ends
from hhh.services.work import Failure, Work


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Cancels jobs of every kind."""

    database: Database
    works: Mapping[JobKind, Work]

    def cancel(self, job_id: str, kind: JobKind) -> JobState:
        """Ends a job that waits; asks for the end of one that runs, whose worker hears of it within a second.

        A target is free once the process that runs has ended, and its job with it.

        Returns:
            How it is then: `CANCELLED`; `RUNNING` where its worker is to end it; how it had ended already.

        Raises:
            NotFound: no job of that kind has that id.
        """
        with self.database.transaction() as session:
            if rows.kind_of(session, job_id) != kind:
                raise NotFound(f"No {noun(kind)} has that id")
            now, text = rows.server_time(session), said(kind)
            if job_ends.end_queued(session, job_id, state=JobState.CANCELLED, error=text, now=now):
                failure = Failure(JobState.CANCELLED, text, Cancelled.code)
                self.works[kind].record_failure(session, job_id, failure, now)
                _record(session, job_id)
            elif rows.request_cancel(session, job_id):
                _record(session, job_id)
            return rows.state_of(session, job_id)


def _record(session: Session, job_id: str) -> None:
    if (job := rows.get(session, job_id)) is not None:
        audit.record(session, Action.CANCEL, job_id, target=job.target, detail={"kind": job.kind})


def said(kind: JobKind) -> str:
    """What the record of a cancelled job says."""
    return f"The {noun(kind)} was cancelled"


def noun(kind: JobKind) -> str:
    """What a job of that kind is called in a sentence."""
    return "verification" if kind is JobKind.VERIFY else kind
