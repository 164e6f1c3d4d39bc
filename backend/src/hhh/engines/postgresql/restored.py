"""A look at what was restored, by the code that looked at the source."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from functools import partial

import psycopg
from psycopg import sql

from hhh.core.run import Run
from hhh.engines.postgresql.connection import Session, last_line, mapped_errors, wait_for
from hhh.engines.postgresql.facts import take_facts
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.snapshot import hold_snapshot
from hhh.engines.postgresql.worker import SignedIn
from hhh.schemas.facts import PostgresqlFacts

_LOCK_TIMEOUT = 60


def look(by: SignedIn, run: Run, notes: Notes, *, only: Collection[str] | None = None) -> PostgresqlFacts:
    """The facts of what was restored, and at the same time the planner's statistics.

    Args:
        by: who restored it, and may read it all; the connection is closed afterwards.
        run: who may cancel.
        notes: told if the statistics could not be made.
        only: tables and sequences (``schema.name``); None means all.

    Raises:
        EngineError: the server refused or was lost.
        Cancelled, LeaseLost: the run is over.
    """
    with (
        by.another() as second,
        contextlib.closing(Session(second)) as analysing,
        contextlib.closing(Session(by.connection)) as session,
    ):
        analysis = analysing.submit(partial(_analyze, analysing, notes, only))
        snapshot = session.call(partial(hold_snapshot, session, lock_timeout=_LOCK_TIMEOUT, only=only), run)
        facts = session.call(partial(take_facts, session, snapshot), run)
        session.call(partial(session.rows, sql.SQL("ROLLBACK")), run)
        wait_for(analysis, run)
        return facts


def _analyze(session: Session, notes: Notes, only: Collection[str] | None) -> None:
    with mapped_errors("The statistics could not be made"):
        try:
            for table in [None] if only is None else _tables(session, only):
                session.rows(sql.SQL("ANALYZE") if table is None else sql.SQL("ANALYZE {}").format(table))
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:  # of a function in an index, which autovacuum will meet again
            notes.add_warning(f"ANALYZE was not done: {last_line(error)}")


def _tables(session: Session, only: Collection[str]) -> list[sql.Identifier]:
    rows = session.rows(
        sql.SQL("""
            SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname || '.' || c.relname = ANY (%(names)s)
        """),
        {"names": list(only)},
    )
    return [sql.Identifier(schema, name) for schema, name in rows]
