"""Keeps the leases of what this process runs, writes its progress, and hears of cancellation."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import Cancelled, HHHError, LeaseLost
from hhh.core.run import Progress
from hhh.models import JobKind
from hhh.repositories import jobs as rows

log = structlog.get_logger(__name__)

#: How long a worker is believed without a sign of life.
LEASE = timedelta(seconds=30)
#: Seconds between two signs of life; also how often progress is written at most.
INTERVAL = 1.0

Observer = Callable[[Progress], None]


class LeasedRun:
    """The `Run` of one attempt. Reports are kept in memory; the heartbeat writes the last one."""

    def __init__(self, job_id: str, kind: JobKind, attempt: int, observer: Observer | None) -> None:
        self.job_id = job_id
        self.kind = kind
        self.attempt = attempt
        self.progress: Progress | None = None
        self._observer = observer
        self._ended: HHHError | None = None

    def report(self, progress: Progress) -> None:
        """Keeps it for the next heartbeat."""
        self.progress = progress
        if self._observer is not None:
            self._observer(progress)

    def raise_if_cancelled(self) -> None:
        """Raises what the heartbeat heard."""
        if self._ended is not None:
            raise self._ended

    def end(self, reason: HHHError) -> None:
        """Makes the next look for cancellation raise; the first reason stands."""
        self._ended = self._ended or reason


class Heartbeat:
    """One thread per process, for all its runs. Use as a context manager."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._runs: dict[str, LeasedRun] = {}
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
    def running(
        self, job_id: str, kind: JobKind, attempt: int, observer: Observer | None = None
    ) -> Iterator[LeasedRun]:
        """Keeps the lease of an attempt for as long as the block runs."""
        run = LeasedRun(job_id, kind, attempt, observer)
        with self._lock:
            self._runs[job_id] = run
        try:
            yield run
        finally:
            with self._lock:
                del self._runs[job_id]

    def runs(self) -> list[LeasedRun]:
        """What runs in this process now."""
        with self._lock:
            return list(self._runs.values())

    def _beat_until_stopped(self) -> None:
        while not self._stopping.wait(INTERVAL):
            try:
                self._beat()
            except (HHHError, SQLAlchemyError) as error:
                # The lease outlasts a short outage of the database; after a longer one, finalising is refused.
                log.warning("heartbeat_failed", error=str(error))

    def _beat(self) -> None:
        expires = utcnow() + LEASE
        with self._database.transaction() as session:
            rows.renew_queued(session, [self._worker], lease_expires_at=expires)
            for run in self.runs():
                progress = dataclasses.asdict(run.progress) if run.progress else None
                cancelled = rows.renew(session, run.job_id, run.attempt, lease_expires_at=expires, progress=progress)
                if cancelled is None:
                    run.end(LeaseLost("The job was given up while it ran; another worker may have it now"))
                elif cancelled:
                    run.end(Cancelled(f"The {run.kind} was cancelled"))
