"""Where a PostgreSQL backup is restored to be looked at: on a server of its own, or on one that the operator names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from psycopg import sql
from rich.filesize import decimal

from hhh.core.errors import EngineError, HHHError, Lacking, ToolMissing
from hhh.core.run import Run
from hhh.core.text import listed
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import administration
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.binaries import SYSTEM_INSTALLS, Tool, find_tool
from hhh.engines.postgresql.checks_content import roles_of
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.drills import drill_on
from hhh.engines.postgresql.names import new_token
from hhh.engines.postgresql.notes import ROLES_CHECK
from hhh.engines.postgresql.throw_away_server import throw_away_server
from hhh.engines.proving import Place
from hhh.engines.restoring import SCHEMA_DUMP, Destination, RestoreMode, RestoreSource
from hhh.engines.room import require_room
from hhh.schemas.facts import PostgresqlFacts

_DATABASE = "drill"
_MAJOR = re.compile(r"\d+")
#: Names that only the server's own roles have.
_RESERVED = "pg_"
_ROLES_AT_ONCE = 500
#: A new server with its databases and its log of 1 GB at most, which is recycled long before that in most restores.
_SERVER_BYTES = 200_000_000
#: A dump has no indexes; and of each row the server keeps 28 bytes beside its values, and 20 in an index at least.
_WITH_INDEXES = 2
_BYTES_OF_A_ROW = 64


@contextlib.contextmanager
def throw_away(
    source: RestoreSource,
    server_url: str | None,
    workplace: Workplace,
    run: Run,
    *,
    installs: Path = SYSTEM_INSTALLS,
) -> Iterator[Place]:
    """See `hhh.engines.proving.Prover.throw_away`; ``installs`` is as of `find_tool`."""
    if not isinstance(source.facts, PostgresqlFacts):
        raise EngineError("The backup is not one of PostgreSQL")
    if server_url is not None:
        with drill_on(server_url, workplace) as place:
            yield place
        return
    initdb, postgres = find_server(_major(source, source.facts), workplace, installs)
    _require_room(source, workplace.scratch)
    roles = _roles(source, source.facts)
    with throw_away_server(initdb, postgres, roles, workplace, run) as server:
        _make_roles(server.url, roles, workplace)
        yield Place(
            destination=Destination(
                url=server.url,
                name=_DATABASE,
                mode=RestoreMode.NEW,
                token=new_token(),
                acknowledged=frozenset({ROLES_CHECK}),
            ),
            description=f"PostgreSQL {postgres.version}, a throw-away server",
            isolation=server.isolation.told,
            warnings=server.isolation.warnings,
        )


def find_server(major: int, workplace: Workplace, installs: Path = SYSTEM_INSTALLS) -> tuple[Tool, Tool]:
    """``initdb`` and ``postgres`` of exactly that major: what is restored into a newer one proves less.

    Raises:
        Lacking: they are not here, and which package has them.
    """
    initdb, postgres = (_find(name, major, workplace, installs) for name in ("initdb", "postgres"))
    if initdb is not None and postgres is not None:
        return initdb, postgres
    missing = [name for name, tool in (("initdb", initdb), ("postgres", postgres)) if tool is None]
    raise Lacking(
        f"The backup is of PostgreSQL {major}, and there is no {listed(missing)} {major} here to restore it with",
        hint=f"install postgresql-{major}, or set HHH_PG_BIN_DIR to the folder of its programs",
    )


def _find(name: str, major: int, workplace: Workplace, installs: Path) -> Tool | None:
    with contextlib.suppress(ToolMissing):
        tool, newer = find_tool(name, major, pg_bin_dir=workplace.pg_bin_dir, installs=installs)
        if newer is None:
            return tool
    return None


def _require_room(source: RestoreSource, scratch: Path) -> None:
    """What a restore takes can only be estimated: a dump has the values of its rows as text, and no indexes."""
    rows = sum(table.rows for table in source.facts.tables)
    restored = max(source.raw_size * _WITH_INDEXES, source.raw_size + rows * _BYTES_OF_A_ROW)
    to_fetch = source.raw_size if source.dump is None else 0
    purpose = f"to restore the dump of {decimal(source.raw_size)} there"
    require_room(scratch, to_fetch + restored + _SERVER_BYTES, purpose, about=True)


def _major(source: RestoreSource, facts: PostgresqlFacts) -> int:
    for version in (facts.server_version, source.versions.get("server", "")):
        if found := _MAJOR.search(version):
            return int(found[0])
    raise Lacking("The backup does not tell of which version of PostgreSQL it is")


def _roles(source: RestoreSource, facts: PostgresqlFacts) -> Collection[str]:
    """All that own something in the backup, or have privileges."""
    roles = {*facts.roles, facts.database.owner}
    path = source.attachments.get(SCHEMA_DUMP) or source.dump
    if path is not None:
        with contextlib.suppress(HHHError):  # whoever restores it is told that it can't be read
            roles |= roles_of(Archive.read(path).entries)
    return roles


def _make_roles(url: str, roles: Collection[str], workplace: Workplace) -> None:
    """Makes them without any right: they are there to own things."""
    wanted = sorted(role for role in roles if not role.startswith(_RESERVED))
    statements = [sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)) for role in wanted]
    with administration(url, workplace) as admin, mapped_errors("The roles of the backup could not be made"):
        for start in range(0, len(statements), _ROLES_AT_ONCE):
            admin.connection.execute(sql.SQL("; ").join(statements[start : start + _ROLES_AT_ONCE]))
