"""Writers that never pause: rows, TRUNCATE, definitions and sequences change while a backup is taken."""

import contextlib
import itertools
import random
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from support.waiting import wait_until

ACCOUNTS = 50
TOTAL = ACCOUNTS * 1000
#: What holds in each moment.
ASSERTIONS = [
    f"SELECT sum(balance) = {TOTAL} FROM account",
    "SELECT (SELECT done FROM counter) = (SELECT count(*) FROM transfer)",
]


#: Seconds between two changes of definitions: with more of them, pg_dump never gets its locks.
_PAUSE = 0.3


class BusyWriter(ABC):
    """Changes a database in a thread while somebody is `writing`; an error of it is raised there."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        #: How much it has done.
        self.changes = 0

    @abstractmethod
    def run(self, stopped: Callable[[], bool]) -> Iterator[None]:
        """Does one change after the other."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """It writes in the block, and has made some changes when that begins."""
        stopped, goal = threading.Event(), self.changes + 20
        thread = threading.Thread(target=self._work, args=[stopped.is_set], daemon=True)
        thread.start()
        try:
            wait_until(lambda: self.changes >= goal or not thread.is_alive(), seconds=60, what="some changes")
            yield
        finally:
            stopped.set()
            thread.join()
        if self._error is not None:
            raise self._error

    def _work(self, stopped: Callable[[], bool]) -> None:
        try:
            for _ in self.run(stopped):
                self.changes += 1
        except BaseException as error:  # noqa: BLE001  it is raised to the test
            self._error = error


class BusySqlite(BusyWriter):
    """Of a file in WAL mode."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._script = itertools.cycle(_SQLITE)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = wal")
            connection.executescript(
                """
                CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, padding BLOB);
                CREATE TABLE transfer (id INTEGER PRIMARY KEY AUTOINCREMENT, amount INTEGER);
                CREATE TABLE counter (done INTEGER NOT NULL); INSERT INTO counter VALUES (0);
                CREATE TABLE emptied (x); CREATE TABLE log (what TEXT);
                """
            )
            rows = ((number,) for number in range(ACCOUNTS))
            connection.executemany("INSERT INTO account VALUES (?, 1000, zeroblob(2000))", rows)
            connection.commit()

    def run(self, stopped: Callable[[], bool]) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None, timeout=60)) as connection:
            for number in itertools.count():
                if stopped():
                    return
                script = ["BEGIN IMMEDIATE", *_transfer(), *next(self._script), "COMMIT"]
                for statement in script:
                    connection.execute(statement.format(number=number))
                yield


class BusyPostgresql(BusyWriter):
    """Of a database of its own."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._script = itertools.cycle(_POSTGRESQL)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                """
                CREATE TABLE account (id integer PRIMARY KEY, balance integer NOT NULL, padding text);
                CREATE TABLE transfer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount integer);
                CREATE TABLE counter (done integer NOT NULL); INSERT INTO counter VALUES (0);
                CREATE TABLE emptied (id serial PRIMARY KEY, x text); CREATE TABLE log (what text);
                CREATE SEQUENCE up CACHE 3; CREATE SEQUENCE down INCREMENT -2 START -1;
                CREATE MATERIALIZED VIEW summed AS SELECT sum(balance) AS total FROM account;
                """
            )
            connection.execute("INSERT INTO account SELECT n, 1000, repeat('x', 2000) FROM generate_series(1, 50) n")

    def run(self, stopped: Callable[[], bool]) -> Iterator[None]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            due = 0.0
            for number in itertools.count():
                if stopped():
                    return
                script = ["BEGIN", *_transfer(), "SELECT nextval('up'), nextval('down')", "COMMIT"]
                if time.monotonic() > due:
                    script[-1:-1] = next(self._script)
                    due = time.monotonic() + _PAUSE
                _execute(connection, "; ".join(script).format(number=number).encode())
                yield


def _execute(connection: "psycopg.Connection[Any]", script: bytes) -> None:
    """Again and again, if the server ends it to undo a deadlock with a dump."""
    while True:
        try:
            connection.execute(script)
        except psycopg.errors.DeadlockDetected:
            connection.execute("ROLLBACK")
        else:
            return


def _transfer() -> list[str]:
    """Moves money, notes and counts it."""
    source, sink = random.sample(range(1, ACCOUNTS), 2)
    amount = random.randint(1, 100)
    return [
        f"UPDATE account SET balance = balance - {amount} WHERE id = {source}",
        f"INSERT INTO transfer (amount) VALUES ({amount})",
        "UPDATE counter SET done = done + 1",
        f"UPDATE account SET balance = balance + {amount} WHERE id = {sink}",
    ]


_SQLITE = [
    ["INSERT INTO emptied VALUES ({number}), (zeroblob(9000))"],
    ["CREATE INDEX by_amount ON transfer (amount)", "CREATE TABLE made (x)", "INSERT INTO made VALUES ({number})"],
    ["CREATE TRIGGER logged AFTER INSERT ON emptied BEGIN INSERT INTO log VALUES ('{number}'); END"],
    ["ALTER TABLE made ADD COLUMN y", "CREATE VIEW seen AS SELECT {number} AS number"],
    ["DELETE FROM emptied", "DROP TRIGGER logged"],
    ["DROP INDEX by_amount", "DROP TABLE made", "DROP VIEW seen", "PRAGMA user_version = {number}"],
]
_POSTGRESQL = [
    ["CREATE INDEX by_amount ON transfer (amount)", "CREATE TABLE made (x varchar(9) CHECK (x IN ('a', 'b')))"],
    ["CREATE OR REPLACE FUNCTION told() RETURNS integer LANGUAGE sql AS 'SELECT {number}'"],
    ["ALTER TABLE made ADD COLUMN y integer DEFAULT {number}", "CREATE VIEW seen AS SELECT x FROM made"],
    ["TRUNCATE emptied", "REFRESH MATERIALIZED VIEW summed"],
    ["INSERT INTO emptied (x) VALUES ('a'), ('b')", "SELECT lo_from_bytea(0, 'content {number}')"],
    ["TRUNCATE emptied RESTART IDENTITY", "INSERT INTO made (x) VALUES ('a')"],
    ["DROP VIEW seen", "DROP TABLE made", "DROP INDEX by_amount", "DROP FUNCTION told()"],
]
