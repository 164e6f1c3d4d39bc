"""Processes that a killed one has left behind, found by where they work."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
#: One that is being ended may have started another.
_ROUNDS = 20
_PATIENCE_MILLISECONDS = 5000
#: In ``/proc/<pid>/stat``, after the name: the terminal that it belongs to.
_TERMINAL = 4
#: How the kernel marks the path of a working directory that was removed.
_REMOVED = " (deleted)"


def end_processes_in(folder: Path) -> int:
    """Ends, by SIGKILL, what works in a folder or below it; returns how many processes that were, once they are gone.

    A process is found by its working directory, as the kernel has it, and not by a number in a file, which may be
    another one's by now. What has a terminal is somebody who looks around there, and stays; so does what this account
    may not end.
    """
    inside = folder.resolve()
    return _end_all(lambda where: where.is_relative_to(inside))


def end_processes_of_removed(parent: Path, prefix: str) -> int:
    """Ends in the same way what works in folders that somebody has removed under its feet.

    Args:
        parent: where these folders were.
        prefix: how their names began.
    """
    inside = parent.resolve()

    def was_there(where: Path) -> bool:
        if not where.name.endswith(_REMOVED) or not where.is_relative_to(inside):
            return False
        folder = inside.joinpath(*where.relative_to(inside).parts[:1])
        return folder.name.startswith(prefix) and not os.path.lexists(folder)

    return _end_all(was_there)


def _end_all(is_ours: Callable[[Path], bool]) -> int:
    ended = 0
    for _ in range(_ROUNDS):
        found = sum(_end(pid, is_ours) for pid in _pids())
        if not found:
            break
        ended += found
    return ended


def _pids() -> Iterator[int]:
    with contextlib.suppress(OSError):  # a system without them
        yield from [int(each.name) for each in _PROCESSES.iterdir() if each.name.isdigit()]


def _end(pid: int, is_ours: Callable[[Path], bool]) -> bool:
    if not _works_there(pid, is_ours):
        return False
    with contextlib.suppress(OSError), _held(pid) as process:
        # It is looked at again now that the descriptor means one process, whatever becomes of the number.
        if _works_there(pid, is_ours):
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


def _works_there(pid: int, is_ours: Callable[[Path], bool]) -> bool:
    try:
        return is_ours(_working_directory(pid)) and pid != os.getpid() and not _has_terminal(pid)
    except OSError:  # gone, or not ours to look at
        return False


def _working_directory(pid: int) -> Path:
    process = _PROCESSES / str(pid)
    try:
        return (process / "cwd").readlink()
    except PermissionError:
        # Root of a container may be without the right to look at others' (CAP_SYS_PTRACE), such as a drill's server.
        if os.geteuid() != 0:
            raise
        owner = process.stat()
    with _seen_as(owner.st_uid, owner.st_gid):
        return (process / "cwd").readlink()


@contextlib.contextmanager
def _seen_as(user: int, group: int) -> Iterator[None]:
    """What this thread alone looks at, it looks at as another account; the rights of root come back afterwards."""
    system = ctypes.CDLL(None)
    previous = system.setfsgid(group)
    try:
        system.setfsuid(user)
        yield
    finally:
        system.setfsuid(os.geteuid())
        system.setfsgid(previous)


def _has_terminal(pid: int) -> bool:
    _, _, fields = (_PROCESSES / str(pid) / "stat").read_text().rpartition(")")
    return fields.split()[_TERMINAL] != "0"
