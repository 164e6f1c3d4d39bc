"""The service's own databases, and the installation that commands find by their environment."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.testing

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.own_databases import own_database, postgresql_database, settings, sqlite_database
from support.sweeping import take

__all__ = ["installation", "own_database", "postgresql_database", "services", "settings", "sqlite_database"]


@pytest.fixture(scope="session", autouse=True)
def commands_are_put_together_once() -> Iterator[None]:
    """Typer makes all 80 commands of their functions for each that runs, which takes most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def installation(
    settings: Settings,
    sqlite_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What commands work on, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HHH_DATA_DIR", str(settings.data_dir))


@pytest.fixture
def services(
    installation: None,
    tmp_path: Path,
    sqlite_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Services:
    """Of an installation that has taken one backup."""
    monkeypatch.setenv("HHH_SCRATCH_DIR", str(tmp_path / "scratch"))
    services = services_with_a_target(tmp_path, sqlite_database)
    take(services)
    return services
