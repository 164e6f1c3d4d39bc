"""Dumps whose code wants more than its owner had: nothing of it becomes a superuser's."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.owners import NOBODY
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.restoring import Built, Destination, RestoreMode
from support.postgres import PostgresServer
from support.restoring import taken

pytestmark = pytest.mark.postgres


@pytest.fixture
def workplace(postgres: PostgresServer, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, pg_bin_dir=postgres.bin_dir)


@pytest.fixture
def destination(postgres: PostgresServer, postgres_database: str) -> Iterator[Destination]:
    """A new database on the source's server."""
    name = f"{postgres_database}_2"
    yield Destination(
        url=postgres.url(),
        name=name,
        mode=RestoreMode.NEW,
        token=secrets.token_hex(4),
        acknowledged=frozenset({"roles"}),
    )
    postgres.drop_database(name)


@pytest.fixture
def alice(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """A role without any right, that is dropped together with all that it has."""
    name = f"alice {postgres_database}"
    identifier = sql.Identifier(name)
    postgres.execute(sql.SQL("CREATE ROLE {}").format(identifier))
    yield name
    with postgres.connect(postgres_database, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(identifier))


def published(source_database: str, server: PostgresServer, destination: Destination, workplace: Workplace) -> Built:
    """A backup of a database, restored."""
    source = taken(PostgresqlEngine(), server.url(source_database), workplace)
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert built.errors == ()
        restorer.publish(destination, workplace, Unattended())
    finally:
        restorer.discard(destination, workplace)
    return built


def of_superusers(server: PostgresServer, database: str) -> set[str]:
    """The functions and relations there that a superuser owns."""
    with server.connect(database) as connection:
        found = connection.execute(
            "SELECT proname::text FROM pg_proc JOIN pg_roles r ON r.oid = proowner WHERE rolsuper"
            "   AND pg_proc.oid >= 16384"
            " UNION SELECT relname::text FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE rolsuper"
            "   AND pg_class.oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace"
        ).fetchall()
    return {name for (name,) in found}


def test_what_belonged_to_a_role_that_is_gone_never_becomes_a_superusers(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination, alice: str
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {0}; SET ROLE {0}").format(sql.Identifier(alice)))
        connection.execute("""
            CREATE FUNCTION rise() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT session_user || current_user';
            CREATE FUNCTION waits(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;
            CREATE TABLE of_alice (id integer);
            CREATE INDEX of_index ON of_alice (public.waits(id));
            CREATE VIEW secrets AS SELECT rolname, rolpassword FROM pg_authid;
            RESET ROLE;
            CREATE TABLE of_superuser (id integer);
        """)
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(alice)))
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert built.errors == ()
        restorer.publish(destination, workplace, Unattended())
    finally:
        restorer.discard(destination, workplace)
    assert of_superusers(postgres, destination.name) == {"of_superuser"}
    assert any(alice in warning and NOBODY in warning for warning in built.warnings)
    with postgres.connect() as connection:
        rights = "SELECT rolsuper, rolcanlogin, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s"
        assert connection.execute(rights, [NOBODY]).fetchall() == [(False, False, False, False)]


def code_that_runs(statement: str, database: str) -> str:
    """A table whose CHECK constraint runs a statement in any other database than this one."""
    return f"""
        CREATE FUNCTION harmless(integer) RETURNS boolean LANGUAGE plpgsql AS $code$ BEGIN
            IF pg_catalog.current_database() <> '{database}' THEN
                {statement};
            END IF;
            RETURN true;
        END $code$;
        CREATE TABLE bait (id integer CHECK (harmless(id)));
        INSERT INTO bait VALUES (1);
    """


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE FUNCTION public.of_others() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT 'x' $$",
        "ALTER FUNCTION public.of_others() SECURITY DEFINER",
        "DROP FUNCTION public.of_others()",
        "GRANT ALL ON TABLE public.bait TO PUBLIC",
        "CREATE TABLE public.another ()",
    ],
)
def test_the_code_of_a_dump_defines_nothing_as_it_is_restored(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination, statement: str
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE FUNCTION of_others() RETURNS text LANGUAGE sql AS $$ SELECT 'good' $$")
        connection.execute(code_that_runs(statement, postgres_database))
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    restorer = PostgresqlRestorer()
    built = restorer.build(source, destination, workplace, Unattended())
    restorer.discard(destination, workplace)
    [error] = built.errors
    assert "the code of the dump runs" in error


def test_the_code_of_a_dump_may_make_what_is_temporary(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    statement = "CREATE TEMPORARY TABLE IF NOT EXISTS at_work (id integer); DROP TABLE at_work"
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(code_that_runs(statement, postgres_database))
    published(postgres_database, postgres, destination, workplace)
    with postgres.connect(destination.name) as connection:
        left = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hhh%' UNION SELECT evtname FROM pg_event_trigger"
        assert connection.execute(left).fetchall() == []


def test_what_the_code_of_a_dump_makes_in_a_live_database_never_becomes_a_superusers(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    rise = "CREATE OR REPLACE FUNCTION public.rise() RETURNS integer LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$"
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(code_that_runs(rise, postgres_database))
    postgres.create_database(destination.name)
    published(
        postgres_database,
        postgres,
        replace(destination, mode=RestoreMode.TABLES, tables=("public.bait",)),
        workplace,
    )
    assert "bait" in of_superusers(postgres, destination.name)
    with postgres.connect(destination.name) as connection:
        found = connection.execute("SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'rise'").fetchall()
    assert found == [(NOBODY,)]


def test_a_dump_that_somebody_else_made_gives_nothing_to_superusers_unless_it_is_trusted(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id integer)")
    source = taken(PostgresqlEngine(), postgres.url(postgres_database), workplace)
    imported = replace(source, attachments={})
    restorer = PostgresqlRestorer()
    for acknowledged, expected in ((frozenset[str](), set[str]()), (frozenset({"superuser_objects"}), {"orders"})):
        accepted = replace(destination, acknowledged=acknowledged)
        try:
            built = restorer.build(imported, accepted, workplace, Unattended())
            assert (built.errors, any("made elsewhere" in warning for warning in built.warnings)) == ((), not expected)
            restorer.publish(accepted, workplace, Unattended())
        finally:
            restorer.discard(accepted, workplace)
        assert of_superusers(postgres, destination.name) == expected
        postgres.drop_database(destination.name)
