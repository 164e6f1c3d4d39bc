"""A new database for a restore: as the old one was, closed to others, with its extensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from hhh.engines.postgresql.admin import Administration, DatabaseRow, administering
from hhh.engines.postgresql.archive import Entry
from hhh.engines.postgresql.connection import Connection, last_line, mapped_errors
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.worker import Worker
from hhh.schemas.facts import DatabaseProperties, ExtensionFacts

_RIGHT_HINT = "the role needs CREATEDB: ALTER ROLE … CREATEDB"
_PROVIDERS_SINCE, _ICU_RULES_SINCE, _BUILTIN_SINCE = 15, 16, 17

_AVAILABLE_VERSION = sql.SQL("""
    SELECT FROM pg_catalog.pg_available_extension_versions v WHERE v.name = %(name)s AND v.version = %(version)s
""")
_INSTALLED = sql.SQL("SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_extension e")
_SCHEMAS = sql.SQL("SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_namespace n")
_TABLESPACES = sql.SQL("""
    SELECT t.spcname::pg_catalog.text FROM pg_catalog.pg_tablespace t
     WHERE pg_catalog.has_tablespace_privilege(t.oid, 'CREATE')
""")
#: What the plain role needs of what a superuser's extensions made: their schemas, the tables that a dump has rows of,
#: and their wrappers for foreign servers.
_NEEDED_OF_EXTENSIONS = sql.SQL("""
    SELECT pg_catalog.format('USAGE, CREATE ON SCHEMA %%I', n.nspname) FROM pg_catalog.pg_namespace n
     WHERE n.oid >= 16384 AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
       AND NOT pg_catalog.has_schema_privilege(%(role)s, n.oid, 'USAGE, CREATE')
    UNION ALL
    SELECT pg_catalog.format(CASE c.relkind WHEN 'S' THEN 'ALL ON SEQUENCE %%I.%%I' ELSE 'ALL ON TABLE %%I.%%I' END,
                             n.nspname, c.relname)
      FROM pg_catalog.pg_extension e CROSS JOIN pg_catalog.unnest(e.extconfig) t (oid)
      JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT pg_catalog.format('USAGE ON FOREIGN DATA WRAPPER %%I', w.fdwname)
      FROM pg_catalog.pg_foreign_data_wrapper w
""")


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a database can only be given when it is made."""

    encoding: str
    #: ``libc``, ``icu`` or ``builtin``.
    locale_provider: str
    collation: str
    character_type: str
    #: Of ICU or of the built-in provider.
    locale: str | None
    icu_rules: str | None = None
    tablespace: str | None = None


def likeness(of: DatabaseProperties | DatabaseRow) -> Likeness:
    """That of a live database, or of one whose facts are known."""
    return Likeness(
        encoding=of.encoding,
        locale_provider=of.locale_provider,
        collation=of.collation,
        character_type=of.character_type,
        locale=of.icu_locale,
        icu_rules=of.icu_rules if isinstance(of, DatabaseRow) else None,
        tablespace=of.tablespace if isinstance(of, DatabaseRow) else None,
    )


def create_database(admin: Administration, name: str, like: Likeness, worker: Worker) -> None:
    """Makes an empty database that belongs to the worker, and lets nobody else in.

    Raises:
        EngineError: it could not be made.
    """
    identifier = sql.Identifier(name)
    options = sql.SQL(" ").join(
        sql.SQL("{} = {}").format(sql.SQL(option), sql.Literal(value))
        for option, value in _options(admin.major, like).items()
    )
    with administering(f"The database {name} could not be created", hint=_RIGHT_HINT):
        for statement in (
            # Until the next statement is done, PUBLIC may connect: so nobody may.
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ALLOW_CONNECTIONS false {}").format(
                identifier, worker.identifier, options
            ),
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier),
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(identifier),
        ):
            admin.connection.execute(statement)


def create_extensions(
    connection: Connection, wanted: Sequence[ExtensionFacts], worker: Worker, notes: Notes
) -> frozenset[str]:
    """Makes the extensions that are not there yet, in their schemas; what can't be made is noted as an error.

    Args:
        connection: of the operator's role, to the database.
        wanted: in an order in which none comes before what it needs.
        worker: owner of schemas that are made for them.
        notes: where to tell.

    Returns:
        The schemas that were made.

    Raises:
        EngineError: the connection was lost.
    """
    with mapped_errors("The extensions could not be made"):
        installed = {name for (name,) in connection.execute(_INSTALLED)}
        schemas = {name for (name,) in connection.execute(_SCHEMAS)}
        made: set[str] = set()
        for extension in wanted:
            if extension.name in installed:
                continue
            if extension.schema_name not in schemas | made:
                connection.execute(
                    sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                        sql.Identifier(extension.schema_name), worker.identifier
                    )
                )
                made.add(extension.schema_name)
            _create_extension(connection, extension, notes)
        return frozenset(made)


def wanted_extensions(entries: Iterable[Entry], facts: Sequence[ExtensionFacts]) -> list[ExtensionFacts]:
    """The extensions of a dump, in its order, with the schemas and versions that they had."""
    known = {extension.name: extension for extension in facts}
    return [known[entry.tag] for entry in entries if entry.description == "EXTENSION" and entry.tag in known]


def grant_what_extensions_have(connection: Connection, worker: Worker) -> None:
    """Lets a temporary worker fill and use what the extensions made; dropping the role takes it back.

    Raises:
        EngineError: the server refused or was lost.
    """
    with mapped_errors("The role for the restore could not be given its rights"):
        for (what,) in connection.execute(_NEEDED_OF_EXTENSIONS, {"role": worker.role}).fetchall():
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(what), worker.identifier))


def open_tablespaces(admin: Administration, entries: Iterable[Entry], worker: Worker, notes: Notes) -> bool:
    """Lets the worker use the dump's tablespaces.

    Returns:
        Whether all of them are here; else everything goes to the database's own.

    Raises:
        EngineError: the server refused or was lost.
    """
    needed = {entry.tablespace for entry in entries if entry.tablespace}
    with mapped_errors("The tablespaces could not be looked at"):
        missing = needed - {name for (name,) in admin.connection.execute(_TABLESPACES)}
        if missing:
            notes.add_warning(
                f"Everything is in the database's own tablespace: there is no {', '.join(sorted(missing))} to use"
            )
            return False
        if worker.is_temporary:
            for name in sorted(needed):
                admin.connection.execute(
                    sql.SQL("GRANT CREATE ON TABLESPACE {} TO {}").format(sql.Identifier(name), worker.identifier)
                )
    return True


def _options(major: int, like: Likeness) -> Mapping[str, str]:
    return dict(_option_pairs(major, like))


def _option_pairs(major: int, like: Likeness) -> Iterator[tuple[str, str]]:
    yield "ENCODING", like.encoding
    yield "LC_COLLATE", like.collation
    yield "LC_CTYPE", like.character_type
    if like.tablespace:
        yield "TABLESPACE", like.tablespace
    if major >= _PROVIDERS_SINCE and like.locale_provider != "unknown":
        yield "LOCALE_PROVIDER", like.locale_provider
    if like.locale and like.locale_provider == "icu":
        yield "ICU_LOCALE", like.locale
    if like.locale and like.locale_provider == "builtin" and major >= _BUILTIN_SINCE:
        yield "BUILTIN_LOCALE", like.locale
    if like.icu_rules and major >= _ICU_RULES_SINCE:
        yield "ICU_RULES", like.icu_rules


def _create_extension(connection: Connection, extension: ExtensionFacts, notes: Notes) -> None:
    statement = sql.SQL("CREATE EXTENSION {} SCHEMA {}").format(
        sql.Identifier(extension.name), sql.Identifier(extension.schema_name)
    )
    version = {"name": extension.name, "version": extension.version}
    if connection.execute(_AVAILABLE_VERSION, version).fetchone() is not None:
        statement += sql.SQL(" VERSION {}").format(sql.Literal(extension.version))
    else:
        notes.add_warning(f"The extension {extension.name} {extension.version} is not here: another version was taken")
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        if connection.closed or isinstance(error, psycopg.OperationalError):
            raise  # some end the session, and say why
        notes.add_errors([f"The extension {extension.name} could not be made: {last_line(error)}"])
