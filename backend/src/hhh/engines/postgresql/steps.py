"""What a restore of PostgreSQL would do, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.names import before_name, restore_name
from hhh.engines.restoring import Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts


def steps(source: RestoreSource, destination: Destination) -> Sequence[str]:
    """The steps, in their order.

    Raises:
        InvalidInput: the backup is not of PostgreSQL.
    """
    if not isinstance(source.facts, PostgresqlFacts):
        raise InvalidInput("The backup is not one of PostgreSQL", hint="restore it to a path")
    if destination.mode is RestoreMode.TABLES:
        return _of_tables(destination)
    return [*_beside(source.facts, destination), *_published(destination)]


def _beside(facts: PostgresqlFacts, destination: Destination) -> list[str]:
    rows = sum(table.rows for table in facts.tables)
    like = destination.name if destination.mode is RestoreMode.REPLACE else facts.database.name
    built = restore_name(destination.name, destination.token)
    settings = "" if destination.mode is RestoreMode.REPLACE else ", and the database its settings"
    return [
        f"Create the database {built} with the encoding and locale of {like}, closed to others",
        f"Restore {len(facts.tables)} tables with {rows} rows into it in parallel, as a role without superuser",
        "Count its rows and compare it with the facts of the backup",
        f"Give everything to its owners, with the privileges of the backup{settings}",
    ]


def _published(destination: Destination) -> list[str]:
    if destination.mode is not RestoreMode.REPLACE:
        return [f"Rename it to {destination.name}"]
    kept = before_name(destination.name, destination.token)
    return [
        f"End the sessions of {destination.name}, and give its name to the restored one, in one transaction",
        "Move its privileges, settings and comment along, in the same transaction",
        f"Keep it as {kept} for undo",
    ]


def _of_tables(destination: Destination) -> list[str]:
    return [
        f"Restore {', '.join(destination.tables)} with all they need, as a role without superuser",
        f"Do so in one transaction in the database {destination.name}; if there is none, in a new one of that name",
        "Count their rows and compare them with the facts of the backup",
        "Give them to their owners, with the privileges of the backup",
    ]
