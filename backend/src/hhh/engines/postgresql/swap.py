"""Gives a restored database its name, in one transaction; what it replaces is kept under another one.

docs/decisions/0009-how-databases-are-swapped.md says why it is done like this.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from psycopg import errors, sql

from hhh.core.errors import EngineError, TargetBusy
from hhh.core.run import Run
from hhh.engines.base import Workplace
from hhh.engines.postgresql.admin import Administration, DatabaseRow, administering, administration, database_row
from hhh.engines.postgresql.connection import Connection, last_line
from hhh.engines.postgresql.names import before_name, is_before_name, restore_name
from hhh.engines.postgresql.properties import open_up, read_properties, remove_marks, take_over
from hhh.engines.restoring import Destination, Published, RestoreMode

#: The name of the check by which the operator accepts that settings of roles are left behind.
SETTINGS_CHECK = "settings"

_SECONDS_BETWEEN_TERMINATIONS = 0.02
_RIGHTS_HINT = "the role must own both databases and have CREATEDB: ALTER ROLE … CREATEDB; a superuser needs neither"
_SESSIONS_HINT = "a superuser can help: GRANT pg_signal_backend TO the role; sessions of superusers only they can end"
#: What others may do to us by chance, and not a second time.
_BY_CHANCE = (
    errors.ObjectInUse,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.InternalError_,  # "tuple concurrently updated"
)

#: As pg_terminate_backend decides it. https://www.postgresql.org/docs/current/functions-admin.html
_SESSIONS = """
      FROM pg_catalog.pg_stat_activity a
      JOIN pg_catalog.pg_roles me ON me.rolname = current_user
      LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
     WHERE a.datid = ANY (%(databases)s) AND a.pid <> pg_catalog.pg_backend_pid()
"""
_ENDABLE = """
    (me.rolsuper OR r.oid IS NOT NULL AND NOT r.rolsuper
        AND (pg_catalog.pg_has_role(r.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')))
"""
_END_SESSIONS = sql.SQL("SELECT pg_catalog.pg_terminate_backend(a.pid) " + _SESSIONS + " AND " + _ENDABLE)
#: Without those of the server itself: RENAME ends autovacuum on its own.
_UNENDABLE_SESSIONS = sql.SQL(
    "SELECT DISTINCT r.rolname::pg_catalog.text " + _SESSIONS + " AND r.oid IS NOT NULL AND NOT " + _ENDABLE
)
_SUBSCRIPTIONS = sql.SQL("""
    SELECT s.subname::pg_catalog.text FROM pg_catalog.pg_subscription s
      JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = %(name)s
""")
_PREPARED = sql.SQL("SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = %(name)s ORDER BY p.prepared")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. While a swap holds or waits for a lock, all new sessions of the database wait at their start."""

    tries: int = 4
    #: Seconds to wait for the lock on a database; for the sessions to leave, RENAME itself waits 5 s.
    lock_timeout: float = 5

    @property
    def limits(self) -> sql.Composed:
        """Of each transaction, so that nothing of ours lasts even if we are not there any more to end it."""
        return sql.SQL("""
            SET LOCAL lock_timeout = {lock};
            SET LOCAL statement_timeout = {statement};
            SET LOCAL idle_in_transaction_session_timeout = '10s';
            SET LOCAL synchronous_commit = on
        """).format(lock=_milliseconds(self.lock_timeout), statement=_milliseconds(self.lock_timeout + 10))


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class _Swap:
    """Three names: what is at ``live`` goes ``aside``, and ``incoming`` takes its place."""

    live: DatabaseRow
    incoming: DatabaseRow
    aside: str
    skip_refused_settings: bool = False

    @property
    def oids(self) -> list[int]:
        return [self.live.oid, self.incoming.oid]


def publish(destination: Destination, workplace: Workplace, run: Run, *, patience: Patience = PATIENT) -> str | None:
    """Gives what was built its name; see `Restorer.publish`.

    Tables that were restored straight into a database that existed need no name: nothing is done then.

    Raises:
        EngineError: it did not happen.
    """
    with administration(destination.url, workplace) as admin:
        incoming = database_row(admin.connection, restore_name(destination.name, destination.token))
        if incoming is None and destination.mode is RestoreMode.TABLES:
            return None
        if incoming is None:
            raise EngineError(
                f"Nothing was restored for {destination.name} that could take its name",
                hint="if somebody dropped it, restore once more",
            )
        if destination.mode is RestoreMode.REPLACE:
            return _put_in_place(admin, destination, incoming, run, patience)
        _give_name(admin, incoming, destination.name, run, patience)
        return None


def undo(destination: Destination, kept: str, workplace: Workplace, run: Run, *, patience: Patience = PATIENT) -> str:
    """Puts the kept database back in its place; see `Restorer.undo`.

    Raises:
        EngineError: it did not happen.
    """
    _refuse_other_than_kept(destination, kept)
    with administration(destination.url, workplace) as admin:
        incoming = database_row(admin.connection, kept)
        if incoming is None:
            raise EngineError(f"The database {kept}, which was kept for undo, is gone", hint="restore a backup instead")
        return _put_in_place(admin, destination, incoming, run, patience)


def published(destination: Destination, workplace: Workplace) -> Published | None:
    """Whether it happened; see `Restorer.published`.

    Raises:
        EngineError: the server can't be asked.
    """
    with administration(destination.url, workplace) as admin:
        if destination.mode is RestoreMode.REPLACE:
            aside = before_name(destination.name, destination.token)
            return Published(aside) if database_row(admin.connection, aside) else None
        built = database_row(admin.connection, restore_name(destination.name, destination.token))
        there = database_row(admin.connection, destination.name)
    # A database that was there before tells nothing of the tables that may have been restored into it.
    is_new = destination.mode is RestoreMode.NEW
    return Published(None) if is_new and there is not None and built is None else None


def remove_kept(destination: Destination, kept: str, workplace: Workplace) -> None:
    """Removes what was kept, for good; a no-op if it is gone.

    Raises:
        EngineError: it can't be dropped, or its name is not one of this destination's kept databases.
    """
    _refuse_other_than_kept(destination, kept)
    with administration(destination.url, workplace) as admin:
        _drop(admin, kept)


def discard(destination: Destination, workplace: Workplace) -> None:
    """Removes what was built and never published; a no-op without any.

    What was published has another name since, so that it can't be met here.

    Raises:
        EngineError: it can't be dropped.
    """
    name = restore_name(destination.name, destination.token)
    with administration(destination.url, workplace) as admin:
        _drop_subscriptions(admin, name)
        _drop(admin, name)


def unendable_sessions(admin: Administration, oids: Sequence[int]) -> list[str]:
    """The roles with sessions in these databases that the administration's role may not end; psycopg's errors pass."""
    return [role for (role,) in admin.connection.execute(_UNENDABLE_SESSIONS, {"databases": list(oids)})]


def prepared_transactions(admin: Administration, database: str) -> list[str]:
    """The identifiers of transactions that are prepared in a database; psycopg's errors pass."""
    return [gid for (gid,) in admin.connection.execute(_PREPARED, {"name": database})]


def _put_in_place(
    admin: Administration, destination: Destination, incoming: DatabaseRow, run: Run, patience: Patience
) -> str:
    live = database_row(admin.connection, destination.name)
    if live is None:
        raise EngineError(
            f"There is no database {destination.name} to replace", hint="restore it as a new one of that name"
        )
    swap = _Swap(
        live=live,
        incoming=incoming,
        aside=before_name(destination.name, destination.token),
        skip_refused_settings=SETTINGS_CHECK in destination.acknowledged,
    )
    _refuse_the_impossible(admin, swap)
    with administering(f"The database {live.name} could not be swapped", hint=_RIGHTS_HINT):
        _try_until_done(admin, swap, run, patience)
    return swap.aside


def _refuse_the_impossible(admin: Administration, swap: _Swap) -> None:
    """What would fail only after others had waited for us, or their sessions had been ended."""
    name = swap.live.name
    if admin.connection.info.dbname in {name, swap.incoming.name}:
        raise EngineError(
            f"No other database of the server than {name} lets the role {admin.role} in, and its own a session can't "
            "rename",
            hint="GRANT CONNECT ON DATABASE postgres TO the role",
        )
    with administering(f"The database {name} could not be looked at", hint=_RIGHTS_HINT):
        prepared = prepared_transactions(admin, name)
        untouchable = unendable_sessions(admin, swap.oids)
    if prepared:
        raise TargetBusy(
            f"The database {name} has prepared transactions: {', '.join(map(repr, prepared))}",
            hint="end them with COMMIT PREPARED or ROLLBACK PREPARED",
        )
    if untouchable:
        raise EngineError(
            f"The role {admin.role} may not end the sessions of {', '.join(untouchable)} in {name}",
            hint=_SESSIONS_HINT,
        )
    for row in (swap.live, swap.incoming):
        if not row.is_own:
            raise EngineError(
                f"The role {admin.role} does not own the database {row.name}",
                hint=f"GRANT the role {row.owner} to it, or restore as a superuser",
            )


def _try_until_done(admin: Administration, swap: _Swap, run: Run, patience: Patience) -> None:
    for tries_left in reversed(range(patience.tries)):
        run.raise_if_cancelled()
        try:
            _swap(admin, swap, patience.limits)
        except _BY_CHANCE as error:
            if not tries_left:
                raise TargetBusy(
                    f"The database {swap.live.name} could not be swapped: {last_line(error)}",
                    hint="sessions of it do not end, or something holds it: try again later",
                ) from error
        else:
            return


def _swap(admin: Administration, swap: _Swap, limits: sql.Composed) -> None:
    """The first RENAME locks the database before it waits for the sessions to leave: new ones wait at their start, so
    that ending the old ones comes to an end. Whatever ends us before the commit, the server takes everything back.
    """
    connection = admin.connection
    with connection.transaction():
        connection.execute(limits)
        with _ending_sessions(admin, swap.oids):
            _rename(connection, swap.live.name, swap.aside)
            _rename(connection, swap.incoming.name, swap.live.name)
        old, new = read_properties(connection, swap.live.oid), read_properties(connection, swap.incoming.oid)
        take_over(connection, old, new, skip_refused_settings=swap.skip_refused_settings)
        remove_marks(connection, new)
        connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false IS_TEMPLATE false").format(sql.Identifier(swap.aside))
        )


def _give_name(admin: Administration, incoming: DatabaseRow, name: str, run: Run, patience: Patience) -> None:
    connection = admin.connection
    run.raise_if_cancelled()
    with administering(f"The database {name} could not be given its name", hint=_RIGHTS_HINT):
        try:
            with connection.transaction():
                connection.execute(patience.limits)
                with _ending_sessions(admin, [incoming.oid]):
                    _rename(connection, incoming.name, name)
                new = read_properties(connection, incoming.oid)
                open_up(connection, new)
                remove_marks(connection, new)
        except errors.DuplicateDatabase as error:
            raise EngineError(
                f"There is a database {name} by now", hint="restore under another name, or replace it"
            ) from error


def _rename(connection: Connection, name: str, new_name: str) -> None:
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new_name)))


@contextlib.contextmanager
def _ending_sessions(admin: Administration, oids: Sequence[int]) -> Iterator[None]:
    """Ends the sessions in these databases, again and again, for as long as the block lasts and no longer."""
    enough = threading.Event()
    with (
        admin.another_connection() as connection,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgresql-sessions") as thread,
    ):
        ending = thread.submit(_end_sessions, connection, list(oids), enough)
        try:
            yield
        finally:
            enough.set()
            ending.exception()  # waits
        ending.result()


def _end_sessions(connection: Connection, oids: list[int], enough: threading.Event) -> None:
    while True:
        connection.execute(_END_SESSIONS, {"databases": oids})
        if enough.wait(_SECONDS_BETWEEN_TERMINATIONS):
            return


def _drop_subscriptions(admin: Administration, name: str) -> None:
    """A database that subscribes can't be dropped. Their slots stay: they are those of the database that was dumped."""
    with administering(f"The subscriptions of {name} could not be dropped", hint="only a superuser may"):
        subscriptions = [each for (each,) in admin.connection.execute(_SUBSCRIPTIONS, {"name": name})]
        if not subscriptions:
            return
        with admin.another_connection(name) as connection:
            for identifier in map(sql.Identifier, subscriptions):
                connection.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(identifier))
                connection.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(identifier))
                connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(identifier))


def _drop(admin: Administration, name: str) -> None:
    row = database_row(admin.connection, name)
    if row is None:
        return
    identifier = sql.Identifier(name)
    with administering(f"The database {name} could not be dropped", hint="only its owner or a superuser may"):
        if row.is_template:
            admin.connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(identifier))
        try:
            admin.connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        except errors.ObjectInUse as error:
            raise TargetBusy(
                f"The database {name} could not be dropped: {last_line(error)}",
                hint="end its prepared transactions and drop its subscriptions before; ALTER DATABASE … "
                "ALLOW_CONNECTIONS true lets you in",
            ) from error


def _milliseconds(seconds: float) -> sql.Literal:
    return sql.Literal(round(seconds * 1000))


def _refuse_other_than_kept(destination: Destination, kept: str) -> None:
    if not is_before_name(kept, destination.name):
        raise EngineError(f"The database {kept} is none that was kept of {destination.name}")
