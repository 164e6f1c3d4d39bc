"""Privileges and default privileges of a backup, from its schema-only dump.

Each statement is run on its own and not the whole entry by pg_restore: that would send all grants on a table as one
transaction, in which one role that does not exist takes them all back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import psycopg
from psycopg import sql

from hhh.core.errors import EngineError
from hhh.core.run import Run
from hhh.engines.postgresql.archive import Archive, Entry
from hhh.engines.postgresql.connection import Connection, mapped_errors
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.objects import Identity, identity
from hhh.engines.postgresql.privilege_statements import Statement, about_database, kind, statements, text, words

#: ``SET SESSION AUTHORIZATION`` and the end of it.
_WHO_GRANTS = ("SET", "RESET")
_OF_DATABASE = frozenset({"ACL", "COMMENT", "SECURITY LABEL"})


def apply_privileges(
    connection: Connection, schema: Archive, notes: Notes, run: Run, *, of: Callable[[Identity], bool], defaults: bool
) -> None:
    """Grants and revokes as the backup recorded it; what the server refuses is noted.

    Args:
        connection: of the operator's role, to the database, in which everything has its owner.
        schema: the schema-only dump with privileges.
        notes: where to tell.
        run: who may cancel.
        of: which objects it is about.
        defaults: whether default privileges of future objects are set, too.

    Raises:
        EngineError: the connection was lost, or there are other statements than those about privileges.
    """
    identities = {entry.dump_id: identity(entry) for entry in schema.entries if entry.description != "ACL"}
    for entry in schema.entries:
        objects = [identities[each] for each in entry.dependencies if each in identities]
        if entry.description == "ACL" and not _is_of_database(entry):
            wanted = all(of(each) for each in objects) and (defaults or bool(objects))
        else:
            wanted = defaults and entry.description == "DEFAULT ACL"
        if wanted:
            run.raise_if_cancelled()
            _execute(connection, _in_the_database(entry), f"Privileges of {entry.tag}", notes)


def apply_to_database(connection: Connection, schema: Archive, name: str, notes: Notes) -> bool:
    """Gives a new database the privileges, comment and labels that the backup's had; what is refused is noted.

    Args:
        connection: of the operator's role, to any database of the server.
        schema: the schema-only dump with privileges.
        name: of the new database.
        notes: where to tell.

    Returns:
        Whether the backup had privileges of its own on its database.

    Raises:
        EngineError: the connection was lost, or there are other statements than those.
    """
    entries = [entry for entry in schema.entries if entry.description in _OF_DATABASE and _is_of_database(entry)]
    has_privileges = any(entry.description == "ACL" for entry in entries)
    identifier = sql.Identifier(name)
    with mapped_errors(f"The privileges on the database {name} could not be set"):
        if has_privileges:  # the entry says what is different from what every new database has
            connection.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC").format(identifier))
    quoted = identifier.as_string(connection)
    for entry in entries:
        here = (
            each if words(each)[0] in _WHO_GRANTS else about_database(each, quoted)
            for each in statements(entry.definition)
        )
        _execute(connection, here, f"{entry.description.capitalize()} of the database", notes)
    return has_privileges


def _in_the_database(entry: Entry) -> Iterator[Statement]:
    for statement in statements(entry.definition):
        if kind(statement) == "DATABASE":
            raise EngineError(f"The privileges of {entry.tag} are about a database: {text(statement)[:80]!r}")
        yield statement


def _is_of_database(entry: Entry) -> bool:
    return not entry.namespace and entry.tag.startswith("DATABASE ")


def _execute(connection: Connection, todo: Iterable[Statement], doing: str, notes: Notes) -> None:
    skipping = False
    with _own_authorization(connection):
        for statement in todo:
            begins = words(statement)[0]
            if skipping and begins != "RESET":
                continue  # it was to be run as a role that we can't be
            skipping = not _execute_one(connection, statement, doing, notes) and begins == "SET"


def _execute_one(connection: Connection, statement: Statement, doing: str, notes: Notes) -> bool:
    with mapped_errors(doing):
        try:
            # Asked for binary results, psycopg uses the protocol that takes one statement and no more.
            connection.execute(text(statement).encode(), binary=True)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            notes.add_refusal(f"{doing}: {text(statement)}", error)
            return False
    return True


@contextlib.contextmanager
def _own_authorization(connection: Connection) -> Iterator[None]:
    """Whatever a dump sets, the connection is its own role's again afterwards."""
    yield
    with mapped_errors("The privileges could not be set"):
        connection.execute("RESET SESSION AUTHORIZATION")
