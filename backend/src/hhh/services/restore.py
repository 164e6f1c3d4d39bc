"""Restores as they are asked for: checked at once, handed to a queue, looked at, taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import NotFound, RestoreFailed, StorageError
from hhh.core.run import Unattended
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.models import JobKind, Restore
from hhh.repositories import restores as rows
from hhh.repositories import retention as retention_rows
from hhh.repositories.restores import PastRestore
from hhh.schemas.restore import RestorePage, RestoreRequest, RestoreResource
from hhh.services.restoration import refusal
from hhh.services.restore_orders import RestoreOrders, refuse_undo
from hhh.services.restore_records import RestoreRecords, row_of, said_of
from hhh.services.work import NewJob

log = structlog.get_logger(__name__)


class RestoreService:
    """What routes and commands call; `hhh.services.restore_work` performs what is asked for here."""

    def __init__(self, settings: Settings, database: Database, orders: RestoreOrders, records: RestoreRecords) -> None:
        self._settings = settings
        self._database = database
        self._orders = orders
        self._records = records

    def request(self, asked: RestoreRequest, *, requested_by: str, address: str) -> NewJob:
        """A restore, to be handed to a queue; it keeps the destination's target busy.

        The queue calls its check first, which raises `RestoreUnsafe` with every reason that manifest and destination
        tell without reading the object.

        Raises:
            NotFound: no such backup or target.
            InvalidInput: it can't be asked for like this.
        """
        return self._new(self._orders.restore(asked, requested_by=requested_by, address=address))

    def undo(self, restore_id: str, *, requested_by: str, address: str) -> NewJob:
        """Bringing back what a restore replaced, to be handed to a queue; it is a restore as well.

        Raises:
            NotFound: no such restore.
            RestoreUnsafe: nothing is kept of what it replaced, or no longer.
        """
        with self._database.snapshot() as session:
            undone = row_of(session, restore_id)
        return self._new(self._orders.undo(undone, requested_by=requested_by, address=address))

    def get(self, restore_id: str) -> RestoreResource:
        """See `RestoreRecords.get`."""
        return self._records.get(restore_id)

    def page(self, *, dry_run: bool | None = None, cursor: str | None, limit: int) -> RestorePage:
        """See `RestoreRecords.page`."""
        return self._records.page(dry_run=dry_run, cursor=cursor, limit=limit)

    def history(
        self, *, dry_run: bool | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[PastRestore], str | None]:
        """See `RestoreRecords.history`."""
        return self._records.history(dry_run=dry_run, cursor=cursor, limit=limit)

    def undone_by(self, restore_id: str) -> str | None:
        """See `RestoreRecords.undone_by`."""
        return self._records.undone_by(restore_id)

    def _new(self, row: Restore) -> NewJob:
        def check(worker: str) -> None:
            self._check(row, worker)

        def write(session: Session, restore_id: str, now: datetime) -> None:
            row.id, row.created_at = restore_id, now
            if row.undo_of is not None:
                refuse_undo(row_of(session, row.undo_of))
            elif not retention_rows.hold(session, row.backup_id or ""):
                raise NotFound("The backup was removed meanwhile", hint="see `hhh backup list`")
            rows.add(session, row)
            log.info("restore_requested", **said_of(row))

        # A plan tells by itself what stands against it; of an undo, everything was known when it was asked for.
        is_checked = not row.dry_run and row.undo_of is None
        return NewJob(JobKind.RESTORE, row.destination_target, write, check=check if is_checked else None)

    def _check(self, row: Restore, worker: str) -> None:
        with scratch_folder(self._settings.scratch_dir, worker) as scratch:
            workplace = Workplace(scratch, self._settings.pg_bin_dir)
            try:
                plan = self._orders.restoration(row, workplace).plan(Unattended(), thorough=False)
            except StorageError as error:
                raise RestoreFailed(f"The restore could not be planned: {error}") from error
        if plan.reasons:
            raise refusal(plan.reasons)
