"""What is known of backups: the runbook's logs and stats, the rich resource, and the rows' life."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from hhh.artifacts.naming import backup_file_name, valid_target_name
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.models import BackupCopy, BackupLog, BackupStatus, Job
from hhh.repositories import backups as rows
from hhh.repositories import jobs as job_rows
from hhh.repositories import policies as policy_rows
from hhh.repositories import retention as retention_rows
from hhh.repositories.backups import Position, SizePosition
from hhh.schemas.backup import (
    BackupFilter,
    BackupPage,
    BackupResource,
    BackupSort,
    CopyResource,
    LatestBackup,
    LogEntry,
    StatsResponse,
    Verified,
)
from hhh.services import cursors
from hhh.services.following import progress_of, retry_of


class Catalogue:
    """Reads the catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def logs(self, *, limit: int, offset: int) -> list[LogEntry]:
        """Finished backups of all targets, newest first, as the runbook prints them."""
        with self._database.snapshot() as session:
            return [_log_entry(row) for row in rows.finished_page(session, limit=limit, offset=offset)]

    def stats(self) -> StatsResponse:
        """Totals over finished backups, and the newest successful one."""
        with self._database.snapshot() as session:
            totals = rows.totals(session)
            latest = rows.newest_successful(session)
        return StatsResponse(
            total_backups=totals.total,
            successful_backups=totals.successful,
            failed_backups=totals.failed,
            total_backup_size=totals.stored_bytes,
            latest_backup=_latest(latest) if latest else None,
        )

    def get(self, backup_id: str) -> BackupResource:
        """One backup with everything its manifest holds.

        Raises:
            NotFound: no backup has that id.
        """
        with self._database.snapshot() as session:
            row = rows.get(session, backup_id) if cursors.is_id(backup_id) else None
            if row is None:
                raise NotFound("No backup has that id", hint="see `hhh backup list`")
            return _resource(row, job_rows.get(session, backup_id))

    def page(
        self,
        narrowed: BackupFilter,
        *,
        sort: BackupSort = BackupSort.NEWEST,
        cursor: str | None,
        limit: int,
        with_manifests: bool = True,
    ) -> BackupPage:
        """One page of backups, running ones included; by size, only those that are stored.

        Raises:
            InvalidInput: the cursor is not one that a page of that order handed out.
        """
        by_size = sort in {BackupSort.LARGEST, BackupSort.SMALLEST}
        decode: Callable[[str], Position | SizePosition] = cursors.decode_sized if by_size else cursors.decode
        position = decode(cursor) if cursor else None
        if not _can_match(narrowed, by_size=by_size):
            return BackupPage(items=[], next_cursor=None)
        with self._database.snapshot() as session:
            found = rows.page_after(
                session, narrowed, sort=sort, position=position, limit=limit + 1, with_manifests=with_manifests
            )
            page = found[:limit]
            jobs = {job.id: job for job in job_rows.among(session, [row.id for row in page])}
        next_cursor = _cursor_after(page[-1], by_size=by_size) if len(found) > limit else None
        return BackupPage(
            items=[_resource(row, jobs.get(row.id), with_manifest=with_manifests) for row in page],
            next_cursor=next_cursor,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a backup ended, for its row."""

    status: BackupStatus
    finished_at: datetime
    error: str | None = None
    stored_size: int = 0
    raw_size: int | None = None
    sha256: str | None = None
    manifest: dict[str, object] | None = None
    copies: Sequence[BackupCopy] = ()


def free_file(session: Session, target: str, created_at: datetime) -> str:
    """A file name that its target does not have yet."""
    names = (backup_file_name(created_at, ordinal) for ordinal in itertools.count(1))
    return rows.first_free_file(session, target, names)


def begin(
    session: Session, backup_id: str, *, target: str, created_at: datetime, backup_file: str | None = None
) -> BackupLog:
    """Writes the row of a backup that is queued, under a free file name unless one is given."""
    row = BackupLog(
        id=backup_id,
        target=target,
        backup_file=backup_file or free_file(session, target, created_at),
        status=BackupStatus.QUEUED,
        created_at=created_at,
        backup_size=0,
        pinned=False,
    )
    rows.add(session, row)
    return row


def start(session: Session, backup_id: str) -> BackupLog | None:
    """Writes that a worker is on the backup; None if it is not in the catalogue."""
    row = rows.get(session, backup_id)
    if row is not None:
        row.status = BackupStatus.RUNNING
    return row


def wait(session: Session, backup_id: str) -> None:
    """Writes that a backup waits for a further attempt; nothing if it is not in the catalogue."""
    row = rows.get(session, backup_id)
    if row is not None:
        row.status = BackupStatus.QUEUED


def finish(session: Session, backup_id: str, outcome: Outcome) -> None:
    """Writes how a backup ended, and counts it, in the caller's transaction."""
    row = rows.get(session, backup_id)
    if row is None:
        raise NotFound("The backup is no longer in the catalogue")
    row.status = outcome.status
    row.finished_at = outcome.finished_at
    row.error = outcome.error
    row.backup_size = outcome.stored_size
    row.raw_size = outcome.raw_size
    row.sha256 = outcome.sha256
    row.manifest = outcome.manifest
    row.copies = list(outcome.copies)
    rows.add_to_totals(session, status=outcome.status, stored_bytes=outcome.stored_size)
    if outcome.status is BackupStatus.SUCCESS:
        # Only marks: prune and verification are jobs of their own, and one lost with a process would never come.
        retention_rows.mark_prune_due(session, row.target, now=outcome.finished_at)
        row.verify_due = policy_rows.level_after_backup(session, row.target)


def _log_entry(row: BackupLog) -> LogEntry:
    succeeded = row.status == BackupStatus.SUCCESS
    return LogEntry(
        id=row.id,
        backup_file=row.backup_file,
        backup_size=row.backup_size,
        # The runbook knows two endings: a cancelled backup counts as failed.
        status="BackupStatus.SUCCESS" if succeeded else "BackupStatus.FAILED",
        created_at=row.created_at,
    )


def _latest(row: BackupLog) -> LatestBackup:
    return LatestBackup(file=row.backup_file, size=row.backup_size, created_at=row.created_at)


def _can_match(narrowed: BackupFilter, *, by_size: bool) -> bool:
    """Whether a database need be asked for it: what no name looks like may hold what none takes."""
    if narrowed.target is not None and not valid_target_name(narrowed.target):
        return False
    return not by_size or narrowed.status in {None, BackupStatus.SUCCESS}


def _cursor_after(row: BackupLog, *, by_size: bool) -> str:
    return cursors.encode_sized(row.backup_size, row.id) if by_size else cursors.encode(row.created_at, row.id)


def _resource(row: BackupLog, job: Job | None, *, with_manifest: bool = True) -> BackupResource:
    return BackupResource.model_validate(
        {
            "id": row.id,
            "target": row.target,
            "backup_file": row.backup_file,
            "status": row.status.lower(),
            "stored_size": row.backup_size,
            "raw_size": row.raw_size,
            "sha256": row.sha256,
            "created_at": row.created_at,
            "finished_at": row.finished_at,
            "duration_seconds": _duration(row, job),
            "error": row.error,
            "progress": progress_of(job) if row.finished_at is None else None,
            "retry": retry_of(job) if row.finished_at is None else None,
            "copies": [_copy_resource(copy) for copy in row.copies],
            "manifest": row.manifest if with_manifest else None,
            "pinned": row.pinned,
            "verified": _verified(row),
        }
    )


def _duration(row: BackupLog, job: Job | None) -> float | None:
    if row.finished_at is None or job is None or job.started_at is None:
        return None
    return max(0.0, (row.finished_at - job.started_at).total_seconds())


def _verified(row: BackupLog) -> Verified | None:
    if row.verified_level is None or row.verified_at is None:
        return None
    return Verified(level=row.verified_level, at=row.verified_at)


def _copy_resource(copy: BackupCopy) -> CopyResource:
    return CopyResource(
        storage=copy.storage,
        key=copy.key,
        status=copy.status,
        size=copy.size,
        sha256=copy.sha256,
        error=copy.error,
    )
