"""A live SQLite file, backups of it, and what a restorer makes of both."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hhh.core.run import Run, Unattended
from hhh.engines.base import Workplace
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.engines.sqlite.restore import SqliteRestorer
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.restore import Check
from support.sqlite_source import SqliteSource

TOKEN = "abcd1234"


class SqliteRestoring:
    """`source` is what is backed up, `live` where it is restored to."""

    def __init__(self, folder: Path) -> None:
        (folder / "source").mkdir()
        (folder / "live").mkdir()
        self.source = SqliteSource(folder / "source")
        self.live = folder / "live" / "app.db"
        self.dump = self.source.workplace.scratch / "dump"
        self.workplace: Workplace = self.source.workplace
        self.restorer = SqliteRestorer(busy_timeout_seconds=0.05)
        #: Names of checks that the caller accepts.
        self.acknowledged: frozenset[str] = frozenset()

    def back_up(self) -> RestoreSource:
        """A backup of the source, its dump in scratch."""
        result = self.source.take()
        shutil.copyfile(self.source.copy, self.dump)
        assert isinstance(result.facts, SqliteFacts)
        return RestoreSource(result.facts, result.versions, self.dump.stat().st_size, {}, self.dump)

    def destination(self, mode: RestoreMode = RestoreMode.REPLACE, token: str = TOKEN) -> Destination:
        """The live file."""
        return Destination(f"sqlite:///{self.live}", str(self.live), mode, token, acknowledged=self.acknowledged)

    def build(
        self,
        source: RestoreSource,
        mode: RestoreMode = RestoreMode.REPLACE,
        run: Run | None = None,
        token: str = TOKEN,
    ) -> Built:
        """Beside the live file."""
        return self.restorer.build(source, self.destination(mode, token), self.workplace, run or Unattended())

    def publish(
        self, mode: RestoreMode = RestoreMode.REPLACE, run: Run | None = None, token: str = TOKEN
    ) -> Path | None:
        """What was built; answers what is kept."""
        kept = self.restorer.publish(self.destination(mode, token), self.workplace, run or Unattended())
        return Path(kept) if kept else None

    def restore(self, mode: RestoreMode = RestoreMode.REPLACE) -> Path | None:
        """All of it; answers what is kept."""
        self.build(self.back_up(), mode)
        return self.publish(mode)

    def restore_in_place(self) -> Path:
        """In the place of the live file; answers what is kept."""
        kept = self.restore()
        assert kept is not None
        return kept

    def undo(self, kept: Path, token: str) -> Path:
        """Answers what is kept now."""
        destination = self.destination(token=token)
        return Path(self.restorer.undo(destination, str(kept), self.workplace, Unattended()))

    def discard(self, mode: RestoreMode = RestoreMode.REPLACE) -> None:
        """What is not published."""
        self.restorer.discard(self.destination(mode), self.workplace)

    def checks(
        self, mode: RestoreMode = RestoreMode.REPLACE, source: RestoreSource | None = None
    ) -> Mapping[str, Check]:
        """By name, as for a plan: without the dump."""
        planned = replace(source or self.back_up(), dump=None)
        return {each.name: each for each in self.restorer.checks(planned, self.destination(mode), self.workplace)}

    def beside(self) -> list[str]:
        """What lies in the folder of the live file."""
        return sorted(file.name for file in self.live.parent.iterdir())

    @contextlib.contextmanager
    def application(self) -> Iterator[sqlite3.Connection]:
        """This very process has the live file open."""
        with contextlib.closing(sqlite3.connect(self.live, isolation_level=None, timeout=30)) as connection:
            yield connection


def content(path: Path) -> list[str]:
    """All of a database as SQL, with what its header says; only for a file that nobody else has open."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        pragmas = ("page_size", "auto_vacuum", "encoding", "user_version", "application_id")
        header = [f"{name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]}" for name in pragmas]
        return [*header, *connection.iterdump()]
