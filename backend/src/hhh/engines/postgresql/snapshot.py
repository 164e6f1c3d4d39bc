"""The snapshot that a dump and its facts share: tables locked first, then exported.

Neither ``BEGIN`` nor ``LOCK`` takes a snapshot, so that the snapshot is later than all locks. The other way round, a
``TRUNCATE; INSERT`` between the two would show an empty table to whoever reads in the snapshot, and facts and dump
would agree on that: truncated tables are not kept for older snapshots
(https://www.postgresql.org/docs/current/mvcc-caveats.html).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql

from hhh.core.errors import SourceUnreadable, TargetBusy
from hhh.core.text import listed
from hhh.engines.postgresql.connection import READ_ALL_HINT, Session, mapped_errors
from hhh.schemas.facts import SequenceFacts

Item = TypeVar("Item")

_TRIES = 10
_TABLES_PER_LOCK = 500
_SEQUENCES_PER_QUERY = 200

#: What pg_dump dumps: no system schemas, nothing temporary, of extensions only the tables that they name as
#: configuration (pg_extension_config_dump). Last comes the uppermost table that is partitioned by the hash of an enum:
#: that is made of oids, which are others once it is restored, and pg_dump has rows share out anew there
#: (``getPartitioningInfo`` in its ``pg_dump.c``).
_RELATIONS = sql.SQL("""
    WITH RECURSIVE spread AS (
        SELECT p.partrelid AS oid, p.partrelid AS root FROM pg_catalog.pg_partitioned_table p
         WHERE (SELECT o.oid FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod
                 WHERE o.opcname = 'enum_ops' AND o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace
                   AND a.amname = 'hash') = ANY (p.partclass)
        UNION ALL
        SELECT i.inhrelid, s.root FROM spread s JOIN pg_catalog.pg_inherits i ON i.inhparent = s.oid)
    SELECT c.oid, n.nspname, c.relname, c.relkind::pg_catalog.text, c.relpersistence = 'u',
           pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
               WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
               ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END,
           c.relrowsecurity AND pg_catalog.row_security_active(c.oid),
           (SELECT pg_catalog.min(e.extname::pg_catalog.text) FROM pg_catalog.pg_extension e
             WHERE c.oid = ANY (e.extconfig)),
           (SELECT ROW(rn.nspname::pg_catalog.text, r.relname::pg_catalog.text)
              FROM spread s
              JOIN pg_catalog.pg_class r ON r.oid = s.root
              JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
             WHERE s.oid = c.oid AND NOT EXISTS (SELECT FROM spread a WHERE a.oid = s.root AND a.root <> s.root))
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S')
       AND c.relpersistence <> 't'
       AND n.nspname <> 'information_schema'
       AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
       AND (c.oid IN (SELECT pg_catalog.unnest(e.extconfig) FROM pg_catalog.pg_extension e)
            OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                              AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'))
     ORDER BY n.nspname, c.relname
""")

#: Heaps with what is stored out of line, without indexes: what a dump reads.
_SIZE = sql.SQL("""
    SELECT pg_catalog.sum(pg_catalog.pg_relation_size(h.oid))::pg_catalog.int8
      FROM (SELECT pg_catalog.unnest(%(tables)s::pg_catalog.oid[]) AS oid
            UNION ALL
            SELECT c.reltoastrelid FROM pg_catalog.pg_class c
             WHERE c.oid = ANY (%(tables)s::pg_catalog.oid[]) AND c.reltoastrelid <> 0
            UNION ALL
            SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass) h
""")

_SEQUENCES = sql.SQL("SELECT seqrelid, seqincrement, seqcycle FROM pg_catalog.pg_sequence")

#: The relations' current oids by name, not those of the snapshot: casts to regclass look at the catalogue as it is now.
_CURRENT_OIDS = sql.SQL("""
    SELECT pg_catalog.to_regclass(pg_catalog.format('%%I.%%I', w.schema, w.name))::pg_catalog.oid
      FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::pg_catalog.text[]),
                      pg_catalog.unnest(%(names)s::pg_catalog.text[])) WITH ORDINALITY AS w (schema, name, number)
     ORDER BY w.number
""")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, partitioned table or sequence."""

    oid: int
    schema: str
    name: str
    #: ``r``, ``p`` or ``S``, as in pg_class.
    kind: str
    is_unlogged: bool
    is_readable: bool
    #: Row-level security would hide rows from us.
    is_filtered: bool
    #: Which has it as its configuration.
    extension: str | None
    #: See `hhh.schemas.facts.TableFacts.root`.
    root: tuple[str, str] | None

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted, qualified name."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot, with locks on every table in it."""

    #: What ``pg_dump --snapshot`` takes.
    identifier: str
    #: Tables with rows of their own: no partitioned parents.
    tables: tuple[Relation, ...]
    sequences: tuple[SequenceFacts, ...]
    #: Bytes of the heaps.
    size: int
    warnings: tuple[str, ...]
    #: By which to read the sequences once more.
    sequence_relations: tuple[Relation, ...] = ()


class _Moved(Exception):
    """Relations came, went or changed their names while they were being locked."""


def hold_snapshot(session: Session, *, lock_timeout: float, only: Collection[str] | None = None) -> Snapshot:
    """Locks all tables against changes of their form and truncation, then exports a snapshot.

    The transaction stays open; the locks and the snapshot last as long as it does.

    Args:
        session: a session without a transaction.
        lock_timeout: seconds to wait for each lock.
        only: tables and sequences (``schema.name``) to look at; None means all.

    Raises:
        TargetBusy: a lock was not granted in time, or tables come and go faster than they can be locked.
        SourceUnreadable: the role may not read a table or sequence, or not all its rows.
    """
    with mapped_errors("No consistent snapshot"):
        session.rows(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{round(lock_timeout * 1000)}ms")))
        for _ in range(_TRIES):
            try:
                return _try_to_hold(session, only)
            except (_Moved, errors.UndefinedTable, errors.InvalidSchemaName, errors.WrongObjectType):
                session.rows(sql.SQL("ROLLBACK"))
                session.rows(sql.SQL("DEALLOCATE ALL"))  # what was prepared outlasts the transaction
    raise TargetBusy("Tables come and go faster than they can be locked", hint="try again when it is quieter")


def refuse_what_can_not_be_dumped(session: Session) -> None:
    """Asks the catalogue, without a lock, whether the role may read all tables and sequences and all their rows.

    Raises:
        SourceUnreadable: it may not; the message names them.
    """
    with mapped_errors("The tables could not be listed"):
        _refuse_unreadable(_list(session))


def _try_to_hold(session: Session, only: Collection[str] | None) -> Snapshot:
    listed = _list(session, only)
    _refuse_unreadable(listed)
    session.rows(sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    _lock(session, listed)
    [(identifier,)] = session.rows(sql.SQL("SELECT pg_catalog.pg_export_snapshot()"))
    relations = _list(session, only)
    if {_key(each) for each in relations if each.kind != "S"} != {_key(each) for each in listed if each.kind != "S"}:
        raise _Moved
    _refuse_unreadable(relations)
    relations, warnings = _without_unlogged_on_standby(session, relations)
    tables = tuple(each for each in relations if each.kind == "r")
    [(size,)] = session.rows(_SIZE, {"tables": [table.oid for table in tables]})
    sequences = tuple(each for each in relations if each.kind == "S")
    return Snapshot(identifier, tables, _read_sequences(session, sequences), int(size or 0), warnings, sequences)


def _list(session: Session, only: Collection[str] | None = None) -> list[Relation]:
    relations = (Relation(*row) for row in session.rows(_RELATIONS))
    return [each for each in relations if only is None or f"{each.schema}.{each.name}" in only]


def _key(relation: Relation) -> tuple[int, str, str]:
    return relation.oid, relation.schema, relation.name


def _lock(session: Session, relations: Iterable[Relation]) -> None:
    for chunk in chunks([each for each in relations if each.kind != "S"], _TABLES_PER_LOCK):
        names = sql.SQL(", ").join(sql.SQL("ONLY {}").format(table.identifier) for table in chunk)
        session.rows(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))


def _refuse_unreadable(relations: Iterable[Relation]) -> None:
    relations = list(relations)
    closed = [each for each in relations if not each.is_readable]
    if closed:
        raise SourceUnreadable(f"The role may not read {_names(closed)}", hint=READ_ALL_HINT)
    filtered = [each for each in relations if each.is_filtered]
    if filtered:
        raise SourceUnreadable(
            f"Row-level security hides rows of {_names(filtered)} from the role",
            hint="back up as the tables' owner or as a role with BYPASSRLS",
        )


def _names(relations: Sequence[Relation]) -> str:
    return listed([f"{each.schema}.{each.name}" for each in relations])


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in pieces of at most that size (`itertools.batched` came with Python 3.12)."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _without_unlogged_on_standby(session: Session, relations: list[Relation]) -> tuple[list[Relation], tuple[str, ...]]:
    [(is_standby,)] = session.rows(sql.SQL("SELECT pg_catalog.pg_is_in_recovery()"))
    unlogged = [each for each in relations if each.is_unlogged]
    if not is_standby or not unlogged:
        return relations, ()
    warning = f"The server is a standby, which has no rows of unlogged tables: left out {_names(unlogged)}"
    return [each for each in relations if not each.is_unlogged], (warning,)


def sequences_at_the_end(session: Session, snapshot: Snapshot) -> tuple[SequenceFacts, ...]:
    """The sequences of a snapshot, once the dump was made: with those marked that were set back meanwhile.

    No lock keeps anybody from that, and no snapshot shows what they were: the dump has them of any moment in between.

    Raises:
        EngineError: the connection was lost.
    """
    with mapped_errors("The sequences could not be read once more"):
        try:
            now = _read_sequences(session, snapshot.sequence_relations)
        except (_Moved, psycopg.Error):
            if session.connection.closed:
                raise
            return snapshot.sequences  # one was renamed or dropped
    return tuple(
        before.model_copy(update={"goes_back": before.goes_back or _place(after) < _place(before)})
        for before, after in zip(snapshot.sequences, now, strict=True)
    )


def _place(sequence: SequenceFacts) -> tuple[int, bool]:
    return (sequence.last_value if sequence.increment > 0 else -sequence.last_value), sequence.is_called


def _read_sequences(session: Session, sequences: Sequence[Relation]) -> tuple[SequenceFacts, ...]:
    known = {oid: of_it for oid, *of_it in session.rows(_SEQUENCES)} if sequences else {}
    return tuple(
        SequenceFacts(
            schema_name=sequence.schema,
            name=sequence.name,
            last_value=last_value,
            is_called=is_called,
            increment=known[sequence.oid][0],
            goes_back=known[sequence.oid][1],
        )
        for chunk in chunks(sequences, _SEQUENCES_PER_QUERY)
        for sequence, (_, last_value, is_called) in zip(chunk, _read_chunk(session, chunk), strict=True)
    )


def _read_chunk(session: Session, chunk: Sequence[Relation]) -> list[tuple[Any, ...]]:
    """Position, last_value and is_called of each sequence.

    LOCK does not take sequences, and a view may stand under the name by now. Preparing a query locks what it names and
    runs nothing: once that is done, the names can be checked, and keep their meaning. Going back to a savepoint lets
    go of them: kept to the end, thousands fill the server's table of locks, for everybody.
    """
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, last_value, is_called FROM {}").format(sql.Literal(number), sequence.identifier)
        for number, sequence in enumerate(chunk)
    )
    names = {"schemas": [each.schema for each in chunk], "names": [each.name for each in chunk]}
    with session.connection.transaction(force_rollback=True):
        session.rows(sql.SQL("PREPARE hhh_sequences AS {} ORDER BY 1").format(query))
        if [oid for (oid,) in session.rows(_CURRENT_OIDS, names)] != [each.oid for each in chunk]:
            raise _Moved
        rows = session.rows(sql.SQL("EXECUTE hhh_sequences"))
        session.rows(sql.SQL("DEALLOCATE hhh_sequences"))
    return rows
