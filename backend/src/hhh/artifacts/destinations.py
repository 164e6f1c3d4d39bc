"""Where one backup goes. With several stores each works in threads of its own, and one that fails is gone on without.

A single store works in the caller's own thread: nothing stands between the stream and it.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from hhh.core.errors import HHHError, ObjectExists, StorageError, StorageUnavailable
from hhh.core.run import Run
from hhh.storages.base import Storage

#: How often whoever waits for a store looks whether that is still wanted.
POLL_SECONDS = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Destination:
    """A store that a backup goes to."""

    #: What the operator calls it.
    name: str
    storage: Storage


class Task:
    """What one store does in a thread of its own: if it hangs, it hangs alone.

    Args:
        work: what to do.
        after: what the same store has to end first.
    """

    def __init__(self, work: Callable[[], object], after: Task | None = None) -> None:
        self._work = work
        self._after = after
        self._ended = threading.Event()
        #: What it raised; to be asked for once it has ended.
        self.error: BaseException | None = None
        # What it logs is of the same job.
        run = functools.partial(contextvars.copy_context().run, self._run)
        threading.Thread(target=run, name="hhh-store", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for its end, for so long at the most; whether it has ended."""
        return self._ended.wait(seconds)

    def _run(self) -> None:
        try:
            if self._after is not None:
                self._after.wait()
            self._work()
        except BaseException as error:  # noqa: BLE001  whoever waits for it is told
            self.error = error
        finally:
            self._after = None
            self._ended.set()


class Destinations:
    """The stores of one backup, fewer whenever one is dropped.

    Args:
        wanted: all that could be opened.
        unopened: those that could not, and why.
        minimum: how many must get the backup; None: all.
        stall_seconds: for so long a store that is not needed may be waited for.
        run: may be cancelled while a store is waited for.
    """

    def __init__(
        self,
        wanted: Sequence[Destination],
        unopened: Mapping[str, HHHError],
        *,
        minimum: int | None,
        stall_seconds: float,
        run: Run,
    ) -> None:
        self.all = tuple(wanted)
        #: Those that are not dropped.
        self.left = list(wanted)
        #: By name, why each was.
        self.dropped: dict[str, HHHError] = {}
        self.stall_seconds = stall_seconds
        self._minimum = len(wanted) + len(unopened) if minimum is None else max(1, minimum)
        self._run = run
        self._tasks: dict[str, Task] = {}
        for name, error in unopened.items():
            self._refuse_too_few(error)
            self._note(name, error)

    @property
    def alone(self) -> bool:
        """Whether there is one store and never was another."""
        return len(self.all) == 1

    @property
    def may_drop(self) -> bool:
        """Whether enough are left without one more."""
        return len(self.left) > self._minimum

    def start(self, destination: Destination, work: Callable[[], object]) -> Task:
        """Lets a store do something, once it has ended what it does already."""
        task = self._tasks[destination.name] = Task(work, self._tasks.get(destination.name))
        return task

    def wait(self, destination: Destination, task: Task) -> None:
        """Waits for the end of a task; drops its store if it failed, or takes too long and is not needed.

        Raises:
            HHHError: the store failed, and is needed; or another error than that of a store.
        """
        waited = 0.0
        while not task.wait(POLL_SECONDS):
            self._run.raise_if_cancelled()
            waited += POLL_SECONDS
            if self.is_stalled(waited):
                self.drop(destination, stalled(destination, self.stall_seconds))
                return
        if task.error is not None:
            self.drop(destination, task.error)

    def is_stalled(self, waited: float) -> bool:
        """Whether a store that was waited for so long is to be dropped: never one that is needed."""
        return waited >= self.stall_seconds and self.may_drop

    def drop(self, destination: Destination, error: BaseException) -> None:
        """Goes on without a store.

        Raises:
            BaseException: that error, where too few would be left, or where it is not the store that failed.
        """
        if not isinstance(error, StorageError) or isinstance(error, ObjectExists):
            raise error
        self._refuse_too_few(error, leaving=len(self.left) - 1)
        self.left.remove(destination)
        self._note(destination.name, error)

    def wait_for_all(self, seconds: float) -> Sequence[Destination]:
        """Waits for whatever stores still do, for so long in all; those that are not done by then."""
        waited = 0.0
        while (busy := self._busy()) and waited < seconds:
            self._tasks[busy[0].name].wait(POLL_SECONDS)
            waited += POLL_SECONDS
        return busy

    def _busy(self) -> list[Destination]:
        return [each for each in self.all if each.name in self._tasks and not self._tasks[each.name].ended]

    def _refuse_too_few(self, error: HHHError, leaving: int | None = None) -> None:
        if (len(self.left) if leaving is None else leaving) < self._minimum:
            raise error

    def _note(self, name: str, error: HHHError) -> None:
        self.dropped[name] = error
        log.warning("store_dropped", store=name, error=str(error), left=[each.name for each in self.left])


def stalled(destination: Destination, seconds: float) -> StorageUnavailable:
    """Why a store that hangs, or falls behind, is gone on without."""
    return StorageUnavailable(
        f"{destination.storage.address}: the store kept the backup waiting for {seconds:g} seconds",
        hint="it is repaired by itself; HHH_STORE_STALL_SECONDS says how long to wait",
    )
