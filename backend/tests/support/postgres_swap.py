"""Swapping databases, for tests: what is at a name, and a process that swaps and can be killed."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from hhh.engines.restoring import Destination
from support import swapping_process
from support.piped import Piped
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
def publishing(destination: Destination, scratch: Path) -> Iterator[Piped]:
    """A process of its own that has said that it begins to publish; it is gone after the block."""
    with Piped(swapping_process.__file__) as process:
        try:
            order = {"url": destination.url, "name": destination.name, "token": destination.token}
            process.stdin.write(json.dumps({**order, "scratch": str(scratch)}).encode())
            process.stdin.close()
            assert process.stdout.readline() == b"begins\n"
            yield process
        finally:
            process.kill()
