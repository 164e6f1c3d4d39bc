"""The service's own databases, and services on them."""

from pathlib import Path

import pytest

from hhh.core.database import Database
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.own_databases import own_database, postgresql_database, settings, sqlite_database

__all__ = ["own_database", "postgresql_database", "settings", "sqlite_database"]


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    """Services with a target `source`, on each kind of own database in turn."""
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def sqlite_services(tmp_path: Path, sqlite_database: Database) -> Services:
    """Services with a target `source`, on SQLite."""
    return services_with_a_target(tmp_path, sqlite_database)
