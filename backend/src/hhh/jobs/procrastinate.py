"""The queue of many machines: Procrastinate delivers ids through its own PostgreSQL database; the rows decide."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait

import structlog
from procrastinate import App
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job as Delivery
from psycopg import OperationalError

from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable
from hhh.jobs import procrastinate_schema as schema
from hhh.jobs.base import Handled, JobQueue
from hhh.jobs.periodic import Periodically
from hhh.jobs.procrastinate_app import TASK, sending_app
from hhh.jobs.procrastinate_names import all_queues, queue_name, queues_to_take
from hhh.jobs.procrastinate_waiting import Waiting
from hhh.jobs.procrastinate_worker import Deliveries
from hhh.jobs.superseded import stop_this_process
from hhh.jobs.ticker import Ticker
from hhh.jobs.timing import Timing
from hhh.jobs.worker import Worker, working
from hhh.repositories import jobs as rows
from hhh.services.container import Services
from hhh.services.work import NewJob

log = structlog.get_logger(__name__)

#: Seconds for running jobs to clear up, once they were told to end.
ENDING = 4.0
#: Jobs that are handed over in one transaction.
_BATCH = 100
#: Seconds between two looks for schedules that are due.
_TICK = 1.0


class ProcrastinateQueue(JobQueue):
    """Hands jobs to whichever worker is free. Make one with `procrastinate_queue`."""

    def __init__(self, database: Database, worker: Worker, sender: App, installation: str, waiting: Waiting) -> None:
        self._database = database
        self._worker = worker
        self._sender = sender
        self._installation = installation
        self._waiting = waiting

    def enqueue(self, new: NewJob) -> str:
        """See `JobQueue.enqueue`. Where the jobs database is away, the job waits until some worker hands it over."""
        job_id = self._worker.create(new, shared=True)
        self._hand_over({job_id: new.kind})
        return job_id

    def hand_over(self, job_ids: Sequence[str]) -> None:
        """See `JobQueue.hand_over`; what nobody knows is left out."""
        if job_ids:
            with self._database.snapshot() as session:
                kinds = rows.kinds_of(session, job_ids)
            self._hand_over({job_id: kinds[job_id] for job_id in job_ids if job_id in kinds})

    def is_reachable(self) -> bool:
        """Whether jobs can be handed over now."""
        try:
            return self._sender.check_connection()
        except (ConnectorException, OperationalError):
            return False

    async def finished(self, job_id: str) -> None:
        """See `JobQueue.finished`."""
        await self._waiting.ended(job_id)

    def _hand_over(self, kinds: Mapping[str, str]) -> None:
        waiting = [*kinds]
        try:
            while waiting:
                self._send([self._delivery(job_id, kinds[job_id]) for job_id in waiting[:_BATCH]])
                del waiting[:_BATCH]
        except (ConnectorException, OperationalError) as error:
            log.warning("jobs_not_handed_over", jobs=len(waiting), error=str(error.__cause__ or error).strip())
            self._let_go(waiting)

    def _send(self, deliveries: list[Delivery]) -> None:
        try:
            self._sender.job_manager.batch_defer_jobs(deliveries)
        except AlreadyEnqueued:  # one of them: then none was taken
            for delivery in deliveries:
                with contextlib.suppress(AlreadyEnqueued):
                    self._sender.job_manager.defer_job(delivery)

    def _let_go(self, job_ids: Sequence[str]) -> None:
        """Has the next `adopt_queued` name them; else it does so when whoever took them is believed no longer."""
        with contextlib.suppress(DatabaseUnavailable), self._database.transaction() as session:
            now = rows.server_time(session)
            for job_id in job_ids:
                rows.let_go(session, job_id, now=now)

    def _delivery(self, job_id: str, kind: str) -> Delivery:
        return Delivery(
            id=None,
            queue=queue_name(self._installation, kind),
            lock=None,
            # One that waits for a worker is enough, however often it is handed over.
            queueing_lock=job_id,
            task_name=TASK,
            task_kwargs={"job_id": job_id},
        )


class _Working:
    """The part of a process that runs jobs: takes them, and sees to what others left."""

    def __init__(
        self, services: Services, worker: Worker, queue: ProcrastinateQueue, waiting: Waiting, timing: Timing
    ) -> None:
        settings, installation = services.settings, services.identity.installation
        self._worker, self._queue, self._waiting = worker, queue, waiting
        self._grace = settings.drain_seconds
        self._deliveries = Deliveries(
            settings.jobs_database_url.get_secret_value(),
            queues_to_take(installation, settings.worker_queues),
            all_queues=all_queues(installation),
            slots=settings.worker_slots,
            execute=self._execute,
        )
        self._tidier = Periodically("tidy", timing.tidy, self._tidy)
        self._rounds = (
            self._tidier,
            Periodically("sweep", timing.tidy, worker.sweep),
            Periodically("tick", _TICK, Ticker(services, services.database, queue.hand_over).tick),
        )

    def start(self) -> None:
        self._deliveries.start()
        for round_ in self._rounds:
            round_.start()

    def stop(self) -> None:
        """Takes no more; what runs may end, or else is made to.

        Returns also when a job's thread hangs, e.g. in a store that does not answer.
        """
        self._worker.drain()
        self._deliveries.stop_taking()
        for round_ in self._rounds:
            round_.stop(timeout=ENDING)
        if wait(self._deliveries.running(), timeout=self._grace).not_done:
            self._worker.end_all()
            if wait(self._deliveries.running(), timeout=ENDING).not_done:
                self._worker.abandon_all()
        self._deliveries.end(patience=ENDING)
        with contextlib.suppress(DatabaseUnavailable):  # what was ended for us goes to another worker at once
            self._hand_over_queued()

    def _execute(self, job_id: str) -> None:
        handled = self._worker.attempt(job_id)
        if handled is Handled.ENDED:
            self._waiting.look()
        if self._worker.waits_for_room and handled in {Handled.ENDED, Handled.QUEUED}:
            self._tidier.soon()  # there is room for one that was refused

    def _tidy(self) -> None:
        self._worker.tidy()
        self._hand_over_queued()
        self._queue.hand_over(self._worker.create_due(shared=True))

    def _hand_over_queued(self) -> None:
        if self._queue.is_reachable():
            self._queue.hand_over(self._worker.adopt_queued(shared=True))


@contextlib.contextmanager
def procrastinate_queue(
    services: Services, *, works: bool = True, label: str = "", timing: Timing | None = None
) -> Iterator[ProcrastinateQueue]:
    """The queue, and unless told otherwise a worker that takes jobs from it, until the block is left.

    Leaving takes as long as ``HHH_DRAIN_SECONDS`` and a few seconds more.

    Args:
        services: what jobs work with.
        works: whether this process runs jobs; else it only hands them over.
        label: what the operator calls the worker.
        timing: shorter in tests.

    Raises:
        DatabaseUnavailable: one of the two databases can't be reached.
        ConfigurationError: the jobs database is not one.
    """
    settings, timing = services.settings, timing or Timing()
    url, installation = settings.jobs_database_url.get_secret_value(), services.identity.installation
    schema.ensure(url)
    slots = settings.worker_slots if works else 0
    with (
        working(services, slots=slots, label=label, timing=timing, superseded=stop_this_process) as worker,
        _opened(sending_app(url)) as sender,
    ):
        waiting = Waiting(services.database)
        queue = ProcrastinateQueue(services.database, worker, sender, installation, waiting)
        try:
            if works:
                with _working(_Working(services, worker, queue, waiting, timing)):
                    yield queue
            else:
                yield queue
        finally:
            # Jobs that run elsewhere are waited for as long as if they ran here.
            waiting.close(patience=0 if works else settings.drain_seconds)


@contextlib.contextmanager
def _working(part: _Working) -> Iterator[None]:
    part.start()
    try:
        yield
    finally:
        part.stop()


@contextlib.contextmanager
def _opened(app: App) -> Iterator[App]:
    try:
        with schema.mapped_errors():
            app.open()
        yield app
    finally:
        app.close()
