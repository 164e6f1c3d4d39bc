"""What a restore has to tell: errors that make it fail, and what came out differently than it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import psycopg
from psycopg import errors, sql

from hhh.core.text import listed
from hhh.engines.postgresql.admin import Administration
from hhh.engines.postgresql.connection import last_line, mapped_errors

#: The check by which the operator accepts that roles of the backup do not exist.
ROLES_CHECK = "roles"

#: What pg_restore begins with where rows could not be loaded.
_OF_ROWS = "COPY failed for table "

#: Whom the role of the connection can make an owner. Before PostgreSQL 16 any membership was enough.
_ROLES_BEFORE_16 = sql.SQL("""
    SELECT r.rolname::pg_catalog.text, pg_catalog.pg_has_role(r.oid, 'MEMBER'),
           pg_catalog.pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER')
           OR pg_catalog.pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER')
      FROM pg_catalog.pg_roles r
""")
_ROLES = sql.SQL("""
    SELECT r.rolname::pg_catalog.text, pg_catalog.pg_has_role(r.oid, 'SET'),
           pg_catalog.pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER')
           OR pg_catalog.pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER')
      FROM pg_catalog.pg_roles r
""")
_SET_OPTION_SINCE = 160_000


class Roles:
    """The roles of a server."""

    def __init__(self, admin: Administration) -> None:
        with mapped_errors("The roles could not be looked at"):
            query = _ROLES if admin.server_version >= _SET_OPTION_SINCE else _ROLES_BEFORE_16
            rows = admin.connection.execute(query).fetchall()
        self._may_be_given: dict[str, bool] = {role: may_be_given for role, may_be_given, _ in rows}
        self._mighty = frozenset(role for role, _, is_mighty in rows if is_mighty)

    def exists(self, role: str) -> bool:
        """Whether there is a role of that name."""
        return role in self._may_be_given

    def may_own(self, role: str) -> bool:
        """Whether it exists, and the operator's role may make it the owner of what it has itself."""
        return self._may_be_given.get(role, False)

    def is_mighty(self, role: str) -> bool:
        """Whether code that belongs to it may do everything on the server: a superuser's, or who may run programs."""
        return role in self._mighty


class Notes:
    """Collects what is to be told."""

    def __init__(self, acknowledged: Collection[str]) -> None:
        self._acknowledged = acknowledged
        self._errors: list[str] = []
        self._warnings: list[str] = []
        self._of_missing_roles: dict[str, list[str]] = {}
        self._of_closed_roles: dict[str, list[str]] = {}

    @property
    def errors(self) -> tuple[str, ...]:
        """What makes the restore fail."""
        missing = () if ROLES_CHECK in self._acknowledged else self._missing_roles()
        return (*self._errors, *missing)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know."""
        missing = self._missing_roles() if ROLES_CHECK in self._acknowledged else ()
        closed = tuple(
            f"The operator's role may not make {role} an owner: {listed(names)}"
            for role, names in self._of_closed_roles.items()
        )
        return (*self._warnings, *missing, *closed)

    def add_errors(self, texts: Iterable[str]) -> None:
        """Takes errors; that a role of the backup does not exist is one only where that was not accepted.

        That may be accepted of owners and privileges: where rows name it, they are missing.
        """
        for text in texts:
            if (role := _role_said_missing(text)) and not text.startswith(_OF_ROWS):
                self.add_missing_role(role, _about(text))
            else:
                self._errors.append(text)

    def add_warning(self, text: str) -> None:
        """Takes a warning, once."""
        if text not in self._warnings:
            self._warnings.append(text)

    def add_missing_role(self, role: str, what: str) -> None:
        """Takes that something could not be given to a role that does not exist."""
        self._of_missing_roles.setdefault(role, []).append(what)

    def add_closed_role(self, role: str, what: str) -> None:
        """Takes that something could not be given to a role, since the operator's may not."""
        self._of_closed_roles.setdefault(role, []).append(what)

    def add_refusal(self, doing: str, error: psycopg.Error) -> None:
        """Takes what the server said of one of our statements."""
        if role := _role_said_missing(f"ERROR:  {last_line(error)}"):
            self.add_missing_role(role, doing)
        elif isinstance(error, errors.InsufficientPrivilege):
            self.add_warning(f"{doing}: {last_line(error)}")
        else:
            self._errors.append(f"{doing}: {last_line(error)}")

    def _missing_roles(self) -> tuple[str, ...]:
        return tuple(
            f"The role {role} does not exist: {listed(names)}" for role, names in self._of_missing_roles.items()
        )


def _about(text: str) -> str:
    """The entry of the dump that an error is about, without its command."""
    first = text.splitlines()[0]
    _, begun, entry = first.partition(" (TOC entry ")
    return f"not made: {entry.removesuffix(')')}" if begun else first


def _role_said_missing(text: str) -> str | None:
    """The role that a statement failed for, as PostgreSQL names it."""
    _, begun, rest = text.partition('ERROR:  role "')
    role, ended, _ = rest.partition('" does not exist')
    return role if begun and ended else None
