"""Sees to what restores left beside their destinations: those that did not end well, and what is kept no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.engines.registry import restorer_for
from hhh.engines.restoring import Destination, Published
from hhh.models import JobState, Restore
from hhh.repositories import jobs as job_rows
from hhh.repositories import restores as rows
from hhh.services.places import Places, destination_of
from hhh.services.targets import Target, TargetService

#: Seconds until what failed is tried again.
RETRY_SECONDS = 60.0

#: The stage in which a restore happens or does not.
SWAP = "swap"

log = structlog.get_logger(__name__)


class RestoreSweep:
    """Discards and removes. Several processes may do so at once: what is gone is gone."""

    def __init__(self, settings: Settings, database: Database, targets: TargetService, places: Places) -> None:
        self._settings = settings
        self._database = database
        self._targets = targets
        self._places = places
        #: By restore, when it is tried again.
        self._later: dict[str, float] = {}

    def sweep(self, worker: str) -> None:
        """Does what is due; what fails is logged and tried again after `RETRY_SECONDS`.

        Raises:
            DatabaseUnavailable: the own database can't be asked.
        """
        with self._database.snapshot() as session:
            unfinished: Sequence[Restore] = rows.unfinished(session)
            expired: Sequence[Restore] = rows.expired(session, now=utcnow())
        for row in unfinished:
            self._try(row, worker, self._discard)
        for row in expired:
            self._try(row, worker, self._remove_kept)

    def _try(self, row: Restore, worker: str, see_to: Callable[[Restore, Target, Workplace], None]) -> None:
        if self._later.get(row.id, 0) > time.monotonic():
            return
        try:
            target = self._targets.find(row.destination_target)
            with scratch_folder(self._settings.scratch_dir, worker) as scratch:
                see_to(row, target, Workplace(scratch, self._settings.pg_bin_dir))
        except (HHHError, SQLAlchemyError, OSError) as error:
            self._later[row.id] = time.monotonic() + RETRY_SECONDS
            log.warning(
                "restore_not_swept",
                restore_id=row.id,
                target=row.destination_target,
                destination=row.destination,
                error=str(error),
            )
        else:
            self._later.pop(row.id, None)

    def _discard(self, row: Restore, target: Target, workplace: Workplace) -> None:
        restorer, destination = restorer_for(target.engine.kind), self._destination(row, target)
        published = restorer.published(destination, workplace) if self._was_swapping(row) else None
        restorer.discard(destination, workplace)
        with self._database.transaction() as session:
            swept = rows.get(session, row.id)
            if swept is None:
                return
            swept.unfinished = False
            if published is not None:
                self._record(session, swept, published)
        log.info("restore_swept", restore_id=row.id, destination=row.destination, happened=published is not None)

    def _was_swapping(self, row: Restore) -> bool:
        with self._database.snapshot() as session:
            return was_swapping(session, row.id)

    def _record(self, session: Session, row: Restore, published: Published) -> None:
        """Says of a restore that was taken for failed that it happened; its receipt went with its process."""
        row.status, row.error, row.error_code = JobState.SUCCESS, None, None
        row.kept, row.kept_until = published.kept, undo_until(self._settings, utcnow(), published.kept)
        if row.undo_of is not None:
            mark_undone(session, row.undo_of, utcnow())

    def _remove_kept(self, row: Restore, target: Target, workplace: Workplace) -> None:
        kept = row.kept or ""
        restorer_for(target.engine.kind).remove_kept(self._destination(row, target), kept, workplace)
        with self._database.transaction() as session:
            swept = rows.get(session, row.id)
            if swept is not None and swept.kept == kept:
                swept.kept = swept.kept_until = None
        log.info("restore_undo_expired", restore_id=row.id, destination=row.destination, removed=kept)

    def _destination(self, row: Restore, target: Target) -> Destination:
        return destination_of(row, self._places.url(target, row.destination))


def undo_until(settings: Settings, now: datetime, kept: str | None) -> datetime | None:
    """Until when what was replaced is kept, to the second, as a receipt has it."""
    if kept is None:
        return None
    return (now + timedelta(days=settings.restore_undo_days)).replace(microsecond=0)


def mark_undone(session: Session, restore_id: str, now: datetime) -> None:
    """Writes that a restore was taken back: nothing is kept of what it replaced."""
    undone = rows.get(session, restore_id)
    if undone is not None:
        undone.undone_at, undone.kept, undone.kept_until = now, None, None


def was_swapping(session: Session, restore_id: str) -> bool:
    """Whether a restore had come so far that only its destination tells whether it happened."""
    job = job_rows.get(session, restore_id)
    return job is not None and (job.progress or {}).get("stage") == SWAP
