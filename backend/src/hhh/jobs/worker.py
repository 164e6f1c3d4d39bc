"""One worker: takes jobs, runs them under a lease, records how they end, and sees to what dead workers left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core import scratch
from hhh.core.actor import acting
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, HHHError
from hhh.core.job_lines import kept_lines, kept_now
from hhh.jobs import creation
from hhh.jobs.base import Handled
from hhh.jobs.endings import Endings, stopped
from hhh.jobs.heartbeat import Heartbeat, LeasedRun, Observer
from hhh.jobs.liveness import Liveness
from hhh.jobs.lost import Lost
from hhh.jobs.presence import Presence
from hhh.jobs.taking import Taking
from hhh.jobs.timing import Timing
from hhh.models import Job, JobKind, JobState
from hhh.repositories import jobs as rows
from hhh.repositories import troubles as trouble_rows
from hhh.repositories import workers as worker_rows
from hhh.repositories.clock import Clock, ServerClock
from hhh.services.cancelling import noun
from hhh.services.container import Services
from hhh.services.work import NewJob

log = structlog.get_logger(__name__)

#: Seconds between two tries to begin a job that somebody waits for, while as many run as may.
_WAITING = 0.5
#: A worker that gave no sign of life for so long is no longer listed.
_FORGOTTEN = timedelta(hours=1)


class Worker:
    """Runs jobs in this process. Make one with `working`."""

    def __init__(
        self,
        services: Services,
        name: str,
        heartbeat: Heartbeat,
        liveness: Liveness,
        *,
        presence: Presence | None = None,
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        timing, clock = timing or Timing(), clock or ServerClock()
        self.name = name
        self.timing = timing
        self._settings = services.settings
        self._database: Database = services.database
        self._works = services.works
        self._heartbeat = heartbeat
        self._liveness = liveness
        self._presence = presence
        self._clock = clock
        self._logs = services.job_logs
        self._alerts = services.alerts
        self._endings = Endings(services.database, services.works, timing, clock)
        queues = services.settings.worker_queues if presence is not None else None
        self._taking = Taking(services, name, timing, clock, queues=queues)
        self._lost = Lost(liveness, timing)
        #: With a shared queue a queued job waits for any worker, also for one that is yet to start.
        self._is_shared = bool(services.settings.jobs_database_url.get_secret_value())

    def create(self, new: NewJob, *, shared: bool = False) -> str:
        """Commits a queued job; returns its id.

        An active job in its way that nobody alive goes on with is given up first. Where only its lease says that, it is
        watched for some seconds.

        Args:
            new: what is asked for.
            shared: whether it waits for any worker; else for this one, unless its kind is not for this one.

        Raises:
            BackupInProgress: an active job is in its way.
            HHHError: the job's own check does not hold.
        """
        self._endings.retry()
        self._make_way(new)
        if new.check is not None:
            new.check(self.name)
            self._make_way(new)
        try:
            with self._database.transaction() as session:
                now = self._clock.now(session)
                mine = not shared and self.takes(new.kind)
                # Nobody is handed what this worker does not take: whoever does may have it at once.
                expires = now + self.timing.lease if mine or shared else now
                return creation.insert(session, new, now, worker=self.name if mine else "", lease_expires_at=expires)
        except IntegrityError:  # another process was first
            raise _in_progress(new) from None

    def create_due(self, *, shared: bool = False) -> list[str]:
        """Commits the jobs that should run now though nobody asks (`hhh.services.work.Work.due`); their ids."""
        created = []
        for work in self._works.values():
            for new in work.due():
                with contextlib.suppress(BackupInProgress):  # it is asked for again later
                    created.append(self.create(new, shared=shared))
        return created

    def execute(self, job_id: str, observer: Observer | None = None) -> None:
        """Runs a queued job to its end and records how it ended, for whoever waits; a no-op when somebody else has it.

        While as many run as may, it waits. A failure is recorded, not raised; only an interrupt of the process goes on,
        after it was recorded.
        """
        try:
            while self._attempt(job_id, observer) is Handled.REFUSED:
                time.sleep(_WAITING)
        except (HHHError, SQLAlchemyError) as error:
            log.warning("job_not_claimed", job_id=job_id, error=str(error))

    def attempt(self, job_id: str, observer: Observer | None = None) -> Handled:
        """Runs one attempt at a queued job, if it may be begun now, and records how it ended; for queues.

        A failure is recorded, not raised; only an interrupt of the process goes on, after it was recorded.
        """
        try:
            return self._attempt(job_id, observer)
        except (HHHError, SQLAlchemyError) as error:
            # It stays queued, and `adopt_queued` names it again.
            log.warning("job_not_claimed", job_id=job_id, error=str(error))
            return Handled.REFUSED

    def takes(self, kind: JobKind) -> bool:
        """Whether jobs of that kind are for this worker."""
        return self._taking.takes(kind)

    def drain(self) -> None:
        """Has the next heartbeat tell that this worker takes no more."""
        if self._presence is not None:
            self._presence.drain()

    def end_all(self) -> None:
        """Ends everything that runs here, since the process stops; what can be repeated goes on elsewhere, or later."""
        for run in self._heartbeat.runs():
            run.end(stopped(run.kind, repeatable=self._works[run.kind].repeatable))

    def abandon_all(self) -> None:
        """Records that what runs here has ended though its thread has not; what can't be, the next worker finds."""
        self._liveness.leave_for_others(self.name)
        for run in self._heartbeat.runs():
            self._endings.stop(run.job_id, run.kind, run.attempt)
            for lines in kept_now(run.job_id):
                self._logs.write(run.kind, lines)

    def tidy(self) -> None:
        """Sees to what dead workers left: scratch is removed, what waits is let go of, what ran is handed on.

        A job of theirs is queued again where that may be done and somebody takes it; else it is failed.
        """
        self._endings.retry()
        dead = self._liveness.dead()
        with contextlib.ExitStack() as logged, self._database.transaction() as session:
            self._hand_on(session, dead, logged)
        scratch.sweep(self._settings.scratch_dir)
        for worker in dead:
            self._liveness.bury(worker)

    def sweep(self) -> None:
        """Sees to what ended jobs of its kinds left outside of the database; may take its time."""
        for kind, work in self._works.items():
            if self.takes(kind):
                work.sweep(self.name)

    def adopt_queued(self, *, shared: bool = False, limit: int = 1000) -> list[str]:
        """Takes queued jobs that nobody is believed to have and that may begin now, to be handed over; their ids.

        Args:
            shared: whether they go on waiting for any worker, and only whoever hands them over is believed for a
                while; else they are this worker's, and all that wait for it are named, also those of before.
            limit: how many at the most.
        """
        return self._taking.adopt(shared=shared, limit=limit)

    def release_queued(self) -> None:
        """Lets go of what was queued here and not begun, for another worker to adopt at once."""
        with self._database.transaction() as session:
            rows.renew_queued(session, [self.name], lease_expires_at=self._clock.now(session))

    def ended_among(self, job_ids: Collection[str]) -> set[str]:
        """Those of the given jobs that have ended, or that nobody knows."""
        with self._database.snapshot() as session:
            return {*job_ids} - rows.unfinished(session)

    @property
    def waits_for_room(self) -> bool:
        """Whether a job that ends may make room for one that could not be begun."""
        return self._taking.waits_for_room

    @property
    def is_behind(self) -> bool:
        """Whether an ending is not recorded yet."""
        return self._endings.is_behind

    def _attempt(self, job_id: str, observer: Observer | None) -> Handled:
        claim = self._taking.claim(job_id)
        if isinstance(claim, Handled):
            return claim
        attempt = claim.attempt
        run = LeasedRun(
            attempt.job_id, claim.kind, attempt.number, time_limit=claim.time_limit_seconds, observer=observer
        )
        with acting(claim.asker), self._heartbeat.running(run), self._logged(attempt.job_id, claim.kind):
            log.info("attempt_begun", kind=claim.kind, target=attempt.target, attempt=attempt.number)
            try:
                self._works[claim.kind].perform(attempt, run)
            except BaseException as error:
                handled = self._endings.see_to(claim, error)
                self._alerts.something_failed()
                if not isinstance(error, Exception):
                    raise
                return handled
        return Handled.ENDED

    @contextlib.contextmanager
    def _logged(self, job_id: str, kind: JobKind) -> Iterator[None]:
        """Writes what is logged in the block beside the job, however the block ends."""
        with kept_lines(job_id) as lines:
            try:
                yield
            finally:
                self._logs.write(kind, lines)

    def _make_way(self, new: NewJob) -> None:
        while self._is_in_doubt(new):
            time.sleep(self.timing.watch / 10)

    def _is_in_doubt(self, new: NewJob) -> bool:
        """Whether a job is in the way of which it is not known yet if its worker lives; gives up one that is lost.

        Raises:
            BackupInProgress: somebody goes on with it.
        """
        with self._database.snapshot() as session:
            if rows.active_of(session, new.kind, new.target) is None:
                return False
        with contextlib.ExitStack() as logged, self._database.transaction() as session:
            busy = rows.active_of(session, new.kind, new.target)
            if busy is None:
                return False
            now = self._clock.now(session)
            lost = self._is_lost(busy, now)
            if lost is False or (lost and self._goes_on(session, busy, now)):
                raise _in_progress(new)
            if lost:
                logged.enter_context(self._logged(busy.id, JobKind(busy.kind)))
                self._endings.give_up(session, busy)
            return lost is None

    def _is_lost(self, busy: Job, now: datetime) -> bool | None:
        if busy.state == JobState.QUEUED and not busy.worker:
            return rows.is_overdue(busy, now=now, latest=now + self.timing.lease)
        return self._lost.is_lost(busy, now)

    def _goes_on(self, session: Session, job: Job, now: datetime) -> bool:
        """Whether somebody will take a job that has lost its worker."""
        may = job.state == JobState.QUEUED or self._endings.can_follow(job)
        return may and (self._is_shared or self._lost.has_takers(session, now))

    def _hand_on(self, session: Session, dead: Collection[str], logged: contextlib.ExitStack) -> None:
        now = self._clock.now(session)
        for job in self._lost.among_running(session, now, dead):
            if job.kind not in self._works:  # of a newer version, whose workers see to it
                continue
            logged.enter_context(self._logged(job.id, JobKind(job.kind)))
            if self._goes_on(session, job, now):
                self._endings.take_over(session, job)
            else:
                self._endings.give_up(session, job)
        rows.renew_queued(session, dead, lease_expires_at=now)
        since, until = now - _FORGOTTEN, now + self.timing.lease
        trouble_rows.note_lost(session, dead, since=since, until=until, now=now)
        worker_rows.remove(session, dead)
        worker_rows.remove_silent(session, since=since, until=until)


@contextlib.contextmanager
def working(
    services: Services,
    *,
    slots: int = 0,
    label: str = "",
    timing: Timing | None = None,
    clock: Clock | None = None,
    superseded: Callable[[str], None] | None = None,
) -> Iterator[Worker]:
    """A worker of this process, alive until the block is left.

    Args:
        services: what it works with.
        slots: how many jobs of a queue it takes at once; 0: it runs its own alone, and is not listed.
        label: what the operator calls it; ``host:pid`` unless they said.
        timing: shorter in tests.
        clock: another one in tests.
        superseded: is told once, when the installation is of a newer version by now.

    Raises:
        DatabaseUnavailable: the own database can't be reached.
    """
    timing, clock = timing or Timing(), clock or ServerClock()
    database, liveness = services.database, Liveness(services.settings.data_dir)
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(liveness.alive())
        presence = None
        if slots:
            presence = Presence(name, label=label, slots=slots, queues=services.settings.worker_queues)
            stack.enter_context(_present(database, clock, presence))
        beating = Heartbeat(database, name, presence=presence, timing=timing, clock=clock, superseded=superseded)
        heartbeat = stack.enter_context(beating)
        worker = Worker(services, name, heartbeat, liveness, presence=presence, timing=timing, clock=clock)
        try:
            yield worker
        finally:
            if worker.is_behind:
                liveness.leave_for_others(name)


@contextlib.contextmanager
def _present(database: Database, clock: Clock, presence: Presence) -> Iterator[None]:
    with database.transaction() as session:
        presence.write(session, clock.now(session))
    try:
        yield
    finally:
        try:
            with database.transaction() as session:
                presence.remove(session)
        except (HHHError, SQLAlchemyError) as error:
            log.warning("worker_not_removed", error=str(error))  # its heartbeat grows old


def _in_progress(new: NewJob) -> BackupInProgress:
    if new.kind in rows.MAIN_KINDS:
        hint = "wait until it has ended; `hhh backup list` shows it"
        return BackupInProgress(f"A backup or restore of {new.target!r} is in progress", hint=hint)
    return BackupInProgress(f"A {noun(new.kind)} of {new.target!r} is in progress", hint="wait until it has ended")
