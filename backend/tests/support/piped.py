"""Programs of Python that tests talk with over pipes and kill, in processes that have loaded the modules already."""

import functools
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.forking import Descriptor, Forked


class Piped:
    """A program as `subprocess.Popen` runs it, as far as tests need that; the end of a `with` block waits for it.

    It has the environment of the tests, and what is added to it.
    """

    def __init__(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        (reading, to_it), (from_it, writing) = os.pipe(), os.pipe()
        self.stdin = os.fdopen(to_it, "wb")
        self.stdout = os.fdopen(from_it, "rb")
        self._process = Forked.begin(
            functools.partial(_run, program, arguments),
            folder=Path.cwd(),
            environment={**os.environ, **(environment or {})},
            stdin=Descriptor(reading),
            stdout=Descriptor(writing),
            stderr=Descriptor(2),
        )
        os.close(reading)
        os.close(writing)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        """Sends it a signal; nothing where it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it as the kernel would."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; `subprocess.TimeoutExpired` after so many seconds."""
        return self._process.wait(timeout)

    def communicate(self, timeout: float | None = None) -> bytes:
        """Ends its input and waits for it; what else it wrote."""
        self.stdin.close()
        written = b"" if self.stdout.closed else self.stdout.read()
        self.stdout.close()
        self.wait(timeout)
        return written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stdout.close()
        self.stdin.close()
        self.wait()


def _run(program: str, arguments: Sequence[str]) -> None:
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")
