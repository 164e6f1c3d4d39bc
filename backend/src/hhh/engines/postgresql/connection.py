"""Connections to a target: how they are made, what they are protected from, and what their errors mean."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from hhh.core.errors import Cancelled, EngineError, SourceUnreadable, TargetBusy, TargetUnreachable
from hhh.core.files import write_private
from hhh.core.run import Run
from hhh.core.scratch import scratch_written
from hhh.engines.postgresql.url import VARIABLES, Address

Result = TypeVar("Result")
Connection = psycopg.Connection[tuple[Any, ...]]

APPLICATION_NAME = "hhh-backup"
READ_ALL_HINT = "a superuser can help: GRANT pg_read_all_data TO the role"
_CONNECT_TIMEOUT_SECONDS = "10"
#: libpq's parameters: no firewall forgets a connection that only holds a snapshot while a long dump runs, and a server
#: whose machine is gone is noticed after some two minutes. They have no variables; pg_dump takes them by argument.
KEEPALIVE: Mapping[str, str] = {"keepalives_idle": "60", "keepalives_interval": "10", "keepalives_count": "6"}
_POLL_SECONDS = 0.2
_CANCEL_SECONDS = 3.0
#: After which a thread that was given nothing to do is taken to be busy.
_IDLE_SECONDS = 0.2
_LONGEST_LINE = 1000

#: An empty search_path lets nothing of the database stand before what is built in. The rest makes values read the
#: same whatever the role's and the database's own settings are, and keeps their time-outs away.
_SETTINGS: Mapping[str, str] = {
    "search_path": "",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "jit": "off",
}
_TRANSACTION_TIMEOUT_SINCE = 170_000
#: Since then a session can leave all event triggers out.
EVENT_TRIGGERS_OFF_SINCE = 170_000


@contextlib.contextmanager
def passfile(address: Address, scratch: Path) -> Iterator[Path]:
    """A password file (0600) that gives the address's password to libpq, whatever server it asks; removed afterwards.

    Raises:
        ScratchError: the folder can't be written.
    """
    path = scratch / "pgpass"
    escaped = address.password.replace("\\", "\\\\").replace(":", "\\:")
    with scratch_written(scratch):
        write_private(path, f"*:*:*:*:{escaped}\n".encode() if escaped else b"")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def open_connection(address: Address, password_file: Path) -> Connection:
    """A connection in autocommit; `protect` it before anything else.

    Raises:
        TargetUnreachable: no connection.
    """
    with mapped_errors("No connection"):
        return psycopg.connect(_conninfo(address, password_file), autocommit=True, prepare_threshold=None)


def protect(connection: Connection) -> None:
    """Makes a new connection safe against what the database's owner could have put in its way.

    Whoever signed us in may let us wait here, like a pooler that is paused: a run does this in its `Session`.

    Raises:
        TargetUnreachable: the connection was lost.
    """
    with mapped_errors("No connection"):
        connection.execute(_protection(connection.info.server_version))


def tool_environment(password_file: Path, connection: Connection) -> dict[str, str]:
    """The variables by which PostgreSQL's programs reach the very server that the connection is on, as it does.

    Taken from the connection and not from the URL: libpq adds what the service's own environment says (``PGUSER``,
    ``PGSSLMODE``), of which a child hears nothing otherwise.
    """
    used = connection.info.get_parameters()
    environment = {VARIABLES[name]: value for name, value in used.items() if name in VARIABLES}
    if connection.info.hostaddr:  # a name may lead to several servers, but the snapshot is on this one
        environment["PGHOSTADDR"] = connection.info.hostaddr
    # Messages of libpq and the programs are read by us too: without a translation.
    return environment | {"PGPASSFILE": str(password_file), "LC_ALL": "C"}


class Session:
    """A connection whose work is done in one thread of its own, so that it can be watched and interrupted."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgresql-session")
        self._closing = threading.Event()
        self._closed = False

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Starts work on the connection, after what was submitted before."""
        return self._thread.submit(work)

    def call(self, work: Callable[[], Result], run: Run) -> Result:
        """Does work on the connection and returns its result; a cancelled run interrupts the wait, not the work."""
        return wait_for(self.submit(work), run)

    def rows(self, query: sql.SQL | sql.Composed, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query; to be called from submitted work."""
        if self._closing.is_set():
            raise Cancelled("The session is being closed")
        cursor = self.connection.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Interrupts what is being done and closes the connection, without waiting for a server that hangs.

        No-op when it is closed.
        """
        self._closing.set()
        if not self._closed:
            # Asked for, and not remembered: an interrupt may come between the beginning of work and a note of it.
            idle = self._thread.submit(lambda: None)
            if wait([idle], timeout=_IDLE_SECONDS).not_done:
                self._interrupt(idle)
            self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self.connection.close()

    def _interrupt(self, work: Future[Any]) -> None:
        with contextlib.suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=_CANCEL_SECONDS)
        if wait([work], timeout=_CANCEL_SECONDS).not_done:
            # The thread waits for the socket: closing the connection here would pull it away under its feet, but
            # the end of the stream wakes it up.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


def wait_for(work: Future[Result], run: Run) -> Result:
    """The result of work, while the run is asked for cancellation."""
    while not work.done():
        run.raise_if_cancelled()
        wait([work], timeout=_POLL_SECONDS)
    return work.result()


@contextlib.contextmanager
def mapped_errors(doing: str) -> Iterator[None]:
    """Turns psycopg's errors into ours; the message is ``doing: the server's own last line``."""
    try:
        yield
    except psycopg.Error as error:
        raise _mapped(doing, error) from error
    except UnicodeError as error:
        raise SourceUnreadable(
            f"{doing}: a name in the database is not valid in its encoding", hint="rename it, or use an encoding"
        ) from error


def last_line(error: psycopg.Error) -> str:
    """The server's or libpq's own last line, without its indented advice, and not all of a very long one.

    A message may be anybody's: code in a database can raise one of a gigabyte.
    """
    line = _last_line(error)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _last_line(error: psycopg.Error) -> str:
    if error.diag.message_primary:
        return error.diag.message_primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line[0].isspace()]
    from_server = [line for line in lines if "FATAL:" in line or "ERROR:" in line]
    # psycopg's own beginning says what libpq says right after it.
    return (from_server or lines or [type(error).__name__])[-1].removeprefix("connection failed: ")


def _mapped(doing: str, error: psycopg.Error) -> EngineError:
    message = f"{doing}: {last_line(error)}"
    advice = error.diag.message_hint
    if isinstance(error, errors.InsufficientPrivilege):
        return SourceUnreadable(message, hint=READ_ALL_HINT)
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
        return TargetBusy(message, hint="something holds a table exclusively (ALTER, VACUUM FULL, …): try again later")
    if isinstance(error, errors.SerializationFailure):
        return TargetBusy(message, hint=advice or "on a standby, hot_standby_feedback or a longer delay helps")
    if _is_about_connecting(error):
        return TargetUnreachable(message, hint=advice or _connection_advice(message))
    return EngineError(message, hint=advice)


def _connection_advice(message: str) -> str | None:
    if "password authentication failed" in message:
        return "check the user and the password; within a URL, characters such as @ : / are written %40 %3A %2F"
    if "Connection refused" in message:
        return "no PostgreSQL answers there: start it, or correct the host and the port"
    return None


def _is_about_connecting(error: psycopg.Error) -> bool:
    state = error.sqlstate
    return isinstance(error, psycopg.OperationalError) and (state is None or state.startswith(("08", "57P", "28")))


def _conninfo(address: Address, password_file: Path) -> str:
    parameters = {
        "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "application_name": APPLICATION_NAME,
        **KEEPALIVE,
        **address.parameters,
        # Empty, so that neither PGPASSWORD nor a password file of the service's own account is asked: pg_dump, which
        # must be let in by the same means, knows neither.
        "password": address.password,
        "passfile": str(password_file),
        "client_encoding": "UTF8",
    }
    return make_conninfo(**parameters)


def _protection(server_version: int) -> sql.Composed:
    settings = dict(_SETTINGS)
    if server_version >= _TRANSACTION_TIMEOUT_SINCE:
        settings["transaction_timeout"] = "0"
    # SET, not set_config(): before it is done, a function's name could mean another one.
    return sql.SQL("; ").join(
        sql.SQL("SET {} = {}").format(sql.Identifier(name.lower()), sql.Literal(value))
        for name, value in settings.items()
    )
