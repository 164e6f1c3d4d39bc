"""A second, empty database with the definitions of a backup: what the server makes of them once it has read them.

PostgreSQL does not keep the text of an expression, and some come back differently: ``CHECK (a IN ('x', 'y'))`` over a
varchar gets other casts when it is restored. Read in by the same server and written out by the same pg_dump, both
sides are told alike.
"""

from __future__ import annotations

from dataclasses import replace

from hhh.core.errors import EngineError
from hhh.core.run import Progress, Run
from hhh.engines.base import Workplace
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.build import build
from hhh.engines.postgresql.names import token_beside
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.postgresql.schema_dump import schema_of
from hhh.engines.restoring import SCHEMA_DUMP, Destination, RestoreMode, RestoreSource


def beside(destination: Destination) -> Destination:
    """Where a drill makes what it needs beside the restored database: its names derive from the drill's token.

    `Restorer.discard` of it removes all of that, whoever left it.
    """
    return replace(destination, token=token_beside(destination.token), mode=RestoreMode.NEW, tables=())


class _Silent(Run):
    """A run that is a part of another, which has told where it is."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def report(self, progress: Progress) -> None:
        """Drops it."""

    def raise_if_cancelled(self) -> None:
        """As the other one."""
        self._run.raise_if_cancelled()


def read_again(source: RestoreSource, destination: Destination, workplace: Workplace, run: Run) -> Archive:
    """The definitions of a backup as the server of the destination tells them; nothing is left there.

    Raises:
        EngineError: they can't be restored once more.
        Cancelled, LeaseLost: the run is over.
    """
    second = beside(destination)
    schema = source.attachments.get(SCHEMA_DUMP)
    definitions = replace(source, attachments={}, dump=schema or source.dump)
    try:
        built = build(definitions, second, workplace, _Silent(run), without_rows=True)
        if built.errors:
            raise EngineError(f"The definitions can't be read in again to compare them: {built.errors[0]}")
        return schema_of(built.url, workplace, run)
    finally:
        PostgresqlRestorer().discard(second, workplace)
