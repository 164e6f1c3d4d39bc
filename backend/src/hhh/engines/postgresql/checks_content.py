"""Checks of what a backup needs of the server it is restored to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

from psycopg import errors, sql

from hhh.core.errors import EngineError
from hhh.core.text import listed
from hhh.engines.postgresql.admin import DatabaseRow
from hhh.engines.postgresql.archive import Entry
from hhh.engines.postgresql.checks_look import Look
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.notes import ROLES_CHECK
from hhh.engines.postgresql.superuser import SUPERUSER_CHECK, superuser_entries
from hhh.engines.restoring import RestoreMode
from hhh.schemas.facts import DatabaseProperties
from hhh.schemas.restore import Check

_RELATIONS = frozenset({"TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"})
#: It is in every new database.
_BUILT_IN_EXTENSION = "plpgsql"
#: pg_dump writes one grantee in each statement.
_GRANTEE = re.compile(r'^GRANT .* TO (?:"((?:[^"]|"")+)"|(\w+))(?: WITH GRANT OPTION)?;$', re.MULTILINE)
_PUBLIC = "PUBLIC"
_SAME_LOCALES = re.compile(r"[^a-z0-9@_.]")

_ROLES = sql.SQL("SELECT r.rolname::pg_catalog.text FROM pg_catalog.pg_roles r")
_EXTENSIONS = sql.SQL("""
    SELECT v.name::pg_catalog.text, v.version, v.superuser AND NOT v.trusted
      FROM pg_catalog.pg_available_extension_versions v WHERE v.name = ANY (%(names)s)
""")
_NAMES_HERE = sql.SQL("""
    SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
""")
_EXTENSIONS_HERE = sql.SQL("SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_extension e")


def _check_tables(look: Look) -> Check:
    if look.destination.mode is not RestoreMode.TABLES:
        return Check.ok("tables", "Everything is restored, into a database of its own")
    if look.makes_database:
        return Check.ok("tables", "The database is new: nothing can be in the way of the tables")
    if look.entries is None:
        return Check.unknown("tables", "What is in the backup is not known here: it has no schema dump")
    try:
        here = set(look.query_in_database(_NAMES_HERE))
    except EngineError as error:
        return Check.unsafe("tables", str(error))
    wanted = {(entry.namespace, entry.tag) for entry in look.entries if entry.description in _RELATIONS}
    if both := sorted(f"{schema}.{name}" for schema, name in wanted & here):
        return Check.unsafe(
            "tables",
            f"In the database {look.destination.name} there is already {listed(both)}: rename or drop it, or name "
            "another database",
        )
    return Check.ok("tables", f"None of what is restored is in the database {look.destination.name} yet")


def _check_extensions(look: Look) -> Check:
    try:
        wanted = _wanted_extensions(look)
    except EngineError as error:
        return Check.unknown("extensions", str(error))
    available: dict[str, dict[str, bool]] = defaultdict(dict)
    for name, version, superusers_only in look.query(_EXTENSIONS, names=sorted(wanted)):
        available[name][version] = superusers_only
    if missing := sorted(wanted.keys() - available.keys()):
        return Check.unsafe(
            "extensions", f"The server does not have {listed(missing)}: install the package of it there"
        )
    forbidden = [] if look.admin.is_superuser else [name for name in wanted if all(available[name].values())]
    if forbidden:
        return Check.unsafe("extensions", f"Only a superuser may create {listed(sorted(forbidden))}: restore as one")
    if others := [f"{name} {version}" for name, version in sorted(wanted.items()) if version not in available[name]]:
        return Check.warning("extensions", f"The server does not have {listed(others)}: its own versions are taken")
    return Check.ok("extensions", f"The server has what is needed: {listed(sorted(wanted)) or 'nothing'}")


def _wanted_extensions(look: Look) -> dict[str, str]:
    """Versions by name, of those that have to be created."""
    versions = {extension.name: extension.version for extension in look.facts.extensions}
    if look.destination.mode is RestoreMode.TABLES and look.entries is not None:
        selected = {entry.tag for entry in look.entries if entry.description == "EXTENSION"}
        versions = {name: version for name, version in versions.items() if name in selected}
    if not look.makes_database:
        for (name,) in look.query_in_database(_EXTENSIONS_HERE):
            versions.pop(name, None)
    versions.pop(_BUILT_IN_EXTENSION, None)
    return versions


def _check_roles(look: Look) -> Check:
    here = {role for (role,) in look.query(_ROLES)}
    wanted = roles_of(look.entries or ())
    if look.destination.mode is not RestoreMode.TABLES:
        wanted |= {*look.facts.roles, look.facts.database.owner}
    if missing := sorted(wanted - here):
        return Check.doubtful(
            ROLES_CHECK,
            f"The server has no role {listed(missing)}: create it (pg_dumpall --roles-only has its definition), or "
            "what it owns goes to the owner of the database (if that is a superuser, to the role hhh_nobody, which is "
            "made), and its privileges are left out",
        )
    return Check.ok(ROLES_CHECK, "All roles that own something or have privileges exist")


def roles_of(entries: Iterable[Entry]) -> set[str]:
    """The roles that own these entries or have privileges by them."""
    owners = {entry.owner for entry in entries if entry.owner}
    privileges = (entry.definition for entry in entries if entry.description in {"ACL", "DEFAULT ACL"})
    found = (match for definition in privileges for match in _GRANTEE.finditer(definition))
    grantees = {match[1].replace('""', '"') if match[1] else match[2] for match in found}
    return owners | (grantees - {_PUBLIC})


def _check_encoding(look: Look) -> Check:
    there = look.facts.database.encoding
    if look.row is None or look.row.encoding == there:
        return Check.ok("encoding", f"The encoding is {there}")
    said = f"The backup's encoding is {there}, and that of {look.destination.name} is {look.row.encoding}"
    if look.destination.mode is RestoreMode.REPLACE:
        return Check.unsafe("encoding", f"{said}: restore as a new database")
    return Check.warning("encoding", f"{said}: a letter that it does not have makes the restore fail")


def _check_locale(look: Look) -> Check:
    if not look.makes_database:
        return Check.ok("locale", "The database is there, with its own locale")
    if look.destination.mode is not RestoreMode.REPLACE or look.row is None:
        return _check_locale_is_known(look)
    found = _locale_differences(look.facts.database, look.row)
    if found:
        return Check.doubtful(
            "locale",
            f"The backup's {'; its '.join(found)}: acknowledged, the live one's is taken, and text is sorted and "
            "compared otherwise than when the backup was made",
        )
    return Check.ok("locale", "The locale is that of the live database")


def _check_locale_is_known(look: Look) -> Check:
    """A collation made from the locale and taken back at once tells whether the server knows it."""
    problem = _refused_locale(look)
    if problem is None:
        return Check.ok("locale", f"The server knows the locale {look.facts.database.collation}")
    if isinstance(problem, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return Check.unknown(
            "locale", f"Whether the server knows the locale {look.facts.database.collation} is not known"
        )
    return Check.unsafe(
        "locale", f"The server does not know the locale: {problem.diag.message_primary}; install it there"
    )


def _locale_differences(there: DatabaseProperties, here: DatabaseRow) -> list[str]:
    pairs = {
        "locale provider": (there.locale_provider, here.locale_provider),
        "collation": (_normal(there.collation), _normal(here.collation)),
        "character type": (_normal(there.character_type), _normal(here.character_type)),
        "locale": (there.icu_locale, here.icu_locale),
    }
    return [f"{what} is {old}, and the live one's is {new}" for what, (old, new) in pairs.items() if old != new]


def _normal(locale: str) -> str:
    """``en_US.UTF-8`` and ``en_US.utf8`` are the same."""
    return _SAME_LOCALES.sub("", locale.lower())


def _refused_locale(look: Look) -> errors.Error | None:
    database = look.facts.database
    if database.locale_provider in {"icu", "builtin"} and database.icu_locale:
        options = sql.SQL("provider = {}, locale = {}").format(
            sql.SQL("icu" if database.locale_provider == "icu" else "builtin"), sql.Literal(database.icu_locale)
        )
    else:
        options = sql.SQL("provider = libc, lc_collate = {}, lc_ctype = {}").format(
            sql.Literal(database.collation), sql.Literal(database.character_type)
        )
    connection = look.admin.connection
    with mapped_errors("The locale could not be looked at"):
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(sql.SQL("CREATE COLLATION pg_temp.hhh_locale ({})").format(options))
        except errors.OperationalError:
            raise
        except errors.Error as error:
            return error
    return None


def _check_superuser_objects(look: Look) -> Check:
    if look.archive is None or look.entries is None:
        return Check.unknown(SUPERUSER_CHECK, "What is in the backup is not known here: it has no schema dump")
    found = [f"{each.description} {each.tag}" for each in superuser_entries(look.archive, look.entries)]
    if not found:
        return Check.ok(SUPERUSER_CHECK, "A role without superuser may create everything")
    said = f"Only a superuser may create {listed(found)}"
    if look.admin.is_superuser:
        return Check.doubtful(
            SUPERUSER_CHECK, f"{said}: acknowledged, a superuser does it. Trust the backup, its code runs"
        )
    return Check.doubtful(SUPERUSER_CHECK, f"{said}: acknowledged, it is left out. Restore as a superuser to have it")


CHECKS_OF_CONTENT: Collection[Callable[[Look], Check]] = (
    _check_tables,
    _check_extensions,
    _check_roles,
    _check_encoding,
    _check_locale,
    _check_superuser_objects,
)
