"""Gives what was restored to its owners.

A superuser runs these statements: they are made of names that the server itself quoted, never of a dump's text.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from hhh.core.errors import EngineError
from hhh.core.text import listed
from hhh.engines.postgresql.archive import Entry
from hhh.engines.postgresql.connection import Connection, mapped_errors
from hhh.engines.postgresql.notes import Notes, Roles
from hhh.engines.postgresql.objects import OWNED, DatabaseObject, identity, objects
from hhh.engines.postgresql.snapshot import chunks
from hhh.engines.postgresql.superuser import SUPERUSER_CHECK
from hhh.engines.postgresql.worker import Worker

_LARGE_OBJECTS = frozenset({"BLOB", "BLOB METADATA"})
_NUMBER = re.compile(r"\d+")
#: Large objects that are given in one transaction. Each may take a place in the server's table of locks.
_AT_ONCE = 1000
#: The owner of what has none here, where it would be a superuser otherwise. Functions with the rights of their owner,
#: views, and the indexes that autovacuum looks at would then be a way from any role of the backup to all rights.
NOBODY = "hhh_nobody"
_STILL_OWNS = sql.SQL("""
    SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
     WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.deptype = 'o' AND r.rolname = %(role)s
       AND s.dbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
""")


@dataclass(frozen=True, slots=True)
class Owners:
    """Who is to own what."""

    worker: Worker
    roles: Roles
    #: The owner of the database.
    default: str
    #: Whether the dump may say what superusers own: not one that somebody else made.
    is_trusted: bool
    notes: Notes

    @property
    def rest(self) -> str:
        """The owner of what has no owner that exists, and of what the dump's own code made while it was restored."""
        return NOBODY if self.roles.is_mighty(self.default) else self.default

    def give(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Changes the owners of what was restored; what could not be done is noted.

        Args:
            connection: of the operator's role, to the database.
            entries: that were restored.

        Raises:
            EngineError: the connection was lost, or the rest could not be given to its owner.
        """
        entries = list(entries)
        with mapped_errors("The owners could not be set"):
            there = objects(connection)
            wanted = {identity(entry): entry.owner for entry in entries if entry.description in OWNED and entry.owner}
            for each in [
                key for key in there if key in wanted
            ]:  # in the order of the catalogue: tables, then sequences
                self._give(connection, there[each], self._chosen(wanted[each], there[each].target))
            for each in wanted.keys() - there.keys():
                self.notes.add_warning(f"The owner of {each.kind} {each.schema}.{each.name} could not be set")
            for owner, numbers in _large_objects(entries).items():
                self._give_large_objects(connection, numbers, owner)
            if self.worker.is_temporary:
                self._give_rest(connection)

    def _give_rest(self, connection: Connection) -> None:
        if connection.execute(_STILL_OWNS, {"role": self.worker.role}).fetchone() is None:
            return
        if self.rest == NOBODY:
            self._make_nobody(connection)
        connection.execute(
            sql.SQL("REASSIGN OWNED BY {} TO {}").format(self.worker.identifier, sql.Identifier(self.rest))
        )

    def _make_nobody(self, connection: Connection) -> None:
        if self.roles.is_mighty(NOBODY):
            raise EngineError(f"The role {NOBODY} may do everything, and so could what is nobody's", hint="drop it")
        with contextlib.suppress(errors.DuplicateObject):
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(NOBODY)))
        self.notes.add_warning(
            f"What has no owner here belongs to {NOBODY}, a role without rights, and not to "
            f"{self.default}, who may do everything: REASSIGN OWNED BY it where you trust its code"
        )

    def _chosen(self, owner: str, what: str) -> str:
        if not self.is_trusted and self.roles.is_mighty(owner):
            self.notes.add_warning(
                f"The dump was made elsewhere: what it gives to {owner}, who may do everything here, belongs to "
                f"{self.rest}. Acknowledge {SUPERUSER_CHECK} to trust it"
            )
            return self.rest
        if self.roles.may_own(owner):
            return owner
        if self.roles.exists(owner):
            self.notes.add_closed_role(owner, f"{what} belongs to {self.rest}")
        else:
            self.notes.add_missing_role(owner, f"{what} belongs to {self.rest}")
        return self.rest

    def _give(self, connection: Connection, found: DatabaseObject, owner: str) -> None:
        if found.follows or self._is_or_will_be(owner, found.owner):
            return
        try:
            connection.execute(_statement(found.target, owner))
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            self.notes.add_refusal(f"{found.target} could not be given to {owner}", error)

    def _give_large_objects(self, connection: Connection, numbers: Sequence[int], wanted: str) -> None:
        """There may be a million, and none of their names could be another's: many are given at once."""
        owner = self._chosen(wanted, f"LARGE OBJECT {listed([str(number) for number in numbers])}")
        if self._is_or_will_be(owner, self.worker.role):
            return
        for chunk in chunks([f"LARGE OBJECT {number}" for number in numbers], _AT_ONCE):
            try:
                connection.execute(sql.SQL("; ").join(_statement(target, owner) for target in chunk))
            except psycopg.OperationalError:
                raise
            except psycopg.Error:  # of all of them, nothing was done
                for target in chunk:
                    self._give(connection, DatabaseObject(target, self.worker.role, follows=False), owner)

    def _is_or_will_be(self, owner: str, now: str) -> bool:
        return now == owner or (self.worker.is_temporary and owner == self.rest and now == self.worker.role)


def _large_objects(entries: Iterable[Entry]) -> dict[str, list[int]]:
    """The large objects of each owner; from PostgreSQL 17 on, an entry has many, listed in its definition."""
    found: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        if entry.description in _LARGE_OBJECTS and entry.owner:
            numbers = [entry.tag] if entry.description == "BLOB" else _NUMBER.findall(entry.definition)
            found[entry.owner] += map(int, numbers)
    return found


def _statement(target: str, owner: str) -> sql.Composed:
    return sql.SQL("ALTER {} OWNER TO {}").format(_as_sql(target), sql.Identifier(owner))


def _as_sql(target: str) -> sql.Composed:
    # Quoted by the server (`DatabaseObject.target`), or a number of ours.
    return sql.Composed([sql.SQL(target)])
