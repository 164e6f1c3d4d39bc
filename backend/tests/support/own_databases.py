"""The service's own database for tests: real, migrated, on SQLite and on PostgreSQL."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh import migrations
from hhh.core.config import Settings, load_settings
from hhh.core.database import Database
from support.postgres import PostgresServer


@contextlib.contextmanager
def migrated(url: str) -> Iterator[Database]:
    """The database of that URL, brought to this version; closed afterwards."""
    with contextlib.closing(Database(url)) as database:
        migrations.upgrade(database)
        yield database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Nothing but defaults, in a data dir of its own."""
    return load_settings({"HHH_DATA_DIR": str(tmp_path / "data")}, dotenv=tmp_path / "none.env")


@pytest.fixture
def sqlite_database(settings: Settings) -> Iterator[Database]:
    """A migrated SQLite database."""
    with migrated(settings.own_database_url) as database:
        yield database


@pytest.fixture
def postgresql_database(any_postgres: PostgresServer) -> Iterator[Database]:
    """A migrated PostgreSQL database, dropped afterwards."""
    name = any_postgres.create_database()
    with migrated(any_postgres.url(name)) as database:
        yield database
    any_postgres.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_database(request: pytest.FixtureRequest) -> Database:
    """A migrated database of each kind in turn."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database
