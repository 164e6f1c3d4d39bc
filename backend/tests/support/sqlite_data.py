"""SQLite databases for tests, and a writer that keeps an invariant while somebody copies its database.

The tests' process opens only files that nobody else has open: two SQLite libraries in one process drop each other's
locks, and closing a file drops those of the whole process. Who writes beside a backup is a child process.
"""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from support import sqlite_writer_process
from support.postgres_data import ODD_NAMES
from support.waiting import wait_until

JournalMode = Literal["wal", "delete", "truncate", "persist"]

_NOTE_BYTES = 400


def make_sqlite_database(path: Path, *, megabytes: float = 0.1, journal_mode: JournalMode = "wal") -> dict[str, int]:
    """Make a database of about that size with tables, an index, a view and a trigger; answer the rows of each table.

    Half of each row is random, so that compression finds what it finds in real data.
    """
    notes = max(1, int(megabytes * 1024 * 1024 / (_NOTE_BYTES * 1.12)))
    with _new_database(path, journal_mode) as connection:
        connection.executescript(
            """
            CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
            CREATE TABLE note (id INTEGER PRIMARY KEY, author INTEGER REFERENCES author, content BLOB, at TEXT);
            CREATE VIEW written AS
                SELECT name, count(*) AS notes FROM author JOIN note ON author = author.id GROUP BY 1;
            CREATE TABLE changed (note INTEGER);
            CREATE TRIGGER noted AFTER UPDATE ON note BEGIN INSERT INTO changed VALUES (new.id); END;
            """
        )
        connection.executemany("INSERT INTO author VALUES (?, ?)", ((each, f"author {each}") for each in range(1, 11)))
        connection.executemany(
            "INSERT INTO note VALUES (?, ?, ?, datetime(1700000000 + ?, 'unixepoch'))",
            ((each, 1 + each % 10, _half_random(each), each) for each in range(1, notes + 1)),
        )
        connection.execute("CREATE INDEX note_author ON note (author, at)")
    return {"author": 10, "note": notes, "changed": 0}


def make_odd_names_sqlite_database(path: Path, *, journal_mode: JournalMode = "wal") -> dict[str, int]:
    """Make a database of odd table and column names, a virtual table and one WITHOUT ROWID; answer the rows of each."""
    rows = {name: number % 4 for number, name in enumerate(ODD_NAMES, 1)}
    with _new_database(path, journal_mode) as connection:
        for name, many in rows.items():
            quoted = quote_identifier(name)
            connection.execute(f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY AUTOINCREMENT, {quoted} TEXT)")
            connection.executemany(f"INSERT INTO {quoted} ({quoted}) VALUES (?)", [(name,)] * many)
        connection.execute("CREATE TABLE keyed (key TEXT PRIMARY KEY, content ANY) WITHOUT ROWID")
        connection.executemany("INSERT INTO keyed VALUES (?, ?)", [("null", None), ("zero", b"\0"), ("real", 1e300)])
    return {**rows, "keyed": 3}


def make_corrupt(path: Path) -> None:
    """Overwrite pages in the middle of a database file: it still opens, and its integrity check fails."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * min(4096 * 4, size // 4))


def count_sqlite_rows(path: Path) -> dict[str, int]:
    """Rows by table of a database that nobody else has open; AssertionError if its integrity check fails."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {
            name: connection.execute(f"SELECT count(*) FROM {quote_identifier(name)}").fetchone()[0]
            for (name,) in names.fetchall()
        }


def quote_identifier(name: str) -> str:
    """The name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


class SqliteWriter:
    """A child process that transfers money between accounts, one transaction after the other."""

    def __init__(self, path: Path, journal_mode: JournalMode) -> None:
        self.path = path
        self._process = subprocess.Popen(
            [sys.executable, "-I", sqlite_writer_process.__file__, path, journal_mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        #: Transactions committed so far.
        self.commits = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for_commits(self, more: int = 1, *, seconds: float = 60) -> int:
        """Wait until it has committed that many more; answer how many there are then."""
        goal = self.commits + more
        wait_until(
            lambda: self.commits >= goal or self._process.poll() is not None,
            seconds=seconds,
            what=f"{more} more commits of the writer",
        )
        assert self.commits >= goal, f"the writer ended with {self._process.returncode}"
        return self.commits

    def stop(self) -> int:
        """Let it finish its transaction and end; answer how many it has committed. AssertionError if it failed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=60) == 0
        self._reader.join()
        return self.commits

    def kill(self) -> None:
        """SIGKILL it, most likely in a transaction: what stays behind is a WAL or a hot journal."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.commits = int(line)


@contextlib.contextmanager
def sqlite_writer(path: Path, *, journal_mode: JournalMode = "wal") -> Iterator[SqliteWriter]:
    """A writer that has begun: adds its tables to the database at `path`, which need not exist; killed on leaving."""
    writer = SqliteWriter(path, journal_mode)
    try:
        writer.wait_for_commits()
        yield writer
    finally:
        writer.kill()


def check_invariant(path: Path) -> int:
    """Assert that a copy of a writer's database is of one moment; answer how many transfers it holds.

    Only for a file that nobody else has open.
    """
    count_sqlite_rows(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        total, accounts = connection.execute("SELECT sum(balance), count(*) FROM account").fetchone()
        assert (total, accounts) == (sqlite_writer_process.TOTAL, sqlite_writer_process.ACCOUNTS)
        ((transfers,),) = connection.execute("SELECT transfers FROM counter").fetchall()
        assert connection.execute("SELECT count(*), max(number) FROM transfer").fetchone() == (transfers, transfers)
    return int(transfers)


@contextlib.contextmanager
def _new_database(path: Path, journal_mode: JournalMode) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        with connection:
            yield connection


def _half_random(number: int) -> bytes:
    half = _NOTE_BYTES // 2
    return os.urandom(half) + (f"note {number} " * half).encode()[:half]
