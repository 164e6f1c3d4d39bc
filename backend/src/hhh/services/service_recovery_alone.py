"""One recovery of a database at a time: each begins with removing what an earlier one has left, by its fixed name."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from hhh.core.config import Settings
from hhh.core.errors import InUse
from hhh.core.files import needed
from hhh.core.scratch import scratch_folder
from hhh.engines.base import EngineKind, Workplace
from hhh.engines.postgresql.admin import administration
from hhh.engines.postgresql.connection import mapped_errors
from hhh.engines.postgresql.url import parse_url
from hhh.engines.registry import engine_for
from hhh.engines.sqlite.url import path_in

_LOCK = sql.SQL("SELECT pg_catalog.pg_try_advisory_lock(%(key)s)")


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keeps other recoveries of the same database away while the block runs; nothing is left by one that is killed.

    Raises:
        InUse: another one is at work.
        ConfigurationError: the folder of the database can't be used.
        EngineError, ScratchError: the server does not answer, or there is no place to work.
    """
    url = settings.own_database_url
    held = _folder(path_in(url).parent) if engine_for(url).kind is EngineKind.SQLITE else _server(settings, url)
    with held:
        yield


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    with needed(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _at_work() from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _server(settings: Settings, url: str) -> Iterator[None]:
    name = f"hhh recovery of {parse_url(url).parameters['dbname']}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    with (
        scratch_folder(settings.scratch_dir, "recovery") as scratch,
        administration(url, Workplace(scratch, settings.pg_bin_dir)) as admin,
    ):
        with mapped_errors("The recovery could not be locked"):
            is_ours = admin.connection.execute(_LOCK, {"key": key}).fetchone() == (True,)
        if not is_ours:
            raise _at_work()
        yield


def _at_work() -> InUse:
    return InUse("Another recovery of the service's own database is at work", hint="let it end, and look what it says")
