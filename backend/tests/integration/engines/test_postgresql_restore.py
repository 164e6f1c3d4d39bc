"""PostgreSQL databases restored as they were: rows, definitions, owners, grants, settings."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.names import before_name
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.restoring import Built, Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts
from hhh.services.comparison import compare
from support.postgres import ONE_MAJOR_AT_FIRST, PostgresServer
from support.postgres_data import make_odd_names_database, make_realistic_database
from support.postgres_rich import as_text, drop_rich_roles, make_rich_database, rich_roles
from support.restoring import taken

pytestmark = pytest.mark.postgres


@pytest.fixture
def token() -> str:
    """One that no other restore on the server has."""
    return secrets.token_hex(4)


@pytest.fixture
def workplace(postgres: PostgresServer, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, pg_bin_dir=postgres.bin_dir)


@pytest.fixture
def rich(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """A database of everything, and no role that a test could leave behind."""
    with postgres.connect(postgres_database, autocommit=True) as connection:
        make_rich_database(connection)
    yield postgres_database
    postgres.drop_database(f"{postgres_database}_2")
    postgres.drop_database(postgres_database)
    drop_rich_roles(postgres, postgres_database)


def restored(source: RestoreSource, destination: Destination, workplace: Workplace) -> Built:
    """Build, compare and publish."""
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert built.errors == ()
        only = None if destination.mode is not RestoreMode.TABLES else _names(built)
        assert compare(source.facts, built.facts, only=only) == []
        restorer.publish(destination, workplace, Unattended())
    finally:
        restorer.discard(destination, workplace)
    return built


def _names(built: Built) -> list[str]:
    assert isinstance(built.facts, PostgresqlFacts)
    return [f"{table.schema_name}.{table.name}" for table in built.facts.tables]


def assert_nothing_is_left(server: PostgresServer, token: str) -> None:
    with server.connect() as connection:
        names = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"
        left = [name for (name,) in connection.execute(names).fetchall() if token in name and "_before_" not in name]
        assert left == []


@contextlib.contextmanager
def plain_role(server: PostgresServer, name: str, *attributes: str) -> Iterator[str]:
    """A role that signs in with the server's password; dropped with all that it has."""
    identifier = sql.Identifier(name)
    options = sql.SQL(" ".join(attributes))
    server.execute(sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(identifier, options, server.password))
    try:
        yield name
    finally:
        with server.connect(autocommit=True) as connection:
            for (database,) in connection.execute(
                "SELECT datname FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE rolname = %s", [name]
            ).fetchall():
                server.drop_database(database)
        server.execute(sql.SQL("DROP OWNED BY {}").format(identifier))
        server.execute(sql.SQL("DROP ROLE {}").format(identifier))


def owners(server: PostgresServer, database: str) -> set[str]:
    """Who owns relations and functions there."""
    with server.connect(database) as connection:
        return {
            name
            for (name,) in connection.execute(
                "SELECT relowner::regrole::text FROM pg_class"
                " WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace"
                " UNION SELECT proowner::regrole::text FROM pg_proc WHERE oid >= 16384"
            ).fetchall()
        }


def test_everything_comes_back_with_owners_grants_and_settings(
    postgres: PostgresServer, rich: str, workplace: Workplace, token: str
) -> None:
    source = taken(PostgresqlEngine(), postgres.url(rich), workplace)
    destination = Destination(url=postgres.url(), name=f"{rich}_2", mode=RestoreMode.NEW, token=token)
    built = restored(source, destination, workplace)
    assert built.warnings == ()
    expected = as_text(postgres, rich, "--create")
    assert "FORCE ROW LEVEL SECURITY" in expected
    assert "GRANT CONNECT ON DATABASE" in expected
    assert as_text(postgres, f"{rich}_2", "--create").replace(rich, "DATABASE") == expected
    assert_nothing_is_left(postgres, token)


def test_a_restore_takes_the_place_of_the_live_one_and_leaves_it_as_it_was(
    postgres: PostgresServer, rich: str, workplace: Workplace, token: str
) -> None:
    expected = as_text(postgres, rich, "--create")
    source = taken(PostgresqlEngine(), postgres.url(rich), workplace)
    postgres.execute("DROP TABLE shop.everything", database=rich)
    restored(source, Destination(url=postgres.url(), name=rich, mode=RestoreMode.REPLACE, token=token), workplace)
    assert as_text(postgres, rich, "--create") == expected
    assert_nothing_is_left(postgres, token)
    postgres.drop_database(before_name(rich, token))


_FINGERPRINT = "SELECT count(*), sum(hashtextextended(large::text, 0)) FROM large"


@ONE_MAJOR_AT_FIRST
def test_a_million_rows_come_back(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, token: str
) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE large AS SELECT n, md5(n::text) FROM generate_series(1, 1000000) n")
        connection.execute("ALTER TABLE large ADD PRIMARY KEY (n)")
        expected = connection.execute(_FINGERPRINT).fetchone()
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    name = f"{postgres_database}_2"
    restored(source, Destination(url=postgres.url(), name=name, mode=RestoreMode.NEW, token=token), workplace)
    with postgres.connect(name) as connection:
        assert connection.execute(_FINGERPRINT).fetchone() == expected
    assert expected is not None
    assert expected[0] == 1_000_000
    postgres.drop_database(name)


def test_odd_names_and_traps_come_back(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, token: str
) -> None:
    with postgres.connect(postgres_database) as connection:
        make_odd_names_database(connection)
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    name = f'{postgres_database} "; drop'
    try:
        restored(source, Destination(url=postgres.url(), name=name, mode=RestoreMode.NEW, token=token), workplace)
        assert as_text(postgres, name) == as_text(postgres, postgres_database)
    finally:
        postgres.drop_database(name)


def test_a_role_without_superuser_restores_what_is_its_own(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, token: str
) -> None:
    with plain_role(postgres, f"maker-{postgres_database}", "CREATEDB") as maker:
        url = postgres.url(user=maker, password=postgres.password)
        mine = sql.Identifier(f"{postgres_database} mine")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(mine))
        source_url = postgres.url(f"{postgres_database} mine", user=maker, password=postgres.password)
        with psycopg.connect(source_url) as connection:
            make_realistic_database(connection)
            connection.execute(
                "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY"
            )
            connection.execute("GRANT SELECT (id) ON orders TO pg_monitor")
            connection.execute(sql.SQL("ALTER DATABASE {} SET work_mem = '5MB'").format(mine))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(mine))
        # FORCE hides the rows from their owner: the backup is a superuser's.
        source = taken(PostgresqlEngine(), postgres.url(f"{postgres_database} mine"), workplace)
        destination = Destination(url=url, name=f"{postgres_database} new", mode=RestoreMode.NEW, token=token)
        built = restored(source, destination, workplace)
        assert built.warnings == ()
        expected = as_text(postgres, f"{postgres_database} mine", "--create")
        assert as_text(postgres, f"{postgres_database} new", "--create") == expected
        assert owners(postgres, f"{postgres_database} new") == {f'"{maker}"'}


def test_what_a_missing_role_had_belongs_to_the_databases_owner_once_that_is_accepted(
    postgres: PostgresServer, rich: str, workplace: Workplace, token: str
) -> None:
    source = taken(PostgresqlEngine(), postgres.url(rich), workplace)
    roles = rich_roles(rich)
    with postgres.connect(autocommit=True) as connection:
        for part in ("app", "reader"):  # as good as gone
            old, new = sql.Identifier(roles[part]), sql.Identifier(f"gone {part} {rich}")
            connection.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(old, new))
    destination = Destination(url=postgres.url(), name=f"{rich}_2", mode=RestoreMode.NEW, token=token)
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert any(roles["reader"] in error for error in built.errors)
        restorer.discard(destination, workplace)
        assert_nothing_is_left(postgres, token)
        built = restored(source, replace(destination, acknowledged=frozenset({"roles"})), workplace)
        assert any(roles["app"] in warning for warning in built.warnings)
        assert any(roles["reader"] in warning for warning in built.warnings)
        assert owners(postgres, f"{rich}_2") <= {f'"{roles["owner"]}"', postgres.superuser}
    finally:
        for part in ("app", "reader"):
            old, new = sql.Identifier(roles[part]), sql.Identifier(f"gone {part} {rich}")
            postgres.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(new, old))


def test_a_backup_without_privileges_says_so(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, token: str
) -> None:
    with postgres.connect(postgres_database) as connection:
        make_realistic_database(connection)
    source = replace(taken(PostgresqlEngine(), postgres.url(postgres_database), workplace), attachments={})
    destination = Destination(url=postgres.url(), name=f"{postgres_database}_2", mode=RestoreMode.NEW, token=token)
    built = restored(source, destination, workplace)
    assert [text for text in built.warnings if "privileges" in text] != []
    postgres.drop_database(f"{postgres_database}_2")


def test_dropped_tables_come_back_into_their_database_with_all_they_need(
    postgres: PostgresServer, rich: str, workplace: Workplace, token: str
) -> None:
    expected = as_text(postgres, rich, "--create")
    source = taken(PostgresqlEngine(), postgres.url(rich), workplace)
    postgres.execute("DROP TABLE shop.parted, shop.everything, shop.guarded CASCADE", database=rich)
    destination = Destination(
        url=postgres.url(),
        name=rich,
        mode=RestoreMode.TABLES,
        token=token,
        tables=("shop.parted", "shop.everything", "shop.guarded"),
    )
    restored(source, destination, workplace)
    assert sorted(as_text(postgres, rich, "--create").splitlines()) == sorted(expected.splitlines())
    assert_nothing_is_left(postgres, token)


def test_tables_go_into_a_new_database_where_none_is_of_the_name(
    postgres: PostgresServer, rich: str, workplace: Workplace, token: str
) -> None:
    source = taken(PostgresqlEngine(), postgres.url(rich), workplace)
    destination = Destination(
        url=postgres.url(), name=f"{rich}_2", mode=RestoreMode.TABLES, token=token, tables=("shop.everything",)
    )
    restored(source, destination, workplace)
    options = ("--table=shop.everything", "--table=shop.invoices")
    ours = [as_text(postgres, name, *options) for name in (rich, f"{rich}_2")]
    assert ours[1].replace(rich, "DATABASE") == ours[0]
    assert_nothing_is_left(postgres, token)
