import subprocess
from pathlib import Path

import psycopg
import pytest

from support.postgres import PostgresServer
from support.postgres_data import ODD_NAMES, ODD_SCHEMA, count_rows, make_odd_names_database, make_realistic_database


@pytest.mark.parametrize("megabytes", [5, 20])
def test_a_realistic_database_has_about_the_size_asked_for(any_postgres: PostgresServer, megabytes: int) -> None:
    empty, full = any_postgres.create_database(), any_postgres.create_database()
    with any_postgres.connect(full) as connection:
        make_realistic_database(connection, megabytes=megabytes)
        sizes = connection.execute("SELECT pg_database_size(%s), pg_database_size(%s)", (full, empty)).fetchall()[0]
    assert 0.8 <= (sizes[0] - sizes[1]) / (megabytes * 1024 * 1024) <= 1.3


def test_a_realistic_database_has_the_rows_it_says_and_a_large_object(any_postgres: PostgresServer) -> None:
    with any_postgres.connect(any_postgres.create_database()) as connection:
        rows = make_realistic_database(connection)
        assert set(rows) == {"customers", "orders", "order_items", "events"}
        assert min(rows.values()) > 0
        assert connection.execute("SELECT count(*) FROM turnover").fetchone() is not None
        assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (1,)


def test_odd_names_dump_and_restore_with_the_rows_they_say(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database) as connection:
        rows = make_odd_names_database(connection)
    assert {(schema, name) for schema in ("public", ODD_SCHEMA) for name in ODD_NAMES} < set(rows)
    assert rows["public", "parted 2024"] == 2
    copy = postgres.create_database()
    dump = tmp_path / "dump"
    environment = postgres.environment(postgres_database)
    subprocess.run([postgres.bin_dir / "pg_dump", "-Fc", "-f", dump], env=environment, check=True)
    subprocess.run([postgres.bin_dir / "pg_restore", "-e", "-d", copy, dump], env=environment, check=True)
    with postgres.connect(copy) as connection:
        connection.execute("SET search_path = ''")
        assert count_rows(connection, list(rows)) == rows
    postgres.drop_database(copy)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM kept",
        "SELECT now()",
        "SELECT 1 = 1",
        "SELECT 1 FROM pg_catalog.pg_class WHERE oid = 1::oid",
    ],
)
def test_a_session_that_keeps_the_search_path_is_trapped(any_postgres: PostgresServer, query: str) -> None:
    name = any_postgres.create_database()
    with any_postgres.connect(name) as connection:
        make_odd_names_database(connection)
    with any_postgres.connect(name) as connection, pytest.raises(psycopg.errors.RaiseException, match="trap: "):
        connection.execute(query)
    with any_postgres.connect(name) as connection:
        connection.execute("SET search_path = ''")
        connection.execute(query.replace("kept", "public.kept"))
