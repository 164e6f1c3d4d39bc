"""Databases to back up and restore, of each kind: what is in them, and what stands beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.restoring import change, content
from support.sqlite_data import make_sqlite_database


@dataclass
class Shop:
    """A database, and what is in it."""

    url: str
    #: A destination beside it.
    elsewhere: str

    def rows(self, destination: str | None = None) -> list[Any]:
        """What stands there, or in the database itself."""
        raise NotImplementedError

    def change(self) -> None:
        """Makes it another one."""
        raise NotImplementedError

    def names(self) -> set[str]:
        """All databases, or files, there are."""
        raise NotImplementedError


class SqliteShop(Shop):
    """A file in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shop.db"
        make_sqlite_database(self.path, megabytes=0.02)
        super().__init__(f"sqlite:///{self.path}", f"{folder}/new.db")

    def rows(self, destination: str | None = None) -> list[Any]:
        return content(Path(destination or self.path))

    def change(self) -> None:
        change(self.path)

    def names(self) -> set[str]:
        found = {path.name for path in self.path.parent.iterdir() if path.is_file()}
        return {name for name in found if not name.endswith(("-wal", "-shm"))}


class PostgresqlShop(Shop):
    """A database, and all those whose names begin like its own."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.name = server.create_database()
        with server.connect(self.name) as connection:
            make_realistic_database(connection, megabytes=0.1)
        super().__init__(server.url(self.name), f"{self.name}_new")

    def rows(self, destination: str | None = None) -> list[Any]:
        with self.server.connect(destination or self.name) as connection:
            return connection.execute("SELECT * FROM customers ORDER BY id").fetchall()

    def change(self) -> None:
        self.server.execute("UPDATE customers SET name = 'changed'", database=self.name)

    def names(self) -> set[str]:
        with self.server.connect() as connection:
            return {
                name
                for (name,) in connection.execute(
                    "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, %s)", [self.name]
                )
            }

    def drop(self) -> None:
        """Removes it, and all that stands beside it."""
        for name in self.names():
            self.server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            self.server.drop_database(name)


@pytest.fixture
def postgresql_shop(any_postgres: PostgresServer) -> Iterator[PostgresqlShop]:
    """A database on each server in turn."""
    shop = PostgresqlShop(any_postgres)
    yield shop
    shop.drop()


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> SqliteShop:
    """A file."""
    (tmp_path / "shop").mkdir()
    return SqliteShop(tmp_path / "shop")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest) -> Shop:
    """Each of both in turn."""
    found: Shop = request.getfixturevalue(f"{request.param}_shop")
    return found
