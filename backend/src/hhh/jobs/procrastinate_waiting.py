"""Whoever waits for jobs, wherever these run: one thread asks for all of them, and only while somebody waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core.database import Database
from hhh.core.errors import HHHError
from hhh.repositories import jobs as rows

log = structlog.get_logger(__name__)

#: Seconds between two looks.
INTERVAL = 0.05


class Waiting:
    """Knows who waits for which job. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: dict[Future[None], str] = {}
        #: Held to look at or change who waits; told when somebody comes, when a job has ended here, and at the end.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended_here = False
        self._closed = False

    async def ended(self, job_id: str) -> None:
        """Waits until the job has ended, or `close` is called."""
        waiter: Future[None] = Future()
        with self._changed:
            if self._closed:
                return
            self._waiters[waiter] = job_id
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_while_awaited, name="waiting", daemon=True)
                self._thread.start()
        try:
            # `wait` leaves it alone when this request is cancelled; the thread may be about to tell it.
            await asyncio.wait([asyncio.wrap_future(waiter)])
        finally:
            with self._changed:
                self._waiters.pop(waiter, None)

    def look(self) -> None:
        """Looks at once: a job has ended in this process."""
        with self._changed:
            self._ended_here = True
            self._changed.notify_all()

    def close(self, *, patience: float) -> None:
        """Lets everybody go, after so many seconds at the latest if what they wait for has not ended before."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiters, timeout=patience)
            self._closed = True
            for waiter in self._waiters:
                waiter.set_result(None)
            self._waiters.clear()
            self._changed.notify_all()

    def _look_while_awaited(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended_here or self._closed, timeout=INTERVAL)
                self._ended_here = False
                awaited = set(self._waiters.values())
                if not awaited:
                    self._thread = None
                    return
            # A database that is away for a while has forgotten nothing.
            with contextlib.suppress(HHHError, SQLAlchemyError):
                self._tell(awaited - self._active(awaited))

    def _active(self, awaited: set[str]) -> set[str]:
        with self._database.snapshot() as session:
            return {job.id for job in rows.active_among(session, awaited)}

    def _tell(self, ended: set[str]) -> None:
        with self._changed:
            for waiter in [waiter for waiter, job_id in self._waiters.items() if job_id in ended]:
                del self._waiters[waiter]
                waiter.set_result(None)
            self._changed.notify_all()
