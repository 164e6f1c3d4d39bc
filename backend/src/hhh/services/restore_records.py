"""What is known of restores: the rich resource, and how fast they were."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.engines.base import EngineKind
from hhh.models import Job, Restore
from hhh.repositories import jobs as job_rows
from hhh.repositories import restores as rows
from hhh.repositories import targets as target_rows
from hhh.repositories.restores import PastRestore
from hhh.schemas.restore import RestorePage, RestoreResource
from hhh.services import cursors
from hhh.services.following import progress_of
from hhh.services.targets import APP

#: From so many of the newest receipts a rate is taken.
_MEASURED = 10


class RestoreRecords:
    """Reads the rows of restores."""

    def __init__(self, database: Database, app_engine: EngineKind) -> None:
        self._database = database
        self._app_engine = app_engine

    def get(self, restore_id: str) -> RestoreResource:
        """One restore with its plan and its receipt.

        Raises:
            NotFound: no restore has that id.
        """
        with self._database.snapshot() as session:
            return _resource(row_of(session, restore_id), job_rows.get(session, restore_id))

    def page(self, *, dry_run: bool | None = None, cursor: str | None, limit: int) -> RestorePage:
        """One page of restores, running ones included, newest first; `dry_run` narrows it.

        Raises:
            InvalidInput: the cursor is not one that a page handed out.
        """
        position = cursors.decode(cursor) if cursor else None
        with self._database.snapshot() as session:
            found = rows.page_before(session, dry_run=dry_run, position=position, limit=limit + 1)
            page = found[:limit]
            jobs = {job.id: job for job in job_rows.active_among(session, [row.id for row in page])}
        return RestorePage(
            items=[_resource(row, jobs.get(row.id)) for row in page],
            next_cursor=cursors.encode(page[-1].created_at, page[-1].id) if len(found) > limit else None,
        )

    def history(
        self, *, dry_run: bool | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[PastRestore], str | None]:
        """As `page`, without plans and receipts, and the cursor of the next one.

        Raises:
            InvalidInput: the cursor is not one that a page handed out.
        """
        position = cursors.decode(cursor) if cursor else None
        with self._database.snapshot() as session:
            found = rows.history(session, dry_run=dry_run, position=position, limit=limit + 1)
        shown = found[:limit]
        return shown, cursors.encode(shown[-1].created_at, shown[-1].id) if len(found) > limit else None

    def undone_by(self, restore_id: str) -> str | None:
        """The id of the undo that took a restore back, or is about to; None if there is none."""
        with self._database.snapshot() as session:
            return rows.undone_by(session, restore_id)

    def rate(self, engine: EngineKind) -> float | None:
        """Bytes of a dump that a restore of that kind takes in a second here, by its receipts; None without any."""
        with self._database.snapshot() as session:
            targets = [target.name for target in target_rows.all_by_name(session) if target.engine == engine]
            if engine is self._app_engine:
                targets.append(APP)
            receipts = rows.newest_receipts(session, targets, limit=_MEASURED)
        rates = [receipt["bytes_per_second"] for receipt in receipts if receipt["bytes_per_second"] > 0]
        return statistics.median(rates) if rates else None


def row_of(session: Session, restore_id: str) -> Restore:
    """The row of that id.

    Raises:
        NotFound: there is none.
    """
    row = rows.get(session, restore_id) if cursors.is_id(restore_id) else None
    if row is None:
        raise NotFound("No restore has that id", hint="see GET /api/v1/restores")
    return row


def said_of(row: Restore) -> dict[str, object]:
    """What each line of the log says of a restore."""
    return {
        "restore_id": row.id,
        "requested_by": row.requested_by,
        "address": row.address,
        "backup_id": row.backup_id,
        "undo_of": row.undo_of,
        "target": row.target,
        "destination_target": row.destination_target,
        "mode": row.mode,
        "destination": row.destination,
        "dry_run": row.dry_run,
    }


def _resource(row: Restore, job: Job | None) -> RestoreResource:
    plan: dict[str, Any] = row.plan or {"steps": [], "checks": [], "expected_seconds": None}
    return RestoreResource.model_validate(
        {
            "id": row.id,
            "backup_id": row.backup_id,
            "undo_of": row.undo_of,
            "target": row.target,
            "destination_target": row.destination_target,
            "mode": row.mode,
            "destination": row.destination,
            "tables": row.tables,
            "dry_run": row.dry_run,
            "acknowledge": row.acknowledge,
            "status": row.status,
            "requested_by": row.requested_by,
            "address": row.address,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "progress": progress_of(job) if row.finished_at is None else None,
            **plan,
            "receipt": row.receipt,
            "error": row.error,
            "error_code": row.error_code,
            "kept": row.kept,
            "kept_until": row.kept_until,
            "undone_at": row.undone_at,
        }
    )
