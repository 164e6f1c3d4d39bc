"""Gives large objects the privileges back that the facts of the backup tell of."""

from __future__ import annotations

import contextlib
import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg import sql

from hhh.core.run import Run
from hhh.engines.postgresql.connection import Connection, last_line, mapped_errors
from hhh.engines.postgresql.large_objects import ALL, privileges_on_large_objects, ranges_of
from hhh.engines.postgresql.notes import Notes, Roles
from hhh.schemas.facts import LargeObjectGrant, LargeObjectPrivileges

#: Objects of one statement: since PostgreSQL 18 it may lock them all, and the table of locks has some 6400 places.
_AT_ONCE = 1000
_PER_PAGE = 10_000
_SHOWN = 60
#: What the server says in a WARNING and not in an error: that less was granted or revoked than was asked for.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_LESS_GRANTED = ("01006", "01007")

_PAGE = sql.SQL("""
    SELECT m.oid::pg_catalog.int8, pg_catalog.pg_get_userbyid(m.lomowner)::pg_catalog.text
      FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid > %(after)s::pg_catalog.oid ORDER BY m.oid LIMIT %(limit)s
""")


def give_privileges_on_large_objects(
    connection: Connection, wanted: Sequence[LargeObjectPrivileges], roles: Roles, notes: Notes, run: Run
) -> list[LargeObjectPrivileges] | None:
    """Grants and revokes as the facts tell it, once everything has its owner; what can't be done is noted.

    Args:
        connection: of the operator's role, to the database, in autocommit.
        wanted: of the facts.
        roles: of the server.
        notes: where to tell.
        run: who may cancel.

    Returns:
        What is there now; None where something was noted, and so it can't be as it was.

    Raises:
        EngineError: the connection was lost.
        Cancelled, LeaseLost: the run is over.
    """
    granting = _Granting(connection, roles, notes)
    with mapped_errors("The privileges on large objects could not be set"), granting.hearing():
        batches: dict[tuple[int, bool], list[int]] = defaultdict(list)
        for number, group, is_owners in _there(connection, wanted, run):
            batch = batches[group, is_owners]
            batch.append(number)
            if len(batch) == _AT_ONCE:
                granting.change(wanted[group], batch, is_owners=is_owners)
                batch.clear()
        for (group, is_owners), batch in batches.items():
            run.raise_if_cancelled()
            if batch:
                granting.change(wanted[group], batch, is_owners=is_owners)
        if not granting.is_complete:
            return None
        return privileges_on_large_objects(lambda query: connection.execute(query).fetchall())


class Change(NamedTuple):
    """A statement about any number of objects."""

    #: Who is to grant; empty for the owner: that is whom the server takes where a superuser grants.
    by: str
    verb: str
    privileges: tuple[str, ...]
    #: Empty for PUBLIC.
    role: str
    is_grantable: bool = False

    def about(self, objects: Sequence[int]) -> sql.Composed:
        return sql.SQL("{} {} ON LARGE OBJECT {} {} {}{}").format(
            sql.SQL("GRANT" if self.verb == "GRANT" else "REVOKE"),
            sql.SQL(", ").join(sql.SQL("SELECT" if each == "SELECT" else "UPDATE") for each in self.privileges),
            sql.SQL(", ").join(map(sql.Literal, objects)),
            sql.SQL("TO" if self.verb == "GRANT" else "FROM"),
            sql.Identifier(self.role) if self.role else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION" if self.is_grantable else ""),
        )


def _there(
    connection: Connection, wanted: Sequence[LargeObjectPrivileges], run: Run
) -> Iterator[tuple[int, int, bool]]:
    """Each object that is there and has a place in the list, that place, and whether its owner is the one it had."""
    ranges = heapq.merge(*(_ranges(group, each.objects) for group, each in enumerate(wanted)))
    ends = next(ranges, None)
    after = 0
    while ends is not None:
        run.raise_if_cancelled()
        page = connection.execute(_PAGE, {"after": after, "limit": _PER_PAGE}).fetchall()
        if not page:
            return
        for number, owner in page:
            while ends is not None and ends[1] < number:
                ends = next(ranges, None)
            if ends is None:
                return
            if ends[0] <= number:
                yield number, ends[2], owner == wanted[ends[2]].owner
        after = page[-1][0]


def _ranges(group: int, objects: str) -> Iterator[tuple[int, int, int]]:
    for first, last in ranges_of(objects):
        yield first, last, group


@dataclass(slots=True)
class _Granting:
    """Runs the statements, and notes what could not be done."""

    connection: Connection
    roles: Roles
    notes: Notes
    is_complete: bool = True
    _told: set[tuple[str, str]] = field(default_factory=set)

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """Takes what the server says in warnings meanwhile."""
        self.connection.add_notice_handler(self._hear)
        try:
            yield
        finally:
            self.connection.remove_notice_handler(self._hear)

    def change(self, of: LargeObjectPrivileges, objects: Sequence[int], *, is_owners: bool) -> None:
        """Gives objects what their like had."""
        self.is_complete &= is_owners
        for change in changes(of, is_owners=is_owners):
            what = f"{', '.join(change.privileges)} on large objects {_short(of.objects)}"
            missing = [role for role in (change.by, change.role) if role and not self.roles.exists(role)]
            for role in missing:
                self._tell(role, what)
            if not missing:
                self._execute(change, objects, f"{change.verb} {what}")

    def _execute(self, change: Change, objects: Sequence[int], doing: str) -> None:
        try:
            with self.connection.transaction():
                if change.by:
                    self.connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(change.by)))
                self.connection.execute(change.about(objects))
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            self.is_complete = False
            if (doing, last_line(error)) not in self._told:  # of each batch the same
                self._told.add((doing, last_line(error)))
                self.notes.add_refusal(doing, error)

    def _tell(self, role: str, what: str) -> None:
        self.is_complete = False
        if (role, what) not in self._told:
            self._told.add((role, what))
            self.notes.add_missing_role(role, what)

    def _hear(self, said: psycopg.errors.Diagnostic) -> None:
        if said.sqlstate in _LESS_GRANTED:
            self.is_complete = False
            self.notes.add_warning(f"Privileges on large objects: {said.message_primary}")


def changes(of: LargeObjectPrivileges, *, is_owners: bool) -> Iterator[Change]:
    """What makes these privileges of those that new large objects have.

    Args:
        of: the privileges.
        is_owners: whether the objects belong to the owner that they had. Another one keeps all that owners may.
    """
    own = [grant for grant in of.grants if grant.grantor == grant.grantee == of.owner]
    if is_owners and {(grant.privilege, grant.is_grantable) for grant in own} != {(each, False) for each in ALL}:
        yield Change("", "REVOKE", tuple(sorted(ALL)), of.owner)
        yield from _together(own, of.owner)
    left = [grant for grant in of.grants if grant not in own]
    may_grant = {(of.owner, privilege) for privilege in ALL}
    while left:  # nobody can grant before he was granted it himself
        now = [grant for grant in left if (grant.grantor, grant.privilege) in may_grant] or left
        yield from _together(now, of.owner)
        may_grant |= {(grant.grantee, grant.privilege) for grant in now if grant.is_grantable}
        left = [grant for grant in left if grant not in now]


def _together(grants: Sequence[LargeObjectGrant], owner: str) -> Iterator[Change]:
    """Statements for grants that do not need one another."""
    of: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
    for grant in grants:
        of[grant.grantor, grant.grantee, grant.is_grantable].add(grant.privilege)
    for (grantor, grantee, is_grantable), privileges in of.items():
        by = "" if grantor == owner else grantor
        yield Change(by, "GRANT", tuple(sorted(privileges)), grantee, is_grantable)


def _short(objects: str) -> str:
    return objects if len(objects) <= _SHOWN else f"{objects[:_SHOWN].rpartition(' ')[0] or objects[:_SHOWN]} …"
