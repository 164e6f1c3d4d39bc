"""Jobs as those see them who wait for them: followed from any process, and cancelled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import AlreadyEnded, NotFound
from hhh.models import BackupLog, Job, JobKind, JobState, Restore, Role, Verification, VerificationStatus
from hhh.repositories import api_tokens as token_rows
from hhh.repositories import backups as backup_rows
from hhh.repositories import jobs as rows
from hhh.repositories import restores as restore_rows
from hhh.repositories import sessions as session_rows
from hhh.repositories import verifications as verification_rows
from hhh.schemas.backup import Retry, RunProgress
from hhh.schemas.following import News
from hhh.services import cursors
from hhh.services.cancelling import Cancelling, noun

_ENDED = frozenset({JobState.SUCCESS, JobState.FAILED, JobState.CANCELLED})

#: What a job makes, which may outlive the job's own row.
_Record = BackupLog | Restore | Verification


@dataclass(frozen=True, slots=True)
class Look:
    """How a job is at one moment."""

    #: ``attempt/version``: another one after every change that somebody who watches should see; or ``ended``.
    position: str
    news: News

    @property
    def is_last(self) -> bool:
        """Whether nothing will change any more."""
        return self.news.status in _ENDED


@dataclass(frozen=True, slots=True)
class Following:
    """Looks at jobs and cancels them, by their kind and id.

    Args:
        database: the own one.
        cancelling: who ends jobs of every kind.
    """

    database: Database
    cancelling: Cancelling

    def look(self, kind: JobKind, job_id: str) -> Look:
        """How a job is now; also one of which only its record is left, as of a backup that was found in a store.

        Raises:
            NotFound: no job of that kind has that id.
        """
        if cursors.is_id(job_id):
            with self.database.snapshot() as session:
                record = _record(session, kind, job_id)
                job = rows.get(session, job_id)
                if record is not None:
                    return _look(job) if job is not None else _look_of_record(kind, record)
        listing = "hhh backup verifications" if kind is JobKind.VERIFY else f"hhh {kind} list"
        raise NotFound(f"No {noun(kind)} has that id", hint=f"see `{listing}`")

    def looks(self, job_ids: Collection[str]) -> dict[str, Look]:
        """How these jobs are now, without those that are gone; one query."""
        with self.database.snapshot() as session:
            return {job.id: _look(job) for job in rows.among(session, job_ids)}

    def busy_with(self, target: str) -> News | None:
        """The backup or restore that keeps a target busy; None where it is free."""
        with self.database.snapshot() as session:
            job = rows.active_of(session, JobKind.BACKUP, target)
            return _look(job).news if job is not None else None

    def super_admins(self, ids: Collection[str]) -> set[str]:
        """Those of the given sessions and tokens that are live still, and a super admin's."""
        now = utcnow()
        with self.database.snapshot() as session:
            live = session_rows.live_among(session, ids, Role.SUPER_ADMIN, now)
            # Most are sessions: only for the others tokens are looked at.
            others = set(ids) - live
            return live | token_rows.live_among(session, others, Role.SUPER_ADMIN, now) if others else live

    def cancel(self, kind: JobKind, job_id: str) -> JobState:
        """Ends a job that waits; asks for the end of one that runs, whose worker hears of it within a second.

        Its target is free once it is `JobState.CANCELLED`: then its process has ended, and nothing of it is left. One
        that is about to succeed may still do so; its state says which.

        Returns:
            `CANCELLED`, or `RUNNING` where its worker is to end it.

        Raises:
            NotFound: no job of that kind has that id.
            AlreadyEnded: it has ended.
        """
        found = self.look(kind, job_id)
        if found.is_last:
            raise ended(kind, found.news.status)
        state = self.cancelling.cancel(job_id, kind)
        if state in {JobState.SUCCESS, JobState.FAILED}:  # since we looked
            raise ended(kind, state)
        return state


def progress_of(job: Job | None) -> RunProgress | None:
    """How far a running job has come; None before it has told."""
    if job is None or job.state != JobState.RUNNING or not job.progress:
        return None
    # What another version wrote, or wrote at once without its pace, may have other members.
    known = {name: value for name, value in job.progress.items() if name in RunProgress.model_fields}
    return RunProgress.model_validate({"stage": "", **known, "attempt": job.attempt})


def retry_of(job: Job | None) -> Retry | None:
    """What a job waits for that is to be tried again; None of any other."""
    if job is None or job.state != JobState.QUEUED or job.attempt == 0:
        return None
    return Retry(
        attempt=job.attempt + 1, not_before=job.not_before, error=job.error or "", retries_left=job.retries_left
    )


def _look(job: Job) -> Look:
    news = News.model_validate(
        {
            "id": job.id,
            "kind": job.kind,
            "target": job.target,
            "status": job.state,
            "attempt": job.attempt,
            "cancel_requested": job.cancel_requested,
            "progress": progress_of(job),
            "retry": retry_of(job),
            "error": job.error if job.state in _ENDED else None,
            "finished_at": job.finished_at,
        }
    )
    return Look(f"{job.attempt}/{job.version}", news)


def _look_of_record(kind: JobKind, record: _Record) -> Look:
    finished_at: datetime | None = record.finished_at
    # As its job had it: what could not be found out is no success.
    status = JobState.FAILED if record.status == VerificationStatus.INCONCLUSIVE else record.status.lower()
    news = News.model_validate(
        {
            "id": record.id,
            "kind": kind,
            "target": record.target,
            "status": status,
            "attempt": 0,
            "cancel_requested": False,
            "progress": None,
            "retry": None,
            "error": record.error,
            "finished_at": finished_at,
        }
    )
    return Look("ended", news)


def _record(session: Session, kind: JobKind, job_id: str) -> _Record | None:
    if kind is JobKind.VERIFY:
        return verification_rows.get(session, job_id)
    return backup_rows.get(session, job_id) if kind is JobKind.BACKUP else restore_rows.get(session, job_id)


def ended(kind: JobKind, state: str) -> AlreadyEnded:
    """What is raised where a job that has ended was to be cancelled."""
    return AlreadyEnded(f"The {noun(kind)} has ended already: it is {state}")
