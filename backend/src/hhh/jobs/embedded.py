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
from hhh.jobs.base import Handled, JobQueue
from hhh.jobs.periodic import Periodically
from hhh.jobs.superseded import stop_this_process
from hhh.jobs.ticker import Ticker
from hhh.jobs.timing import Timing
from hhh.jobs.worker import Worker, working
from hhh.repositories.clock import Clock
from hhh.services.container import Services
from hhh.services.work import NewJob

log = structlog.get_logger(__name__)

#: Seconds for running jobs to clear up, once the time that they had to end is over and they were told to.
ENDING = 4.0
#: Seconds between two looks for schedules that are due.
_TICK = 1.0


class EmbeddedQueue(JobQueue):
    """Runs jobs on threads of this process. Make one with `embedded_queue`."""

    def __init__(self, services: Services, worker: Worker, *, slots: int, grace: float, ending: float) -> None:
        self.worker = worker
        self._grace = grace
        self._ending = ending
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="job")
        #: By job, what waits for a thread or has one.
        self._handed_over: dict[str, Future[None]] = {}
        #: By job: done when it has ended, or is not gone on with for now.
        self._ends: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._is_stopping = False
        self._tidier = Periodically("tidy", worker.timing.tidy, self._look_after)
        # A thread of its own: a server that does not answer must hold up neither the start nor the tidying.
        self._sweeper = Periodically("sweep", worker.timing.tidy, worker.sweep)
        self._ticker = Periodically("tick", _TICK, Ticker(services, services.database, self.hand_over).tick)

    def enqueue(self, new: NewJob) -> str:
        """See `JobQueue.enqueue`."""
        job_id = self.worker.create(new)
        if self.worker.takes(new.kind):
            self._submit(job_id)
        else:
            self._await(job_id)
        return job_id

    def hand_over(self, job_ids: Sequence[str]) -> None:
        """See `JobQueue.hand_over`."""
        for job_id in job_ids:
            self._submit(job_id)

    async def finished(self, job_id: str) -> None:
        """See `JobQueue.finished`."""
        with self._lock:
            end = self._ends.get(job_id)
        if end is not None:
            # `wait` leaves it alone when this request is cancelled: a client that goes away must not take its
            # queued backup with it.
            await asyncio.wait([asyncio.wrap_future(end)])

    def start(self) -> None:
        """Sees to what an earlier process left, then goes on doing so."""
        self._tidy()
        self._tidier.start(at_once=False)
        self._sweeper.start()
        self._ticker.start()

    def stop(self) -> None:
        """Takes no more; what waits is left for the next worker, what runs may end, or else is made to.

        Returns also when a job's thread hangs, e.g. in a store that does not answer: the job is handed back, or failed
        where it can't be repeated.
        """
        with self._lock:  # whoever submits now is done with it before the pool is shut
            self._is_stopping = True
        self.worker.drain()
        self._ticker.stop()
        self._tidier.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = list(self._handed_over.values())
        if wait(running, timeout=self._grace).not_done:
            self.worker.end_all()
            if wait(running, timeout=self._ending).not_done:
                self.worker.abandon_all()
        self._sweeper.stop(timeout=self._ending)
        try:
            self.worker.release_queued()
        except (HHHError, SQLAlchemyError) as error:
            # Their leases run out instead.
            log.warning("queued_not_released", error=str(error))
        self._end([*self._ends])

    def _await(self, job_id: str) -> None:
        """Has whoever waits for the job of another process hear of its end."""
        with self._lock:
            if not self._is_stopping:
                self._ends.setdefault(job_id, Future())

    def _submit(self, job_id: str) -> None:
        with self._lock:
            if job_id in self._handed_over or self._is_stopping:
                return
            self._ends.setdefault(job_id, Future())
            self._handed_over[job_id] = future = self._pool.submit(self._run, job_id)
        future.add_done_callback(lambda _: self._forget(job_id, future))

    def _run(self, job_id: str) -> None:
        handled = Handled.ELSEWHERE
        try:
            handled = self.worker.attempt(job_id)
        finally:
            if handled is not Handled.REFUSED:
                self._end([job_id])
                if self.worker.waits_for_room:
                    self._tidier.soon()  # there is room for another

    def _forget(self, job_id: str, future: Future[None]) -> None:
        with self._lock:
            if self._handed_over.get(job_id) is future:
                del self._handed_over[job_id]

    def _end(self, job_ids: Sequence[str]) -> None:
        with self._lock:
            ends = [end for job_id in job_ids if (end := self._ends.pop(job_id, None)) is not None]
        for end in ends:
            end.set_result(None)

    def _tidy(self) -> None:
        self.worker.tidy()
        self.hand_over(self.worker.adopt_queued())

    def _look_after(self) -> None:
        self._tidy()
        self.hand_over(self.worker.create_due())
        with self._lock:
            waited_for = [*self._ends]
        if waited_for:
            self._end([*self.worker.ended_among(waited_for)])  # cancelled before they were begun, for one


@contextlib.contextmanager
def embedded_queue(
    services: Services,
    *,
    label: str = "",
    grace: float | None = None,
    ending: float = ENDING,
    timing: Timing | None = None,
    clock: Clock | None = None,
) -> Iterator[EmbeddedQueue]:
    """A queue with its worker, until the block is left.

    Args:
        services: whose jobs it runs.
        label: what the operator calls its worker.
        grace: seconds that running jobs have to end then; ``HHH_DRAIN_SECONDS`` unless given.
        ending: see `ENDING`.
        timing: shorter in tests.
        clock: another one in tests.

    Raises:
        DatabaseUnavailable: the own database can't be reached.
    """
    settings = services.settings
    grace = settings.drain_seconds if grace is None else grace
    with working(
        services,
        slots=settings.worker_slots,
        label=label,
        timing=timing,
        clock=clock,
        superseded=stop_this_process,
    ) as worker:
        queue = EmbeddedQueue(services, worker, slots=settings.worker_slots, grace=grace, ending=ending)
        queue.start()
        try:
            yield queue
        finally:
            queue.stop()
