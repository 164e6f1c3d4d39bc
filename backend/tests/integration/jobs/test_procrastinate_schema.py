"""The queue's tables in the jobs database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from procrastinate.schema import SchemaManager

from hhh.core.errors import ConfigurationError, DatabaseUnavailable
from hhh.jobs import procrastinate_schema as schema
from support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

MIGRATIONS = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
FUNCTIONS = "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'procrastinate%' ORDER BY 1, oid"


@pytest.fixture
def jobs(any_postgres: PostgresServer) -> Iterator[str]:
    """The name of an empty database, dropped afterwards."""
    name = any_postgres.create_database()
    yield name
    any_postgres.drop_database(name)


def asked(server: PostgresServer, database: str, query: str) -> list[tuple[Any, ...]]:
    with server.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def test_of_many_processes_one_makes_the_tables(any_postgres: PostgresServer, jobs: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(schema.ensure, [any_postgres.url(jobs)] * 8))
    assert made.count(True) == 1
    assert asked(any_postgres, jobs, "SELECT version FROM hhh_queue_schema") == [(MIGRATIONS[-1].stem,)]


def test_tables_of_an_older_library_are_brought_to_this_one(any_postgres: PostgresServer, jobs: str) -> None:
    older = next(number for number, path in enumerate(MIGRATIONS) if path.name.startswith("03.01.00_50"))
    with any_postgres.connect(jobs, autocommit=True) as connection:
        for path in MIGRATIONS[: older + 1]:
            connection.execute(path.read_bytes())
        connection.execute("CREATE TABLE hhh_queue_schema (version text)")
        connection.execute("INSERT INTO hhh_queue_schema VALUES (%s)", [MIGRATIONS[older].stem])
    assert schema.ensure(any_postgres.url(jobs))
    assert not schema.ensure(any_postgres.url(jobs))
    new = any_postgres.create_database()
    schema.ensure(any_postgres.url(new))
    upgraded: dict[str, str] = dict(asked(any_postgres, jobs, FUNCTIONS))
    fresh: dict[str, str] = dict(asked(any_postgres, new, FUNCTIONS))
    any_postgres.drop_database(new)
    assert {name: upgraded.get(name) for name in fresh} == fresh


def test_tables_of_a_newer_program_are_left_alone(any_postgres: PostgresServer, jobs: str) -> None:
    any_postgres.execute("CREATE TABLE hhh_queue_schema AS SELECT '99.00.00_01_wonder' AS version", database=jobs)
    with pytest.raises(ConfigurationError, match=r"99\.00\.00_01_wonder.*same version on all machines"):
        schema.ensure(any_postgres.url(jobs))
    assert asked(any_postgres, jobs, "SELECT to_regclass('procrastinate_jobs')") == [(None,)]


@pytest.mark.parametrize(
    ("table", "reason"), [("backup_log", "own database"), ("procrastinate_jobs", "another program")]
)
def test_a_database_with_something_else_in_it_is_refused(
    any_postgres: PostgresServer, jobs: str, table: str, reason: str
) -> None:
    any_postgres.execute(f"CREATE TABLE {table} (id int)", database=jobs)
    with pytest.raises(ConfigurationError, match=reason):
        schema.ensure(any_postgres.url(jobs))


def test_a_database_that_is_not_there_is_told_without_its_password(any_postgres: PostgresServer) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"jobs database failed: .*does not exist") as failed:
        schema.ensure(any_postgres.url("nowhere"))
    assert any_postgres.password not in str(failed.value)
