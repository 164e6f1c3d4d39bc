"""The services of one process, on a real own database and real stores, for tests below the API."""

import dataclasses
from pathlib import Path
from typing import Any

from hhh.core.config import Settings, load_settings
from hhh.core.database import Database
from hhh.services.backup import BackupService
from hhh.services.container import Services, assemble
from hhh.services.stores import StoreService
from hhh.storages.base import Storage
from support.sqlite_data import make_sqlite_database


def settings_in(folder: Path, **more: Any) -> Settings:
    """Settings with data, scratch and a local store below one folder; `more` by their names in lower case."""
    values = {"data_dir": folder / "data", "scratch_dir": folder / "scratch", **more}
    environment = {f"HHH_{name.upper()}": str(value) for name, value in values.items()}
    return load_settings(environment, dotenv=folder / "none.env")


def storing_in(services: Services, storage: Storage) -> Services:
    """The same services, with another store."""
    backups = BackupService(
        services.settings,
        services.database,
        services.identity,
        services.targets,
        StoreService(services.settings, services.database, storage),
        services.policies,
    )
    return dataclasses.replace(services, backups=backups)


def services_with_a_target(folder: Path, database: Database, *, target: str = "source", **more: Any) -> Services:
    """Services that know a small SQLite database as `target`."""
    services = assemble(settings_in(folder, **more), database)
    make_sqlite_database(folder / f"{target}.db", megabytes=0.02)
    services.targets.add(target, f"sqlite:///{folder / target}.db")
    return services
