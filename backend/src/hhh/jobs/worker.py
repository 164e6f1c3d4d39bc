"""One worker: takes jobs, runs them under a lease, records how they end, and sees to what dead workers left."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core import scratch
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, Cancelled, HHHError, LeaseLost, NotFound, OutcomeUnknown
from hhh.jobs.heartbeat import LEASE, Heartbeat, Observer
from hhh.jobs.liveness import Liveness
from hhh.models import BackupStatus, Job, JobKind, JobState
from hhh.repositories import backups as backup_rows
from hhh.repositories import jobs as rows
from hhh.services import catalogue
from hhh.services.backup import Attempt, BackupService
from hhh.services.catalogue import Outcome
from hhh.services.container import Services

log = structlog.get_logger(__name__)

_WORKER_DIED = "The process that ran the backup ended; start it again"


@dataclass(frozen=True, slots=True)
class _Ending:
    """How an attempt ended without success."""

    backup_id: str
    attempt: int
    state: JobState
    text: str
    #: What to do once it is certain that this is how it ended.
    withdraw: Callable[[], None] | None = None


class Worker:
    """Runs jobs in this process. Make one with `working`."""

    def __init__(self, services: Services, name: str, heartbeat: Heartbeat, liveness: Liveness) -> None:
        self.name = name
        self._settings: Settings = services.settings
        self._database: Database = services.database
        self._targets = services.targets
        self._backups: BackupService = services.backups
        self._heartbeat = heartbeat
        self._liveness = liveness
        #: Endings that the database did not take when they came.
        self._unrecorded: dict[str, _Ending] = {}
        self._recording = threading.Lock()

    def create_backup(self, target: str) -> str:
        """Commits a queued backup of the target; returns its id.

        Raises:
            NotFound: no such target.
            BackupInProgress: the target has an active job.
        """
        self._record_endings()
        self._targets.find(target)
        backup_id, now = str(uuid.uuid4()), utcnow()
        try:
            with self._database.transaction() as session:
                busy = rows.active_of(session, target)
                if busy is not None and not self._give_up_if_dead(session, busy):
                    raise _in_progress(target)
                rows.add(session, self._queued_backup(backup_id, target, now))
                catalogue.begin(session, backup_id, target=target, created_at=now)
        except IntegrityError:  # another process was first
            raise _in_progress(target) from None
        return backup_id

    def execute(self, job_id: str, observer: Observer | None = None) -> None:
        """Runs a queued job to its end and records how it ended; a no-op when somebody else has it.

        A failure is recorded, not raised; only an interrupt of the process goes on, after it was recorded.
        """
        try:
            attempt = self._claim(job_id)
        except (HHHError, SQLAlchemyError) as error:
            # It stays queued, and `adopt_queued` names it again.
            log.warning("job_not_claimed", job_id=job_id, error=str(error))
            return
        if attempt is None:
            return
        with self._heartbeat.running(job_id, attempt.number, observer) as run:
            try:
                self._backups.perform(attempt, run)
                log.info("backup_stored", backup_id=job_id, target=attempt.target, backup_file=attempt.backup_file)
            except LeaseLost as error:
                log.warning("lease_lost", backup_id=job_id, target=attempt.target, error=str(error))
            except HHHError as error:
                self._record_failure(attempt, error, str(error))
            except BaseException as error:
                self._record_failure(attempt, error, _said(error))
                if not isinstance(error, Exception):
                    raise

    def end_all(self, reason: HHHError) -> None:
        """Ends everything that runs here, each with that reason."""
        self._heartbeat.end_all(reason)

    def abandon_all(self, reason: HHHError) -> None:
        """Records what runs here as failed though its thread has not ended; its scratch is left to the next worker."""
        self._liveness.leave_for_others(self.name)
        for run in self._heartbeat.runs():
            log.error("backup_abandoned", backup_id=run.job_id, error=str(reason))
            self._record(_Ending(run.job_id, run.attempt, JobState.FAILED, str(reason)))

    def tidy(self) -> None:
        """Sees to what dead workers left: running jobs are failed, scratch is removed, queued jobs are let go of."""
        self._record_endings()
        dead = self._liveness.dead()
        with self._database.transaction() as session:
            for job in rows.expired(session, now=utcnow(), dead_workers=dead):
                _give_up(session, job)
            rows.renew_queued(session, dead, lease_expires_at=utcnow())
        scratch.sweep(self._settings.scratch_dir, dead)
        for worker in dead:
            self._liveness.bury(worker)

    def adopt_queued(self) -> list[str]:
        """Makes queued jobs ours that nobody keeps; returns the ids of all that wait for us, also of those before."""
        now = utcnow()
        with self._database.transaction() as session:
            rows.adopt(session, worker=self.name, lease_expires_at=now + LEASE, now=now)
            return [*rows.queued_of(session, self.name)]

    def release_queued(self) -> None:
        """Lets go of what was queued here and not begun, for another worker to adopt at once."""
        with self._database.transaction() as session:
            rows.renew_queued(session, [self.name], lease_expires_at=utcnow())

    def _queued_backup(self, backup_id: str, target: str, now: datetime) -> Job:
        return Job(
            id=backup_id,
            kind=JobKind.BACKUP,
            target=target,
            state=JobState.QUEUED,
            attempt=0,
            worker=self.name,
            lease_expires_at=now + LEASE,
            cancel_requested=False,
            created_at=now,
        )

    def _claim(self, job_id: str) -> Attempt | None:
        now = utcnow()
        with self._database.transaction() as session:
            job = rows.claim(session, job_id, worker=self.name, lease_expires_at=now + LEASE, now=now)
            backup = catalogue.start(session, job_id) if job is not None else None
            if job is None or backup is None:
                return None
            return Attempt(job_id, job.attempt, job.target, backup.backup_file, backup.created_at, self.name)

    def _record_failure(self, attempt: Attempt, error: BaseException, text: str) -> None:
        log.error(
            "backup_failed",
            backup_id=attempt.backup_id,
            target=attempt.target,
            error=text,
            left_behind=getattr(error, "__notes__", None),
            exc_info=None if isinstance(error, HHHError) else error,
        )
        state = JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED
        withdraw = error.withdraw if isinstance(error, OutcomeUnknown) else None
        self._record(_Ending(attempt.backup_id, attempt.number, state, text, withdraw))

    def _record(self, ending: _Ending) -> None:
        try:
            self._write(ending)
        except (HHHError, SQLAlchemyError) as error:
            # It is tried again; should this process end before, whoever finds it dead records that.
            log.warning("failure_not_recorded", backup_id=ending.backup_id, error=str(error))
            with self._recording:
                self._unrecorded[ending.backup_id] = ending

    def _record_endings(self) -> None:
        with self._recording:
            for backup_id, ending in list(self._unrecorded.items()):
                try:
                    self._write(ending)
                except (HHHError, SQLAlchemyError) as error:
                    log.warning("failure_not_recorded", backup_id=backup_id, error=str(error))
                else:
                    del self._unrecorded[backup_id]

    def _write(self, ending: _Ending) -> None:
        with self._database.transaction() as session:
            _end(session, ending.backup_id, ending.attempt, ending.state, ending.text)
            row = backup_rows.get(session, ending.backup_id)
            stored = row is not None and row.status == BackupStatus.SUCCESS
        if ending.withdraw is not None and not stored:
            ending.withdraw()

    def _give_up_if_dead(self, session: Session, job: Job) -> bool:
        if job.lease_expires_at >= utcnow() and job.worker not in self._liveness.dead():
            return False
        _give_up(session, job)
        session.flush()
        return True


@contextlib.contextmanager
def working(services: Services) -> Iterator[Worker]:
    """A worker of this process, alive until the block is left."""
    liveness = Liveness(services.settings.data_dir)
    with liveness.alive() as name, Heartbeat(services.database, name) as heartbeat:
        yield Worker(services, name, heartbeat, liveness)


def _give_up(session: Session, job: Job) -> None:
    log.warning("job_given_up", job_id=job.id, target=job.target, worker=job.worker)
    _end(session, job.id, job.attempt, JobState.FAILED, _WORKER_DIED)


def _end(session: Session, backup_id: str, attempt: int, state: JobState, text: str) -> None:
    now = utcnow()
    if rows.finish(session, backup_id, attempt, state=state, error=text, now=now):
        # Where an operator has removed the row, nothing is left to tell; the job must end all the same, or it would
        # keep its target busy, and whoever tidies up from what others left.
        with contextlib.suppress(NotFound):
            catalogue.finish(session, backup_id, Outcome(BackupStatus(state.upper()), now, error=text))


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "It was interrupted"
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _in_progress(target: str) -> BackupInProgress:
    hint = "wait until it has ended; `hhh backup list` shows it"
    return BackupInProgress(f"A backup or restore of {target!r} is in progress", hint=hint)
