"""Steps of a stream that work side by side, each in a thread of its own, joined by short queues."""

from __future__ import annotations

import contextvars
import functools
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

_Item = TypeVar("_Item")

#: Items that wait between two steps.
_DEPTH = 4
#: How often a step that waits looks whether it is still wanted.
_POLL_SECONDS = 0.2
#: A read from a store that hangs can't be interrupted; it is left to end by itself.
_PATIENCE_SECONDS = 5.0


class Pipeline:
    """A context manager; whatever ends its block, its threads end.

    Args:
        poll: called now and then where items are waited for, in any of the threads, to raise what ends the run.
    """

    def __init__(self, poll: Callable[[], object] = lambda: None) -> None:
        self._poll = poll
        self._steps: list[_Step[object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for step in self._steps:
            step.stop()
        for step in self._steps:
            step.join()

    def ahead(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """The same items, made in a thread that is a few of them ahead; what it raised is raised to who takes them."""

        def work(put: Callable[[_Item], None]) -> None:
            for item in items:
                put(item)

        return self.pushed(work)

    def pushed(self, work: Callable[[Callable[[_Item], None]], None]) -> Iterator[_Item]:
        """What ``work``, in a thread, hands to the function it is given; ends when it returns.

        After it has raised, the iterator has ended; those that it took from can be read on.
        """
        step: _Step[_Item] = _Step(work, self._poll)
        self._steps.append(cast("_Step[object]", step))
        step.start()
        return step


class _Stopped(Exception):
    """No error: nobody wants the rest."""


class _Step(Iterator[_Item], Generic[_Item]):
    def __init__(self, work: Callable[[Callable[[_Item], None]], None], poll: Callable[[], object]) -> None:
        self._work = work
        self._poll = poll
        self._items: queue.SimpleQueue[_Item | _End] = queue.SimpleQueue()
        self._room = threading.Semaphore(_DEPTH)
        self._stopped = False
        self._ended = False
        run = functools.partial(contextvars.copy_context().run, self._run)  # what it logs is of the same job
        self._thread = threading.Thread(target=run, name="hhh-pipeline", daemon=True)
        self.start = self._thread.start

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Item:
        if self._ended:
            raise StopIteration
        item = self._wait()
        self._room.release()
        if isinstance(item, _End):
            self._ended = True
            raise item.error or StopIteration
        return item

    def stop(self) -> None:
        self._stopped = True
        self._room.release()

    def join(self) -> None:
        self._thread.join(_PATIENCE_SECONDS)

    def _wait(self) -> _Item | _End:
        while True:
            try:
                return self._items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._stopped:
                    raise _Stopped from None
                self._poll()

    def _put(self, item: _Item) -> None:
        self._room.acquire()
        if self._stopped:
            raise _Stopped
        self._items.put(item)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._work(self._put)
        except _Stopped:
            pass
        except BaseException as raised:  # noqa: BLE001  it is raised to who takes the items
            error = raised
        self._items.put(_End(error))


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
