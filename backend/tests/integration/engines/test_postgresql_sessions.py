"""How a restore uses its sessions: settings of pg_restore's, and several that analyse."""

import subprocess
from pathlib import Path

import pytest

from hhh.core.run import Unattended
from hhh.engines.postgresql.connection import open_connection, passfile, protect
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.restored import look
from hhh.engines.postgresql.tool import pg_restore_environment
from hhh.engines.postgresql.url import parse_url
from hhh.engines.postgresql.worker import SignedIn
from support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

_MANY = 250


def test_pg_restore_keeps_the_operators_options_beside_its_own(postgres: PostgresServer, tmp_path: Path) -> None:
    address = parse_url(postgres.url() + "?options=-c%20work_mem%3D7MB%20-c%20jit%3Don")
    with passfile(address, tmp_path) as password_file, open_connection(address, password_file) as connection:
        environment = pg_restore_environment(password_file, connection)
        names = ("work_mem", "jit", "synchronous_commit", "max_parallel_maintenance_workers")
        asked = [f"--command=SHOW {name}" for name in names]
        answer = subprocess.run(
            [postgres.bin_dir / "psql", "--no-psqlrc", "-At", *asked], check=True, capture_output=True, env=environment
        )
    assert answer.stdout.decode().split() == ["7MB", "off", "off", "0"]


def _looked(server: PostgresServer, database: str, scratch: Path, *, only: list[str] | None = None) -> Notes:
    notes = Notes(frozenset())
    address = parse_url(server.url(database))
    with passfile(address, scratch) as password_file:
        connection = open_connection(address, password_file)
        protect(connection)
        look(SignedIn(connection, address, password_file), Unattended(), notes, only=only)
    return notes


def _analysed(server: PostgresServer, database: str) -> set[str]:
    """What has statistics of its columns."""
    with server.connect(database) as connection:
        return {
            name
            for (name,) in connection.execute(
                "SELECT DISTINCT s.starelid::regclass::text FROM pg_statistic s WHERE s.starelid >= 16384"
            )
        }


def _fill(server: PostgresServer, database: str) -> set[str]:
    with server.connect(database) as connection:
        for number in range(_MANY):
            connection.execute(f"CREATE TABLE t{number} AS SELECT 1 AS x")
        connection.execute("CREATE TABLE large AS SELECT n, repeat('x', 100) AS x FROM generate_series(1, 20000) n")
        connection.execute("CREATE MATERIALIZED VIEW seen AS SELECT 1 AS x")
        connection.execute("CREATE TABLE whole (x integer) PARTITION BY RANGE (x)")
        connection.execute("CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10)")
        connection.execute("INSERT INTO whole VALUES (1), (2)")
        connection.execute('CREATE TABLE "odd, ""name%" AS SELECT 1 AS x')
    return {*(f"t{number}" for number in range(_MANY)), "large", "seen", "whole", "part", '"odd, ""name%"'}


def test_everything_that_was_restored_is_analysed(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    tables = _fill(any_postgres, database)
    assert _looked(any_postgres, database, tmp_path).warnings == ()
    assert _analysed(any_postgres, database) == tables
    any_postgres.drop_database(database)


def test_of_some_tables_those_are_analysed(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    _fill(postgres, postgres_database)
    _looked(postgres, postgres_database, tmp_path, only=["public.t7", "public.part", "public.large"])
    assert _analysed(postgres, postgres_database) == {"t7", "part", "large"}


def test_a_table_that_can_not_be_analysed_is_told_and_the_restore_goes_on(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE large AS SELECT n, repeat('x', 100) AS x FROM generate_series(1, 20000) n")
        connection.execute("CREATE TABLE bad AS SELECT n, repeat('x', 200) AS x FROM generate_series(1, 20000) n")
        connection.execute(
            "CREATE FUNCTION f(n integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS "
            "$$ BEGIN IF current_setting('application_name') <> 'test' THEN RAISE 'not here'; END IF; RETURN n; END $$"
        )
        connection.execute("SET application_name = 'test'; CREATE INDEX ON bad (f(n))")
    notes = _looked(postgres, postgres_database, tmp_path)
    assert notes.warnings == ("ANALYZE was not done: not here",)
    assert "large" in _analysed(postgres, postgres_database)
