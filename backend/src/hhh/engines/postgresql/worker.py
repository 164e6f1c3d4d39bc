"""The role that a restore works as.

A dump is code of whoever owned the database, and runs as whoever restores it: a CHECK constraint may call a function
that runs a program, if a superuser inserts the rows. So where the operator's role is a superuser, it makes a plain role
for the time of one restore, and pg_restore signs in as that: from ``SET ROLE`` a dump could go back.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from psycopg import sql

from hhh.core.clock import utcnow
from hhh.core.errors import EngineError, TargetUnreachable
from hhh.engines.postgresql.admin import Administration, administering
from hhh.engines.postgresql.connection import Connection, mapped_errors, open_connection, passfile, protect
from hhh.engines.postgresql.url import Address
from hhh.engines.restoring import LONGEST_RESTORE

_SIGN_IN_HINT = (
    "let roles whose names begin with hhh_restore_ sign in with a password (scram-sha-256 in pg_hba.conf), or give the "
    "target a role without superuser that may create databases"
)
_ROLE_EXISTS = sql.SQL("SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = %(role)s")
#: Superusers that the role may become by SET ROLE, which a dump can do as well.
_WAYS_TO_SUPERUSER = sql.SQL("""
    SELECT r.rolname::pg_catalog.text FROM pg_catalog.pg_roles r
     WHERE r.rolsuper AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER') ORDER BY 1
""")
_END_SESSIONS = sql.SQL("""
    SELECT pg_catalog.pg_terminate_backend(a.pid, 5000) FROM pg_catalog.pg_stat_activity a WHERE a.usename = %(role)s
""")


@dataclass(frozen=True, slots=True)
class Worker:
    """A role without superuser, and how it signs in."""

    role: str
    address: Address = field(repr=False)
    #: Made for this restore alone, by a superuser.
    is_temporary: bool

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name."""
        return sql.Identifier(self.role)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A role's connection to the database that is worked on."""

    #: In autocommit, protected.
    connection: Connection
    address: Address = field(repr=False)
    password_file: Path

    @contextlib.contextmanager
    def another(self) -> Iterator[Connection]:
        """A second connection of the same kind.

        Raises:
            TargetUnreachable: no connection.
        """
        with contextlib.closing(open_connection(self.address, self.password_file)) as connection:
            protect(connection)
            yield connection


def worker_role(token: str) -> str:
    """The name of the role that a restore makes."""
    return f"hhh_restore_{token}"


def make_worker(admin: Administration, token: str) -> Worker:
    """The role to work as: a new one where the operator's is a superuser, else the operator's own.

    Raises:
        EngineError: the operator's role may become a superuser, or the new one can't be made.
    """
    if not admin.is_superuser:
        _refuse_ways_to_superuser(admin)
        return Worker(role=admin.role, address=admin.address, is_temporary=False)
    role, password = worker_role(token), secrets.token_urlsafe(32)
    # Each job of pg_restore signs in when it begins, and the indexes of a large database come late.
    until = utcnow() + LONGEST_RESTORE
    with mapped_errors("The role for the restore could not be made"):
        # The server gets a hash: statements may stand in its log.
        encrypted = admin.connection.pgconn.encrypt_password(password.encode(), role.encode())
        admin.connection.execute(
            sql.SQL(
                "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
                "PASSWORD {} VALID UNTIL {}"
            ).format(sql.Identifier(role), sql.Literal(encrypted.decode()), sql.Literal(until.isoformat()))
        )
    parameters = {**admin.address.parameters, "user": role}
    return Worker(role=role, address=Address(parameters=parameters, password=password), is_temporary=True)


@contextlib.contextmanager
def signed_in(worker: Worker, database: str, scratch: Path) -> Iterator[SignedIn]:
    """The worker's connection to a database, and the file with its password.

    Raises:
        EngineError: the server does not let it in, and what helps.
        TargetUnreachable: no connection.
    """
    address = replace(worker.address, parameters={**worker.address.parameters, "dbname": database})
    with passfile(address, scratch / "worker") as password_file:
        try:
            connection = open_connection(address, password_file)
        except TargetUnreachable as error:
            if not worker.is_temporary:
                raise
            raise EngineError(
                f"The server does not let the role in that was made for this restore: {error.message}",
                hint=_SIGN_IN_HINT,
            ) from error
        with contextlib.closing(connection):
            protect(connection)
            yield SignedIn(connection, address, password_file)


@contextlib.contextmanager
def operator_signed_in(admin: Administration, database: str) -> Iterator[SignedIn]:
    """The operator's connection to another database of the server.

    Raises:
        TargetUnreachable: no connection.
    """
    address = replace(admin.address, parameters={**admin.address.parameters, "dbname": database})
    with contextlib.closing(open_connection(address, admin.password_file)) as connection:
        protect(connection)
        yield SignedIn(connection, address, admin.password_file)


def drop_worker(admin: Administration, token: str, databases: list[str]) -> None:
    """Removes the role that a restore made, with its sessions and what it still owns; a no-op without one.

    What it still owns was never finished.

    Args:
        admin: the server.
        token: of the restore.
        databases: that exist, and in which it may own something.

    Raises:
        EngineError: it can't be removed, e.g. since objects of others depend on what it owns.
    """
    role = worker_role(token)
    if not admin.is_superuser or not _exists(admin, role):
        return
    identifier = sql.Identifier(role)
    with administering(f"The role {role} could not be removed", hint="DROP OWNED BY it, then DROP ROLE, by hand"):
        admin.connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(identifier))
        admin.connection.execute(_END_SESSIONS, {"role": role})
        drop_owned = sql.SQL("DROP OWNED BY {}").format(identifier)
        for database in databases:
            with operator_signed_in(admin, database) as operator:
                operator.connection.execute(drop_owned)
        admin.connection.execute(drop_owned)  # privileges on what belongs to no database
        admin.connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier))


def _exists(admin: Administration, role: str) -> bool:
    with mapped_errors("The roles could not be looked at"):
        return admin.connection.execute(_ROLE_EXISTS, {"role": role}).fetchone() is not None


def _refuse_ways_to_superuser(admin: Administration) -> None:
    with mapped_errors("The role could not be looked at"):
        superusers = [name for (name,) in admin.connection.execute(_WAYS_TO_SUPERUSER)]
    if superusers:
        raise EngineError(
            f"The role {admin.role} may become the superuser {', '.join(superusers)}, and so could what it restores",
            hint="restore as that superuser, which makes a plain role for the work, or REVOKE the membership",
        )
