"""Fixtures of the tests of the whole service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.postgres import PostgresServer


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """An empty folder for HHH_SCRATCH_DIR."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own(request: pytest.FixtureRequest, tmp_path: Path, any_postgres: PostgresServer) -> Iterator[dict[str, Any]]:
    """Settings of a service whose own database is empty, of each kind in turn, and whose tools fit `any_postgres`."""
    tools = {"pg_bin_dir": any_postgres.bin_dir}
    if request.param == "sqlite":
        yield {"database_url": f"sqlite:///{tmp_path / 'own.db'}", **tools}
        return
    name = any_postgres.create_database()
    yield {"database_url": any_postgres.url(name), **tools}
    any_postgres.drop_database(name)
