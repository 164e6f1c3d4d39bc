"""One rig per database engine for the contract suite: makes a database, and puts a dump back to look at it."""

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from hhh.core.run import Run, Unattended
from hhh.engines.base import Dump, DumpResult, Engine, EngineKind, Workplace
from hhh.engines.registry import ENGINES
from hhh.schemas.policy import Fingerprint
from support.postgres import PostgresServer
from support.postgres_data import count_rows as count_postgres_rows
from support.postgres_data import make_odd_names_database
from support.postgres_dumps import restore
from support.sqlite_data import count_sqlite_rows, make_odd_names_sqlite_database

#: (schema, table) → rows.
Rows = dict[tuple[str, str], int]


class EngineRig(ABC):
    """A database for an engine to work on."""

    def __init__(self, kind: EngineKind, url: str, workplace: Workplace) -> None:
        self.kind = kind
        self.engine: Engine = ENGINES[kind]
        #: Its URL.
        self.url = url
        self.workplace = workplace

    @property
    @abstractmethod
    def url_of_nothing(self) -> str:
        """The URL of a database that does not exist."""

    @abstractmethod
    def fill(self, rows: int) -> None:
        """Make a table `thing` with that many rows of about 1 KB that compress badly."""

    @abstractmethod
    def fill_with_odd_names(self) -> Rows:
        """Make tables whose names break what puts SQL together by hand; answer their rows."""

    @abstractmethod
    def rows_restored(self, artifact: bytes, tables: list[tuple[str, str]]) -> Rows:
        """Put a dump back by the database's own tools, and count."""

    @contextlib.contextmanager
    def dumping(self, run: Run | None = None, *, fingerprint: Fingerprint = "off") -> Iterator[Dump]:
        """A dump of the database."""
        with self.engine.dump(self.url, self.workplace, run or Unattended(), fingerprint=fingerprint) as dump:
            yield dump

    def take_dump(self, *, fingerprint: Fingerprint = "off") -> tuple[bytes, DumpResult]:
        """A whole dump and what is known of it."""
        with self.dumping(fingerprint=fingerprint) as dump:
            return read_to_end(dump), dump.finish()


class SqliteRig(EngineRig):
    """A file."""

    def __init__(self, folder: Path, workplace: Workplace) -> None:
        self._path = folder / "database #1 ü%20.db"
        sqlite3.connect(self._path).close()
        self._path.touch()
        super().__init__(EngineKind.SQLITE, f"sqlite:///{quote(str(self._path))}", workplace)

    @property
    def url_of_nothing(self) -> str:
        return self.url + ".not"

    def fill(self, rows: int) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY, content BLOB)")
            connection.executemany("INSERT INTO thing VALUES (?, randomblob(1000))", ((each,) for each in range(rows)))

    def fill_with_odd_names(self) -> Rows:
        return {("", name): rows for name, rows in make_odd_names_sqlite_database(self._path).items()}

    def rows_restored(self, artifact: bytes, tables: list[tuple[str, str]]) -> Rows:
        restored = self._path.with_name("restored.db")
        restored.write_bytes(artifact)
        rows = count_sqlite_rows(restored)
        return {(schema, name): rows[name] for schema, name in tables}


class PostgresqlRig(EngineRig):
    """A database of its own on a shared server."""

    def __init__(self, server: PostgresServer, database: str, workplace: Workplace) -> None:
        self._server = server
        self._database = database
        super().__init__(EngineKind.POSTGRESQL, server.url(database), workplace)

    @property
    def url_of_nothing(self) -> str:
        return self._server.url(f"{self._database}_not")

    def fill(self, rows: int) -> None:
        with self._server.connect(self._database) as connection:
            connection.execute("CREATE TABLE thing (id integer PRIMARY KEY, content text)")
            connection.execute(
                "INSERT INTO thing SELECT i, (SELECT string_agg(md5(i::text || j), '')"
                " FROM generate_series(1, 32) j) FROM generate_series(1, %s) i",
                [rows],
            )

    def fill_with_odd_names(self) -> Rows:
        with self._server.connect(self._database) as connection:
            return make_odd_names_database(connection)

    def rows_restored(self, artifact: bytes, tables: list[tuple[str, str]]) -> Rows:
        restored = self._server.create_database()
        try:
            restore(self._server, artifact, restored)
            with self._server.connect(restored) as connection:
                connection.execute("SET row_security = off; SET search_path = ''")
                return count_postgres_rows(connection, tables)
        finally:
            self._server.drop_database(restored)


@contextlib.contextmanager
def _sqlite_rig(request: pytest.FixtureRequest, scratch: Path) -> Iterator[EngineRig]:
    yield SqliteRig(request.getfixturevalue("tmp_path"), Workplace(scratch))


@contextlib.contextmanager
def _postgresql_rig(request: pytest.FixtureRequest, scratch: Path) -> Iterator[EngineRig]:
    server: PostgresServer = request.getfixturevalue("any_postgres")
    database = server.create_database()
    try:
        yield PostgresqlRig(server, database, Workplace(scratch, pg_bin_dir=server.bin_dir))
    finally:
        server.drop_database(database)


#: How to get a rig of each engine.
RIGS: dict[EngineKind, Callable[[pytest.FixtureRequest, Path], contextlib.AbstractContextManager[EngineRig]]] = {
    EngineKind.SQLITE: _sqlite_rig,
    EngineKind.POSTGRESQL: _postgresql_rig,
}


def read_to_end(dump: Dump) -> bytes:
    """All bytes of a dump (unbuffered streams may answer less than is asked for)."""
    return b"".join(iter(lambda: dump.stdout.read(1 << 20) or b"", b""))


def children() -> set[psutil.Process]:
    """The processes that this one has started and that are there; theirs (a server's) are not among them."""
    return set(psutil.Process().children())
