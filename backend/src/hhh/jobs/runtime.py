"""The queue of a process: started with it, or as soon as an operator has run the pending migrations."""

from __future__ import annotations

import contextlib
import threading
from contextlib import AbstractContextManager

from hhh.core.errors import Interrupted
from hhh.jobs.base import JobQueue
from hhh.jobs.embedded import embedded_queue
from hhh.jobs.watch import watching
from hhh.services import jobs_database
from hhh.services.container import Services


class Jobs:
    """Starts the queue at most once. Thread-safe.

    Args:
        services: what jobs work with.
        works: whether jobs run in this process, too; else, with a jobs database, it only hands them over.
        label: what the operator calls this worker.
    """

    def __init__(self, services: Services, *, works: bool = True, label: str = "") -> None:
        self._services = services
        self._works = works
        self._label = label
        self._lock = threading.Lock()
        self._running = contextlib.ExitStack()
        self._queue: JobQueue | None = None
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the process was asked to stop: whoever streams news to a client ends it now."""
        return self._stopping.is_set()

    def start(self) -> JobQueue:
        """The queue; started, unless it runs already.

        Raises:
            DatabaseUnavailable: the own database, or the jobs database, can't be reached.
            ConfigurationError: the machines of one installation are set up differently.
            Interrupted: the process is stopping.
        """
        if self.stopping:
            raise _stopping()
        with self._lock:
            if self.stopping:  # since we began to wait for the lock
                raise _stopping()
            if self._queue is None:
                check(self._services)
                self._queue = self._running.enter_context(self._chosen())
                self._running.enter_context(watching(self._services, works=self._works))
            return self._queue

    def stop(self) -> None:
        """Lets running jobs end, for good; see `EmbeddedQueue.stop`. Called again, it waits for the same end."""
        self._stopping.set()
        with self._lock:
            self._running.close()
            self._queue = None

    def _chosen(self) -> AbstractContextManager[JobQueue]:
        if self._services.settings.jobs_database_url.get_secret_value():
            # A service on one machine starts without it.
            from hhh.jobs.procrastinate import procrastinate_queue

            return procrastinate_queue(self._services, works=self._works, label=self._label)
        return embedded_queue(self._services)


def check(services: Services) -> None:
    """Sees that this machine fits the others of its installation; one that is alone tells what they have to fit.

    Raises:
        ConfigurationError: it has other keys, or its jobs database is of another version, or one that is backed up.
        DatabaseUnavailable: the own database, or the jobs database, can't be reached.
    """
    jobs = services.settings.jobs_database_url.get_secret_value()
    if not jobs:
        services.identity.agree()
        return
    services.identity.refuse_other_keys()
    listed = services.targets.list()
    jobs_database.refuse_wrong(services.settings, {target.name: target.url for target in listed if target.url})
    from hhh.jobs import procrastinate_schema

    procrastinate_schema.ensure(jobs)


def _stopping() -> Interrupted:
    return Interrupted("The service is stopping", hint="try again when it is back")
