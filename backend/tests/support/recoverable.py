"""Rows that tell how a target stands: backups and verifications of any age, of which no object is anywhere."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus, Verification, VerificationStatus

HOUR = timedelta(hours=1)


def a_backup(
    database: Database,
    target: str = "app",
    *,
    age: timedelta = HOUR,
    status: BackupStatus = BackupStatus.SUCCESS,
    copies: Mapping[str, CopyStatus] | None = None,
    **more: Any,
) -> str:
    """The id of a new row; `copies` by the names of stores, one in `default` unless told; `more` are other columns."""
    backup_id, begun = str(uuid.uuid4()), utcnow() - age
    states = {"default": CopyStatus.STORED} if copies is None and status is BackupStatus.SUCCESS else copies or {}
    with database.transaction() as session:
        row = BackupLog(id=backup_id, target=target, backup_file=backup_id, status=status, created_at=begun)
        row.backup_size, row.pinned = 10, False
        row.finished_at = begun if status not in {BackupStatus.QUEUED, BackupStatus.RUNNING} else None
        row.copies = [
            BackupCopy(storage=store, key="k", status=state, size=10, sha256="0" * 64)
            for store, state in states.items()
        ]
        for name, value in more.items():
            setattr(row, name, value)
        session.add(row)
    return backup_id


def a_verification(
    database: Database,
    backup_id: str,
    *,
    level: str = "proven",
    status: VerificationStatus = VerificationStatus.SUCCESS,
    at: datetime | None = None,
    result: dict[str, Any] | None = None,
    error: str | None = None,
    refuted: bool | None = None,
) -> str:
    """The id of a new row of a verification that has ended; its backup learns what it has reached."""
    verification_id, moment = str(uuid.uuid4()), at or utcnow()
    succeeded = status is VerificationStatus.SUCCESS
    with database.transaction() as session:
        backup = session.get_one(BackupLog, backup_id)
        if succeeded:
            backup.verified_level, backup.verified_at = level, moment
        session.add(
            Verification(
                id=verification_id,
                backup_id=backup_id,
                target=backup.target,
                backup_file=backup.backup_file,
                backup_created_at=backup.created_at,
                level=level,
                reached=level if succeeded else None,
                status=status,
                requested_by="cli",
                created_at=moment,
                started_at=moment,
                finished_at=moment,
                refuted=status is VerificationStatus.FAILED if refuted is None else refuted,
                result={"reached": level if succeeded else None} | (result or {}),
                error=error,
            )
        )
    return verification_id
