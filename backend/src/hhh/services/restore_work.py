"""Restores as they are performed by a worker, and recorded with how they ended."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import Cancelled, HHHError, LeaseLost, RestoreFailed, Unrecorded
from hhh.core.run import Progress, Run
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.engines.registry import restorer_for
from hhh.engines.restoring import Built, RestoreMode
from hhh.models import Job, JobState, Restore
from hhh.repositories import jobs as job_rows
from hhh.repositories import restores as rows
from hhh.schemas.restore import Plan, Receipt
from hhh.services import job_ends
from hhh.services.own_database import OwnDatabase
from hhh.services.places import Places, destination_of
from hhh.services.restoration import take_back
from hhh.services.restore_orders import RestoreOrders, refuse_undo
from hhh.services.restore_records import row_of, said_of
from hhh.services.restore_sweep import SWAP, RestoreSweep, mark_undone, undo_until, was_swapping
from hhh.services.targets import TargetService
from hhh.services.work import Attempt, Failure, NewJob

#: For so long a restore that is done tries to record it, while the lease holds.
_RECORDING_SECONDS = 20.0
_RECORDING_PAUSE = 0.5
_GENERIC = HHHError.code

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """A restore that has happened."""

    attempt: Attempt
    finished_at: datetime
    #: None for an undo.
    receipt: Receipt | None
    #: The name under which what it replaced is kept.
    kept: str | None
    kept_until: datetime | None


class RestoreWork:
    """The `hhh.services.work.Work` of `JobKind.RESTORE`."""

    #: An operator who is told that it failed looks first; one that began again by itself would surprise.
    repeatable = False

    def __init__(
        self,
        settings: Settings,
        database: Database,
        targets: TargetService,
        orders: RestoreOrders,
        places: Places,
        own_database: OwnDatabase,
    ) -> None:
        self._settings = settings
        self._database = database
        self._targets = targets
        self._orders = orders
        self._places = places
        self._own_database = own_database
        self._sweep = RestoreSweep(settings, database, targets, places)

    def begin(self, session: Session, job: Job) -> bool:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job.id)
        if row is None:
            return False
        row.status, row.started_at = JobState.RUNNING, job.started_at
        return True

    def perform(self, attempt: Attempt, run: Run) -> None:
        """Restores, and records that it did.

        Raises:
            Unrecorded: it is done, and only its record is missing.
            HHHError: it failed; what was there before is as it was.
        """
        with self._database.snapshot() as session:
            row = row_of(session, attempt.job_id)
        self._confirm(attempt, Progress("checks"))
        if row.dry_run:
            self._perform_dry(row, attempt, run)
            return
        with scratch_folder(self._settings.scratch_dir, attempt.worker) as scratch:
            workplace = Workplace(scratch, self._settings.pg_bin_dir)
            perform = self._perform_restore if row.undo_of is None else self._perform_undo
            try:
                done = perform(row, attempt, workplace, run)
            except BaseException as error:
                self._settle(row.id, error)
                raise
        self._record(done)

    def record_failure(self, session: Session, job_id: str, failure: Failure, now: datetime) -> None:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job_id)
        if row is None or row.status == JobState.SUCCESS:
            return
        row.status, row.finished_at, row.error = failure.state, now, failure.text
        if failure.state is JobState.FAILED:
            row.error_code = RestoreFailed.code if failure.code == _GENERIC else failure.code
        _log_end(row)

    def requeue(self, session: Session, job_id: str) -> None:
        """See `hhh.services.work.Work`: before it has begun, a restore may be handed to another worker."""
        if (row := rows.get(session, job_id)) is not None:
            row.status = JobState.QUEUED

    def recorded(self, session: Session, job_id: str) -> bool:
        """See `hhh.services.work.Work`."""
        row = rows.get(session, job_id)
        return row is not None and row.status == JobState.SUCCESS

    def due(self) -> Sequence[NewJob]:
        """See `hhh.services.work.Work`: only people ask."""
        return ()

    def sweep(self, worker: str) -> None:
        """See `hhh.services.work.Work`: discards what unfinished restores left, removes what is kept no longer."""
        self._sweep.sweep(worker)

    def _perform_dry(self, row: Restore, attempt: Attempt, run: Run) -> None:
        with scratch_folder(self._settings.scratch_dir, attempt.worker) as scratch:
            plan = self._orders.restoration(row, Workplace(scratch, self._settings.pg_bin_dir)).plan(run)
        now = utcnow()
        with self._database.transaction() as session:
            planned = row_of(session, row.id)
            if not job_ends.finish(session, row.id, attempt.number, state=JobState.SUCCESS, error=None, now=now):
                raise LeaseLost("The plan was given up while it was made; another worker may have it now")
            planned.status, planned.finished_at, planned.plan = JobState.SUCCESS, now, plan.model_dump(mode="json")
            _log_end(planned)

    def _perform_restore(self, row: Restore, attempt: Attempt, workplace: Workplace, run: Run) -> _Done:
        def prepare(built: Built) -> None:
            self._begin_swap(attempt, run)
            if row.mode == RestoreMode.REPLACE:
                self._own_database.prepare(row.destination_target, built.url)

        receipt = self._orders.restoration(row, workplace).perform(
            run, planned=functools.partial(self._write_plan, row.id), prepare=prepare
        )
        if row.mode == RestoreMode.REPLACE:
            self._own_database.went_live(row.destination_target)
        return self._done(attempt, receipt, receipt.kept)

    def _perform_undo(self, row: Restore, attempt: Attempt, workplace: Workplace, run: Run) -> _Done:
        with self._database.transaction() as session:
            undone = row_of(session, row.undo_of or "")
            refuse_undo(undone)
            row_of(session, row.id).unfinished = True
        target = self._targets.find(row.destination_target)
        destination = destination_of(row, self._places.url(target, row.destination))
        self._begin_swap(attempt, run)
        carried_over = self._own_database.carried_over(row.destination_target)
        recorded = self._own_database.recorded_since(row.destination_target, undone.id)
        kept = take_back(destination, undone.kept or "", restorer_for(target.engine.kind), workplace, run)
        self._own_database.went_live(row.destination_target, carried_over, recorded)
        return self._done(attempt, None, kept)

    def _done(self, attempt: Attempt, receipt: Receipt | None, kept: str | None) -> _Done:
        now = utcnow()
        until = undo_until(self._settings, now, kept)
        return _Done(attempt, now, receipt and receipt.model_copy(update={"kept_until": until}), kept, until)

    def _write_plan(self, restore_id: str, plan: Plan) -> None:
        with self._database.transaction() as session:
            row = row_of(session, restore_id)
            row.plan = plan.model_dump(mode="json")
            # Before anything is built: whoever finds this process dead must look.
            row.unfinished = not plan.reasons

    def _begin_swap(self, attempt: Attempt, run: Run) -> None:
        # Told to the run first: the heartbeat must not write an earlier stage over that of the row.
        run.report(Progress(SWAP))
        self._confirm(attempt, Progress(SWAP))

    def _confirm(self, attempt: Attempt, progress: Progress) -> None:
        """Asks the row itself, not only the heartbeat, whether the job is still ours and wanted.

        Raises:
            Cancelled, LeaseLost: it is not.
        """
        with self._database.transaction() as session:
            cancelled = job_rows.note_progress(session, attempt.job_id, attempt.number, dataclasses.asdict(progress))
        if cancelled is None:
            raise LeaseLost("The restore was given up while it ran; another worker may have it now")
        if cancelled:
            raise Cancelled("The restore was cancelled")

    def _settle(self, restore_id: str, error: BaseException) -> None:
        """Writes what a failed restore tells beside its error; what can't be written now is swept later."""
        left_behind = bool(getattr(error, "__notes__", None))
        try:
            with self._database.transaction() as session:
                row = row_of(session, restore_id)
                # Where a server was lost while it committed, an error does not tell whether it did.
                unsure = row.mode == RestoreMode.REPLACE and was_swapping(session, restore_id)
                row.unfinished = row.unfinished and (left_behind or unsure)
                if isinstance(error, RestoreFailed) and error.receipt is not None:
                    row.receipt = dict(error.receipt)
        except (HHHError, SQLAlchemyError) as problem:
            log.warning("restore_not_settled", restore_id=restore_id, error=str(problem))

    def _record(self, done: _Done) -> None:
        """Records a restore that has happened, whatever comes: a row that says that it failed would be a lie.

        Raises:
            Unrecorded: the database did not take it in time.
        """
        write = functools.partial(self._write_success, done)
        try:
            _insistently(write, done.attempt.job_id)
        except BaseException as error:
            log.error(  # noqa: TRY400  the reason is named; how it came here tells nothing
                "restore_done_but_not_recorded", restore_id=done.attempt.job_id, kept=done.kept, error=str(error)
            )
            raise Unrecorded("The restore is done, but could not be recorded", record=write) from error

    def _write_success(self, done: _Done) -> None:
        restore_id, number, now = done.attempt.job_id, done.attempt.number, done.finished_at
        with self._database.transaction() as session:
            held = job_ends.finish(session, restore_id, number, state=JobState.SUCCESS, error=None, now=now)
            row = rows.get(session, restore_id)
            if row is None:
                log.error("restore_has_no_row", restore_id=restore_id, kept=done.kept)
                return
            if not held and row.status != JobState.SUCCESS:
                log.warning("restore_done_without_lease", restore_id=restore_id, was=row.status)
                job_ends.ended(session, restore_id, JobState.SUCCESS)
            row.status, row.finished_at, row.unfinished = JobState.SUCCESS, now, False
            row.error = row.error_code = None
            row.receipt = done.receipt.model_dump(mode="json") if done.receipt else None
            row.kept, row.kept_until = done.kept, done.kept_until
            if row.undo_of is not None:
                mark_undone(session, row.undo_of, now)
            _log_end(row)


def _insistently(write: Callable[[], None], restore_id: str) -> None:
    """Unlike `hhh.services.storing.insistently`, also where the database refuses: there is no way back."""
    deadline = time.monotonic() + _RECORDING_SECONDS
    while True:
        try:
            write()
        except (HHHError, SQLAlchemyError) as error:
            if time.monotonic() > deadline:
                raise
            log.warning("restore_not_recorded_yet", restore_id=restore_id, error=str(error))
            time.sleep(_RECORDING_PAUSE)
        else:
            return


def _log_end(row: Restore) -> None:
    log.info("restore_ended", status=str(row.status), error=row.error, kept=row.kept, **said_of(row))
