"""A SQLite file and what the engine makes of it, for tests of the engine."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil

from hhh.core.run import Run, Unattended
from hhh.engines.base import Dump, DumpResult, Workplace
from hhh.engines.sqlite.engine import SqliteEngine
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.policy import Fingerprint
from support.engine_rigs import read_to_end
from support.sqlite_data import JournalMode

JOURNAL_MODES: list[JournalMode] = ["wal", "delete"]


class SqliteSource:
    """A SQLite file and what the engine makes of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "source.db"
        self.copy = folder / "copy.db"
        self.workplace = Workplace(folder / "scratch")
        self.workplace.scratch.mkdir(mode=0o700)
        self.engine = SqliteEngine(busy_timeout_seconds=0.05)

    @property
    def url(self) -> str:
        """The URL of the target; a `%` of the path is written as `%25`."""
        return f"sqlite:///{quote(str(self.path), safe=' /')}"

    @contextlib.contextmanager
    def dumping(self, run: Run | None = None, *, fingerprint: Fingerprint = "off") -> Iterator[Dump]:
        """A dump, after which its scratch is emptied."""
        try:
            with self.engine.dump(self.url, self.workplace, run or Unattended(), fingerprint=fingerprint) as dump:
                yield dump
        finally:
            for file in self.workplace.scratch.iterdir():
                file.unlink()

    def take(self, *, fingerprint: Fingerprint = "off") -> DumpResult:
        """A whole dump, written to `copy`."""
        with self.dumping(fingerprint=fingerprint) as dump:
            self.copy.write_bytes(read_to_end(dump))
            result = dump.finish()
            assert dump.expected_size in {self.copy.stat().st_size, 0}
        return result

    def facts(self, *, fingerprint: Fingerprint = "off") -> SqliteFacts:
        """A whole dump's facts."""
        facts = self.take(fingerprint=fingerprint).facts
        assert isinstance(facts, SqliteFacts)
        return facts

    def inspect(self) -> str:
        """What a look tells."""
        return self.engine.inspect(self.url, self.workplace).description

    @contextlib.contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """The service's own process uses the file; each statement commits by itself."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
            yield connection


def rows_by_table(facts: SqliteFacts) -> dict[str, int]:
    """The rows of each table that was counted."""
    return {table.name: table.rows for table in facts.tables}


def is_waiting(processes: set[psutil.Process]) -> bool:
    """Whether one of them has the file of a source open."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(file.path.endswith("source.db") for process in processes for file in process.open_files())
    return False
