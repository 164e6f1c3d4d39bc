"""Connections that administer a server: from a database that is not the one they are about."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import errors, sql

from hhh.core.errors import EngineError, TargetUnreachable
from hhh.core.scratch import scratch_written
from hhh.engines.base import Workplace
from hhh.engines.postgresql.connection import (
    Connection,
    last_line,
    mapped_errors,
    open_connection,
    passfile,
    protect,
)
from hhh.engines.postgresql.url import Address, parse_url

#: Databases that are on nearly every server, and that nobody restores into.
_MAINTENANCE = ("postgres", "template1")
_LOCALE_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}

_ROLE = sql.SQL("""
    SELECT r.rolname, r.rolsuper, r.rolsuper OR r.rolcreatedb
      FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
""")

#: As JSON, since the columns are named differently from major to major (daticulocale became datlocale in 17).
_DATABASE = sql.SQL("""
    SELECT pg_catalog.to_jsonb(d), d.oid::pg_catalog.int8, pg_catalog.pg_get_userbyid(d.datdba)::pg_catalog.text,
           pg_catalog.pg_encoding_to_char(d.encoding)::pg_catalog.text, t.spcname::pg_catalog.text,
           pg_catalog.pg_has_role(d.datdba, 'USAGE'), pg_catalog.shobj_description(d.oid, 'pg_database')
      FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
     WHERE d.datname = %(name)s
""")


@dataclass(frozen=True, slots=True)
class Administration:
    """A connection to a server, and what its role may do there."""

    #: In autocommit, protected, and to another database than the one that is worked on, where there is one.
    connection: Connection
    #: How it was made: other connections are made in the same way, with the database's name changed.
    address: Address
    password_file: Path
    role: str
    is_superuser: bool
    may_create_databases: bool
    #: As libpq has it: 160004 is 16.4.
    server_version: int

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.server_version // 10_000

    @contextlib.contextmanager
    def another_connection(self, database: str | None = None) -> Iterator[Connection]:
        """Another connection of the same kind, to the same or to another database.

        Raises:
            TargetUnreachable: no connection.
        """
        address = self.address if database is None else _address_of(self.address, database)
        with contextlib.closing(open_connection(address, self.password_file)) as connection:
            protect(connection)
            yield connection


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """What a server says of one of its databases."""

    oid: int
    name: str
    owner: str
    #: Whether the connection's role has the rights of the owner.
    is_own: bool
    encoding: str
    #: ``libc``, ``icu`` or ``builtin``.
    locale_provider: str
    collation: str
    character_type: str
    icu_locale: str | None
    icu_rules: str | None
    collation_version: str | None
    tablespace: str
    is_template: bool
    allows_connections: bool
    #: -1: no limit.
    connection_limit: int
    #: As ``aclitem`` writes them; None where nothing was ever granted or revoked: what PUBLIC may by default.
    acl: tuple[str, ...] | None
    comment: str | None


@contextlib.contextmanager
def administration(url: str, workplace: Workplace) -> Iterator[Administration]:
    """A connection to the server of a URL, to ``postgres``, else ``template1``, else the URL's own database.

    Raises:
        TargetUnreachable: none of them lets the role in.
        InvalidInput: not a URL of PostgreSQL.
        ScratchError: the folder can't be written.
    """
    # A folder of its own: passwords of others may stand in the scratch at the same time.
    with _private_folder(workplace.scratch) as folder, passfile(parse_url(url), folder) as password_file:
        connection, address = _connect(parse_url(url), password_file)
        with contextlib.closing(connection):
            protect(connection)
            with mapped_errors("The role could not be looked at"):
                [(role, is_superuser, may_create_databases)] = connection.execute(_ROLE)
            yield Administration(
                connection=connection,
                address=address,
                password_file=password_file,
                role=role,
                is_superuser=is_superuser,
                may_create_databases=may_create_databases,
                server_version=connection.info.server_version,
            )


def url_of(url: str, database: str, user: str | None = None, password: str | None = None) -> str:
    """The URL of another database on the same server, for the same user or, with its password, for another one.

    Raises:
        InvalidInput: not a URL of PostgreSQL.
    """
    return _address_of(parse_url(url), database, user, password).url


def database_row(connection: Connection, name: str) -> DatabaseRow | None:
    """What the server says of the database of that name; None if there is none.

    Raises:
        EngineError: the server refused or was lost.
    """
    with mapped_errors("The database could not be looked at"):
        row = connection.execute(_DATABASE, {"name": name}).fetchone()
    return None if row is None else _database_row(*row)


@contextlib.contextmanager
def administering(doing: str, *, hint: str) -> Iterator[None]:
    """Turns psycopg's errors into ours; where a right is missing, the hint says which."""
    with mapped_errors(doing):
        try:
            yield
        except errors.InsufficientPrivilege as error:
            raise EngineError(f"{doing}: {last_line(error)}", hint=hint) from error


def _database_row(
    columns: dict[str, Any], oid: int, owner: str, encoding: str, tablespace: str, is_own: bool, comment: str | None
) -> DatabaseRow:
    acl = columns["datacl"]
    return DatabaseRow(
        oid=oid,
        name=columns["datname"],
        owner=owner,
        is_own=is_own,
        encoding=encoding,
        locale_provider=_LOCALE_PROVIDERS.get(columns.get("datlocprovider", "c"), "unknown"),
        collation=columns["datcollate"],
        character_type=columns["datctype"],
        icu_locale=columns.get("datlocale", columns.get("daticulocale")),
        icu_rules=columns.get("daticurules"),
        collation_version=columns.get("datcollversion"),
        tablespace=tablespace,
        is_template=columns["datistemplate"],
        allows_connections=columns["datallowconn"],
        connection_limit=columns["datconnlimit"],
        acl=None if acl is None else tuple(acl),
        comment=comment,
    )


def _connect(address: Address, password_file: Path) -> tuple[Connection, Address]:
    for database in _MAINTENANCE:
        candidate = _address_of(address, database)
        try:
            return open_connection(candidate, password_file), candidate
        except TargetUnreachable as error:
            if isinstance(error.__cause__, errors.ConnectionTimeout):
                raise  # nobody answers: the others would only be waited for as well
    return open_connection(address, password_file), address


def _address_of(address: Address, database: str, user: str | None = None, password: str | None = None) -> Address:
    parameters = {**address.parameters, "dbname": database}
    if user is None:
        return Address(parameters=parameters, password=address.password)
    return Address(parameters=parameters | {"user": user}, password=password or "")


@contextlib.contextmanager
def _private_folder(scratch: Path) -> Iterator[Path]:
    with scratch_written(scratch):
        folder = tempfile.TemporaryDirectory(prefix="administration-", dir=scratch)
    with folder as path:
        yield Path(path)
