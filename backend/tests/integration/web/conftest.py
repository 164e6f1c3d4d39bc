"""The web layer on a real database, and clients of it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from hhh.core.config import Settings
from hhh.core.database import Database
from support.logs import Log, log
from support.own_databases import own_database, postgresql_database, settings, sqlite_database
from support.sign_in import make_user, sign_in, web_app

__all__ = ["log", "own_database", "postgresql_database", "settings", "sqlite_database"]


@pytest.fixture
def client(settings: Settings, sqlite_database: Database, log: Log) -> Iterator[TestClient]:
    """A client that is not signed in, of a service with one super admin."""
    make_user(sqlite_database)
    with TestClient(web_app(settings, sqlite_database)) as client:
        yield client


@pytest.fixture
def signed_in(client: TestClient) -> TestClient:
    """The same client, signed in as the super admin, sending its CSRF token."""
    return sign_in(client)
