"""One object on its way into several stores at once: each takes it from a short queue, in a thread of its own.

All are given the same immutable pieces, so that they share their memory. None can hold up the others for longer than
`Destinations.stall_seconds` while its queue holds `QUEUED` pieces, unless it is needed.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from types import TracebackType
from typing import Self

from hhh.artifacts.destinations import POLL_SECONDS, Destination, Destinations, stalled
from hhh.core.run import Run
from hhh.storages.base import ObjectWriter

#: Pieces that may wait for one store; a piece has up to 1 MiB.
QUEUED = 8
#: Seconds that stores have to drop what they have of an object, once it is not wanted any more.
_ENDING_SECONDS = 5.0


class FanOut(ObjectWriter):
    """Writes an object to all stores that are left. A context manager, as what `Storage.open_writer` gives.

    Left without an error, the object is in every store that is left by then.
    """

    def __init__(self, destinations: Destinations, key: str, expected_size: int | None, run: Run) -> None:
        self._destinations = destinations
        self._run = run
        writers = len(destinations.left)
        self._lanes = [_Lane(destinations, each, key, expected_size, writers) for each in destinations.left]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            for lane in self._lanes:
                lane.give_up()
            if self._lanes:
                self._destinations.wait_for_all(_ENDING_SECONDS)

    def write(self, chunk: bytes) -> None:
        """Hands it to every store that is left; a store that fails is dropped.

        Raises:
            StorageError: one failed, and is needed.
            Cancelled, LeaseLost: the run is over; asked for while a store is waited for.
        """
        for lane in list(self._lanes):
            self._hand(lane, chunk)

    def _finish(self) -> None:
        for lane in list(self._lanes):
            self._hand(lane, None)
        while self._lanes:
            lane = self._lanes[0]
            self._destinations.wait(lane.destination, lane.task)
            if not lane.task.ended:  # it was dropped
                lane.give_up()
            self._lanes.remove(lane)

    def _hand(self, lane: _Lane, piece: bytes | None) -> None:
        waited = 0.0
        while not lane.task.ended:
            if lane.offer(piece):
                lane.waits.append(waited)
                return
            self._run.raise_if_cancelled()
            waited += POLL_SECONDS
            if self._destinations.is_stalled(sum(lane.waits) + waited):
                self._destinations.drop(lane.destination, stalled(lane.destination, self._destinations.stall_seconds))
                lane.give_up()
                self._lanes.remove(lane)
                return
        if lane.task.error is not None:
            self._destinations.drop(lane.destination, lane.task.error)
            self._lanes.remove(lane)


class _Lane:
    """The way into one store."""

    def __init__(
        self, destinations: Destinations, destination: Destination, key: str, expected_size: int | None, writers: int
    ) -> None:
        self.destination = destination
        #: Seconds that were waited until it took each of the last pieces: those of one whole queue.
        self.waits: deque[float] = deque(maxlen=QUEUED)
        self._key = key
        self._expected_size = expected_size
        self._writers = writers
        #: None is the end.
        self._pieces: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self._unwanted = threading.Event()
        self.task = destinations.start(destination, self._store)

    def offer(self, piece: bytes | None) -> bool:
        """Whether there was room for it, after waiting for a moment."""
        try:
            self._pieces.put(piece, timeout=POLL_SECONDS)
        except queue.Full:
            return False
        return True

    def give_up(self) -> None:
        """Lets the store drop what it has, as soon as it looks."""
        self._unwanted.set()
        with contextlib.suppress(queue.Full):  # then it will look
            self._pieces.put_nowait(None)

    def _store(self) -> None:
        if self._unwanted.is_set():
            return
        with self.destination.storage.open_writer(
            self._key, expected_size=self._expected_size, writers=self._writers
        ) as writer:
            while (piece := self._taken()) is not None:
                writer.write(piece)

    def _taken(self) -> bytes | None:
        piece = self._pieces.get()
        if self._unwanted.is_set():
            raise _Unwanted
        return piece


class _Unwanted(Exception):
    """The object is not wanted any more."""
