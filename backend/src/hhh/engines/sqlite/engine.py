"""SQLite: an online backup made by a child process (`hhh.engines.sqlite.child`), and its facts taken from the copy."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from hhh.core.run import Run, Unattended
from hhh.engines.base import Dump, DumpForm, DumpResult, Engine, EngineKind, SourceInfo, Workplace
from hhh.engines.sqlite.conversation import Conversation, conversation
from hhh.engines.sqlite.url import path_in, url_of
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.policy import Fingerprint

#: How long a lock on the database is waited for, before the dump fails with `TargetBusy`.
BUSY_TIMEOUT_SECONDS = 10.0
THOROUGH_CHECK_SIZE = 128 << 20
_COPY_NAME = "copy.db"


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
        return url_of(path_in(url))

    def inspect(self, url: str, workplace: Workplace) -> SourceInfo:
        with conversation(self._request("inspect", path_in(url), workplace), Unattended()) as child:
            found = child.wait_for("inspected")
        tables = found["tables"]
        return SourceInfo(description=f"SQLite, {tables} table{'' if tables == 1 else 's'}", size=found["size"])

    @contextlib.contextmanager
    def dump(self, url: str, workplace: Workplace, run: Run, *, fingerprint: Fingerprint = "off") -> Iterator[Dump]:
        request = {**self._request("dump", path_in(url), workplace), "fingerprint": fingerprint}
        with conversation(request, run) as child:
            size = child.wait_for("copying")["size"]
            yield _SqliteDump(child, size)

    def _request(self, operation: str, path: Path, workplace: Workplace) -> dict[str, object]:
        return {
            "operation": operation,
            "source": str(path),
            "copy": str(workplace.scratch / _COPY_NAME),
            "busy_timeout": self._busy_timeout,
            "thorough_check_size": self._thorough_check_size,
        }


class _SqliteDump(Dump):
    form = DumpForm.PAGES

    def __init__(self, child: Conversation, size: int) -> None:
        self._child = child
        self._size = size

    @property
    def stdout(self) -> io.RawIOBase:
        return self._child.process.stdout

    @property
    def expected_size(self) -> int:
        return self._size

    def finish(self) -> DumpResult:
        report = self._child.wait_for("facts")
        self._child.process.finish()
        return DumpResult(
            facts=SqliteFacts.model_validate(report["facts"]),
            versions=report["versions"],
            warnings=tuple(report["warnings"]),
        )
