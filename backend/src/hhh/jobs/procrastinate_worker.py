"""Takes jobs from Procrastinate: its worker in an event loop of its own, the jobs themselves in threads of ours."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status
from psycopg import OperationalError

from hhh.jobs.procrastinate_app import working_app

log = structlog.get_logger(__name__)

#: Seconds between two looks for jobs that nobody was told of.
_POLLING = 2.0
#: Seconds without a sign of life after which what a worker had taken is cleaned away. It is only the delivery: the rows
#: of our own database say who has a job.
_STALLED = 60.0
#: The same for the worker itself. Long: one that wakes up after that would have to begin anew.
_GONE = 3600.0
_CLEANING = 30.0
_AGAIN = 2.0


class Deliveries:
    """Takes jobs while there are free slots, from `start` to `stop_taking`."""

    def __init__(
        self, url: str, queues: Sequence[str], *, all_queues: Sequence[str], slots: int, execute: Callable[[str], None]
    ) -> None:
        """Nothing is begun yet.

        Args:
            url: of the jobs database.
            queues: whose jobs to take.
            all_queues: those of the installation, which are cleaned of what dead workers had taken.
            slots: how many run at once.
            execute: runs one to its end; raises nothing. Called in a thread.
        """
        self._queues, self._slots, self._execute = queues, slots, execute
        self._all_queues = all_queues
        self._closing = threading.Event()
        self._app = working_app(url, self._closing, self._run)
        # Not asyncio's own pool: that has few threads on a small machine, and others wait for theirs in it.
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="job")
        self._running: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_unforeseen)
        self._taking: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._take_until_closed, name="deliveries", daemon=True)

    def start(self) -> None:
        """Begins to take jobs."""
        self._thread.start()

    def stop_taking(self) -> None:
        """Takes no more; what runs goes on."""
        with self._lock:  # whoever begins one now is done with it before the pool is shut
            self._closing.set()
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._cancel)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def running(self) -> Sequence[Future[None]]:
        """Each is done when its job has ended, or was abandoned."""
        with self._lock:
            return list(self._running)

    def end(self, *, patience: float) -> None:
        """Ends what takes jobs, without those of its jobs that have not ended by now."""
        for ended in self.running():
            self._settle(ended)
        self._thread.join(timeout=patience)

    def _cancel(self) -> None:
        if self._taking is not None:
            self._taking.cancel()

    def _take_until_closed(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.closing(self._loop), contextlib.suppress(asyncio.CancelledError):
            self._taking = self._loop.create_task(self._take_again_and_again())
            self._loop.run_until_complete(self._taking)

    async def _take_again_and_again(self) -> None:
        while not self._closing.is_set():
            try:
                await self._take()
            except (ConnectorException, OperationalError) as error:
                if self._closing.is_set():
                    return
                log.warning("deliveries_interrupted", error=str(error.__cause__ or error).strip())
                await asyncio.sleep(_AGAIN)

    async def _take(self) -> None:
        try:
            await self._app.open_async()
            cleaning = asyncio.create_task(self._clean_up())
            try:
                await self._app.run_worker_async(
                    queues=self._queues,
                    concurrency=self._slots,
                    listen_notify=True,
                    fetch_job_polling_interval=_POLLING,
                    delete_jobs="always",
                    install_signal_handlers=False,
                    stalled_worker_timeout=_GONE,
                )
            finally:
                cleaning.cancel()
        finally:
            await self._app.close_async()

    async def _run(self, job_id: str) -> None:
        ended = self._begin(job_id)
        if ended is not None:
            await asyncio.wait([asyncio.wrap_future(ended)])

    def _begin(self, job_id: str) -> Future[None] | None:
        ended: Future[None] = Future()
        with self._lock:
            if self._closing.is_set():
                return None  # its row is queued still: whoever looks after those hands it over again
            self._running.add(ended)
            future = self._pool.submit(self._execute, job_id)
        future.add_done_callback(lambda _: self._settle(ended))
        return ended

    def _settle(self, ended: Future[None]) -> None:
        with self._lock:
            known = ended in self._running
            self._running.discard(ended)
        if known:
            ended.set_result(None)

    async def _clean_up(self) -> None:
        while True:
            try:
                await self._remove_stalled()
            except ConnectorException as error:  # another worker was first, for one
                log.warning("stalled_deliveries_not_removed", error=str(error.__cause__).strip())
            await asyncio.sleep(_CLEANING)

    async def _remove_stalled(self) -> None:
        manager = self._app.job_manager
        await manager.prune_stalled_workers(_GONE)
        for queue in self._all_queues:
            for job in await manager.get_stalled_jobs(queue=queue, seconds_since_heartbeat=_STALLED):
                if job.id is not None:
                    await manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)


def _log_unforeseen(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # As a rule: what we had taken was cleaned away by others, while we were frozen or away. Its job has its row.
    error = context.get("exception")
    cause = error.__cause__ if isinstance(error, ConnectorException) else error
    log.warning("delivery_not_acknowledged", said=context.get("message"), error=str(cause).strip())
