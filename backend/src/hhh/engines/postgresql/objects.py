"""What a database holds, by the names that a dump has for it.

The catalogue quotes the names and resolves the signatures itself, so that no text of a dump becomes part of a
statement.
"""

from __future__ import annotations

from typing import NamedTuple

from psycopg import sql

from hhh.engines.postgresql.archive import Entry
from hhh.engines.postgresql.connection import Connection

#: The kinds of entry that have owners of their own.
#: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/bin/pg_dump/pg_backup_archiver.c (_getObjectDescription)
OWNED = frozenset(
    {
        *("AGGREGATE", "COLLATION", "CONVERSION", "DOMAIN", "EVENT TRIGGER", "FOREIGN DATA WRAPPER", "FOREIGN TABLE"),
        *("FUNCTION", "MATERIALIZED VIEW", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "PROCEDURAL LANGUAGE"),
        *("PROCEDURE", "PUBLICATION", "SCHEMA", "SEQUENCE", "SERVER", "STATISTICS", "SUBSCRIPTION", "TABLE"),
        *("TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TYPE", "VIEW"),
    }
)
#: The kinds that say something about another entry, on which they depend; only its owner may.
NOTES = frozenset({"COMMENT", "SECURITY LABEL"})
#: Their tags are not unique: the statement that drops them says which it is.
_BY_DROP_STATEMENT = ("OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY")

#: Signatures are put together as pg_dump does it with an empty search_path (format_function_signature, dumpOpr).
_OBJECTS = sql.SQL("""
    SELECT o.kind, o.schema, o.tag, o.target, pg_catalog.pg_get_userbyid(o.owner)::pg_catalog.text, o.follows FROM (
        SELECT 'SCHEMA' AS kind, '' AS schema, n.nspname::pg_catalog.text AS tag,
               pg_catalog.format('SCHEMA %%I', n.nspname) AS target, n.nspowner AS owner, false AS follows
          FROM pg_catalog.pg_namespace n
        UNION ALL
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                              WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
               n.nspname, c.relname, pg_catalog.format('TABLE %%I.%%I', n.nspname, c.relname), c.relowner,
               c.relkind = 'S' AND EXISTS (
                   SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i'))
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname, t.typname,
               pg_catalog.format(CASE t.typtype WHEN 'd' THEN 'DOMAIN %%I.%%I' ELSE 'TYPE %%I.%%I' END,
                                 n.nspname, t.typname),
               t.typowner, false
          FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
         WHERE t.typtype IN ('b', 'd', 'e', 'r')
            OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class c
                                            WHERE c.oid = t.typrelid AND c.relkind = 'c')
        UNION ALL
        SELECT CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, n.nspname,
               pg_catalog.format('%%s(%%s)', p.proname, CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN '*' ELSE (
                   SELECT pg_catalog.string_agg(pg_catalog.format_type(a.type, NULL), ', ' ORDER BY a.place)
                     FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY a (type, place)) END),
               pg_catalog.format('ROUTINE %%s', p.oid::pg_catalog.regprocedure), p.proowner, false
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE p.oid >= 16384
        UNION ALL
        SELECT 'OPERATOR', n.nspname, s.signature, 'OPERATOR ' || s.signature, o.oprowner, false
          FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
         CROSS JOIN LATERAL pg_catalog.format('%%I.%%s (%%s, %%s)', n.nspname, o.oprname,
            CASE o.oprleft WHEN 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprleft, NULL) END,
            CASE o.oprright WHEN 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprright, NULL) END) s (signature)
         WHERE o.oid >= 16384
        UNION ALL
        SELECT 'OPERATOR CLASS', n.nspname, s.name, 'OPERATOR CLASS ' || s.name, o.opcowner, false
          FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace
          JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
         CROSS JOIN LATERAL pg_catalog.format('%%I.%%I USING %%I', n.nspname, o.opcname, m.amname) s (name)
         WHERE o.oid >= 16384
        UNION ALL
        SELECT 'OPERATOR FAMILY', n.nspname, s.name, 'OPERATOR FAMILY ' || s.name, o.opfowner, false
          FROM pg_catalog.pg_opfamily o JOIN pg_catalog.pg_namespace n ON n.oid = o.opfnamespace
          JOIN pg_catalog.pg_am m ON m.oid = o.opfmethod
         CROSS JOIN LATERAL pg_catalog.format('%%I.%%I USING %%I', n.nspname, o.opfname, m.amname) s (name)
         WHERE o.oid >= 16384
        UNION ALL
        SELECT q.kind, n.nspname, q.name, pg_catalog.format('%%s %%I.%%I', q.kind, n.nspname, q.name), q.owner, false
          FROM (SELECT 'COLLATION' AS kind, oid, collnamespace AS namespace, collname AS name, collowner AS owner
                  FROM pg_catalog.pg_collation
                UNION ALL SELECT 'CONVERSION', oid, connamespace, conname, conowner FROM pg_catalog.pg_conversion
                UNION ALL SELECT 'STATISTICS', oid, stxnamespace, stxname, stxowner FROM pg_catalog.pg_statistic_ext
                UNION ALL SELECT 'TEXT SEARCH DICTIONARY', oid, dictnamespace, dictname, dictowner
                            FROM pg_catalog.pg_ts_dict
                UNION ALL SELECT 'TEXT SEARCH CONFIGURATION', oid, cfgnamespace, cfgname, cfgowner
                            FROM pg_catalog.pg_ts_config) q
          JOIN pg_catalog.pg_namespace n ON n.oid = q.namespace
         WHERE q.oid >= 16384
        UNION ALL
        SELECT q.kind, '', q.name, pg_catalog.format('%%s %%I', q.kind, q.name), q.owner, false
          FROM (SELECT 'PROCEDURAL LANGUAGE' AS kind, lanname AS name, lanowner AS owner FROM pg_catalog.pg_language
                UNION ALL SELECT 'FOREIGN DATA WRAPPER', fdwname, fdwowner FROM pg_catalog.pg_foreign_data_wrapper
                UNION ALL SELECT 'SERVER', srvname, srvowner FROM pg_catalog.pg_foreign_server
                UNION ALL SELECT 'PUBLICATION', pubname, pubowner FROM pg_catalog.pg_publication
                UNION ALL SELECT 'EVENT TRIGGER', evtname, evtowner FROM pg_catalog.pg_event_trigger
                UNION ALL SELECT 'SUBSCRIPTION', s.subname, s.subowner FROM pg_catalog.pg_subscription s
                            JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
                           WHERE d.datname = pg_catalog.current_database()) q
    ) o
     WHERE o.schema NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
     -- What others depend on comes last: a sequence follows its table.
     ORDER BY o.follows, o.kind <> 'SCHEMA'
""")


class Identity(NamedTuple):
    """What an object is called, as a dump says it."""

    #: ``TABLE``, ``FUNCTION``, …
    kind: str
    #: Empty for what is in no schema, and where the name has it.
    schema: str
    #: With the signature, where one belongs to it.
    name: str


class DatabaseObject(NamedTuple):
    """One object of the database."""

    #: What follows ``ALTER`` in a statement, quoted by the server: ``TABLE public.orders``.
    target: str
    owner: str
    #: Whether it always belongs to the owner of another object, such as the sequence of a column.
    follows: bool


def identity(entry: Entry) -> Identity:
    """What an entry's object is called."""
    if entry.description in _BY_DROP_STATEMENT:
        name = entry.drop_statement.removeprefix(f"DROP {entry.description} ").rstrip(";\n")
        return Identity(entry.description, entry.namespace, name)
    return Identity(entry.description, entry.namespace, entry.tag)


def objects(connection: Connection) -> dict[Identity, DatabaseObject]:
    """All objects of the database that a dump can hold; psycopg's errors pass through."""
    return {
        Identity(kind, schema, name): DatabaseObject(target, owner, follows)
        for kind, schema, name, target, owner, follows in connection.execute(_OBJECTS, {})
    }
