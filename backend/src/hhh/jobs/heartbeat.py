"""Keeps the leases of what this process runs, writes its progress, and hears of cancellation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.errors import Cancelled, HHHError, LeaseLost, TimedOut
from hhh.core.run import Progress
from hhh.jobs.pace import Pace
from hhh.jobs.presence import Presence
from hhh.jobs.timing import Timing
from hhh.models import JobKind
from hhh.repositories import jobs as rows
from hhh.repositories.clock import Clock, ServerClock
from hhh.services import versions
from hhh.services.cancelling import said

log = structlog.get_logger(__name__)

Observer = Callable[[Progress], None]


class LeasedRun:
    """The `Run` of one attempt. Reports are kept in memory; the heartbeat writes the last one.

    Args:
        job_id: of the job.
        kind: of the job.
        attempt: its number.
        time_limit: in seconds; None: none.
        observer: is told each progress at once, on the thread that reports it.
    """

    def __init__(
        self,
        job_id: str,
        kind: JobKind,
        attempt: int,
        *,
        time_limit: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.job_id = job_id
        self.kind = kind
        self.attempt = attempt
        self.progress: Progress | None = None
        #: What of it is in the row.
        self.written: Progress | None = None
        #: Until when the row says that it is ours.
        self.lease: datetime | None = None
        self._time_limit = time_limit
        self._started = time.monotonic()
        self._observer = observer
        self._stages: set[str] = set()
        self._pace = Pace()
        self._ended: HHHError | None = None

    def report(self, progress: Progress) -> None:
        """Keeps it for the next heartbeat."""
        self.progress = progress
        if progress.stage not in self._stages:
            self._stages.add(progress.stage)
            log.info("stage_begun", job_id=self.job_id, stage=progress.stage)
        if self._observer is not None:
            self._observer(progress)

    def raise_if_cancelled(self) -> None:
        """Raises what the heartbeat heard."""
        if self._ended is not None:
            raise self._ended

    def end(self, reason: HHHError) -> None:
        """Makes the next look for cancellation raise; the first reason stands."""
        self._ended = self._ended or reason

    def end_if_overdue(self) -> None:
        """Ends it once it has run longer than it may."""
        if self._time_limit is not None and time.monotonic() - self._started > self._time_limit:
            self.end(_timed_out(self.kind, self._time_limit))

    def heard(self, cancelled: bool | None) -> None:
        """Takes what the row says: whether it is to be cancelled; None where it is no longer ours."""
        if cancelled is None:
            self.end(LeaseLost("The job was given up while it ran; another worker may have it now"))
        elif cancelled:
            self.end(Cancelled(said(self.kind)))

    def described(self, progress: Progress | None) -> dict[str, Any] | None:
        """Its progress for the row, with its pace."""
        return self._pace.described(progress) if progress is not None else None


class Heartbeat:
    """One thread per process, for all its runs. Use as a context manager.

    Args:
        database: the own one.
        worker: the id of this worker.
        presence: its row; None: it has none.
        timing: how often what is done.
        clock: in whose time leases are given.
        superseded: is told once, when the installation is of a newer version by now.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        *,
        presence: Presence | None = None,
        timing: Timing | None = None,
        clock: Clock | None = None,
        superseded: Callable[[str], None] | None = None,
    ) -> None:
        self._superseded = superseded
        self._database = database
        self._worker = worker
        self._presence = presence
        self._timing = timing or Timing()
        self._clock = clock or ServerClock()
        #: By job and attempt: one that lost its lease may hang beside the next.
        self._runs: dict[tuple[str, int], LeasedRun] = {}
        #: Until when we are believed to have what is queued here.
        self._lease: datetime | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._thread.join()

    @contextlib.contextmanager
    def running(self, run: LeasedRun) -> Iterator[LeasedRun]:
        """Keeps the lease of an attempt for as long as the block runs."""
        key = (run.job_id, run.attempt)
        with self._lock:
            self._runs[key] = run
        try:
            yield run
        finally:
            with self._lock:
                del self._runs[key]

    def runs(self) -> list[LeasedRun]:
        """What runs in this process now."""
        with self._lock:
            return list(self._runs.values())

    def _beat_until_stopped(self) -> None:
        while not self._stopping.wait(self._timing.beat):
            try:
                self.beat()
            except (HHHError, SQLAlchemyError) as error:
                # The lease outlasts a short outage of the database; after a longer one, finalising is refused.
                log.warning("heartbeat_failed", error=str(error))

    def beat(self) -> None:
        """One look: reads every time, writes what has changed or is due.

        Raises:
            DatabaseUnavailable: nothing was heard, or nothing written.
        """
        runs = self.runs()
        for run in runs:
            run.end_if_overdue()
        with self._database.snapshot() as session:
            now = self._clock.now(session)
            held = rows.held(session, [run.job_id for run in runs]) if runs else {}
        for run in runs:
            run.heard(held.get((run.job_id, run.attempt)))
        ours = [run for run in runs if (run.job_id, run.attempt) in held]
        due = [run for run in ours if run.progress != run.written or self._is_due(run.lease, now)]
        if due or self._is_worker_due(now):
            self._write(due, now)

    def _write(self, due: Sequence[LeasedRun], now: datetime) -> None:
        expires = now + self._timing.lease
        told = [(run, run.progress) for run in due]
        with self._database.transaction() as session:
            heard = [
                rows.renew(session, run.job_id, run.attempt, lease_expires_at=expires, progress=run.described(progress))
                for run, progress in told
            ]
            # After its jobs: whoever takes those of a worker for lost removes its row last, too.
            newer = None
            if renews := self._is_worker_due(now):
                self._renew_worker(session, now)
                newer = versions.newer_than_this(session)
        if renews:
            self._lease = expires
        if newer is not None and self._superseded is not None:
            tell, self._superseded = self._superseded, None
            tell(newer)
        for (run, progress), cancelled in zip(told, heard, strict=True):
            run.lease, run.written = expires, progress
            run.heard(cancelled)

    def _renew_worker(self, session: Session, now: datetime) -> None:
        if self._presence is not None:
            self._presence.write(session, now)
        rows.renew_queued(session, [self._worker], lease_expires_at=now + self._timing.lease)

    def _is_worker_due(self, now: datetime) -> bool:
        return self._is_due(self._lease, now) or (self._presence is not None and not self._presence.is_told)

    def _is_due(self, lease: datetime | None, now: datetime) -> bool:
        # Neither old nor of a time that the clock has left since.
        timing = self._timing
        return lease is None or not now + timing.lease - timing.renewal < lease <= now + timing.lease


def _timed_out(kind: JobKind, limit: int) -> TimedOut:
    return TimedOut(
        f"The {kind} took longer than its time limit of {limit} s and was ended",
        hint="raise the limit in the policy of its target, or see why it takes so long",
    )
