"""What one test session owns: a folder, in memory where that has room, and a reaper for when pytest is killed."""

import atexit
import contextlib
import functools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from support import reaper as reaper_program

PREFIX = "hhh-tests-"

#: Where Linux keeps files in memory. To make and drop a database takes a tenth there of what it takes on some disks,
#: and a server of its own for a drill half of the processor's time.
_IN_MEMORY = Path("/dev/shm")
#: Bytes of room that it must have: servers of a few majors for each of a few workers.
_ROOM = 4 << 30


@functools.cache
def open_temp_dir() -> Path:
    """A temp dir that every account may enter: servers that refuse to run as root live in it."""
    for candidate in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(candidate).resolve()
        # Drills hide shared memory from their servers: with the programs that they are made of, were those in there.
        is_hidden = folder.is_relative_to(_IN_MEMORY)
        if folder.is_dir() and not is_hidden and os.access(folder, os.W_OK) and _anyone_may_enter(folder):
            return folder
    raise RuntimeError("no temp dir that an unprivileged account may enter; set TMPDIR to one")


def memory_dir() -> Path:
    """A temp dir in memory, if there is one with room, where programs may be run; else the usual one."""
    return _IN_MEMORY if _has_room_and_runs_programs(_IN_MEMORY) else open_temp_dir()


def _has_room_and_runs_programs(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    return shutil.disk_usage(folder).free >= _ROOM and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def _anyone_may_enter(folder: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


class Led(Protocol):
    """A process that leads its group."""

    @property
    def pid(self) -> int:
        """Its id."""


class Session:
    """The session's folder and the processes that must not outlive it.

    However pytest ends, also by SIGKILL, the reaper (a small child that reads our pipe) sees the end of the pipe,
    ends the watched process groups and removes the folder.
    """

    def __init__(self) -> None:
        self.folder = _private(PREFIX, memory_dir())
        self.reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper_program.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for pytest, not for who clears up behind it
            cwd="/",
        )

    def new_folder(self, name: str) -> Path:
        """A fresh folder whose name starts with `name`; short enough for a Unix socket."""
        return _private(f"{name}-", self.folder)

    def watch(self, process: "Led") -> None:
        """End this process group, which it must lead, should pytest be killed."""
        self._tell(f"+{process.pid}")

    def release(self, process: "Led") -> None:
        """The process has ended; its number may soon be somebody else's."""
        self._tell(f"-{process.pid}")

    def close(self) -> None:
        """Let the reaper end what is left and remove the folder, and wait for it."""
        assert self.reaper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.reaper.stdin.close()
        self.reaper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, line: str) -> None:
        assert self.reaper.stdin is not None
        self.reaper.stdin.write(f"{line}\n".encode())
        self.reaper.stdin.flush()


def _private(prefix: str, parent: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    folder.chmod(0o711)
    return folder


@functools.cache
def current_session() -> Session:
    """The session of this pytest process, made on first use, cleared up when the process ends."""
    session = Session()
    atexit.register(session.close)
    return session
