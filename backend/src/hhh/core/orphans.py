"""Processes that a killed one has left behind, found by where they work."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
#: One that is being ended may have started another.
_ROUNDS = 20
_PATIENCE_MILLISECONDS = 5000
#: In ``/proc/<pid>/stat``, after the name: the terminal that it belongs to.
_TERMINAL = 4


def end_processes_in(folder: Path) -> int:
    """Ends, by SIGKILL, what works in a folder or below it; returns how many processes that were, once they are gone.

    A process is found by its working directory, as the kernel has it, and not by a number in a file, which may be
    another one's by now. What has a terminal is somebody who looks around there, and stays; so does what this account
    may not end.
    """
    inside, ended = folder.resolve(), 0
    for _ in range(_ROUNDS):
        found = sum(_end(pid, inside) for pid in _pids())
        if not found:
            break
        ended += found
    return ended


def _pids() -> Iterator[int]:
    with contextlib.suppress(OSError):  # a system without them
        yield from [int(each.name) for each in _PROCESSES.iterdir() if each.name.isdigit()]


def _end(pid: int, folder: Path) -> bool:
    if not _works_in(pid, folder):
        return False
    with contextlib.suppress(OSError), _held(pid) as process:
        # It is looked at again now that the descriptor means one process, whatever becomes of the number.
        if _works_in(pid, folder):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            poll = select.poll()
            poll.register(process, select.POLLIN)
            return bool(poll.poll(_PATIENCE_MILLISECONDS))
    return False


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        where = (_PROCESSES / str(pid) / "cwd").readlink()
        return where.is_relative_to(folder) and pid != os.getpid() and not _has_terminal(pid)
    except OSError:  # gone, or not ours to look at
        return False


def _has_terminal(pid: int) -> bool:
    _, _, fields = (_PROCESSES / str(pid) / "stat").read_text().rpartition(")")
    return fields.split()[_TERMINAL] != "0"
