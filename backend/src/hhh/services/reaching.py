"""Tries many databases at once, and waits for none of them for long."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait

from hhh.core import background
from hhh.schemas.target import TestedTarget

#: A try may begin a process, or a connection.
_AT_ONCE = 8


class Reaching:
    """Tries targets, each in a thread that nothing waits for when the process ends.

    One that hangs is not tried again before it answers: however often somebody asks, it keeps one thread. Thread-safe.

    Args:
        test: opens a target by its name, and tells how that went.
        patience: seconds; who answers later counts as not reached.
    """

    def __init__(self, test: Callable[[str], TestedTarget], *, patience: float) -> None:
        self._test = test
        self._patience = patience
        self._lock = threading.Lock()
        self._hanging: dict[str, Future[TestedTarget]] = {}

    def all(self, names: Iterable[str]) -> Mapping[str, TestedTarget]:
        """By name, how each try went; raises what a try does."""
        waiting, running, found = deque(names), dict[str, tuple[Future[TestedTarget], float]](), {}
        while waiting or running:
            while waiting and len(running) < _AT_ONCE:
                name = waiting.popleft()
                running[name] = self._begun(name), time.monotonic() + self._patience
            latest = min(until for _, until in running.values())
            wait([try_ for try_, _ in running.values()], max(0.0, latest - time.monotonic()), FIRST_COMPLETED)
            for name, (try_, until) in [*running.items()]:
                if try_.done() or time.monotonic() >= until:
                    found[name] = try_.result() if try_.done() else self._late(name)
                    del running[name]
        return found

    def _begun(self, name: str) -> Future[TestedTarget]:
        with self._lock:
            if (hanging := self._hanging.get(name)) is not None:
                return hanging
            self._hanging[name] = future = background.begin(functools.partial(self._try, name), name="reach")
            return future

    def _try(self, name: str) -> TestedTarget:
        try:
            return self._test(name)
        finally:
            with self._lock:
                del self._hanging[name]

    def _late(self, name: str) -> TestedTarget:
        error = f"No answer within {self._patience:g} seconds"
        return TestedTarget(name=name, ok=False, description=None, size=None, error=error)
