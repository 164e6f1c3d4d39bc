"""The queue of a serving process: started with it, or as soon as an operator has run the pending migrations."""

from __future__ import annotations

import contextlib
import threading

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

    def start(self) -> JobQueue:
        """The queue; started, unless it runs already.

        Raises:
            DatabaseUnavailable: the own database can't be reached.
        """
        with self._lock:
            if self._queue is None:
                self._queue = self._running.enter_context(embedded_queue(self._services))
            return self._queue

    def stop(self) -> None:
        """Lets running jobs end; see `EmbeddedQueue.stop`."""
        with self._lock:
            self._running.close()
            self._queue = None
