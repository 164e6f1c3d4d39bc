"""The operator's queries, asked of what was restored: by a role that may only read, within a time limit that holds.

docs/decisions/0022-how-schemas-are-compared.md says what holds them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial

import psycopg
from psycopg import sql

from hhh.core.run import Run
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import Administration, administration
from hhh.engines.postgresql.again import beside
from hhh.engines.postgresql.asking import Answer, answer
from hhh.engines.postgresql.connection import EVENT_TRIGGERS_OFF_SINCE, Session, mapped_errors
from hhh.engines.postgresql.url import parse_url
from hhh.engines.postgresql.worker import Worker, drop_worker, make_worker, operator_signed_in, signed_in
from hhh.engines.proving import Place
from hhh.engines.restoring import Built
from hhh.schemas.verification import Asserted

#: Seconds between the server's own time limit, which a query may lift or ignore, and the end of its session.
_GRACE = 1.0
_POLL_SECONDS = 0.1

#: What the superuser sets for the role lasts whatever a query sets: row-level security hides nothing, results that
#: wait on the disk are limited, and a sign-in runs no code. Large objects belong to roles that it is no member of.
_MAY_READ = """
    ALTER ROLE {role} BYPASSRLS;
    GRANT pg_read_all_data TO {role};
    ALTER ROLE {role} SET default_transaction_read_only = on;
    ALTER ROLE {role} SET temp_file_limit = '1GB';
    ALTER ROLE {role} SET lo_compat_privileges = on;
    REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC;
    GRANT CONNECT ON DATABASE {database} TO {role};
"""
_WITHOUT_EVENT_TRIGGERS = "ALTER ROLE {role} SET event_triggers = off"
#: With the rights of roles that may do everything on the server.
_WAYS_UP = sql.SQL("""
    SELECT pg_catalog.format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', p.oid::pg_catalog.regprocedure)
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
     WHERE p.prosecdef AND (r.rolsuper OR EXISTS (
           SELECT FROM pg_catalog.pg_roles m
            WHERE m.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
              AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')))
""")
#: pg_terminate_backend waits up to 5 s for the end. A number may be that of somebody else's session by now.
_END_SESSION = sql.SQL("""
    SELECT pg_catalog.pg_terminate_backend(a.pid, 5000) FROM pg_catalog.pg_stat_activity a
     WHERE a.pid = %(pid)s AND a.usename = %(role)s AND a.datname = %(database)s
""")


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks what database, and for how long."""

    admin: Administration
    asker: Worker
    database: str
    #: Seconds for each query.
    limit: float
    workplace: Workplace
    run: Run


def ask(
    assertions: Sequence[str], built: Built, place: Place, workplace: Workplace, run: Run, *, limit: float
) -> Sequence[Asserted]:
    """Asks each query in a session of its own; see `Prover.ask`.

    Where the operator's role is no superuser, it asks itself, in transactions that may only read; that is told.

    Args:
        assertions: a query each.
        built: what is asked.
        place: where it is.
        workplace: where to work.
        run: who may cancel.
        limit: seconds for each.

    Raises:
        EngineError: the server refused or was lost.
        Cancelled, LeaseLost: the run is over.
    """
    if not assertions:
        return ()
    database = parse_url(built.url).parameters["dbname"]
    with administration(built.url, workplace) as admin, _reader(admin, place, database) as asker:
        if asker.is_temporary:
            _close_ways_up(admin, database)
        asking = _Asking(admin, asker, database, limit, workplace, run)
        return [_asked(asking, text) for text in assertions]


@contextlib.contextmanager
def _reader(admin: Administration, place: Place, database: str) -> Iterator[Worker]:
    token = beside(place.destination).token
    try:
        asker = make_worker(admin, token)
        if asker.is_temporary:
            _let_read(admin, asker, database)
        yield asker
    finally:
        drop_worker(admin, token, [])


def _let_read(admin: Administration, asker: Worker, database: str) -> None:
    statements = _MAY_READ
    if admin.server_version >= EVENT_TRIGGERS_OFF_SINCE:
        statements += _WITHOUT_EVENT_TRIGGERS
    with mapped_errors("The role that asks could not be given its rights"):
        admin.connection.execute(sql.SQL(statements).format(role=asker.identifier, database=sql.Identifier(database)))


def _close_ways_up(admin: Administration, database: str) -> None:
    """Takes functions that run with mighty rights from everybody, in a database that is thrown away."""
    if admin.server_version >= EVENT_TRIGGERS_OFF_SINCE:  # some are for sign-ins
        parameters = dict(admin.address.parameters)
        parameters["options"] = f"{parameters.get('options', '')} -c event_triggers=off".strip()
        admin = replace(admin, address=replace(admin.address, parameters=parameters))
    with operator_signed_in(admin, database) as operator, mapped_errors("The functions could not be looked at"):
        operator.connection.execute("SET session_replication_role = replica")  # nor do other event triggers run
        for (statement,) in operator.connection.execute(_WAYS_UP).fetchall():
            operator.connection.execute(sql.SQL(statement))


def _asked(asking: _Asking, text: str) -> Asserted:
    begun = time.monotonic()
    holds, found = _answered(asking, text)
    if not asking.asker.is_temporary:
        found += f" (asked as {asking.asker.role}, which may write, in a transaction that may not)"
    return Asserted(sql=text, holds=holds, found=found, seconds=round(time.monotonic() - begun, 3))


def _answered(asking: _Asking, text: str) -> Answer:
    with (
        signed_in(asking.asker, asking.database, asking.workplace.scratch) as by,
        contextlib.closing(Session(by.connection)) as session,
    ):
        pid = by.connection.info.backend_pid
        work = session.submit(partial(answer, by.connection, text, asking.limit))
        try:
            if _is_done_in_time(work, asking):
                return work.result()
        finally:
            if not work.done():
                _end(asking, pid)
        return Answer(
            holds=False,
            found=f"no answer within {asking.limit:g} s; it did not let itself be interrupted, and was ended",
        )


def _is_done_in_time(work: Future[Answer], asking: _Asking) -> bool:
    deadline = time.monotonic() + asking.limit + _GRACE
    while not work.done():
        asking.run.raise_if_cancelled()
        if time.monotonic() > deadline:
            return False
        wait([work], timeout=_POLL_SECONDS)
    return True


def _end(asking: _Asking, pid: int) -> None:
    session = {"pid": pid, "role": asking.asker.role, "database": asking.database}
    with contextlib.suppress(psycopg.Error):  # then the server was lost, and the session with it
        asking.admin.connection.execute(_END_SESSION, session)
