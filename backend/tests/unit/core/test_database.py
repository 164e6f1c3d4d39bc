"""The address of the own database: who may see what of it."""

import contextlib
import os
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.database import Database, normalise, shown
from hhh.core.errors import ConfigurationError, DatabaseUnavailable


@pytest.mark.parametrize(
    "url",
    ["postgresql://ann:s3cr%2Ft@db/hhh?sslmode=require", "postgresql://ann@db/hhh?password=s3cr/t&sslmode=require"],
)
def test_a_password_is_used_and_not_shown_wherever_it_stands(url: str) -> None:
    database = Database(url)
    assert database.engine.dialect.create_connect_args(database.url)[1]["password"] == "s3cr/t"
    assert repr(database) == "Database(postgresql+psycopg://ann:***@db/hhh?sslmode=require)"


def test_the_password_of_a_client_certificate_is_not_shown_either() -> None:
    database = Database("postgresql://ann:s3cr%2Ft@db/hhh?sslkey=/key&sslpassword=s3cr%2Ft&sslmode=require")
    assert database.engine.dialect.create_connect_args(database.url)[1]["sslpassword"] == "s3cr/t"
    assert "s3cr" not in repr(database)
    assert "sslmode=require" in shown(database.url)


@pytest.mark.parametrize("url", ["", "hhh.db", "mysql://db/hhh", "sqlite://", "sqlite+pysqlite:////hhh.db"])
def test_what_is_no_own_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="HHH_DATABASE_URL"):
        normalise(url)


def test_a_sqlite_file_is_for_its_owner_alone_whatever_the_folder_and_the_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        with contextlib.closing(Database(f"sqlite:///{tmp_path}/own.db")) as database:
            with database.transaction() as session:
                session.execute(text("CREATE TABLE t (a)"))
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("own.db", "own.db-wal", "own.db-shm"), 0o600)


def test_a_sqlite_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "own.db"
    file.touch(0o640)
    Database(f"sqlite:///{file}").close()
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("limit", "told"), [("max_page_count = 1", "make room on its disk"), ("query_only = 1", "let the service write")]
)
def test_where_nothing_can_be_written_it_is_told_what_to_do(tmp_path: Path, limit: str, told: str) -> None:
    def write(database: Database) -> None:
        with database.transaction() as session:
            session.execute(text(f"PRAGMA {limit}"))
            session.execute(text("CREATE TABLE t (x)"))

    database = Database(f"sqlite:///{tmp_path}/hhh.db")
    with contextlib.closing(database), pytest.raises(DatabaseUnavailable) as refused:
        write(database)

    assert str(refused.value.hint).startswith(told)
