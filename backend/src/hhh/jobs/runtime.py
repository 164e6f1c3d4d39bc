"""The queue of a serving process: started with it, or as soon as an operator has run the pending migrations."""

from __future__ import annotations

import contextlib
import threading

from hhh.core.errors import Interrupted
from hhh.jobs.base import JobQueue
from hhh.jobs.embedded import embedded_queue
from hhh.services.container import Services


class Jobs:
    """Starts the queue at most once. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._running = contextlib.ExitStack()
        self._queue: JobQueue | None = None
        self._stopping = False

    def start(self) -> JobQueue:
        """The queue; started, unless it runs already.

        Raises:
            DatabaseUnavailable: the own database can't be reached.
            Interrupted: the process is stopping.
        """
        if self._stopping:
            raise _stopping()
        with self._lock:
            if self._stopping:  # since we began to wait for the lock
                raise _stopping()
            if self._queue is None:
                self._queue = self._running.enter_context(embedded_queue(self._services))
            return self._queue

    def stop(self) -> None:
        """Lets running jobs end, for good; see `EmbeddedQueue.stop`. Called again, it waits for the same end."""
        self._stopping = True
        with self._lock:
            self._running.close()
            self._queue = None


def _stopping() -> Interrupted:
    return Interrupted("The service is stopping", hint="try again when it is back")
