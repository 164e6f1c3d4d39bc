"""Dumps that fail, or mean harm, and restores that are ended: nothing is told as done, nothing is left."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from hhh.core.errors import Cancelled, EngineError
from hhh.core.run import Progress, Run, Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.postgresql.worker import worker_role
from hhh.engines.restoring import Destination, RestoreMode, RestoreSource
from hhh.schemas.facts import PostgresqlFacts
from support.postgres import PostgresServer, PrivatePostgres
from support.postgres_rich import as_text
from support.restoring import taken

pytestmark = pytest.mark.postgres


@pytest.fixture
def workplace(postgres: PostgresServer, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, pg_bin_dir=postgres.bin_dir)


@pytest.fixture
def destination(postgres: PostgresServer, postgres_database: str) -> Iterator[Destination]:
    """A new database on the source's server; nothing of the restore is left there afterwards."""
    name, token = f"{postgres_database}_2", secrets.token_hex(4)
    yield Destination(url=postgres.url(), name=name, mode=RestoreMode.NEW, token=token)
    assert left_of(postgres, token) == []
    postgres.drop_database(name)


def left_of(server: PostgresServer, token: str) -> list[str]:
    """Roles and databases with the token in their names."""
    with server.connect() as connection:
        names = connection.execute("SELECT rolname FROM pg_roles UNION SELECT datname FROM pg_database").fetchall()
    return [name for (name,) in names if token in name]


def taken_of(
    server: PostgresServer, database: str, workplace: Workplace, statements: str | sql.Composed
) -> RestoreSource:
    """A backup of a database that was made by these statements."""
    with server.connect(database, autocommit=True) as connection:
        connection.execute(statements)
    return taken(PostgresqlEngine(), server.url(database), workplace)


def test_a_dump_that_runs_a_program_runs_none(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    # Where the server itself may write, so that it would appear.
    file = postgres.data_dir / f"ran-{destination.token}"
    program = f"""
        CREATE FUNCTION harmless(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            IF pg_catalog.current_database() <> '{postgres_database}' THEN
                EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch "{file}"''';
            END IF;
            RETURN true;
        END $$;
        CREATE TABLE bait (id integer CHECK (harmless(id)));
        INSERT INTO bait VALUES (1);
        CREATE TABLE good AS SELECT 1 AS id;
    """
    source = taken_of(postgres, postgres_database, workplace, program)
    restorer = PostgresqlRestorer()
    built = restorer.build(source, destination, workplace, Unattended())
    restorer.discard(destination, workplace)
    assert not file.exists()
    [error] = built.errors
    assert "to COPY to or from an external program" in error
    assert "bait" in error
    assert isinstance(built.facts, PostgresqlFacts)
    assert [(table.name, table.rows) for table in built.facts.tables] == [("bait", 0), ("good", 1)]


def test_every_error_of_a_dump_is_told(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    # What a restore finds otherwise than the dump did.
    statements = f"""
        CREATE FUNCTION here() RETURNS boolean LANGUAGE sql AS
            $$ SELECT pg_catalog.current_database() = '{postgres_database}' $$;
        CREATE TABLE first (id integer CHECK (public.here()));
        INSERT INTO first VALUES (1);
        CREATE TABLE second (id integer CHECK (public.here()));
        INSERT INTO second VALUES (1);
        CREATE MATERIALIZED VIEW third AS SELECT 1 / public.here()::integer AS one;
    """
    source = taken_of(postgres, postgres_database, workplace, statements)
    restorer = PostgresqlRestorer()
    built = restorer.build(source, destination, workplace, Unattended())
    restorer.discard(destination, workplace)
    assert len(built.errors) == 3
    # Two may have been written into each other's lines, which is then told as the third.
    assert all(name in "\n".join(built.errors) for name in ("first", "second", "third"))


class CancelledWhile(Run):
    """A run that is cancelled as soon as a condition holds on the server."""

    def __init__(self, server: PostgresServer, query: sql.Composed) -> None:
        self._server = server
        self._query = query

    def report(self, progress: Progress) -> None:
        assert progress.stage == "restore"

    def raise_if_cancelled(self) -> None:
        with self._server.connect() as connection:
            if connection.execute(self._query).fetchone() is not None:
                raise Cancelled("by the test")


def test_a_restore_cancelled_in_the_middle_leaves_nothing_and_no_session(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    statements = f"""
        CREATE FUNCTION slow(integer) RETURNS boolean LANGUAGE sql AS
            $$ SELECT pg_catalog.current_database() = '{postgres_database}' OR pg_catalog.pg_sleep(600) IS NULL $$;
        CREATE TABLE rows (id integer CHECK (slow(id)));
        INSERT INTO rows VALUES (1);
    """
    source = taken_of(postgres, postgres_database, workplace, statements)
    role = worker_role(destination.token)
    sessions = sql.SQL("SELECT FROM pg_stat_activity WHERE usename = {}").format(sql.Literal(role))
    busy = sql.SQL("{} AND wait_event = 'PgSleep'").format(sessions)
    restorer = PostgresqlRestorer()
    with pytest.raises(Cancelled):
        restorer.build(source, destination, workplace, CancelledWhile(postgres, busy))
    assert left_of(postgres, destination.token) != []
    restorer.discard(destination, workplace)
    restorer.discard(destination, workplace)  # a no-op
    with postgres.connect() as connection:
        assert connection.execute(sessions).fetchone() is None


def test_what_only_a_superuser_may_create_needs_to_be_accepted_and_comes_last(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    statements = """
        CREATE FUNCTION sealed(integer) RETURNS integer LANGUAGE sql IMMUTABLE LEAKPROOF AS $$ SELECT $1 $$;
        COMMENT ON FUNCTION sealed(integer) IS 'not for everyone';
        CREATE TABLE kept (id integer);
        INSERT INTO kept VALUES (1), (2);
        CREATE INDEX ON kept (sealed(id));
        CREATE CAST (text AS xid) WITH INOUT;
        CREATE OPERATOR FAMILY family USING btree;
        CREATE TABLE told (what text);
        CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.told VALUES (tg_tag); END $$;
        CREATE EVENT TRIGGER telling ON ddl_command_end EXECUTE FUNCTION tell();
        CREATE PUBLICATION everything FOR ALL TABLES;
    """
    source = taken_of(postgres, postgres_database, workplace, statements)
    restorer = PostgresqlRestorer()
    with pytest.raises(EngineError, match="superuser"):
        restorer.build(source, destination, workplace, Unattended())
    restorer.discard(destination, workplace)
    accepted = replace(destination, acknowledged=frozenset({"superuser_objects"}))
    built = restorer.build(source, accepted, workplace, Unattended())
    assert built.errors == ()
    restorer.publish(accepted, workplace, Unattended())
    restorer.discard(accepted, workplace)
    with postgres.connect(destination.name) as connection:
        [(index,)] = connection.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'kept'").fetchall()
        [(triggers,)] = connection.execute("SELECT count(*) FROM pg_event_trigger").fetchall()
        told = connection.execute("SELECT what FROM told").fetchall()
        [(casts,)] = connection.execute("SELECT count(*) FROM pg_cast WHERE oid >= 16384").fetchall()
        [(comment,)] = connection.execute("SELECT obj_description('sealed(integer)'::regprocedure)").fetchall()
    assert (index, triggers, casts, comment) == (1, 1, 1, "not for everyone")
    assert told == [("CREATE PUBLICATION",)]  # of the source


def test_a_subscription_comes_back_disabled_and_without_the_slot_of_the_live_one(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    statements = """
        CREATE TABLE received (id integer);
        CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere.invalid password=secret' PUBLICATION p
            WITH (connect = false, slot_name = 'live_slot');
    """
    source = taken_of(postgres, postgres_database, workplace, statements)
    accepted = replace(destination, acknowledged=frozenset({"superuser_objects"}))
    restorer = PostgresqlRestorer()
    built = restorer.build(source, accepted, workplace, Unattended())
    assert built.errors == ()
    assert [warning for warning in built.warnings if "sub" in warning] != []
    with postgres.connect() as connection:
        query = (
            "SELECT subenabled, subslotname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid"
            " WHERE datname LIKE '%%' || %s"
        )
        assert connection.execute(query, [destination.token]).fetchall() == [(False, None)]
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
        connection.execute("DROP SUBSCRIPTION sub")
    with postgres.connect(built.facts.database.name, autocommit=True) as connection:  # type: ignore[union-attr]
        connection.execute("DROP SUBSCRIPTION sub")
    restorer.discard(accepted, workplace)


def test_a_server_that_refuses_the_plain_role_is_told_with_what_helps(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    server = private_postgres()
    database = server.create_database()
    workplace = Workplace(tmp_path, pg_bin_dir=server.bin_dir)
    source = taken(PostgresqlEngine(), server.url(database), workplace)
    rules = server.data_dir / "pg_hba.conf"
    rules.write_text(f"host all {server.superuser} all scram-sha-256\nhost all all all reject\n")
    server.execute("SELECT pg_reload_conf()")
    destination = Destination(url=server.url(), name="new", mode=RestoreMode.NEW, token=secrets.token_hex(4))
    restorer = PostgresqlRestorer()
    with pytest.raises(EngineError, match=r"pg_hba\.conf") as caught:
        restorer.build(source, destination, workplace, Unattended())
    assert server.password not in str(caught.value)
    restorer.discard(destination, workplace)
    assert left_of(server, destination.token) == []


def test_a_role_that_may_become_superuser_is_refused(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    source = taken_of(postgres, postgres_database, workplace, "CREATE TABLE t ()")
    role = sql.Identifier(f"climber {postgres_database}")
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, postgres.password))
    try:
        postgres.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(postgres.superuser), role))
        url = postgres.url(user=f"climber {postgres_database}", password=postgres.password)
        with pytest.raises(EngineError, match="may become the superuser"):
            PostgresqlRestorer().build(source, replace(destination, url=url), workplace, Unattended())
    finally:
        postgres.execute(sql.SQL("DROP ROLE {}").format(role))


def test_extensions_are_made_by_the_superuser_and_their_rows_come_along(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    with postgres.connect() as connection:
        query = "SELECT name FROM pg_available_extensions WHERE name IN ('vector', 'pg_trgm') LIMIT 1"
        found = connection.execute(query).fetchone()
    if found is None:
        pytest.skip("this server has no extensions")
    statements = f'CREATE SCHEMA "ext; s"; CREATE EXTENSION {found[0]} SCHEMA "ext; s"; CREATE TABLE t (id integer)'
    source = taken_of(postgres, postgres_database, workplace, statements)
    restorer = PostgresqlRestorer()
    built = restorer.build(source, destination, workplace, Unattended())
    assert built.errors == ()
    restorer.publish(destination, workplace, Unattended())
    restorer.discard(destination, workplace)
    with postgres.connect(destination.name) as connection:
        [(owner, schema)] = connection.execute(
            "SELECT extowner::regrole::text, extnamespace::regnamespace::text FROM pg_extension WHERE extname = %s",
            [found[0]],
        ).fetchall()
    assert (owner, schema) == (postgres.superuser, '"ext; s"')


def test_tables_that_are_restored_into_a_live_database_come_all_or_not_at_all(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    statements = f"""
        CREATE TYPE state AS ENUM ('on');
        CREATE FUNCTION slow(integer) RETURNS boolean LANGUAGE sql AS
            $$ SELECT pg_catalog.current_database() = '{postgres_database}' OR pg_catalog.pg_sleep(600) IS NULL $$;
        CREATE TABLE quick (id integer, state state);
        CREATE TABLE slow (id integer CHECK (public.slow(id)));
        INSERT INTO slow VALUES (1);
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor;
    """
    source = taken_of(postgres, postgres_database, workplace, statements)
    live = postgres.create_database(destination.name)
    with postgres.connect(live, autocommit=True) as connection:
        connection.execute("CREATE TYPE state AS ENUM ('on'); REVOKE ALL ON TYPE state FROM PUBLIC")
    before = as_text(postgres, live, "--create")
    into = replace(destination, mode=RestoreMode.TABLES, tables=("public.quick", "public.slow"))
    restorer = PostgresqlRestorer()
    role = worker_role(destination.token)
    asleep = sql.SQL("SELECT FROM pg_stat_activity WHERE usename = {} AND wait_event = 'PgSleep'")
    busy = asleep.format(sql.Literal(role))
    with pytest.raises(Cancelled):
        restorer.build(source, into, workplace, CancelledWhile(postgres, busy))
    restorer.discard(into, workplace)
    assert left_of(postgres, destination.token) == []
    assert as_text(postgres, live, "--create") == before


def test_what_a_killed_restore_had_committed_in_a_live_database_is_discarded(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    live = postgres.create_database(destination.name)
    role = sql.Identifier(worker_role(destination.token))
    with postgres.connect(live, autocommit=True) as connection:  # as far as it had come
        connection.execute("CREATE TABLE kept (id integer)")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(live), role))
        connection.execute("CREATE TABLE half (id integer)")
        connection.execute(sql.SQL("ALTER TABLE half OWNER TO {}").format(role))
    into = replace(destination, mode=RestoreMode.TABLES, tables=("public.half",))
    PostgresqlRestorer().discard(into, workplace)
    with postgres.connect(live) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE oid >= 16384 AND relkind = 'r'").fetchall()
    assert tables == [("kept",)]


def test_foreign_servers_come_back_and_no_password_of_theirs_is_told(
    postgres: PostgresServer, postgres_database: str, workplace: Workplace, destination: Destination
) -> None:
    with postgres.connect() as connection:
        found = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw'").fetchone()
    if found is None:
        pytest.skip("this server has no postgres_fdw")
    ghost = sql.Identifier(f"ghost {postgres_database}")
    postgres.execute(sql.SQL("CREATE ROLE {}").format(ghost))
    statements = sql.SQL("""
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid');
        CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'u', password 'tell-nobody');
        CREATE USER MAPPING FOR {} SERVER far OPTIONS (user 'u', password 'tell-nobody');
        CREATE FOREIGN TABLE distant (id integer) SERVER far;
    """).format(ghost)
    source = taken_of(postgres, postgres_database, workplace, statements)
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(ghost))
    accepted = replace(destination, acknowledged=frozenset({"roles"}))
    restorer = PostgresqlRestorer()
    try:
        built = restorer.build(source, accepted, workplace, Unattended())
        assert built.errors == ()
        assert any("ghost" in warning for warning in built.warnings)
        assert "tell-nobody" not in repr(built)
        assert "FOREIGN TABLE" in as_text(postgres, built.facts.database.name)  # type: ignore[union-attr]
    finally:
        restorer.discard(accepted, workplace)
