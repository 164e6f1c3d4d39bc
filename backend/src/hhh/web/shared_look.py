"""One look for all who ask at the same time: however many they are, one thread is busy with it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from hhh.core import background

_Found = TypeVar("_Found")


class SharedLook(Generic[_Found]):
    """Looks in a thread of its own, which nothing waits for when the process ends. Thread-safe.

    Args:
        look: what is to be done; it may take its time.
        fresh: for so many seconds what was found is good enough for whoever asks.
    """

    def __init__(self, look: Callable[[], _Found], *, fresh: float = 0.0) -> None:
        self._look = look
        self._fresh = fresh
        self._lock = threading.Lock()
        self._latest: Future[_Found] | None = None
        self._ended = 0.0

    async def found(self) -> _Found:
        """What is found; whoever waits holds no thread. Raises what the look does."""
        return await self._awaited(None)

    async def found_within(self, seconds: float) -> _Found:
        """As `found`.

        Raises:
            TimeoutError: it takes longer. Whoever asks next still gets its result.
        """
        return await self._awaited(seconds)

    async def _awaited(self, seconds: float | None) -> _Found:
        future = asyncio.wrap_future(self._begun())
        # `wait` leaves the look alone when this request is cancelled: others wait for it too.
        done, _ = await asyncio.wait([future], timeout=seconds)
        if not done:
            future.add_done_callback(_seen)
            raise TimeoutError
        return future.result()

    def _begun(self) -> Future[_Found]:
        with self._lock:
            latest = self._latest
            if latest is not None and (not latest.done() or time.monotonic() - self._ended < self._fresh):
                return latest
            self._latest = future = background.begin(self._run, name="look")
            return future

    def _run(self) -> _Found:
        try:
            return self._look()
        finally:
            self._ended = time.monotonic()


def _seen(future: asyncio.Future[_Found]) -> None:
    """Its error is told to whoever asks next."""
    if not future.cancelled():
        future.exception()
