"""Verifications: asked for, and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from hhh.artifacts.naming import valid_target_name
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound
from hhh.models import BackupLog, Job, JobKind, Verification, VerificationStatus
from hhh.repositories import jobs as job_rows
from hhh.repositories import retention as retention_rows
from hhh.repositories import verifications as rows
from hhh.repositories.verifications import VerificationLine
from hhh.schemas.backup import BackupResource, RunProgress
from hhh.schemas.verification import Level, VerificationFilter, VerificationPage, VerificationResource
from hhh.services import cursors
from hhh.services.catalogue import Catalogue
from hhh.services.following import progress_of
from hhh.services.work import NewJob

#: Of those that have not ended so many are told.
_UNDER_WAY = 20

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class History:
    """One page of verifications that have ended, newest first, without all that they found."""

    items: Sequence[VerificationLine]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A verification that waits or runs."""

    line: VerificationLine
    #: None before it has told.
    progress: RunProgress | None


class VerificationService:
    """Asks for verifications and reads their records. `hhh.services.verification_work` performs them."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def request(self, backup_id: str, level: Level, *, requested_by: str) -> NewJob:
        """A verification of a stored backup, to be handed to a queue.

        Raises:
            NotFound: no such backup.
            InvalidInput: it has not succeeded.
        """
        backup = self._catalogue.get(backup_id)
        if backup.status != "success" or backup.manifest is None:
            raise InvalidInput(
                f"The backup is {backup.status}: there is nothing to verify", hint="see `hhh backup list`"
            )

        def write(session: Session, verification_id: str, now: datetime) -> None:
            if not retention_rows.hold(session, backup.id):
                raise NotFound("The backup was removed meanwhile", hint="see `hhh backup list`")
            add_queued(session, verification_id, backup, level, requested_by=requested_by, now=now)

        return NewJob(JobKind.VERIFY, backup.target, write)

    def get(self, verification_id: str) -> VerificationResource:
        """One verification.

        Raises:
            NotFound: none has that id.
        """
        with self._database.snapshot() as session:
            return _resource(row_of(session, verification_id), job_rows.get(session, verification_id))

    def page(self, narrowed: VerificationFilter, *, cursor: str | None, limit: int) -> VerificationPage:
        """One page of verifications, running ones included, newest first.

        Raises:
            InvalidInput: the cursor is not one that a page handed out.
        """
        position = cursors.decode(cursor) if cursor else None
        if not _can_match(narrowed):
            return VerificationPage(items=[], next_cursor=None)
        with self._database.snapshot() as session:
            found = rows.page_before(session, narrowed, position=position, limit=limit + 1)
            page = found[:limit]
            jobs = {job.id: job for job in job_rows.active_among(session, [row.id for row in page])}
        return VerificationPage(
            items=[_resource(row, jobs.get(row.id)) for row in page],
            next_cursor=cursors.encode(page[-1].created_at, page[-1].id) if len(found) > limit else None,
        )

    def history(self, narrowed: VerificationFilter, *, cursor: str | None, limit: int) -> History:
        """One page of those that have ended.

        Raises:
            InvalidInput: the cursor is not one that a page handed out.
        """
        position = cursors.decode(cursor) if cursor else None
        if not _can_match(narrowed):
            return History([], None)
        with self._database.snapshot() as session:
            found = rows.ended_before(session, narrowed, position=position, limit=limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        return History(found[:limit], cursors.encode(last.created_at, last.id) if last is not None else None)

    def under_way(self, narrowed: VerificationFilter) -> Sequence[UnderWay]:
        """Those that run, then those that wait, the oldest first; of many only the first."""
        if not _can_match(narrowed):
            return []
        with self._database.snapshot() as session:
            found = rows.under_way(session, narrowed, limit=_UNDER_WAY)
            jobs = {job.id: job for job in job_rows.active_among(session, [line.id for line in found])}
        return [UnderWay(line, progress_of(jobs.get(line.id))) for line in found]


def add_queued(
    session: Session,
    verification_id: str,
    backup: BackupResource | BackupLog,
    level: Level,
    *,
    requested_by: str,
    now: datetime,
) -> None:
    """Writes a verification that waits for a worker, in the transaction that makes its job."""
    row = Verification(
        id=verification_id,
        backup_id=backup.id,
        target=backup.target,
        backup_file=backup.backup_file,
        backup_created_at=backup.created_at,
        level=level,
        status=VerificationStatus.QUEUED,
        requested_by=requested_by,
        created_at=now,
    )
    rows.add(session, row)
    log.info("verification_requested", **said_of(row))


def row_of(session: Session, verification_id: str) -> Verification:
    """The row of that id.

    Raises:
        NotFound: there is none.
    """
    row = rows.get(session, verification_id) if cursors.is_id(verification_id) else None
    if row is None:
        raise NotFound("No verification has that id", hint="see `hhh backup verifications`")
    return row


def said_of(row: Verification) -> dict[str, object]:
    """What each line of the log says of a verification."""
    return {
        "verification_id": row.id,
        "requested_by": row.requested_by,
        "backup_id": row.backup_id,
        "backup_file": row.backup_file,
        "target": row.target,
        "level": row.level,
    }


def _can_match(narrowed: VerificationFilter) -> bool:
    """Whether a database can be asked for it: what no name and no id looks like, may hold what none takes."""
    if narrowed.target is not None and not valid_target_name(narrowed.target):
        return False
    return narrowed.backup_id is None or cursors.is_id(narrowed.backup_id)


def _resource(row: Verification, job: Job | None) -> VerificationResource:
    result: dict[str, Any] = row.result or {}
    return VerificationResource.model_validate(
        {
            **result,
            "id": row.id,
            "backup_id": row.backup_id,
            "target": row.target,
            "backup_file": row.backup_file,
            "backup_created_at": row.backup_created_at,
            "level": row.level,
            "reached": row.reached,
            "status": row.status,
            "requested_by": row.requested_by,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "duration_seconds": duration_of(row),
            "progress": progress_of(job) if row.finished_at is None else None,
            "error": row.error,
            "error_code": row.error_code,
        }
    )


def duration_of(row: Verification) -> float | None:
    """Seconds from its last beginning to its end; None where it had none of both."""
    if row.started_at is None or row.finished_at is None:
        return None
    return max(0.0, (row.finished_at - row.started_at).total_seconds())
