"""Privileges on large objects: a schema-only dump has none of them, and the main dump has no privileges at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from psycopg import sql

from hhh.schemas.facts import LargeObjectFacts, LargeObjectGrant, LargeObjectPrivileges

#: What the owner of a new one may do (``acldefault`` in PostgreSQL's ``acl.c``).
ALL = frozenset({"SELECT", "UPDATE"})
_RESERVED = "pg_"
_RANGE = re.compile(r"(\d+)(?:\.\.(\d+))?")

#: One row for all that have an owner and an ACL in common, however many. An island is what follows one another without
#: a large object of another kind between: numbers between two of them are mostly those of tables or rows. ACLs can be
#: hashed and not sorted, and so the texts come in any order.
_PRIVILEGES = sql.SQL("""
    SELECT pg_catalog.pg_get_userbyid(i.lomowner)::pg_catalog.text,
           (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                       pg_catalog.pg_get_userbyid(a.grantor),
                       CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
                       a.privilege_type, a.is_grantable)), '[]')
              FROM pg_catalog.aclexplode(i.lomacl) a),
           pg_catalog.sum(i.size)::pg_catalog.int8,
           pg_catalog.string_agg(i.first::pg_catalog.text || CASE i.last WHEN i.first THEN '' ELSE '..' || i.last END,
                                 ' ')
      FROM (
        SELECT n.lomowner, n.lomacl, pg_catalog.count(*) AS size, pg_catalog.min(n.oid) AS first,
               pg_catalog.max(n.oid) AS last
          FROM (
            SELECT b.oid, b.lomowner, b.lomacl, pg_catalog.count(*) FILTER (WHERE b.begins) OVER (ORDER BY b.oid)
                   AS island
              FROM (
                SELECT m.oid, m.lomowner, m.lomacl,
                       m.lomowner IS DISTINCT FROM pg_catalog.lag(m.lomowner) OVER (ORDER BY m.oid)
                       OR m.lomacl IS DISTINCT FROM pg_catalog.lag(m.lomacl) OVER (ORDER BY m.oid) AS begins
                  FROM pg_catalog.pg_largeobject_metadata m) b) n
         WHERE n.lomacl IS NOT NULL GROUP BY n.island, n.lomowner, n.lomacl) i
     GROUP BY i.lomowner, i.lomacl
""")


def privileges_on_large_objects(
    rows: Callable[[sql.SQL], list[tuple[Any, ...]]],
) -> list[LargeObjectPrivileges]:
    """The privileges of all large objects that have others than new ones; psycopg's errors pass through.

    Args:
        rows: asks the server.
    """
    found = [
        LargeObjectPrivileges(owner=owner, grants=_sorted(map(tuple, grants)), count=count, objects=_ascending(objects))
        for owner, grants, count, objects in rows(_PRIVILEGES)
    ]
    return sorted((each for each in found if each.grants != _of_new_ones(each.owner)), key=_first)


def roles_of_privileges(facts: LargeObjectFacts) -> set[str]:
    """All roles that they name, but for those that servers have by themselves.

    pg_shdepend does not know the role that initdb made.
    """
    privileges = facts.privileges or ()
    owners = {each.owner for each in privileges}
    named = {role for each in privileges for grant in each.grants for role in (grant.grantor, grant.grantee)}
    return {role for role in owners | named if role and not role.startswith(_RESERVED)}


def ranges_of(objects: str) -> Iterator[tuple[int, int]]:
    """First and last number of each range of `LargeObjectPrivileges.objects`."""
    for found in _RANGE.finditer(objects):
        yield int(found[1]), int(found[2] or found[1])


def _ascending(objects: str) -> str:
    return " ".join(sorted(objects.split(" "), key=lambda each: int(each.partition("..")[0])))


def _first(of: LargeObjectPrivileges) -> int:
    return next(ranges_of(of.objects))[0]


def _sorted(grants: Iterable[tuple[str, str, str, bool]]) -> list[LargeObjectGrant]:
    return [
        LargeObjectGrant(grantor=grantor, grantee=grantee, privilege=privilege, is_grantable=is_grantable)
        for grantor, grantee, privilege, is_grantable in sorted(grants)
    ]


def _of_new_ones(owner: str) -> list[LargeObjectGrant]:
    return _sorted((owner, owner, privilege, False) for privilege in ALL)
