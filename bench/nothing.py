"""``hhh`` with an engine that does nothing in the place of SQLite's: what is left is what a job costs.

Run as ``python -m bench.nothing worker``. The engine is registered in this process alone; the product has no way to it.
"""

# ruff: noqa: ARG002  an engine that does nothing needs nothing
from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Iterator

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

from hhh.core.run import Run
from hhh.engines.base import Dump, DumpResult, Engine, EngineKind, SourceInfo, Workplace
from hhh.engines.registry import ENGINES
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.policy import Fingerprint

#: The variable that names a file for how many statements were sent to the own database.
COUNT_FILE = "BENCH_COUNT_FILE"
_BYTES = b"nothing " * 128


class NothingEngine(Engine):
    """A database of a kilobyte that is dumped at once."""

    kind = EngineKind.SQLITE

    def validate(self, url: str) -> str:
        return url

    def inspect(self, url: str, workplace: Workplace) -> SourceInfo:
        return SourceInfo("nothing", len(_BYTES))

    @contextlib.contextmanager
    def dump(self, url: str, workplace: Workplace, run: Run, *, fingerprint: Fingerprint = "off") -> Iterator[Dump]:
        reading, writing = os.pipe()
        with io.FileIO(reading) as stdout:
            os.write(writing, _BYTES)
            os.close(writing)
            yield _NothingDump(stdout)


class _NothingDump(Dump):
    def __init__(self, stdout: io.RawIOBase) -> None:
        self._stdout = stdout

    @property
    def stdout(self) -> io.RawIOBase:
        return self._stdout

    @property
    def expected_size(self) -> int:
        return len(_BYTES)

    def finish(self) -> DumpResult:
        facts = SqliteFacts(
            sqlite_version="0",
            page_size=512,
            page_count=2,
            journal_mode="delete",
            encoding="UTF-8",
            user_version=0,
            application_id=0,
            auto_vacuum=0,
            integrity_check="ok",
            quick_check="ok",
            tables=[],
            objects=[],
        )
        return DumpResult(facts=facts, versions={"library": "nothing"})


def main() -> None:
    """The command line, with that engine; how many statements it sent so far stands in a file."""
    from hhh.cli import main as hhh

    ENGINES[EngineKind.SQLITE] = NothingEngine()
    file = os.open(os.environ[COUNT_FILE], os.O_CREAT | os.O_WRONLY)
    sent = itertools.count(1)

    def count(*_: object) -> None:
        # At once: a worker may end without a word. In one call, so that threads may count beside each other.
        os.pwrite(file, f"{next(sent):012}".encode(), 0)

    event.listen(SqlEngine, "before_cursor_execute", count)
    hhh()


if __name__ == "__main__":
    main()
