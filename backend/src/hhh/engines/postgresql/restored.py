"""A look at what was restored, by the code that looked at the source."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeAlias

import psycopg
from psycopg import sql

from hhh.core.run import Run
from hhh.engines.postgresql.connection import Session, last_line, mapped_errors, wait_for
from hhh.engines.postgresql.facts import take_facts
from hhh.engines.postgresql.fingerprints import Wanted
from hhh.engines.postgresql.notes import Notes
from hhh.engines.postgresql.snapshot import chunks, hold_snapshot
from hhh.engines.postgresql.tool import parallel_jobs
from hhh.engines.postgresql.worker import SignedIn
from hhh.schemas.facts import PostgresqlFacts

_LOCK_TIMEOUT = 60
#: Small tables that are analysed by one statement.
_TOGETHER = 100
_Tables: TypeAlias = "SimpleQueue[Sequence[sql.Identifier]]"

#: What ANALYZE takes without a name (``get_all_vacuum_rels`` in PostgreSQL's ``vacuum.c``); with one, it goes on to the
#: partitions by itself. Of tables that are not its own, the role is told by a WARNING.
_ANALYZED = sql.SQL("""
    SELECT t.schema, t.name, t.size > 1048576 FROM (
        SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name,
               (SELECT pg_catalog.sum(pg_catalog.pg_relation_size(p.relid))
                  FROM (SELECT c.oid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) p) p (relid)) AS size
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relisshared AND c.relpersistence <> 't'
           AND (%(only)s::pg_catalog.text[] IS NULL AND NOT c.relispartition
                OR n.nspname || '.' || c.relname = ANY (%(only)s::pg_catalog.text[]))
    ) t ORDER BY t.size DESC, 1, 2
""")


def look(
    by: SignedIn,
    run: Run,
    notes: Notes,
    *,
    only: Collection[str] | None = None,
    fingerprint: Wanted = "off",
    with_statistics: bool = True,
) -> PostgresqlFacts:
    """The facts of what was restored, and at the same time the planner's statistics.

    Args:
        by: who restored it, and may read it all; the connection is closed afterwards.
        run: who may cancel.
        notes: told if the statistics or a fingerprint could not be made.
        only: tables and sequences (``schema.name``); None means all.
        fingerprint: of which tables, and how.
        with_statistics: whether to make the statistics as well.

    Raises:
        EngineError: the server refused or was lost.
        Cancelled, LeaseLost: the run is over.
    """
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(contextlib.closing(Session(by.connection)))
        tables: _Tables = SimpleQueue()
        if with_statistics:
            tables = session.call(partial(_to_analyze, session, only), run)
        analyses = [_begin_to_analyze(stack, by, tables) for _ in range(min(parallel_jobs(), tables.qsize()))]
        snapshot = session.call(partial(hold_snapshot, session, lock_timeout=_LOCK_TIMEOUT, only=only), run)
        facts = session.call(partial(take_facts, session, snapshot, fingerprint), run)
        session.call(partial(session.rows, sql.SQL("ROLLBACK")), run)
        problems = sorted({text for analysis in analyses for text in wait_for(analysis, run)})
        for text in [*problems, *facts.warnings]:
            notes.add_warning(text)
        # Nobody has been granted anything yet.
        unknown = facts.large_objects.model_copy(update={"privileges": None})
        return facts.model_copy(update={"large_objects": unknown})


def _to_analyze(session: Session, only: Collection[str] | None) -> _Tables:
    """What is to be analysed, the largest first, for several sessions to take from."""
    with mapped_errors("The tables could not be listed"):
        rows = session.rows(_ANALYZED, {"only": None if only is None else list(only)})
    tables: _Tables = SimpleQueue()
    for schema, name, is_large in rows:
        if is_large:
            tables.put([sql.Identifier(schema, name)])
    for chunk in chunks([sql.Identifier(schema, name) for schema, name, is_large in rows if not is_large], _TOGETHER):
        tables.put(chunk)
    return tables


def _begin_to_analyze(stack: contextlib.ExitStack, by: SignedIn, tables: _Tables) -> Future[set[str]]:
    connection = stack.enter_context(by.another())
    session = stack.enter_context(contextlib.closing(Session(connection)))
    return session.submit(partial(_analyze, session, tables))


def _analyze(session: Session, tables: _Tables) -> set[str]:
    """Analyses tables until there are none left; returns what went wrong."""
    problems = set()
    with mapped_errors("The statistics could not be made"), contextlib.suppress(Empty):
        while True:
            chunk = tables.get_nowait()
            try:
                session.rows(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(chunk)))
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:  # of a function in an index, which autovacuum will meet again
                problems.add(f"ANALYZE was not done: {last_line(error)}")
    return problems
