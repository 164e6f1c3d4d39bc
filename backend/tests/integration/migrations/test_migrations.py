"""The history of migrations: complete, reversible, and safe when several processes run it at once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from hhh import migrations
from hhh.core.database import Base, Database
from hhh.core.errors import ConfigurationError, DatabaseUnavailable
from support import migrating_process
from support.piped import Piped
from support.postgres import ALL_MAJORS, PostgresServers

KINDS = ["sqlite", *(pytest.param(f"pg{major}", marks=pytest.mark.postgres) for major in ALL_MAJORS)]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_servers: PostgresServers) -> Iterator[str]:
    """The URL of an empty database: SQLite, and PostgreSQL of every major."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'own.db'}"
        return
    server = postgres_servers.shared(int(request.param.removeprefix("pg")))
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with contextlib.closing(Database(url)) as database:
        yield database


def differences(database: Database) -> list[object]:
    """What the models have that the tables have not, and the other way round; indexes of conditions included."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return [*compare_metadata(context, Base.metadata), *_conditions(connection)]


def _conditions(connection: Connection) -> list[str]:
    """Partial indexes whose condition differs, which Alembic does not compare."""
    kind = connection.dialect.name
    found = inspect(connection)
    wrong = []
    for table in Base.metadata.tables.values():
        present = {index["name"]: index.get("dialect_options", {}) for index in found.get_indexes(table.name)}
        for index in table.indexes:
            condition = index.dialect_options[kind]["where"]
            if (condition is None) != (present.get(str(index.name), {}).get(f"{kind}_where") is None):
                wrong.append(f"{table.name}.{index.name}")
    return wrong


def test_the_history_makes_the_models_both_ways(database: Database) -> None:
    assert migrations.pending(database)
    migrations.upgrade(database)
    assert not migrations.pending(database)
    assert differences(database) == []
    command.downgrade(migrations.alembic_config(database), "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    assert migrations.pending(database)
    migrations.upgrade(database)
    assert differences(database) == []
    with database.snapshot() as session:
        assert session.execute(text("SELECT total FROM backup_totals")).scalars().all() == [0]
    migrations.upgrade(database)  # nothing to do


def test_several_processes_that_migrate_at_once_all_succeed(url: str, database: Database) -> None:
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(Piped(migrating_process.__file__, url)) for _ in range(3)]
        for process in processes:
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    assert differences(database) == []


def test_a_newer_database_is_refused_and_stays_as_it_is(database: Database) -> None:
    migrations.upgrade(database)
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="newer version"):
        migrations.pending(database)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    path.write_bytes(b"something else\n" * 1000)
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        for use in (migrations.pending, migrations.upgrade):
            with pytest.raises(DatabaseUnavailable, match="not a database"):
                use(database)
    assert path.read_bytes().startswith(b"something else")
