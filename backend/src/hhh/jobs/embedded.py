"""The queue of one process: a thread pool over the same rows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core.errors import HHHError
from hhh.jobs.base import JobQueue
from hhh.jobs.worker import Worker, working
from hhh.services.container import Services
from hhh.services.work import NewJob

log = structlog.get_logger(__name__)

#: How many jobs run at once in one process.
SLOTS = 4
#: Seconds between two looks for what dead workers left.
TIDY_INTERVAL = 5.0
#: Seconds that running jobs are given to end when the process is asked to stop.
GRACE = 20.0
#: Seconds more for them to clear up, once they were told to end.
ENDING = 4.0


class EmbeddedQueue(JobQueue):
    """Runs jobs on threads of this process. Make one with `embedded_queue`."""

    def __init__(self, worker: Worker, *, grace: float, ending: float) -> None:
        self._worker = worker
        self._grace = grace
        self._ending = ending
        self._pool = ThreadPoolExecutor(SLOTS, thread_name_prefix="job")
        #: By job: done when the job has ended, or was abandoned.
        self._pending: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._tidier = threading.Thread(target=self._tidy_until_stopped, name="tidier", daemon=True)
        # A thread of its own: a server that does not answer must hold up neither the start nor the tidying.
        self._sweeper = threading.Thread(target=self._sweep_until_stopped, name="sweeper", daemon=True)

    def enqueue(self, new: NewJob) -> str:
        """See `JobQueue.enqueue`."""
        job_id = self._worker.create(new)
        self._submit(job_id)
        return job_id

    def hand_over(self, job_ids: Sequence[str]) -> None:
        """See `JobQueue.hand_over`."""
        for job_id in job_ids:
            self._submit(job_id)

    async def finished(self, job_id: str) -> None:
        """See `JobQueue.finished`."""
        with self._lock:
            ended = self._pending.get(job_id)
        if ended is not None:
            # `wait` leaves it alone when this request is cancelled: a client that goes away must not take its
            # queued backup with it.
            await asyncio.wait([asyncio.wrap_future(ended)])

    def start(self) -> None:
        """Sees to what an earlier process left, then goes on doing so."""
        self._tidy()
        self._tidier.start()
        self._sweeper.start()

    def stop(self) -> None:
        """Takes no more; what waits is left for the next worker, what runs may end, or else is made to.

        Returns also when a job's thread hangs, e.g. in a store that does not answer: the job is recorded as failed.
        """
        with self._lock:  # whoever submits now is done with it before the pool is shut
            self._stopping.set()
        self._tidier.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = list(self._pending.values())
        if wait(running, timeout=self._grace).not_done:
            self._worker.end_all()
            if wait(running, timeout=self._ending).not_done:
                self._worker.abandon_all()
                self._end_all()
        self._sweeper.join(timeout=self._ending)
        try:
            self._worker.release_queued()
        except (HHHError, SQLAlchemyError) as error:
            # Their leases run out instead.
            log.warning("queued_not_released", error=str(error))

    def _submit(self, job_id: str) -> None:
        with self._lock:
            if job_id in self._pending or self._stopping.is_set():
                return
            self._pending[job_id] = Future()
            future = self._pool.submit(self._worker.execute, job_id)
        future.add_done_callback(lambda _: self._end(job_id))

    def _end(self, job_id: str) -> None:
        with self._lock:
            ended = self._pending.pop(job_id, None)
        if ended is not None:
            ended.set_result(None)

    def _end_all(self) -> None:
        with self._lock:
            abandoned = list(self._pending)
        for job_id in abandoned:
            self._end(job_id)

    def _tidy_until_stopped(self) -> None:
        while not self._stopping.wait(TIDY_INTERVAL):
            try:
                self._tidy()
            except (HHHError, SQLAlchemyError, OSError) as error:
                log.warning("tidy_failed", error=str(error))

    def _sweep_until_stopped(self) -> None:
        while True:
            try:
                self._worker.sweep()
            except (HHHError, SQLAlchemyError, OSError) as error:
                log.warning("sweep_failed", error=str(error))
            if self._stopping.wait(TIDY_INTERVAL):
                return

    def _tidy(self) -> None:
        self._worker.tidy()
        for job_id in self._worker.adopt_queued():
            self._submit(job_id)


@contextlib.contextmanager
def embedded_queue(services: Services, *, grace: float = GRACE, ending: float = ENDING) -> Iterator[EmbeddedQueue]:
    """A queue with its worker, until the block is left; see `GRACE` and `ENDING` for how long that may take."""
    with working(services) as worker:
        queue = EmbeddedQueue(worker, grace=grace, ending=ending)
        queue.start()
        try:
            yield queue
        finally:
            queue.stop()
