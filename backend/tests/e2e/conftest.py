"""Fixtures of the tests of the whole service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.documentation import Operator
from support.postgres import PostgresServer
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.session import current_session


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """An empty folder for HHH_SCRATCH_DIR."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.soak])])
def own(request: pytest.FixtureRequest, tmp_path: Path, any_postgres: PostgresServer) -> Iterator[dict[str, Any]]:
    """Settings of a service whose own database is empty, of each kind in turn, and whose tools fit `any_postgres`."""
    tools = {"pg_bin_dir": any_postgres.bin_dir}
    if request.param == "sqlite":
        yield {"database_url": f"sqlite:///{tmp_path / 'own.db'}", **tools}
        return
    name = any_postgres.create_database()
    yield {"database_url": any_postgres.url(name), **tools}
    any_postgres.drop_database(name)


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Service]:
    """One service for all tests of a module that leave it as it was but for more backups, users and targets."""
    with Service(current_session().new_folder("shared-service")) as running:
        yield running


@pytest.fixture
def operator(shared_service: Service, tmp_path: Path) -> Operator:
    """Somebody who copies commands from the runbook, with an empty cookie jar."""
    return Operator(tmp_path, shared_service)


@pytest.fixture
def super_admin(operator: Operator) -> Operator:
    """An operator who has signed in."""
    assert operator.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).status == 200
    return operator
