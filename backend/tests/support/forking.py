"""`hhh` in processes that have loaded its modules already: a service or a command begins in a tenth of the time.

Each is a process of its own, in a session of its own, with the environment, the folder and the files that it was given
and nothing else of the tests'; it ends as the installed command does. Only its arguments in `/proc` are another's: a
test that looks at those, or at how the command begins, starts the installed one.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, reduction
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Protocol, Self


class Running(Protocol):
    """As much of `subprocess.Popen` as rigs need of a process, installed or forked."""

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """How it ended; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; `subprocess.TimeoutExpired` after so many seconds."""

    def send_signal(self, sig: int) -> None:
        """Sends it a signal; nothing where it has ended."""


@dataclass(frozen=True)
class _Start:
    #: What it does; found again by its name, as `pickle` does.
    work: Callable[[], object]
    folder: Path
    environment: Mapping[str, str]
    #: For standard input, output and error; what files hold is kept.
    files: tuple["Path | Descriptor", "Path | Descriptor", "Path | Descriptor"]


class Descriptor:
    """An open file of this process, of which the other gets one of its own."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherited, (reduction.DupFd(self.number),)


def _inherited(handed_over: Any) -> Descriptor:
    return Descriptor(handed_over.detach())


class Forked:
    """One process."""

    def __init__(self, start: _Start) -> None:
        self._process = _context().Process(target=_become, args=(start,), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        #: Its id, which is that of its session and its process group as well.
        self.pid: int = self._process.pid

    @classmethod
    def begin(
        cls,
        work: Callable[[], object],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdin: "Path | Descriptor" = Path(os.devnull),
        stdout: "Path | Descriptor",
        stderr: "Path | Descriptor",
    ) -> Self:
        """Begins some work; what it writes is added to the files."""
        return cls(_Start(work, folder, dict(environment), (stdin, stdout, stderr)))

    def poll(self) -> int | None:
        """See `Running`."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """See `Running`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("hhh", timeout or 0)
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        """See `Running`."""
        if self.poll() is None:
            os.kill(self.pid, sig)


def begin(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdout: Path, stderr: Path
) -> Running:
    """Starts a command in a session of its own; what it writes is added to the files.

    One of this interpreter with `-c` is forked.
    """
    if list(command[:2]) == [sys.executable, "-c"]:
        work = functools.partial(_program, command[2], tuple(command[3:]))
        return Forked.begin(work, folder=folder, environment=environment, stdout=stdout, stderr=stderr)
    with stdout.open("ab") as out, stderr.open("ab") as err:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def fork_hhh(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdout: Path, stderr: Path
) -> Forked:
    """Starts `hhh` with these arguments; what it writes is added to the files."""
    return Forked.begin(_command(arguments), folder=folder, environment=environment, stdout=stdout, stderr=stderr)


def run_hhh(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str = "", seconds: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Runs `hhh` to its end; `subprocess.TimeoutExpired`, and it is killed, after so many seconds."""
    return run(_command(arguments), folder=folder, environment=environment, stdin=stdin, seconds=seconds)


def run(
    work: Callable[[], object],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: str = "",
    seconds: float = 60,
) -> "subprocess.CompletedProcess[str]":
    """Does some work in a process of its own, as `run_hhh` does."""
    with tempfile.TemporaryDirectory() as scratch:
        files = (Path(scratch, "stdin"), Path(scratch, "stdout"), Path(scratch, "stderr"))
        files[0].write_text(stdin, encoding="utf-8")
        process = Forked(_Start(work, folder, dict(environment), files))
        try:
            code = process.wait(seconds)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise
        texts = [file.read_text(encoding="utf-8") for file in files[1:]]
    return subprocess.CompletedProcess([repr(work)], code, *texts)


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.forking", "support.loaded"])
    with _variable("PYTHONPATH", str(Path(__file__).parents[1])):  # Python before 3.14 does not tell its server
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def hhh(arguments: Sequence[str]) -> None:
    """Does what `hhh` does with these arguments, and ends this process."""
    from hhh.cli import main
    from support import loaded

    loaded.renew()
    sys.argv = ["hhh", *arguments]
    main()


def _program(program: str, arguments: Sequence[str]) -> None:
    sys.argv = ["-c", *arguments]
    exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def become(folder: Path, environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
    """Makes this process one with that folder, that environment and those files for standard input, output, error."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # They live as long as the process.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL if signum == signal.SIGTERM else signal.default_int_handler)


def _become(start: _Start) -> None:
    os.setsid()
    adding = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    descriptors = [
        file.number if isinstance(file, Descriptor) else os.open(file, how, 0o600)
        for file, how in zip(start.files, (os.O_RDONLY, adding, adding), strict=True)
    ]
    become(start.folder, start.environment, descriptors)
    start.work()


def _command(arguments: Sequence[str]) -> Callable[[], object]:
    return functools.partial(hhh, tuple(arguments))
