"""What every working process does again and again, each on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hhh.core.errors import HHHError

log = structlog.get_logger(__name__)


class Periodically:
    """Does something now and then again, until it is stopped. What it raises is logged, and it goes on.

    Args:
        name: of the thread, and in the log.
        seconds: between the end of one round and the next.
        do: one round.
    """

    def __init__(self, name: str, seconds: float, do: Callable[[], None]) -> None:
        self._name = name
        self._seconds = seconds
        self._do = do
        self._stopping = threading.Event()
        self._due = threading.Event()
        # A daemon: a server that does not answer must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, *, at_once: bool = True) -> None:
        """Begins with the first round, at once or after the usual time."""
        if at_once:
            self._due.set()
        self._thread.start()

    def soon(self) -> None:
        """Has the next round begin at once, or as soon as the one under way has ended."""
        self._due.set()

    def stop(self, timeout: float | None = None) -> None:
        """Begins no further round, and waits for the end of the one under way, for so many seconds at most.

        A no-op before the start, and when called again.
        """
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._due.wait(self._seconds)
            if self._stopping.is_set():
                return
            self._due.clear()
            self._round()

    def _round(self) -> None:
        try:
            self._do()
        except (HHHError, SQLAlchemyError, OSError) as error:
            log.warning("upkeep_failed", what=self._name, error=str(error))
        except Exception:
            log.exception("upkeep_failed", what=self._name)
