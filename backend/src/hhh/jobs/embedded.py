"""The queue of one process: a thread pool over the same rows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from hhh.core.errors import HHHError, Interrupted
from hhh.jobs.base import JobQueue
from hhh.jobs.worker import Worker, working
from hhh.services.container import Services

log = structlog.get_logger(__name__)

#: How many jobs run at once in one process.
SLOTS = 4
#: Seconds between two looks for what dead workers left.
TIDY_INTERVAL = 5.0
#: Seconds that running jobs are given to end when the process is asked to stop.
GRACE = 20.0


class EmbeddedQueue(JobQueue):
    """Runs jobs on threads of this process. Make one with `embedded_queue`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._pool = ThreadPoolExecutor(SLOTS, thread_name_prefix="job")
        self._pending: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._tidier = threading.Thread(target=self._tidy_until_stopped, name="tidier", daemon=True)

    def trigger_backup(self, target: str) -> str:
        """See `JobQueue.trigger_backup`."""
        backup_id = self._worker.create_backup(target)
        self._submit(backup_id)
        return backup_id

    async def finished(self, job_id: str) -> None:
        """See `JobQueue.finished`."""
        with self._lock:
            future = self._pending.get(job_id)
        if future is not None:
            # `wait` leaves the future alone when this request is cancelled: a client that goes away must not take its
            # queued backup with it.
            await asyncio.wait([asyncio.wrap_future(future)])

    def start(self) -> None:
        """Sees to what an earlier process left, then goes on doing so."""
        self._tidy()
        self._tidier.start()

    def stop(self) -> None:
        """Takes no more; lets running jobs end, for `GRACE` seconds; what waits is left for the next worker."""
        self._stopping.set()
        self._tidier.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = list(self._pending.values())
        if wait(running, timeout=GRACE).not_done:
            self._worker.end_all(Interrupted("The service was stopped while the backup ran", hint="start it again"))
        self._pool.shutdown(wait=True)
        self._worker.release_queued()

    def _submit(self, job_id: str) -> None:
        with self._lock:
            future = self._pool.submit(self._worker.execute, job_id)
            self._pending[job_id] = future
        future.add_done_callback(lambda _: self._forget(job_id))

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._pending.pop(job_id, None)

    def _tidy_until_stopped(self) -> None:
        while not self._stopping.wait(TIDY_INTERVAL):
            try:
                self._tidy()
            except HHHError as error:
                log.warning("tidy_failed", error=str(error))

    def _tidy(self) -> None:
        for job_id in self._worker.tidy():
            self._submit(job_id)


@contextlib.contextmanager
def embedded_queue(services: Services) -> Iterator[EmbeddedQueue]:
    """A queue with its worker, until the block is left."""
    with working(services) as worker:
        queue = EmbeddedQueue(worker)
        queue.start()
        try:
            yield queue
        finally:
            queue.stop()
