"""SQLite: an online backup made by a child process (`hhh.engines.sqlite_child`), and its facts taken from the copy."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from hhh.core.errors import HHHError, InvalidInput, ScratchError, SourceUnreadable, TargetBusy, ToolFailed
from hhh.core.process import Child, running
from hhh.core.run import Run, Unattended
from hhh.engines.base import Dump, DumpForm, DumpResult, Engine, EngineKind, SourceInfo, Workplace
from hhh.schemas.facts import SqliteFacts

#: How long a lock on the database is waited for, before the dump fails with `TargetBusy`.
BUSY_TIMEOUT_SECONDS = 10.0
THOROUGH_CHECK_SIZE = 128 << 20
#: How often a run is asked whether it was cancelled, while the child works.
_CANCEL_POLL_MILLISECONDS = 100
#: How long a child that nobody waits for any more may take to close the source.
_CLOSING_SECONDS = 2.0
_PROGRAM = Path(__file__).with_name("sqlite_child")
_NAME = "The SQLite copier"
_SCHEME = "sqlite:///"
_COPY_NAME = "copy.db"
_EXAMPLE = "e.g. sqlite:////var/lib/app/app.db"

_ERRORS: Mapping[str, type[HHHError]] = {
    "unreadable": SourceUnreadable,
    "busy": TargetBusy,
    "scratch": ScratchError,
}


class SqliteEngine(Engine):
    """Backs up SQLite files, also while they are written to.

    Args:
        busy_timeout_seconds: how long a lock of somebody else is waited for.
        thorough_check_size: bytes of a database up to which each row is looked up in each index. Above, that would
            take longer than all the rest of the backup; see ``docs/decisions/0006``.
    """

    kind = EngineKind.SQLITE

    def __init__(
        self, *, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS, thorough_check_size: int = THOROUGH_CHECK_SIZE
    ) -> None:
        self._busy_timeout = round(busy_timeout_seconds * 1000)
        self._thorough_check_size = thorough_check_size

    def validate(self, url: str) -> str:
        return f"{_SCHEME}{quote(str(_path_in(url)), safe=' /')}"

    def inspect(self, url: str, workplace: Workplace) -> SourceInfo:
        with self._conversation("inspect", _path_in(url), workplace, Unattended()) as child:
            found = child.wait_for("inspected")
        tables = found["tables"]
        return SourceInfo(description=f"SQLite, {tables} table{'' if tables == 1 else 's'}", size=found["size"])

    @contextlib.contextmanager
    def dump(self, url: str, workplace: Workplace, run: Run) -> Iterator[Dump]:
        with self._conversation("dump", _path_in(url), workplace, run) as child:
            size = child.wait_for("copying")["size"]
            yield _SqliteDump(child, size)

    @contextlib.contextmanager
    def _conversation(self, operation: str, path: Path, workplace: Workplace, run: Run) -> Iterator[_Conversation]:
        request = {
            "operation": operation,
            "source": str(path),
            "copy": str(workplace.scratch / _COPY_NAME),
            "busy_timeout": self._busy_timeout,
            "thorough_check_size": self._thorough_check_size,
        }
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
            conversation = _Conversation(child, reports, run)
            try:
                yield conversation
            finally:
                conversation.end()


class _Conversation:
    """What the child reports, and what becomes of it."""

    def __init__(self, child: Child, reports: int, run: Run) -> None:
        self.child = child
        self._run = run
        self._reports = reports
        self._received = b""

    def wait_for(self, event: str) -> Mapping[str, Any]:
        """Reads reports up to this one, and asks the run for cancellation meanwhile.

        Raises:
            SourceUnreadable, TargetBusy, ScratchError: the child reports it.
            ToolFailed: the child ended without a word.
        """
        while (report := self._next())["event"] != event:
            if report["event"] == "failed":
                raise _ERRORS[report["reason"]](report["message"], hint=report["hint"])
        return report

    def end(self) -> None:
        """Gives the child time to close the source: killed before, it would leave a ``-wal`` and a ``-shm`` behind."""
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        deadline = time.monotonic() + _CLOSING_SECONDS
        while poll.poll(max(0, deadline - time.monotonic()) * 1000) and os.read(self._reports, 1 << 16):
            pass

    def _next(self) -> Mapping[str, Any]:
        while b"\n" not in self._received:
            self._wait_for_more()
            chunk = os.read(self._reports, 1 << 16)
            if not chunk:
                self.child.finish()
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


class _SqliteDump(Dump):
    form = DumpForm.PAGES

    def __init__(self, conversation: _Conversation, size: int) -> None:
        self._conversation = conversation
        self._size = size

    @property
    def stdout(self) -> io.RawIOBase:
        return self._conversation.child.stdout

    @property
    def expected_size(self) -> int:
        return self._size

    def finish(self) -> DumpResult:
        report = self._conversation.wait_for("facts")
        self._conversation.child.finish()
        return DumpResult(
            facts=SqliteFacts.model_validate(report["facts"]),
            versions=report["versions"],
            warnings=tuple(report["warnings"]),
        )


def _path_in(url: str) -> Path:
    """The absolute path that a URL names, read as SQLAlchemy 2.1 reads it: ``%41`` is ``A``.

    Raises:
        InvalidInput: another kind of URL, a database in memory, or options.
    """
    if not url.startswith(_SCHEME):
        raise InvalidInput("Not the URL of a SQLite file", hint=_EXAMPLE)
    name = url.removeprefix(_SCHEME)
    if not name or name.startswith((":memory:", "file:")) or name.endswith("/"):
        raise InvalidInput("The URL names no SQLite file", hint=_EXAMPLE)
    if "?" in name:
        raise InvalidInput("The URL of a SQLite file can't have options after a '?'", hint=_EXAMPLE)
    path = unquote(name)
    if "\0" in path:
        raise InvalidInput("The path of a SQLite file can't hold a zero character", hint=_EXAMPLE)
    if path != path.encode("utf-8", "replace").decode():
        raise InvalidInput("The path of a SQLite file can't hold half of a surrogate pair", hint=_EXAMPLE)
    return Path(path).absolute()
