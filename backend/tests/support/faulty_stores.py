"""Local stores that fail, or hang, at the step that a test asks for."""

import enum
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hhh.core.errors import StorageUnavailable
from hhh.storages.base import ObjectWriter
from hhh.storages.local import LocalStorage
from support.waiting import wait_until


class Step(enum.Enum):
    """What a store is asked to do."""

    OPEN = "open"
    WRITE = "write"
    COMMIT = "commit"
    CREATE = "create"
    CREATED = "created"
    DELETE = "delete"


class FaultyStore(LocalStorage):
    """A folder that has a fault at one step, for keys that end in a certain way; else it is as good as any."""

    def __init__(self, root: Path, step: Step, ending: str = "") -> None:
        super().__init__(root)
        self._step = step
        self._ending = ending
        #: How often its fault has struck.
        self.struck = 0

    def wait_until_struck(self, count: int = 1) -> None:
        """Wait until its fault has struck so often."""
        wait_until(lambda: self.struck >= count, what=f"{count} faults")

    @contextmanager
    def open_writer(self, key: str, *, expected_size: int | None = None, writers: int = 1) -> Iterator[ObjectWriter]:
        self._pass(Step.OPEN, key)
        with super().open_writer(key, expected_size=expected_size, writers=writers) as writer:
            yield _FaultyWriter(self, writer, key)
            self._pass(Step.COMMIT, key)

    def create(self, key: str, content: bytes) -> None:
        self._pass(Step.CREATE, key)
        super().create(key, content)
        self._pass(Step.CREATED, key)

    def delete(self, key: str) -> None:
        self._pass(Step.DELETE, key)
        super().delete(key)

    def strike(self) -> None:
        """What its fault is."""
        raise StorageUnavailable(f"it fails at {self._step.value}")

    def _pass(self, step: Step, key: str) -> None:
        if step is self._step and key.endswith(self._ending):
            self.struck += 1
            self.strike()


class HangingStore(FaultyStore):
    """One that hangs until it is let go, and then goes on as if nothing had been."""

    def __init__(self, root: Path, step: Step, ending: str = "") -> None:
        super().__init__(root, step, ending)
        self._released = threading.Event()

    def let_go(self) -> None:
        """Let go what hangs, and what comes later."""
        self._released.set()

    def strike(self) -> None:
        self._released.wait()


class _FaultyWriter(ObjectWriter):
    def __init__(self, store: FaultyStore, writer: ObjectWriter, key: str) -> None:
        self._store = store
        self._writer = writer
        self._key = key

    def write(self, chunk: bytes) -> None:
        self._store._pass(Step.WRITE, self._key)
        self._writer.write(chunk)
