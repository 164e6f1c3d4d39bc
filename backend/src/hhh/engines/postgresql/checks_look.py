"""What the checks before a restore look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from hhh.core.errors import HHHError
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import Administration, DatabaseRow, database_row
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.selection import select
from hhh.engines.postgresql.url import parse_url
from hhh.engines.restoring import SCHEMA_DUMP, Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts


@dataclass(frozen=True, slots=True)
class Look:
    """A backup, a destination and a connection to its server."""

    source: RestoreSource
    facts: PostgresqlFacts
    destination: Destination
    workplace: Workplace
    admin: Administration
    #: The database that the URL names.
    database_of_url: str
    #: The database of the destination's name, if there is one.
    row: DatabaseRow | None
    archive: Archive | None
    #: What of the archive is to be restored; None where the archive is not here, or does not have it.
    entries: tuple[Entry, ...] | None
    #: Why what was asked for can't be taken from the archive.
    problem: str | None

    @property
    def makes_database(self) -> bool:
        """Whether a database is made, rather than only tables in one that is there."""
        return self.destination.mode is not RestoreMode.TABLES or self.row is None

    def query(self, query: sql.SQL, **parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a query to the server.

        Raises:
            EngineError: the server refused or was lost.
        """
        with mapped_errors("The server could not be looked at"):
            return self.admin.connection.execute(query, parameters).fetchall()

    def query_in_database(self, query: sql.SQL) -> list[tuple[Any, ...]]:
        """All rows of a query to the destination, which exists.

        Raises:
            EngineError: it does not let the role in, or refused.
        """
        with (
            self.admin.another_connection(self.destination.name) as connection,
            mapped_errors(f"The database {self.destination.name} could not be looked at"),
        ):
            return connection.execute(query).fetchall()


def begin_look(
    source: RestoreSource,
    facts: PostgresqlFacts,
    destination: Destination,
    workplace: Workplace,
    admin: Administration,
) -> Look:
    """Reads the archive's table of contents and the database's row.

    Raises:
        EngineError: the server refused or was lost.
    """
    archive, entries, problem = _entries(source, destination)
    return Look(
        source=source,
        facts=facts,
        destination=destination,
        workplace=workplace,
        admin=admin,
        database_of_url=parse_url(destination.url).parameters["dbname"],
        row=database_row(admin.connection, destination.name),
        archive=archive,
        entries=entries,
        problem=problem,
    )


def _entries(
    source: RestoreSource, destination: Destination
) -> tuple[Archive | None, tuple[Entry, ...] | None, str | None]:
    path = source.attachments.get(SCHEMA_DUMP) or source.dump
    if path is None:
        return None, None, None
    try:
        archive = Archive.read(path)
        if destination.mode is RestoreMode.TABLES:
            return archive, select(archive, destination.tables).entries, None
    except HHHError as error:
        return None, None, str(error)
    return archive, archive.entries, None
