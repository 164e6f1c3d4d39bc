"""The one place that starts programs.

An argument list and never a shell; an environment made for the child and not inherited; standard error drained beside
the work and bounded; and an error that keeps the command, the exit status and the tool's own last lines.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import io
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from hhh.core.errors import ToolFailed, ToolMissing

#: Bytes of a pipe between a tool and us. The kernel's default of 64 KiB makes both sides wake up too often.
PIPE_SIZE = 1 << 20
_KEPT_LINES = 40
_KEPT_LINE_LENGTH = 500
#: Variables of ours that a child needs to run at all; everything else is named by the caller.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "TMPDIR")


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: a few plain variables of ours, plus ``extra``; no setting of ours, no secret."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | dict(extra)


class Child:
    """A running program with pipes.

    Its standard output is `stdout`, unbuffered; its standard error is read by a thread.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], name: str, on_line: Callable[[str], None] | None = None
    ) -> None:
        self._process = process
        self._name = name
        self._on_line = on_line
        self._last_lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._reaping = threading.Lock()
        self._drain = threading.Thread(target=self._drain_stderr, name=f"{name}-stderr", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """The program's standard input, if it was given one."""
        return cast("IO[bytes]", self._process.stdin)

    @property
    def stdout(self) -> io.RawIOBase:
        """The program's standard output, unbuffered: each read is one system call."""
        return cast("io.RawIOBase", self._process.stdout)

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of standard error so far."""
        return tuple(self._last_lines)

    def finish(self) -> None:
        """Waits for the end of the program.

        Raises:
            ToolFailed: it ended with another status than 0.
        """
        with contextlib.suppress(ChildProcessError):  # another thread has reaped it
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        if status := self._process.returncode:
            raise ToolFailed(f"{self._name} {_ending(status)}: {self._said()}")

    def kill(self) -> None:
        """Ends the program and all it started; returns when it is gone. No-op when it has ended."""
        with self._reaping:
            # Until it is reaped, nobody else's processes can be of that number.
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        self._drain.join()

    def close(self) -> None:
        """Closes our ends of the pipes."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _drain_stderr(self) -> None:
        with cast("IO[bytes]", self._process.stderr) as pipe:
            for line in _bounded_lines(pipe):
                if text := line.decode("utf-8", "replace").strip():
                    self._last_lines.append(text[:_KEPT_LINE_LENGTH])
                    if self._on_line is not None:
                        self._on_line(text[:_KEPT_LINE_LENGTH])

    def _said(self) -> str:
        return self._last_lines[-1] if self._last_lines else "it said nothing"


@contextlib.contextmanager
def running(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    stdin: bool = False,
    cwd: Path | None = None,
    name: str | None = None,
    pass_fds: Sequence[int] = (),
    on_line: Callable[[str], None] | None = None,
) -> Iterator[Child]:
    """Starts a program; whatever happens in the block, it has ended and its pipes are closed afterwards.

    Args:
        arguments: the program and its arguments; never a secret, any user of the machine can read them.
        environment: what the child needs beside the few variables of `child_environment`.
        stdin: whether to give it a pipe to read from, instead of nothing.
        cwd: its working directory.
        name: what errors call it; by default the program's file name.
        pass_fds: descriptors of ours that the child gets under the same numbers, beside its three pipes.
        on_line: told each line of standard error, bounded, in the thread that reads it; all are told once the block
            is left or `Child.finish` has returned.

    Raises:
        ToolMissing: the program does not exist or may not be run.
    """
    name = name or Path(arguments[0]).name
    try:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(environment),
            cwd=cwd,
            bufsize=0,
            pipesize=_pipe_size(),
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise ToolMissing(f"{name} can't be started: {error.strerror}") from error
    try:
        child = Child(process, name, on_line)
    except BaseException:  # an interrupt, or no thread is to be had
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    try:
        yield child
    finally:
        child.kill()
        child.close()


def output_of(arguments: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end and returns what it printed. For small answers, such as ``--version``."""
    with running(arguments, environment=environment or {}) as child:
        printed = child.stdout.readall() or b""
        child.finish()
        return printed.decode("utf-8", "replace")


def _pipe_size() -> int:
    # An unprivileged user may be limited to less (fs.pipe-max-size, fs.pipe-user-pages-soft): then the kernel refuses.
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return -1
    else:
        return PIPE_SIZE
    finally:
        os.close(reader)
        os.close(writer)


def _bounded_lines(pipe: IO[bytes]) -> Iterator[bytes]:
    """Lines, of which the longest are cut: a tool may write as much as it likes without a line break."""
    begun = b""
    while chunk := pipe.read(1 << 16):
        *lines, begun = re.split(rb"[\r\n]", begun + chunk)
        yield from lines
        begun = begun[: 4 * _KEPT_LINE_LENGTH]
    yield begun


def _ending(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"failed with status {status}"
