"""Backups that are no longer wanted: pinned against it, or given a tombstone, from which on they are gone for all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, BackupProtected, InUse, InvalidInput, NotFound
from hhh.models import Action, BackupLog, BackupStatus, CopyStatus
from hhh.repositories import backups as backup_rows
from hhh.repositories import retention as rows
from hhh.services import audit, cursors
from hhh.services.retention import BEING_RESTORED, BEING_VERIFIED, NEWEST_GOOD, NEWEST_PROVEN, PINNED

#: What a backup can't be pinned in: there is nothing to keep.
_WITHOUT_CONTENT = frozenset({BackupStatus.FAILED, BackupStatus.CANCELLED})

log = structlog.get_logger(__name__)


class Deletion:
    """Decides in one transaction whether a backup may go, and writes its tombstone; touches no store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, backup_id: str, *, pinned: bool) -> None:
        """Pins a backup, so that no rule drops it, or unpins it; a no-op where it is so already.

        Raises:
            NotFound: no such backup.
            InvalidInput: it failed or was cancelled, and there is nothing to keep.
        """
        with self._database.transaction() as session:
            row = _found(session, backup_id)
            if pinned and row.status in _WITHOUT_CONTENT:
                raise InvalidInput(f"The backup is {row.status.lower()}: there is nothing to keep")
            if row.pinned is not pinned:
                row.pinned = pinned
                detail = {"file": row.backup_file, "pinned": pinned}
                audit.record(session, Action.BACKUP_PIN, row.id, target=row.target, detail=detail)

    def protections_of(self, backup_id: str) -> Sequence[str]:
        """Why a backup is only removed where its file is named; none where it may simply go.

        It is what holds now; `delete` looks again.

        Raises:
            NotFound: no such backup.
        """
        with self._database.snapshot() as session:
            row = backup_rows.get(session, backup_id) if cursors.is_id(backup_id) else None
            if row is None:
                raise _unknown()
            return protections(session, row) if row.status == BackupStatus.SUCCESS else []

    def delete(self, backup_id: str, *, by: str, force: str | None) -> str:
        """Gives a backup its tombstone because somebody asked for it; answers its target.

        Args:
            backup_id: of the backup.
            by: who asks.
            force: its file name, where it may go though it is protected.

        Raises:
            NotFound: no such backup.
            InvalidInput: ``force`` is not its file name.
            BackupInProgress: it is still being taken.
            InUse: it is being restored or verified.
            BackupProtected: it is pinned, the newest good one or the newest proven one.
        """
        with self._database.transaction() as session:
            backup_rows.lock_totals(session)
            row = _found(session, backup_id)
            _refuse(session, row, force)
            _bury(session, row, by=by, now=utcnow(), forced=force is not None)
        return row.target

    def drop(self, backup_id: str, *, by: str, minimum_kept: int) -> bool:
        """Gives a backup its tombstone because a rule drops it; False if anything protects it by now."""
        with self._database.transaction() as session:
            backup_rows.lock_totals(session)
            row = rows.locked(session, backup_id)
            if row is None or row.status != BackupStatus.SUCCESS:
                return False
            if row.verify_due is not None or _use(session, row):
                return False
            if protections(session, row, minimum_kept=minimum_kept):
                return False
            _bury(session, row, by=by, now=utcnow())
        return True


def protections(session: Session, row: BackupLog, *, minimum_kept: int = 1) -> Sequence[str]:
    """What no rule may override, of one backup; asked under the lock of the totals, it holds until the end of it.

    Two backups that are removed at once wait for each other there, so that each sees what is left by the other.
    """
    found = [PINNED] if row.pinned else []
    if all(copy.status != CopyStatus.STORED for copy in row.copies) or rows.is_refuted(session, row.id):
        return found
    if not rows.good_newer(session, row, count=1):
        found.append(NEWEST_GOOD)
    if row.verified_level == rows.PROVEN and not rows.proven_newer(session, row):
        found.append(NEWEST_PROVEN)
    if minimum_kept > 1 and not rows.good_newer(session, row, count=minimum_kept):
        found.append(f"one of the newest {minimum_kept}")
    return found


def _found(session: Session, backup_id: str) -> BackupLog:
    row = rows.locked(session, backup_id) if cursors.is_id(backup_id) else None
    if row is None:
        raise _unknown()
    return row


def _unknown() -> NotFound:
    return NotFound("No backup has that id", hint="see `hhh backup list`")


def _refuse(session: Session, row: BackupLog, force: str | None) -> None:
    if row.finished_at is None:
        raise BackupInProgress(f"The backup is {row.status.lower()}", hint="cancel it first")
    if force is not None and force != row.backup_file:
        raise InvalidInput(
            f"{force!r} is not the file of that backup", hint=f"to remove it by force, name {row.backup_file}"
        )
    if use := _use(session, row):
        raise InUse(f"The backup is {use}", hint="wait until that has ended, or cancel it")
    if force is None and row.status == BackupStatus.SUCCESS and (reasons := protections(session, row)):
        raise BackupProtected(
            f"The backup is protected: {', '.join(reasons)}",
            reasons=reasons,
            hint=f"to remove it all the same: --force {row.backup_file} (over HTTP `force`)",
        )


def _use(session: Session, row: BackupLog) -> str | None:
    """What a job is at with it; it is given no tombstone meanwhile."""
    if rows.is_being_restored(session, row.id):
        return BEING_RESTORED
    return BEING_VERIFIED if rows.is_being_verified(session, row.id) else None


def _bury(session: Session, row: BackupLog, *, by: str, now: datetime, forced: bool = False) -> None:
    row.deleted_at = row.removal_due_at = now
    row.deleted_by = by
    backup_rows.take_from_totals(session, status=BackupStatus(row.status), stored_bytes=row.backup_size)
    detail = {"file": row.backup_file, "taken": row.created_at.isoformat(), "by": by, "forced": forced}
    audit.record(session, Action.BACKUP_DELETE, row.id, target=row.target, detail=detail)
    log.info("backup_dropped", backup_id=row.id, target=row.target, backup_file=row.backup_file, by=by)
