"""The service's own database for tests: real, migrated, on SQLite and on PostgreSQL.

To migrate one takes a tenth of a second, or a quarter; a copy of one that was migrated has the same in it.
"""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh import migrations
from hhh.core.config import Settings, load_settings
from hhh.core.database import Database
from support.postgres import PostgresServer
from support.session import current_session


@contextlib.contextmanager
def migrated(url: str) -> Iterator[Database]:
    """The database of that URL, brought to this version; closed afterwards."""
    with contextlib.closing(Database(url)) as database:
        migrations.upgrade(database)
        yield database


@functools.cache
def migrated_file() -> Path:
    """An empty SQLite database of this version; to be copied, never to be opened."""
    file = current_session().new_folder("template") / "hhh.db"
    with migrated(f"sqlite:///{file}"):
        return file


@pytest.fixture(scope="session")
def migrated_template(any_postgres: PostgresServer) -> str:
    """The name of an empty PostgreSQL database of this version; to be copied, never to be opened."""
    name = any_postgres.create_database()
    with migrated(any_postgres.url(name)):
        return name


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Nothing but defaults, in a data dir of its own."""
    return load_settings({"HHH_DATA_DIR": str(tmp_path / "data")}, dotenv=tmp_path / "none.env")


@pytest.fixture
def sqlite_database(settings: Settings) -> Iterator[Database]:
    """A migrated SQLite database."""
    file = settings.default_database_file
    assert file is not None
    shutil.copy(migrated_file(), file)
    with contextlib.closing(Database(settings.own_database_url)) as database:
        yield database


@pytest.fixture
def postgresql_database(any_postgres: PostgresServer, migrated_template: str) -> Iterator[Database]:
    """A migrated PostgreSQL database, dropped afterwards."""
    name = any_postgres.create_database(template=migrated_template)
    with contextlib.closing(Database(any_postgres.url(name))) as database:
        yield database
    any_postgres.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_database(request: pytest.FixtureRequest) -> Database:
    """A migrated database of each kind in turn."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database
