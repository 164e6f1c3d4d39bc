"""What hangs on a database and not in it: who may connect, its comment, limits, settings and labels.

``pg_dump`` without ``--create`` leaves all this out, and renaming a database takes it along under the other name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import errors, sql

from hhh.engines.postgresql.connection import Connection

#: A setting of a database that is being built: the privileges on it are those that the backup recorded, also where
#: nobody but the owner has any. It is gone once the database is published. Names that the server does not know are for
#: superusers: so it is one that every owner may set, to the value that it has anyway.
_ACL_RECORDED = "debug_pretty_print"

#: Settings whose value is a list of quoted names; each name has to be given on its own.
#: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/bin/pg_dump/dumputils.c (variable_is_guc_list_quote)
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
_LIST_ITEM = re.compile(r'"((?:[^"]|"")*)"|([^,\s][^,]*)')

_DATABASE = sql.SQL("""
    SELECT d.datname::pg_catalog.text, pg_catalog.pg_get_userbyid(d.datdba)::pg_catalog.text, d.datconnlimit,
           d.datistemplate, d.datallowconn, pg_catalog.shobj_description(d.oid, 'pg_database')
      FROM pg_catalog.pg_database d WHERE d.oid = %(oid)s
""")
_GRANTS = sql.SQL("""
    SELECT CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee)::pg_catalog.text END,
           a.privilege_type, pg_catalog.bool_or(a.is_grantable)
      FROM pg_catalog.pg_database d
     CROSS JOIN pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
     WHERE d.oid = %(oid)s GROUP BY 1, 2
""")
_SETTINGS = sql.SQL("""
    SELECT CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole)::pg_catalog.text END, v.setting
      FROM pg_catalog.pg_db_role_setting s CROSS JOIN pg_catalog.unnest(s.setconfig) v (setting)
     WHERE s.setdatabase = %(oid)s
""")
_LABELS = sql.SQL("""
    SELECT l.provider, l.label FROM pg_catalog.pg_shseclabel l
     WHERE l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND l.objoid = %(oid)s
""")


class Grant(NamedTuple):
    """One privilege on a database."""

    #: None: PUBLIC.
    grantee: str | None
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class Properties:
    """All that hangs on one database."""

    name: str
    owner: str
    connection_limit: int
    is_template: bool
    allows_connections: bool
    comment: str | None
    #: Also where nothing was ever granted: then what PUBLIC and the owner may by default.
    grants: frozenset[Grant]
    #: Values by role (None: all) and name.
    settings: Mapping[tuple[str | None, str], str]
    #: By provider.
    labels: Mapping[str, str]


def read_properties(connection: Connection, oid: int) -> Properties:
    """What hangs on a database; psycopg's errors pass through."""
    this = {"oid": oid}
    [(name, owner, limit, is_template, allows_connections, comment)] = connection.execute(_DATABASE, this)
    settings = ((role, *setting.split("=", 1)) for role, setting in connection.execute(_SETTINGS, this))
    return Properties(
        name=name,
        owner=owner,
        connection_limit=limit,
        is_template=is_template,
        allows_connections=allows_connections,
        comment=comment,
        grants=frozenset(Grant(*row) for row in connection.execute(_GRANTS, this)),
        settings={(role, name): value for role, name, value in settings},
        labels=dict(connection.execute(_LABELS, this).fetchall()),
    )


def take_over(connection: Connection, old: Properties, new: Properties, *, skip_refused_settings: bool = False) -> None:
    """Gives the new database what hangs on the old one; what only the new one has of comment and settings, stays.

    Args:
        connection: in a transaction; psycopg's errors pass through.
        old: of the database whose place the new one takes.
        new: of the new database as it is now, by its present name.
        skip_refused_settings: whether to go on without settings that the role may not set.
    """
    for statement in _differences(old, new):
        connection.execute(statement)
    for (role, name), value in changed_settings(old, new).items():
        statement = setting_statement(new.name, role, name, value)
        if not skip_refused_settings:
            connection.execute(statement)
            continue
        try:
            with connection.transaction():
                connection.execute(statement)
        except errors.InsufficientPrivilege:
            continue


def changed_settings(old: Properties, new: Properties) -> dict[tuple[str | None, str], str]:
    """The settings that `take_over` has to set."""
    return {key: value for key, value in old.settings.items() if new.settings.get(key) != value}


def refused_settings(connection: Connection, of: Properties) -> list[str]:
    """The settings of a database that the connection's role may not set, tried and taken back: ``role: name``."""
    refused = []
    for (role, name), value in of.settings.items():
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(setting_statement(of.name, role, name, value))
        except errors.InsufficientPrivilege:
            refused.append(f"{role}: {name}" if role else name)
    return sorted(refused)


def mark_acl_as_recorded(connection: Connection, database: str) -> None:
    """Tells `open_up` that the privileges on a database that is being built are final."""
    connection.execute(setting_statement(database, None, _ACL_RECORDED, "on"))


def open_up(connection: Connection, new: Properties) -> None:
    """Lets in whom the backup says to a database that was closed to PUBLIC while it was built.

    Without privileges in the backup, these are the rights that PUBLIC has on every new database.
    """
    if (None, _ACL_RECORDED) in new.settings:
        return
    connection.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC").format(sql.Identifier(new.name)))


def remove_marks(connection: Connection, new: Properties) -> None:
    """Removes what only the building of a database needed."""
    if (None, _ACL_RECORDED) in new.settings:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RESET {}").format(sql.Identifier(new.name), _setting_name(_ACL_RECORDED))
        )


def _differences(old: Properties, new: Properties) -> Iterator[sql.Composed]:
    name = sql.Identifier(new.name)
    if old.owner != new.owner:  # first, since the owner is who grants
        yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(old.owner))
    yield from _grants(name, old, new)
    yield sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {} CONNECTION LIMIT {} IS_TEMPLATE {}").format(
        name, sql.Literal(old.allows_connections), sql.Literal(old.connection_limit), sql.Literal(old.is_template)
    )
    if old.comment is not None:
        yield sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(old.comment))
    for provider, label in old.labels.items():
        yield sql.SQL("SECURITY LABEL FOR {} ON DATABASE {} IS {}").format(
            sql.Identifier(provider), name, sql.Literal(label)
        )


def _grants(name: sql.Identifier, old: Properties, new: Properties) -> Iterator[sql.Composed]:
    if old.grants == new.grants and old.owner == new.owner:
        return
    # What the former owner of the new database had, is the new owner's by now.
    grantees = {old.owner, *(grant.grantee for grant in new.grants if grant.grantee != new.owner)}
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(name, _roles(grantees))
    for grant in sorted(old.grants, key=str):
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(_PRIVILEGES[grant.privilege]),
            name,
            _roles([grant.grantee]),
            sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
        )


#: As ``aclexplode`` names them; they are keywords, not names.
_PRIVILEGES = {"CREATE": "CREATE", "CONNECT": "CONNECT", "TEMPORARY": "TEMPORARY"}


def _roles(roles: Iterable[str | None]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("PUBLIC") if role is None else sql.Identifier(role) for role in roles)


def setting_statement(database: str, role: str | None, name: str, value: str) -> sql.Composed:
    """``ALTER … SET`` of a database, or of a role in it; the value as ``pg_db_role_setting`` has it."""
    subject = (
        sql.SQL("DATABASE {}").format(sql.Identifier(database))
        if role is None
        else sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), sql.Identifier(database))
    )
    values = _list_items(value) if name.lower() in _LISTS else [value]
    return sql.SQL("ALTER {} SET {} TO {}").format(
        subject, _setting_name(name), sql.SQL(", ").join(map(sql.Literal, values))
    )


def _setting_name(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


def _list_items(value: str) -> list[str]:
    items = [
        quoted.replace('""', '"') if found.startswith('"') else plain.strip()
        for found, quoted, plain in ((match[0], match[1], match[2]) for match in _LIST_ITEM.finditer(value))
    ]
    return items or [""]
