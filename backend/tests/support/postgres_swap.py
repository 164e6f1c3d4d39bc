"""Swapping databases, for tests: what is at a name, and a process that swaps and can be killed."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from hhh.engines.restoring import Destination
from support import swapping_process
from support.postgres_server import PostgresServer


def make_content(server: PostgresServer, database: str, content: str) -> None:
    """Create a database whose only row says what it is."""
    server.create_database(database)
    server.execute(sql.SQL("CREATE TABLE content AS SELECT {}::text AS said").format(content), database=database)


def content_of(server: PostgresServer, database: str) -> str:
    """What the row of `make_content` says."""
    with server.connect(database) as connection:
        [(said,)] = connection.execute("SELECT said FROM content")
        return str(said)


def databases_like(server: PostgresServer, beginning: str) -> list[str]:
    """The names of all databases that begin so."""
    with server.connect() as connection:
        rows = connection.execute(
            "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, %s) ORDER BY 1", [beginning]
        )
        return [name for (name,) in rows]


@contextlib.contextmanager
def publishing(destination: Destination, scratch: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of its own that has said that it begins to publish; it is gone after the block."""
    command = [sys.executable, "-I", swapping_process.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            order = {"url": destination.url, "name": destination.name, "token": destination.token}
            process.stdin.write(json.dumps({**order, "scratch": str(scratch)}).encode())
            process.stdin.close()
            assert process.stdout.readline() == b"begins\n"
            yield process
        finally:
            process.kill()
