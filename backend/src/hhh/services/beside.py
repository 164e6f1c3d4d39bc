"""One thing done in a thread, beside the rest of a run."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hhh.core.run import Progress, Run


class Beside:
    """A context manager; whatever ends its block, the thread has ended when it is left.

    Args:
        work: what to do; it asks the run that it is given for cancellation now and then.
        run: whose it is.
    """

    def __init__(self, work: Callable[[Run], object], run: Run) -> None:
        self._work = work
        self._run = _Stoppable(run)
        self._error: BaseException | None = None
        do = functools.partial(contextvars.copy_context().run, self._do)  # what it logs is of the same job
        self._thread = threading.Thread(target=do, name="hhh-beside", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run.stop()
        self._thread.join()

    def wait(self) -> None:
        """Until it is done; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _do(self) -> None:
        try:
            self._work(self._run)
        except BaseException as error:  # noqa: BLE001  it is raised to who waits
            self._error = error


class _Stopped(Exception):
    """No error: nobody waits for it."""


class _Stoppable:
    """A run that can be ended by itself."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def report(self, progress: Progress) -> None:
        self._run.report(progress)

    def raise_if_cancelled(self) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self._run.raise_if_cancelled()
