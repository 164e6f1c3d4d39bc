"""PostgreSQL: the server's own pg_dump, in a snapshot whose facts are taken beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from psycopg import sql

from hhh.core.run import Run
from hhh.engines.base import Dump, Engine, EngineKind, SourceInfo, Workplace
from hhh.engines.postgresql.binaries import SYSTEM_INSTALLS, Tool, find_tool
from hhh.engines.postgresql.connection import (
    Connection,
    Session,
    mapped_errors,
    open_connection,
    passfile,
    protect,
    tool_environment,
)
from hhh.engines.postgresql.dump import LocksCrossedError, PostgresqlDump, Tools, dumping
from hhh.engines.postgresql.snapshot import hold_snapshot, refuse_what_can_not_be_dumped
from hhh.engines.postgresql.url import Address, parse_url
from hhh.schemas.policy import Fingerprint

_ATTEMPTS = 3
_DATABASE_SIZE = sql.SQL("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")


class PostgresqlEngine(Engine):
    """PostgreSQL servers of any major whose pg_dump is here."""

    kind = EngineKind.POSTGRESQL

    def __init__(
        self, *, lock_timeout: float = 60, dump_lock_timeout: float = 5, installs: Path = SYSTEM_INSTALLS
    ) -> None:
        """
        Args:
            lock_timeout: seconds to wait for the lock on a table.
            dump_lock_timeout: seconds for which pg_dump waits for locks that we hold already. It waits only if a
                change of a table has queued up behind ours, and that can't end before we let go; meanwhile all
                others wait behind that change.
            installs: a folder of PostgreSQL installations, ``<major>/bin`` in it.
        """
        self._lock_timeout = lock_timeout
        self._dump_lock_timeout = dump_lock_timeout
        self._installs = installs

    def validate(self, url: str) -> str:
        return parse_url(url).url

    def inspect(self, url: str, workplace: Workplace) -> SourceInfo:
        address = parse_url(url)
        with (
            passfile(address, workplace.scratch) as password_file,
            contextlib.closing(open_connection(address, password_file)) as connection,
            contextlib.closing(Session(connection)) as session,
        ):
            protect(connection)
            self._find_pg_dump(connection, workplace)
            refuse_what_can_not_be_dumped(session)
            with mapped_errors("The database could not be looked at"):
                [(size,)] = connection.execute(_DATABASE_SIZE)
            version = (connection.info.parameter_status("server_version") or "").partition(" ")[0]
            description = f"PostgreSQL {version}, database {connection.info.dbname}"
            return SourceInfo(description=description, size=size, version=version)

    @contextlib.contextmanager
    def dump(self, url: str, workplace: Workplace, run: Run, *, fingerprint: Fingerprint = "off") -> Iterator[Dump]:
        address = parse_url(url)
        with passfile(address, workplace.scratch) as password_file, contextlib.ExitStack() as stack:
            begin = partial(self._begin, address, password_file, workplace, run, fingerprint)
            yield _patiently(begin, stack)

    def _begin(
        self,
        address: Address,
        password_file: Path,
        workplace: Workplace,
        run: Run,
        fingerprint: Fingerprint,
        stack: contextlib.ExitStack,
    ) -> PostgresqlDump:
        run.raise_if_cancelled()
        connection = open_connection(address, password_file)
        session = stack.enter_context(contextlib.closing(Session(connection)))
        session.call(partial(protect, connection), run)
        tool, warning = self._find_pg_dump(connection, workplace)
        snapshot = session.call(partial(hold_snapshot, session, lock_timeout=self._lock_timeout), run)
        tools = Tools(
            pg_dump=tool,
            warnings=(warning,) if warning else (),
            environment=tool_environment(password_file, connection),
            scratch=workplace.scratch,
            lock_timeout=self._dump_lock_timeout,
            fingerprint=fingerprint,
        )
        dump = stack.enter_context(dumping(session, snapshot, tools, run))
        stack.callback(session.close)  # before the dumps are ended: the thread may be about to end them, too
        return dump

    def _find_pg_dump(self, connection: Connection, workplace: Workplace) -> tuple[Tool, str | None]:
        major = connection.info.server_version // 10_000
        return find_tool("pg_dump", major, pg_bin_dir=workplace.pg_bin_dir, installs=self._installs)


def _patiently(begin: Callable[[contextlib.ExitStack], PostgresqlDump], stack: contextlib.ExitStack) -> PostgresqlDump:
    """Begins a dump, anew where its locks crossed those of others; what it holds is handed to the stack."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        with contextlib.ExitStack() as attempt:
            try:
                dump = begin(attempt)
            except LocksCrossedError:
                if not attempts_left:
                    raise
            else:
                stack.push(attempt.pop_all())
                return dump
    raise AssertionError("the last attempt returns or raises")
