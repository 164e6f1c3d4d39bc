"""What a run costs: wall time, processor time and peak memory of a whole process tree, from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

Result = TypeVar("Result")

_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds between two looks at the memory of a tree.
_INTERVAL = 0.05


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run took."""

    #: Seconds.
    wall: float
    #: Seconds of user and system time, of all processes of the tree.
    cpu: float
    #: Seconds of user and system time in the database server meanwhile; None where there is none.
    server_cpu: float | None
    #: Bytes of resident memory at the most: of the largest process, and of all at one moment.
    peak_process: int
    peak_tree: int
    #: Bytes that lie in the store, or in the file, afterwards.
    stored: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of resident memory at the most."""

    process: int
    tree: int


def tree_of(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    nothing: list[Path] = []
    for task in _quietly(lambda: list(Path(f"/proc/{pid}/task").iterdir()), nothing):
        children = _quietly((task / "children").read_text, "")
        for child in children.split():
            yield from tree_of(int(child))


def cpu_of_tree(pid: int) -> float:
    """Seconds of a process, of all below it, and of those that have ended below it."""
    total = 0
    for each in tree_of(pid):
        # Behind the name, which may hold anything: utime, stime, and the same of children that were waited for.
        fields = _quietly(Path(f"/proc/{each}/stat").read_text, "").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


class MemoryWatch:
    """Looks at the memory of a tree again and again, until the block is left; then `peak` is known."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._process = 0
        self._tree = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            # A process that lives on begins anew with its high-water mark; proc(5).
            Path(f"/proc/{self._pid}/clear_refs").write_text("5")
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def peak(self) -> Memory:
        """What was found."""
        return Memory(self._process, max(self._tree, self._process))

    def _look(self) -> None:
        self._look_once()
        while not self._done.wait(_INTERVAL):
            self._look_once()
        self._look_once()

    def _look_once(self) -> None:
        # VmHWM, and not ru_maxrss: that one begins with the size of whoever forked.
        own = _command(self._pid)
        below = (each for each in tree_of(self._pid) if each != self._pid)
        # A child that has not begun its own program yet still shows the memory of its parent.
        found = [_resident(each) for each in (self._pid, *below) if each == self._pid or _command(each) != own]
        self._process = max([self._process, *(high for _, high in found)])
        self._tree = max(self._tree, sum(now for now, _ in found))


def folder_size(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def now() -> float:
    """Seconds of a clock that only goes forward."""
    return time.perf_counter()


def _command(pid: int) -> str:
    return _quietly(Path(f"/proc/{pid}/cmdline").read_text, "")


def _resident(pid: int) -> tuple[int, int]:
    status = _quietly(Path(f"/proc/{pid}/status").read_text, "")
    values = {name: value for name, _, value in (line.partition(":") for line in status.splitlines())}
    return _kilobytes(values.get("VmRSS", "")), _kilobytes(values.get("VmHWM", ""))


def _kilobytes(value: str) -> int:
    return int(value.split(maxsplit=1)[0]) * 1024 if value else 0


def _quietly(read: Callable[[], Result], otherwise: Result) -> Result:
    # Processes end while they are looked at.
    try:
        return read()
    except OSError:
        return otherwise
