"""Procrastinate's tables in the jobs database: made once, brought to the version that this program's library wants.

The library keeps no version in them. We keep the name of its newest migration that they have, in a table of ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import Connection

from hhh.core.errors import ConfigurationError, DatabaseUnavailable
from hhh.core.logging import mask
from hhh.services.jobs_database import conninfo

#: Any number of our own: one process makes or changes the tables, the others wait and find nothing left to do.
_ADVISORY_LOCK: Final = 0x484849
_MARK: Final = "hhh_queue_schema"
#: A table that the own database of every version has.
_OWN_TABLE: Final = "backup_log"


def ensure(url: str) -> bool:
    """Makes the tables of the queue, or brings them to this version; false where nothing was to be done.

    Safe beside other processes.

    Raises:
        ConfigurationError: the jobs database belongs to something else, or is of a newer version of this program.
        DatabaseUnavailable: it can't be reached, or refused the work.
    """
    with mapped_errors(), psycopg.connect(conninfo(url)) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        missing = _missing(connection)
        for statements in missing:
            connection.execute(statements.encode())
        if missing:
            _mark(connection, _versions()[-1].stem)
        return bool(missing)


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns psycopg's errors of reaching or using the jobs database into `DatabaseUnavailable`."""
    try:
        yield
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DatabaseUnavailable(
            f"The jobs database failed: {mask(lines[-1].strip())}", hint="check HHH_JOBS_DATABASE_URL"
        ) from error


def _missing(connection: Connection) -> list[str]:
    """What is to be run, one script after the other."""
    if not _has_table(connection, _MARK):
        _refuse_foreign(connection)
        return [SchemaManager.get_schema()]
    [version] = connection.execute(f"SELECT version FROM {_MARK}").fetchone() or ("",)  # noqa: S608  a name of ours
    known = [path.stem for path in _versions()]
    if version not in known:
        raise ConfigurationError(
            f"The jobs database is of another version of the queue ({version}) than this program",
            hint="run the same version on all machines",
        )
    return [path.read_text(encoding="utf-8") for path in _versions()[known.index(version) + 1 :]]


def _refuse_foreign(connection: Connection) -> None:
    if _has_table(connection, _OWN_TABLE):
        raise ConfigurationError(
            "HHH_JOBS_DATABASE_URL names the service's own database, or that of another one",
            hint="jobs need a database of their own: make an empty one",
        )
    if _has_table(connection, "procrastinate_jobs"):
        raise ConfigurationError(
            "HHH_JOBS_DATABASE_URL names a database that another program keeps its jobs in",
            hint="make an empty one for this service",
        )


def _has_table(connection: Connection, name: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
    return found is not None and found[0] is not None


def _mark(connection: Connection, version: str) -> None:
    connection.execute(f"CREATE TABLE IF NOT EXISTS {_MARK} (version text NOT NULL)")
    connection.execute(f"DELETE FROM {_MARK}")  # noqa: S608  a name of ours
    connection.execute(f"INSERT INTO {_MARK} VALUES (%s)", [version])  # noqa: S608


def _versions() -> list[Path]:
    """The library's migrations, the oldest first."""
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
