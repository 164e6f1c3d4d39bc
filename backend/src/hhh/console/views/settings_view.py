"""The settings in words. What is a secret is told as set or not set; what may hold one, without it."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from hhh.core.config import PREFIX, STORE_PREFIXES, Settings
from hhh.core.database import shown
from hhh.core.errors import HHHError
from hhh.core.logging import mask
from hhh.core.text import counted
from hhh.core.version import PRODUCT_VERSION
from hhh.engines.postgresql.binaries import Installation, installations
from hhh.services.container import Services
from hhh.services.recovery_kit import Keys, public_keys
from hhh.services.stores import DEFAULT_STORE

#: By group, each setting with what it is for; docs/configuration.md has more of each.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "Service": {
        "env": "production requires a secret key, makes cookies Secure, and logs JSON",
        "data_dir": "the data folder: database, keys and backups, as far as nothing else is set",
        "scratch_dir": "for work in progress, in private folders; drills and restores need room there",
        "host": "the address that it listens on",
        "port": "the port",
        "trusted_proxies": "proxies whose word about the client's address is believed",
        "cookie_secure": "whether cookies are for HTTPS only",
        "cors_origins": "other sites whose scripts may use the API",
        "admin_email": "the first super admin, made at a start without any",
        "admin_password": "their first password; remove it from the settings once they exist",
        "auto_migrate": "whether a start brings the own database to its version",
        "public_url": "the address of this console, which alerts name",
    },
    "Protection": {
        "require_second_factor": "whether super admins need a second factor",
        "refuse_local_addresses": "whether what is registered may not lead back into this machine",
    },
    "Watching": {
        "heartbeat_url": "asked after each good round, so that the silence of the service is noticed elsewhere",
        "metrics_port": "the port where metrics are told without a sign-in; 0: none",
        "metrics_host": "the address of that port",
        "store_full_percent": "from so full on a store is an alert",
        "size_factor": "a backup so many times larger or smaller than usual is an alert",
    },
    "Databases": {
        "database_url": "the service's own database, which is the target app",
        "jobs_database_url": "the queue that many machines share; without it one process does everything",
        "pg_bin_dir": "PostgreSQL's programs, looked for there first",
    },
    "Keys": {
        "secret_key": "signs sessions, and encrypts the addresses of databases and the credentials of stores",
        "signing_key_file": "the key that signs manifests and reports",
        "trusted_keys": "further keys whose signatures count",
        "age_recipients": "public keys that new backups are encrypted for",
        "age_identity_file": "the private key that opens backups, where this machine has it",
    },
    "Backups": {
        "storage_url": "the store default, where backups go unless a database names others",
        "store_stall_seconds": "for so many seconds one of several stores may keep a backup waiting",
        "sweep_safe_hours": "what is younger, in hours, is never swept away",
        "read_back_percent": "how much of all that is stored is read back each day",
        "own_backup_hours": "how often the service backs up its own database by itself; 0: never",
    },
    "Restores and drills": {
        "restore_dirs": "folders that a restore may write SQLite files to",
        "restore_undo_days": "for so many days what a restore replaced is kept for undo",
        "drill_user": "the account that the throw-away server of a drill runs as, where the service is root",
    },
    "Work": {
        "worker_slots": "how many jobs this process runs at once",
        "worker_queues": "the jobs that this process takes",
        "running_limit": "how many backups and restores run at once over all machines; 0: no limit",
        "drain_seconds": "how long what runs may take to end when the process is asked to stop",
    },
}
_SET, _NOT_SET = "set", "not set"


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """One setting, as it may be shown."""

    #: Of the environment variable.
    name: str
    value: str
    #: Whether it was given; else the value is the default.
    is_set: bool
    said: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs here."""

    product: str
    python: str
    #: Of the library that opens the own database, where that is SQLite.
    sqlite: str
    #: Of the library that backs SQLite databases up, in processes of its own.
    sqlite_engine: str
    postgresql: Sequence[Installation]


def shown_settings(services: Services) -> Mapping[str, Sequence[ShownSetting]]:
    """All settings, by group."""
    return {group: [_shown(services, name, said) for name, said in names.items()] for group, names in GROUPS.items()}


def store_variables() -> Sequence[str]:
    """The names of the stores' own variables that are set; some of their values are secrets."""
    return sorted(name for name, value in os.environ.items() if name.startswith(STORE_PREFIXES) and value)


def keys(services: Services) -> Keys | HHHError:
    """The public keys, or why they can't be told."""
    try:
        return public_keys(services)
    except HHHError as error:
        return error


def versions(settings: Settings) -> Versions:
    """The versions of all that takes part."""
    return Versions(
        product=PRODUCT_VERSION,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        # Not loaded here: two SQLite libraries in one process drop each other's locks.
        sqlite_engine=version("apsw"),
        postgresql=installations(pg_bin_dir=settings.pg_bin_dir),
    )


def _shown(services: Services, name: str, said: str) -> ShownSetting:
    settings = services.settings
    is_set = name in settings.model_fields_set
    told = _TOLD[name](services) if name in _TOLD else _plain(getattr(settings, name))
    return ShownSetting(PREFIX + name.upper(), mask(told), is_set, said)


def _plain(value: object) -> str:
    match value:
        case SecretStr():
            return _SET if value.get_secret_value() else _NOT_SET
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(str(each) for each in value) or _NOT_SET
        case None | "":
            return _NOT_SET
    return str(value)


def _secret_key(services: Services) -> str:
    settings = services.settings
    kept = f"{_NOT_SET}: kept in {settings.data_dir / 'secret.key'}"
    return _SET if settings.secret_key.get_secret_value() else kept


def _own_database(services: Services) -> str:
    url = services.database.url
    return shown(url.set(drivername=url.get_backend_name()))


def _jobs_database(services: Services) -> str:
    url = services.settings.jobs_database_url.get_secret_value()
    try:
        return shown(make_url(url)) if url else _NOT_SET
    except ArgumentError:
        return _SET


def _counted_keys(values: Callable[[Settings], Sequence[str]]) -> Callable[[Services], str]:
    """How many: what was put there by mistake may be a private key."""

    def told(services: Services) -> str:
        count = len(values(services.settings))
        return counted(count, "key", "keys") if count else _NOT_SET

    return told


def _or_default(path: Callable[[Settings], Path | str]) -> Callable[[Services], str]:
    return lambda services: str(path(services.settings))


#: Those that are told otherwise than as they are: secrets, and what holds where nothing is set.
_TOLD: Mapping[str, Callable[[Services], str]] = {
    "secret_key": _secret_key,
    "database_url": _own_database,
    "jobs_database_url": _jobs_database,
    "storage_url": lambda services: services.stores.find(DEFAULT_STORE).storage.address,
    "signing_key_file": _or_default(lambda settings: settings.signing_key_path),
    "trusted_keys": _counted_keys(lambda settings: settings.trusted_keys),
    "age_recipients": _counted_keys(lambda settings: settings.age_recipients),
    "cookie_secure": lambda services: _plain(services.settings.cookies_are_secure),
}
