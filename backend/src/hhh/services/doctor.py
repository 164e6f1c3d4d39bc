"""Looks at everything a backup needs, before it is needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hhh.artifacts.encryption import Recipients
from hhh.core.config import Settings
from hhh.core.database import Database, shown
from hhh.core.errors import ConfigurationError, HHHError
from hhh.core.files import needed, readable_by_others
from hhh.core.scratch import scratch_folder
from hhh.engines.base import Workplace
from hhh.services.container import Services
from hhh.services.targets import Target
from hhh.storages.check import check_storage
from hhh.storages.registry import open_storage

#: How long a store is asked again: a backup waits longer, but the operator sits in front of this.
_PATIENCE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    #: What was looked at, e.g. ``store default: write``.
    subject: str
    ok: bool
    #: What was found, or what is wrong and what to do.
    detail: str


def examine(services: Services) -> Iterator[Finding]:
    """Looks at scratch, keys, stores and targets, one after the other; each finding is given as soon as it is known."""
    settings = services.settings
    yield _finding("own database", lambda: _own_database(services.database))
    yield _finding("scratch folder", lambda: _scratch(settings))
    yield _finding("signing key", lambda: f"Ed25519 {services.identity.signing_key.public_key}")
    yield _finding("encryption", lambda: _encryption(settings))
    if (folder := settings.pg_bin_dir) is not None:
        yield _finding("PostgreSQL programs", lambda: _pg_dump(folder / "pg_dump"))
    yield from _store(settings.default_storage_url)
    for name in services.targets.names():
        yield _finding(f"target {name}", lambda name=name: _target(settings, services.targets.find(name)))  # type: ignore[misc]


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, detail=look())
    except HHHError as error:
        return Finding(subject, ok=False, detail=str(error))


def _own_database(database: Database) -> str:
    if (file := database.file) is not None:
        with needed(file):
            open_to_others = readable_by_others(file)
        if open_to_others:
            raise ConfigurationError(
                f"{file} holds hashes of passwords, and other accounts of this machine may read it",
                hint=f"chmod 600 {file}*",
            )
    return f"{shown(database.url)}, migrations are done"


def _scratch(settings: Settings) -> str:
    with scratch_folder(settings.scratch_dir, "doctor"):
        free = shutil.disk_usage(settings.scratch_dir).free
    return f"{settings.scratch_dir} can be written, {free // 2**20} MiB are free"


def _pg_dump(program: Path) -> str:
    if not program.is_file():
        raise ConfigurationError(f"HHH_PG_BIN_DIR: there is no {program}", hint="name the folder that pg_dump is in")
    return f"{program} is there"


def _encryption(settings: Settings) -> str:
    recipients = Recipients(settings.age_recipients)
    if not recipients:
        return "off: backups are stored in clear; set HHH_AGE_RECIPIENTS to encrypt them"
    return f"age, for {len(settings.age_recipients)} recipient(s)"


def _store(url: str) -> Iterator[Finding]:
    try:
        storage = open_storage(url, retry_seconds=_PATIENCE_SECONDS)
    except HHHError as error:
        yield Finding("store default", ok=False, detail=str(error))
        return
    for step in check_storage(storage):
        yield Finding(f"store default: {step.name}", step.ok, step.detail)


def _target(settings: Settings, target: Target) -> str:
    with scratch_folder(settings.scratch_dir, "doctor") as scratch:
        return target.engine.inspect(target.url, Workplace(scratch, settings.pg_bin_dir)).description
