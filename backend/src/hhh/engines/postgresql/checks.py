"""What is looked at before a PostgreSQL database is restored; nothing is changed by it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from psycopg import sql

from hhh.core.errors import InvalidInput, TargetUnreachable, ToolMissing
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import administration
from hhh.engines.postgresql.binaries import SYSTEM_INSTALLS, find_tool
from hhh.engines.postgresql.checks_content import CHECKS_OF_CONTENT
from hhh.engines.postgresql.checks_live import CHECKS_OF_LIVE
from hhh.engines.postgresql.checks_look import Look, begin_look
from hhh.engines.postgresql.names import LONGEST_NAME
from hhh.engines.restoring import Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts
from hhh.schemas.restore import Check

_OF_THE_SERVER = ("postgres", "template0", "template1")
#: Indexes are not in a dump, and are there as well in the end.
_WITH_INDEXES = 2
_MEGABYTE = 1_000_000
_MAJOR = re.compile(r"\d+")

_IN_RECOVERY = sql.SQL("SELECT pg_catalog.pg_is_in_recovery()")
_DATA_DIRECTORY = sql.SQL("""
    SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
                THEN pg_catalog.current_setting('data_directory') END
""")
_MAY_CREATE_SCHEMAS = sql.SQL("SELECT pg_catalog.has_database_privilege(%(name)s, 'CREATE')")
_SUPERUSERS_IT_MAY_BECOME = sql.SQL("""
    SELECT r.rolname::pg_catalog.text FROM pg_catalog.pg_roles r
     WHERE r.rolsuper AND pg_catalog.pg_has_role(r.oid, 'MEMBER') ORDER BY 1
""")
_SERVER_ROLES = sql.SQL("""
    SELECT r.rolname::pg_catalog.text FROM pg_catalog.pg_roles r
     WHERE r.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
       AND pg_catalog.pg_has_role(r.oid, 'MEMBER') ORDER BY 1
""")


def checks(
    source: RestoreSource, destination: Destination, workplace: Workplace, *, installs: Path = SYSTEM_INSTALLS
) -> list[Check]:
    """Each check, also those that hold; see `Restorer.checks`.

    A server that can't be reached is a check that does not hold; the others are not made then.

    Args:
        source: the backup; its attachments are enough.
        destination: where it is to go.
        workplace: where to work.
        installs: as of `find_tool`.

    Raises:
        EngineError: the server was lost, or refused what it lets every role do.
        InvalidInput: the backup is not of PostgreSQL, or the URL is none.
    """
    if not isinstance(source.facts, PostgresqlFacts):
        raise InvalidInput("The backup is not one of PostgreSQL", hint="restore it to a path")
    try:
        with administration(destination.url, workplace) as admin:
            look = begin_look(source, source.facts, destination, workplace, admin)
            made = [_check_connection(look), _check_tool(look, installs)]
            made += [each(look) for each in _checks_of(destination.mode)]
    except TargetUnreachable as error:
        return [Check.unsafe("connection", str(error))]
    return made


def _check_connection(look: Look) -> Check:
    version = (look.admin.connection.info.parameter_status("server_version") or "").partition(" ")[0]
    if look.query(_IN_RECOVERY) == [(True,)]:
        return Check.unsafe("connection", f"PostgreSQL {version} is a standby, which nothing can be written to")
    return Check.ok("connection", f"PostgreSQL {version} lets the role {look.admin.role} in")


def _check_tool(look: Look, installs: Path) -> Check:
    major = look.admin.major
    try:
        tool, newer = find_tool("pg_restore", major, pg_bin_dir=look.workplace.pg_bin_dir, installs=installs)
    except ToolMissing as error:
        return Check.unsafe("tool", str(error))
    if newer is not None:
        return Check.unsafe(
            "tool",
            f"The server is PostgreSQL {major}, and of pg_restore only {tool.version} is here, which sets what an "
            f"older server does not know: install postgresql-client-{major}, or set HHH_PG_BIN_DIR",
        )
    made_by = _major(look.source.versions.get("tool", ""))
    if made_by is not None and made_by > major:
        return Check.warning(
            "tool", f"The dump was made by pg_dump {made_by}; pg_restore {tool.version} may not read it"
        )
    return Check.ok("tool", f"pg_restore {tool.version} is here")


def _check_version(look: Look) -> Check:
    here, there = look.admin.major, _major(look.facts.server_version)
    if there is None:
        return Check.unknown("server_version", f"The backup does not tell its server's version; here it is {here}")
    if here < there:
        return Check.unsafe(
            "server_version",
            f"The backup is of PostgreSQL {there}, and the server is {here}: restore to {there} or a newer one",
        )
    return Check.ok("server_version", f"The backup is of PostgreSQL {there}, and the server is {here}")


def _check_template_or_system(look: Look) -> Check:
    name = look.destination.name
    if name in _OF_THE_SERVER:
        return Check.unsafe("template_or_system", f"{name} is the server's own: nothing is restored into it")
    return Check.ok("template_or_system", f"{name} is none of the server's own databases")


def _check_permissions(look: Look) -> Check:
    missing = _missing_rights(look)
    if missing:
        return Check.unsafe("permissions", f"The role {look.admin.role} {'; and it '.join(missing)}")
    if look.admin.is_superuser:
        return Check.ok("permissions", "A superuser may do it all; a role without that right is made for the work")
    return Check.ok("permissions", f"The role {look.admin.role} has the rights that it needs, and is no superuser")


def _missing_rights(look: Look) -> list[str]:
    admin, name, missing = look.admin, look.destination.name, []
    if look.makes_database and not admin.may_create_databases:
        missing.append("may not create databases: ALTER ROLE … CREATEDB")
    if look.destination.mode is RestoreMode.REPLACE:
        if look.row is not None and not look.row.is_own:
            missing.append(f"does not own {name}: GRANT the role {look.row.owner} to it")
        if admin.connection.info.dbname == name:
            missing.append(
                f"may connect to no other database than {name}, and can't rename that from itself: GRANT CONNECT ON "
                "DATABASE postgres"
            )
    if not look.makes_database and look.query(_MAY_CREATE_SCHEMAS, name=name) == [(False,)]:
        missing.append(f"may not create anything in {name}: GRANT CREATE ON DATABASE to it")
    if not admin.is_superuser and (superusers := [role for (role,) in look.query(_SUPERUSERS_IT_MAY_BECOME)]):
        missing.append(
            f"may become the superuser {', '.join(superusers)}, and so could what it restores: restore as that "
            "superuser, for whom a plain role is made, or REVOKE the membership"
        )
    return missing


def _check_server_programs(look: Look) -> Check:
    roles = [] if look.admin.is_superuser else [role for (role,) in look.query(_SERVER_ROLES)]
    if roles:
        return Check.warning(
            "server_programs",
            f"A dump is code, and the role {look.admin.role} is a member of {', '.join(roles)}: what it restores may "
            "use the server's files and programs. Restore as another role unless you trust the backup",
        )
    return Check.ok("server_programs", "What is restored can't use the server's files and programs")


def _check_free_space(look: Look) -> Check:
    """The data directory that the server names is looked at only where the server may be on this machine."""
    info = look.admin.connection.info
    is_here = (info.hostaddr or info.host).startswith(("/", "127.", "::1"))
    [(folder,)] = look.query(_DATA_DIRECTORY) if is_here else [(None,)]
    try:
        free = shutil.disk_usage(folder).free if folder is not None else None
    except OSError:
        free = None  # a port that leads to another machine or container
    if free is None:
        return Check.unknown("free_space", "How much space the server has is not known here")
    needed = look.source.raw_size
    said = f"{free // _MEGABYTE:,} MB are free in {folder}, and the dump has {needed // _MEGABYTE:,} MB"
    if free < needed:
        return Check.doubtful("free_space", f"{said}: make room, on what the server's live databases need as well")
    if free < needed * _WITH_INDEXES:
        return Check.warning("free_space", f"{said}, without its indexes")
    return Check.ok("free_space", said)


def _check_destination(look: Look) -> Check:
    name = look.destination.name
    if look.problem is not None:
        return Check.unsafe("destination", look.problem)
    if not 0 < len(name.encode()) <= LONGEST_NAME or "\0" in name:
        return Check.unsafe("destination", f"The name of a database has 1 to {LONGEST_NAME} bytes")
    if look.destination.mode is RestoreMode.REPLACE:
        return _check_replaced(look)
    if look.row is None:
        return Check.ok("destination", f"There is no database {name} yet")
    if look.destination.mode is RestoreMode.NEW:
        return Check.unsafe("destination", f"There is a database {name} already: name another one, or replace it")
    return Check.ok("destination", f"The database {name} is there; what is not named stays as it is")


def _check_replaced(look: Look) -> Check:
    name = look.destination.name
    if name != look.database_of_url:
        return Check.unsafe(
            "destination", f"Only the target's own database can be replaced: that is {look.database_of_url}, not {name}"
        )
    if look.row is None:
        return Check.unsafe("destination", f"There is no database {name} to replace: restore it as a new one (--to)")
    return Check.ok("destination", f"The database {name} is there, and will be kept under another name")


def _major(version: str) -> int | None:
    """Of ``16.4 (Debian …)`` and ``pg_dump 16.4``."""
    found = _MAJOR.search(version)
    return int(found[0]) if found else None


def _checks_of(mode: RestoreMode) -> Sequence[Callable[[Look], Check]]:
    always = (
        _check_version,
        _check_template_or_system,
        _check_destination,
        _check_permissions,
        _check_server_programs,
        _check_free_space,
        *CHECKS_OF_CONTENT,
    )
    return (*always, *CHECKS_OF_LIVE) if mode is RestoreMode.REPLACE else always
