"""One query of the operator: the one row of one column that it must return, and that it writes nothing."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg import errors, sql

from hhh.engines.postgresql.connection import Connection, last_line

_CURSOR = "hhh_assertion"
_FETCH = sql.SQL("FETCH 2 FROM {}").format(sql.Identifier(_CURSOR))
#: What changes anything has a number; before PostgreSQL 16, large objects could be changed in such a transaction.
_HAS_WRITTEN = sql.SQL("SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL")
_BOOLEAN = 16
#: Bytes of values that are small enough to be shown.
_SMALL = 64


class Answer(NamedTuple):
    """What a query came to."""

    holds: bool
    #: What it returned, or why it did not.
    found: str


def answer(connection: Connection, text: str, limit: float) -> Answer:
    """Asks one query, in a transaction that may only read and is not ended: whoever closes the connection, does that.

    Args:
        connection: in autocommit.
        text: the query.
        limit: seconds.
    """
    if "\0" in text:
        return Answer(holds=False, found="there is a NUL character in it")
    try:
        return _answer(connection, text, limit)
    except errors.QueryCanceled as error:
        return Answer(holds=False, found=f"no answer within {limit:g} s: {last_line(error)}")
    except psycopg.Error as error:
        return Answer(holds=False, found=last_line(error))


def _answer(connection: Connection, text: str, limit: float) -> Answer:
    # The query means the names that the application means.
    connection.execute("RESET search_path")
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(max(1, round(limit * 1000)))))
    # A cursor is of a query and of nothing else, and of its result no more than two rows are made. Asked for binary
    # results, psycopg uses the protocol that takes one statement and no more.
    connection.execute(f"DECLARE {_CURSOR} NO SCROLL CURSOR FOR {text}".encode(), binary=True)
    described = connection.pgconn.describe_portal(_CURSOR.encode())
    if described.nfields != 1:
        return Answer(holds=False, found=f"{described.nfields} columns, and not one")
    is_boolean = described.ftype(0) == _BOOLEAN
    if not is_boolean and not 0 < described.fsize(0) <= _SMALL:  # it may be of any size, so it is not asked for
        return Answer(
            holds=False, found=f"a value of type {_type(connection, described.ftype(0))}, neither true nor false"
        )
    rows = connection.execute(_FETCH).fetchall()
    if len(rows) != 1:
        return Answer(holds=False, found="more than one row" if rows else "no row")
    [(has_written,)] = connection.execute(_HAS_WRITTEN)
    if has_written:
        return Answer(holds=False, found="it writes, and that is not allowed")
    return _judged(rows[0][0], is_boolean=is_boolean)


def _judged(value: object, *, is_boolean: bool) -> Answer:
    if value is None:
        return Answer(holds=False, found="NULL")
    if not is_boolean:
        return Answer(holds=False, found=f"{value}, neither true nor false")
    return Answer(holds=value is True, found="true" if value is True else "false")


def _type(connection: Connection, oid: int) -> str:
    known = connection.adapters.types.get(oid)
    return known.name if known is not None else "another kind"
