"""Talking to the program that opens SQLite files, `hhh.engines.sqlite.child`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hhh.core.errors import (
    ArtifactDamaged,
    EngineError,
    HHHError,
    Lacking,
    ScratchError,
    SourceUnreadable,
    TargetBusy,
    ToolFailed,
)
from hhh.core.process import Child, running
from hhh.core.run import Run

#: How often a run is asked whether it was cancelled, while the child works.
_CANCEL_POLL_MILLISECONDS = 100
#: How long a child that nobody waits for any more may take to close the source.
_CLOSING_SECONDS = 2.0
_PROGRAM = Path(__file__).with_name("child")
_NAME = "The SQLite copier"

_ERRORS: Mapping[str, type[HHHError]] = {
    "unreadable": SourceUnreadable,
    "busy": TargetBusy,
    "scratch": ScratchError,
    "destination": EngineError,
    "damaged": ArtifactDamaged,
    "lacking": Lacking,
}


@contextlib.contextmanager
def conversation(request: Mapping[str, object], run: Run) -> Iterator[Conversation]:
    """Starts the program with a request (`hhh.engines.sqlite.child.protocol`); it has ended when the block is left.

    Args:
        request: what to do.
        run: asked for cancellation while the child is waited for.
    """
    with contextlib.ExitStack() as stack:
        reports, reports_of_child = os.pipe()
        stack.callback(os.close, reports)
        try:
            arguments: list[str | Path] = [sys.executable, "-I", _PROGRAM, str(reports_of_child)]
            child = stack.enter_context(
                running(arguments, environment={}, stdin=True, name=_NAME, pass_fds=[reports_of_child])
            )
        finally:
            os.close(reports_of_child)
        with contextlib.suppress(BrokenPipeError):  # it has ended already: `wait_for` finds out why
            child.stdin.write(json.dumps(request).encode() + b"\n")
        talk = Conversation(child, reports, run)
        try:
            yield talk
        finally:
            talk.end()


class Conversation:
    """What the child reports, and what becomes of it."""

    def __init__(self, child: Child, reports: int, run: Run) -> None:
        self.process = child
        self._run = run
        self._reports = reports
        self._received = b""

    def wait_for(self, event: str) -> Mapping[str, Any]:
        """Reads reports up to this one, and asks the run for cancellation meanwhile.

        Raises:
            EngineError, ScratchError, ArtifactDamaged: the child reports it.
            ToolFailed: the child ended without a word.
        """
        while (report := self._next())["event"] != event:
            if report["event"] == "failed":
                raise _ERRORS[report["reason"]](report["message"], hint=report["hint"])
        return report

    def end(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Gives the child time to close the source: killed before, it would leave a ``-wal`` and a ``-shm`` behind."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        deadline = time.monotonic() + seconds
        while poll.poll(max(0, deadline - time.monotonic()) * 1000) and os.read(self._reports, 1 << 16):
            pass

    def _next(self) -> Mapping[str, Any]:
        while b"\n" not in self._received:
            self._wait_for_more()
            chunk = os.read(self._reports, 1 << 16)
            if not chunk:
                self.process.finish()
                raise ToolFailed(f"{_NAME} ended before it was done")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        report: Mapping[str, Any] = json.loads(line)
        return report

    def _wait_for_more(self) -> None:
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        while not poll.poll(_CANCEL_POLL_MILLISECONDS):
            self._run.raise_if_cancelled()
        self._run.raise_if_cancelled()
