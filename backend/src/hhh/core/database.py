"""The service's own database: SQLite (WAL) or PostgreSQL, through SQLAlchemy.

Nothing but this module opens it. In particular nobody opens a SQLite file of this process by another way: a second
SQLite library drops the first one's POSIX locks (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import DateTime, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from hhh.core.errors import ConfigurationError, DatabaseUnavailable
from hhh.core.files import needed
from hhh.core.logging import mask

BUSY_TIMEOUT_SECONDS = 30
#: So long a transaction that writes may be idle on PostgreSQL. A process that was frozen in one would keep its rows,
#: which may be those of jobs, from everybody else.
_FROZEN = "10s"
_READ_ONLY = "hhh_read_only"

#: A message to its signature: 64 bytes in base64.
Sign = Callable[[bytes], str]
#: Where a session that writes has its database's `Database.sign`, in `Session.info`.
SIGN = "hhh_sign"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone can't be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012  SQLAlchemy reads it from the class


class Database:
    """The own database. Thread-safe; one per process."""

    def __init__(self, url: str) -> None:
        self.url = normalise(url)
        self.engine = _make_engine(self.url)
        self._reader = self.engine.execution_options(**{_READ_ONLY: True})
        #: Signs what the audit log says; set by whoever knows the installation (`hhh.services.audit.sign_with`).
        self.sign: Sign | None = None

    def __repr__(self) -> str:
        return f"Database({shown(self.url)})"

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; beside it may be its ``-wal`` and ``-shm``."""
        return _file_of(self.url) if self.url.get_backend_name() == "sqlite" else None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that writes: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: the database can't be reached, or the commit failed.
        """
        information = {SIGN: self.sign}
        with (
            mapped_errors(),
            Session(self.engine, expire_on_commit=False, info=information) as session,
            session.begin(),
        ):
            yield session

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A transaction that only reads; it never waits for a writer."""
        with mapped_errors(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


_NO_ROOM = "make room on its disk; nothing of what was asked for was done"
#: By what a driver says: what SQLite, and what PostgreSQL says where nothing can be written.
_HINTS = (
    ("disk is full", _NO_ROOM),
    ("No space left on device", _NO_ROOM),
    # So SQLite says it where there is no room for the file of its own that all who have a database open share.
    ("disk I/O error", "see whether its disk is full, or failing; nothing of what was asked for was done"),
    ("readonly database", "let the service write its file and the folder that it is in: see HHH_DATA_DIR"),
)


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns SQLAlchemy's errors of reaching or using the database into `DatabaseUnavailable`.

    Errors about the values themselves (`IntegrityError`, `DataError`) pass: they are for whoever gave the values.
    """
    try:
        yield
    except (IntegrityError, DataError):
        raise
    except (DBAPIError, PoolTimeout) as error:
        told = last_line(error)
        hint = next((hint for words, hint in _HINTS if words in told), "see `hhh doctor`")
        raise DatabaseUnavailable(f"The service's own database failed: {told}", hint=hint) from error


def last_line(error: Exception) -> str:
    """The driver's own last line, without the statement and its parameters."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(origin, psycopg.Error) and origin.diag.message_primary:
        return origin.diag.message_primary
    # What libpq indents is advice.
    lines = [line.strip() for line in str(origin).splitlines() if line.strip() and not line[0].isspace()]
    return lines[-1] if lines else type(origin).__name__


def shown(url: URL) -> str:
    """The URL as it may be shown: without its passwords, of which that of a client certificate is among the options."""
    return mask(url.render_as_string(hide_password=True))


def normalise(url: str) -> URL:
    """Parses the URL of an own database; ``postgresql://`` means psycopg 3.

    Raises:
        ConfigurationError: neither SQLite nor PostgreSQL, or no URL at all.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("HHH_DATABASE_URL is not a URL", hint="e.g. sqlite:////var/lib/hhh/hhh.db") from None
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return _with_password_in_its_place(parsed.set(drivername="postgresql+psycopg"))
    if parsed.drivername == "sqlite" and parsed.database:
        return parsed
    raise ConfigurationError(
        f"HHH_DATABASE_URL names the database {parsed.drivername!r}", hint="use sqlite:////path or postgresql://…"
    )


def _with_password_in_its_place(url: URL) -> URL:
    # libpq understands it among the options too, but it is masked only where it belongs, before the @.
    given = url.query.get("password")
    if not isinstance(given, str):
        return url
    return url.set(password=given).difference_update_query(["password"])


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=30,
            # Whatever the server's default is: in another one, who waits for a row fails as its holder commits.
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": 10},
        )
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    file = _file_of(url)
    with needed(file.parent):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with needed(file):
        _make_private(file)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=10,
        max_overflow=30,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(file: Path) -> None:
    # SQLite would let everybody read it, and its -wal and -shm are as it is. One that is there is not even opened
    # here: closing it would drop the locks of this process.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _file_of(url: URL) -> Path:
    return Path(url.database or "").absolute()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: it would begin them as readers, and a reader that
    # becomes a writer fails at once with "database is locked", whatever the timeout is.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_postgresql(connection: Connection) -> None:
    if not _only_reads(connection):
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{_FROZEN}'")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if _only_reads(connection) else "BEGIN IMMEDIATE")


def _only_reads(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_READ_ONLY, False))
