"""Rows of stored backups, of which no object is anywhere."""

import uuid
from collections.abc import Mapping

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus
from hhh.repositories import backups


def stored_backup_row(
    database: Database, *, target: str = "app", copies: Mapping[str, CopyStatus] | None = None, size: int = 10
) -> str:
    """The id of a new row, counted in the totals; `copies` by the names of stores, `default` unless told."""
    backup_id, now = str(uuid.uuid4()), utcnow()
    states = {"default": CopyStatus.STORED} if copies is None else copies
    with database.transaction() as session:
        row = BackupLog(id=backup_id, target=target, backup_file=backup_id, status=BackupStatus.SUCCESS, pinned=False)
        row.created_at, row.finished_at, row.backup_size = now, now, size
        row.copies = [
            BackupCopy(storage=store, key="k", status=state, size=size, sha256="0" * 64)
            for store, state in states.items()
        ]
        session.add(row)
        backups.add_to_totals(session, status=BackupStatus.SUCCESS, stored_bytes=size)
    return backup_id
