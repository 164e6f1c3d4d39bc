"""A database that was restored for a drill, on a server that is there: what is found out about it, and what is left."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.names import restore_name
from hhh.engines.postgresql.notes import ROLES_CHECK
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.postgresql.schema_comparison import compare_schemas
from hhh.engines.postgresql.superuser import SUPERUSER_CHECK
from hhh.engines.proving import Place
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.schemas.restore import Difference
from support.postgres_server import PostgresServer
from support.restoring import taken


@dataclass(frozen=True)
class Drill:
    """What was backed up, and what was restored from it."""

    server: PostgresServer
    source: RestoreSource
    built: Built
    place: Place
    workplace: Workplace

    @property
    def database(self) -> str:
        """The name of what was restored."""
        return restore_name(self.place.destination.name, self.place.destination.token)

    def change(self, *statements: str) -> None:
        """Change what was restored."""
        with self.server.connect(self.database, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def differences(self) -> dict[str, tuple[str, str]]:
        """What the comparison of definitions finds: expected and found, by name."""
        _, found = compare_schemas(self.source, self.built, self.place, self.workplace, Unattended())
        assert len({each.name for each in found}) == len(found)
        return {each.name: _values(each) for each in found}


def _values(difference: Difference) -> tuple[str, str]:
    return difference.expected, difference.found


@contextmanager
def drilled(server: PostgresServer, source: RestoreSource, scratch: Path, *, url: str | None = None) -> Iterator[Drill]:
    """Restores a backup as a drill does, on that server; afterwards nothing is left."""
    workplace = Workplace(scratch, pg_bin_dir=server.bin_dir)
    token = secrets.token_hex(4)
    destination = Destination(
        url=url or server.url(),
        name=f"drill_{token}",
        mode=RestoreMode.NEW,
        token=token,
        acknowledged=frozenset({SUPERUSER_CHECK, ROLES_CHECK}),
    )
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert built.errors == (), built.errors
        yield Drill(server, source, built, Place(destination, "a test's server"), workplace)
    finally:
        restorer.discard(destination, workplace)
    with server.connect() as connection:
        names = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"
        left = {name for (name,) in connection.execute(names) if name.startswith((f"drill_{token}", "hhh_restore_"))}
    assert left == set(), left


def backed_up(server: PostgresServer, database: str, scratch: Path) -> RestoreSource:
    """A backup of a database, whole and plain."""
    return taken(PostgresqlEngine(), server.url(database), Workplace(scratch, pg_bin_dir=server.bin_dir))


def imported(source: RestoreSource) -> RestoreSource:
    """The same as a dump that somebody else made: without the second one."""
    return replace(source, attachments={})


def filled(server: PostgresServer, database: str, *statements: str) -> None:
    """Run statements in a database, as the superuser."""
    with server.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))


@contextmanager
def signing_in(server: PostgresServer, name: str, *options: str) -> Iterator[str]:
    """A role that signs in with the server's password."""
    role = sql.Identifier(name)
    server.execute(
        sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(role, sql.SQL(" ".join(options)), server.password)
    )
    try:
        yield name
    finally:
        server.execute(sql.SQL("DROP OWNED BY {}").format(role))
        server.execute(sql.SQL("DROP ROLE {}").format(role))
