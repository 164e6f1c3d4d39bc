"""What is done to a restored database once its content is there: owners, privileges, properties."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from hhh.engines.postgresql.admin import administering
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.building import Building
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.large_object_privileges import give_privileges_on_large_objects
from hhh.engines.postgresql.notes import Roles
from hhh.engines.postgresql.objects import Identity
from hhh.engines.postgresql.owners import Owners
from hhh.engines.postgresql.privileges import apply_privileges, apply_to_database
from hhh.engines.postgresql.properties import mark_acl_as_recorded, setting_statement
from hhh.engines.postgresql.superuser import SUPERUSER_CHECK
from hhh.engines.postgresql.worker import SignedIn
from hhh.engines.restoring import SCHEMA_DUMP
from hhh.schemas.facts import PostgresqlFacts

#: pg_dump leaves them out of a schema-only dump, and the main one is made without any privileges.
_LARGE_OBJECTS = "The backup has no privileges on large objects: grant them again, if there were any"


def give_to_owners(building: Building, operator: SignedIn, entries: Sequence[Entry]) -> str:
    """Gives what was restored to its owners, and what is nobody's to the owner of the database.

    Returns:
        The owner of the database, as far as that role exists and may be one.

    Raises:
        EngineError: the server refused or was lost.
    """
    roles = Roles(building.admin)
    wanted = building.live.owner if building.live else building.facts.database.owner
    default = wanted if roles.may_own(wanted) else building.admin.role
    if default != wanted:
        note = building.notes.add_closed_role if roles.exists(wanted) else building.notes.add_missing_role
        note(wanted, f"the database belongs to {default}")
    owners = Owners(
        worker=building.worker,
        roles=roles,
        default=default,
        # Only backups that were taken here have a second dump: what was imported may say anything of its owners.
        is_trusted=SCHEMA_DUMP in building.source.attachments or SUPERUSER_CHECK in building.destination.acknowledged,
        notes=building.notes,
    )
    owners.give(operator.connection, entries)
    return default


def give_privileges(
    building: Building, operator: SignedIn, of: Callable[[Identity], bool], *, defaults: bool
) -> Archive | None:
    """Sets the privileges on what was restored.

    Returns:
        The dump that they are in; None where the backup has none, which is noted.

    Raises:
        EngineError: the server was lost, or the dump of the privileges can't be read.
    """
    path = building.source.attachments.get(SCHEMA_DUMP)
    if path is None:
        building.notes.add_warning("The backup has no privileges: none were granted but to the owners")
        return None
    schema = Archive.read(path)
    apply_privileges(operator.connection, schema, building.notes, building.run, of=of, defaults=defaults)
    return schema


def give_large_objects(building: Building, operator: SignedIn, found: PostgresqlFacts) -> PostgresqlFacts:
    """Sets the privileges on large objects, which are in the facts and in no dump.

    Args:
        building: the restore.
        operator: to the database, in which everything has its owner.
        found: what is there.

    Returns:
        The same, with the privileges that are there now, if nothing hindered them.

    Raises:
        EngineError: the server was lost.
    """
    wanted = building.facts.large_objects.privileges
    if building.selection is not None or building.is_empty or not building.facts.large_objects.count:
        return found
    if wanted is None:
        if SCHEMA_DUMP in building.source.attachments:  # else `give_privileges` says that there are none of anything
            building.notes.add_warning(_LARGE_OBJECTS)
        return found
    roles = Roles(building.admin)
    given = give_privileges_on_large_objects(operator.connection, wanted, roles, building.notes, building.run)
    large_objects = found.large_objects.model_copy(update={"privileges": given})
    return found.model_copy(update={"large_objects": large_objects})


def set_owner(building: Building, database: str, owner: str) -> None:
    """Gives a new database to its owner.

    Raises:
        EngineError: the server refused or was lost.
    """
    with administering(f"The database could not be given to {owner}", hint=f"GRANT the role {owner} to the operator's"):
        building.admin.connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), sql.Identifier(owner))
        )


def set_properties(building: Building, database: str, schema: Archive | None) -> None:
    """Gives a new database the settings, privileges and comment that the backup's had; what is refused is noted.

    Raises:
        EngineError: the server was lost.
    """
    connection = building.admin.connection
    roles = Roles(building.admin)
    if schema is not None and apply_to_database(connection, schema, database, building.notes):
        with mapped_errors("The privileges on the database could not be marked"):
            mark_acl_as_recorded(connection, database)
    for role, setting in building.facts.database.settings:
        name, _, value = setting.partition("=")
        doing = f"The setting {name} of {role or 'the database'}"
        if role and not roles.exists(role):
            building.notes.add_missing_role(role, doing)
            continue
        with mapped_errors(doing):
            try:
                connection.execute(setting_statement(database, role or None, name, value))
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                building.notes.add_refusal(doing, error)
