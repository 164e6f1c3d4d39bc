"""The facts of a PostgreSQL database, read in the snapshot of its dump."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import psycopg
from psycopg import errors, sql

from hhh.engines.postgresql.connection import Session, mapped_errors
from hhh.engines.postgresql.fingerprints import Fingerprints, Wanted
from hhh.engines.postgresql.large_objects import privileges_on_large_objects, roles_of_privileges
from hhh.engines.postgresql.snapshot import Relation, Snapshot, chunks
from hhh.schemas.facts import DatabaseProperties, ExtensionFacts, LargeObjectFacts, PostgresqlFacts, TableFacts

#: With one table per query, small tables cost mostly round trips; with hundreds, planning costs more than both.
_TABLES_PER_QUERY = 20
_Looked: TypeAlias = tuple[int, Decimal | None]
_LOCALE_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}

#: As JSON, since the columns are named differently from major to major (daticulocale became datlocale in 17).
_DATABASE = sql.SQL("""
    SELECT pg_catalog.to_jsonb(d), pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding)
      FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
""")

_SETTINGS = sql.SQL("""
    SELECT CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole)::pg_catalog.text END, v.setting
      FROM pg_catalog.pg_db_role_setting s
      JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
     CROSS JOIN pg_catalog.unnest(s.setconfig) v (setting)
     WHERE d.datname = pg_catalog.current_database()
     ORDER BY 1, 2
""")

_EXTENSIONS = sql.SQL("""
    SELECT e.extname, e.extversion, n.nspname
      FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname
""")

#: pg_shdepend knows every owner, grantee, and role of a policy, a user mapping or a default privilege, but not the
#: role that initdb made: that one is looked for where objects of users (oid 16384 and above) have owners.
_ROLES = sql.SQL("""
    WITH here AS (SELECT d.oid, d.datdba FROM pg_catalog.pg_database d
                   WHERE d.datname = pg_catalog.current_database())
    SELECT DISTINCT pg_catalog.pg_get_userbyid(r.oid)::pg_catalog.text COLLATE "C" FROM (
        SELECT s.refobjid AS oid FROM pg_catalog.pg_shdepend s, here
         WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
           AND (s.dbid = here.oid OR s.dbid = 0 AND s.objid = here.oid
                AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass)
        UNION SELECT here.datdba FROM here
        UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s, here
               WHERE s.setdatabase = here.oid AND s.setrole <> 0
        UNION SELECT o.owner FROM (
            SELECT relowner AS owner FROM pg_catalog.pg_class WHERE oid >= 16384
            UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384
            UNION SELECT proowner FROM pg_catalog.pg_proc WHERE oid >= 16384
            UNION SELECT typowner FROM pg_catalog.pg_type WHERE oid >= 16384) o
    ) r ORDER BY 1
""")

_MAY_READ_CONTROL_DATA = sql.SQL(
    "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
)
_CONTROL_DATA = sql.SQL("SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()")

_LARGE_OBJECT_COUNT = sql.SQL("SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata")

#: Opens each object for reading (INV_READ), seeks its end (SEEK_END), closes it: a look at the last page of each. The
#: table of the pages itself is for superusers only. OFFSET 0 keeps the steps in their order.
_LARGE_OBJECT_BYTES = sql.SQL("""
    SELECT coalesce(pg_catalog.sum(c.size), 0)::pg_catalog.int8, pg_catalog.sum(c.closed) FROM (
        SELECT b.size, pg_catalog.lo_close(b.fd) AS closed FROM (
            SELECT a.fd, pg_catalog.lo_lseek64(a.fd, 0, 2) AS size FROM (
                SELECT pg_catalog.lo_open(m.oid, 262144) AS fd FROM pg_catalog.pg_largeobject_metadata m OFFSET 0
            ) a OFFSET 0
        ) b OFFSET 0
    ) c
""")


def take_facts(session: Session, snapshot: Snapshot, fingerprint: Wanted = "off") -> PostgresqlFacts:
    """Reads all facts, in the transaction that holds the snapshot.

    Args:
        session: of the snapshot.
        snapshot: what to look at.
        fingerprint: of which tables, and how. One that can't be taken is left out, and a warning says why.

    Raises:
        EngineError: the server refused or was lost.
    """
    with mapped_errors("The facts of the database could not be taken"):
        fingerprints = Fingerprints.plan(session, snapshot.tables, fingerprint)
        large_objects = _large_objects(session)
        return PostgresqlFacts(
            server_version=session.connection.info.parameter_status("server_version") or "",
            system_identifier=_system_identifier(session),
            database=_database(session),
            extensions=[
                ExtensionFacts(name=name, version=version, schema_name=schema)
                for name, version, schema in session.rows(_EXTENSIONS)
            ],
            roles=sorted({name for (name,) in session.rows(_ROLES)} | roles_of_privileges(large_objects)),
            large_objects=large_objects,
            sequences=list(snapshot.sequences),
            tables=_tables(session, snapshot, fingerprints),
            warnings=fingerprints.warnings,
        )


def _system_identifier(session: Session) -> str | None:
    [(allowed,)] = session.rows(_MAY_READ_CONTROL_DATA)
    return str(session.rows(_CONTROL_DATA)[0][0]) if allowed else None


def _database(session: Session) -> DatabaseProperties:
    [(row, owner, encoding)] = session.rows(_DATABASE)
    columns: dict[str, Any] = row
    return DatabaseProperties(
        name=columns["datname"],
        owner=owner,
        encoding=encoding,
        locale_provider=_LOCALE_PROVIDERS.get(columns.get("datlocprovider", "c"), "unknown"),
        collation=columns["datcollate"],
        character_type=columns["datctype"],
        icu_locale=columns.get("datlocale", columns.get("daticulocale")),
        collation_version=columns.get("datcollversion"),
        settings=[(role, setting) for role, setting in session.rows(_SETTINGS)],
    )


def _large_objects(session: Session) -> LargeObjectFacts:
    [(count,)] = session.rows(_LARGE_OBJECT_COUNT)
    total: int | None = None
    with contextlib.suppress(errors.InsufficientPrivilege), session.connection.transaction():
        [(total, _)] = session.rows(_LARGE_OBJECT_BYTES)
    privileges = privileges_on_large_objects(session.rows) if count else []
    return LargeObjectFacts(count=count, total_bytes=total, privileges=privileges)


def _tables(session: Session, snapshot: Snapshot, fingerprints: Fingerprints) -> list[TableFacts]:
    return [
        TableFacts(
            schema_name=table.schema,
            name=table.name,
            rows=rows,
            fingerprint=fingerprints.text(table, total),
            extension=table.extension,
            root=table.root,
        )
        for chunk in chunks(snapshot.tables, _TABLES_PER_QUERY)
        for table, (rows, total) in zip(chunk, _look_at(session, chunk, fingerprints), strict=True)
    ]


def _look_at(session: Session, tables: Sequence[Relation], fingerprints: Fingerprints) -> list[_Looked]:
    """Counts, and where fingerprints can't be taken, counts alone: the backup is good without them."""
    try:
        return _count(session, tables, fingerprints)
    except psycopg.Error as error:
        if session.connection.closed or not fingerprints.of_any(tables):
            raise
        if len(tables) > 1:
            return [looked for table in tables for looked in _look_at(session, [table], fingerprints)]
        fingerprints.leave_out(tables[0], error)
        return _count(session, tables, fingerprints)


def _count(session: Session, tables: Sequence[Relation], fingerprints: Fingerprints) -> list[_Looked]:
    """Rows of each table, and what its fingerprint is made of.

    To plan a count, the server locks all indexes of the table. Going back to a savepoint lets go of them: kept to the
    end, those of thousands of tables fill the server's table of locks, for everybody.
    """
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, pg_catalog.count(*), {} FROM ONLY {}").format(
            sql.Literal(number), fingerprints.expression(table), table.identifier
        )
        for number, table in enumerate(tables)
    )
    with session.connection.transaction(force_rollback=True):
        return [(rows, total) for _, rows, total in session.rows(sql.SQL("{} ORDER BY 1").format(query))]
