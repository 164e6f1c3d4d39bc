"""What a drill finds out about a file of ours: whether it is sound to its end, and what queries say of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from typing import Any

import apsw

from hhh.engines.sqlite.child.checks import THOROUGH_CHECK_CACHE, names_of_tables, quoted
from hhh.engines.sqlite.child.opening import open_immutable
from hhh.engines.sqlite.child.protocol import Failed, Reports
from hhh.engines.sqlite.child.said import said

#: What SQLite says where something is not in it.
_MISSING = re.compile(r"(?:no such|unknown) (collation sequence|function|module): (.+)")
_LACKING_HINT = "only the application that keeps the database has it; verify it there, or ask for the level `stored`"
#: Bytes that SQLite may take for one query; what it sorts goes to scratch.
_MEMORY = 256 << 20
#: Steps of SQLite's machine between two looks at the clock.
_STEPS = 10_000
_LONGEST_FOUND = 200
#: Nothing but spaces, comments and semicolons, as SQLite hands it over between two statements.
_NOTHING = re.compile(r"(?>\s|;|--[^\n]*+|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
_READS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE})
#: They reach files, programs or memory, where a build of SQLite has them.
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
#: Those that only look, whatever stands behind them; `data_version` is asked by full-text tables.
_LOOKING = frozenset(
    {
        "data_version",
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
#: Those that only look where nothing stands behind them.
_LOOKING_ALONE = frozenset({"application_id", "encoding", "page_count", "page_size", "schema_version", "user_version"})


# ------------------------------------------------------------------------------------------- is it sound?


def prove(request: dict[str, Any], reports: Reports) -> None:
    """Reads a file to its end as a database, each row and each entry of its indexes."""
    try:
        with contextlib.closing(open_immutable(request["source"])) as connection:
            reports.send("proven", **_read(connection))
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError) as error:
        raise Failed("damaged", f"What was backed up is no sound SQLite database: {said(error)}") from error


def _read(connection: apsw.Connection) -> dict[str, Any]:
    connection.pragma("cache_size", -THOROUGH_CHECK_CACHE)
    tables = names_of_tables(connection)
    missing = _check_integrity(connection, tables)
    orphans, mismatches = _check_foreign_keys(connection, tables, missing)
    if missing:
        raise Failed("lacking", f"The SQLite that is here does not have the {', the '.join(missing)}", _LACKING_HINT)
    return {
        "tables": len(tables),
        "pages": connection.pragma("page_count"),
        "orphans": orphans,
        "mismatches": mismatches,
    }


def _check_integrity(connection: apsw.Connection, tables: list[str]) -> dict[str, None]:
    """``PRAGMA integrity_check``, of each table by itself where something is missing here; answers what that is."""
    missing: dict[str, None] = {}
    asked = ["PRAGMA integrity_check(1)", *(f"SELECT * FROM {quoted(name)} LIMIT 0" for name in tables)]  # noqa: S608  quoted
    for query in asked:
        _expect_sound(connection, query, missing)
    if missing:
        for name in tables:
            _expect_sound(connection, f"PRAGMA integrity_check({quoted(name)})", missing)
    return missing


def _expect_sound(connection: apsw.Connection, query: str, missing: dict[str, None]) -> None:
    try:
        answer = connection.execute(query).fetchall()
    except apsw.SQLError as error:
        _note_missing(error, missing)
    else:
        if answer and answer != [("ok",)]:
            lines = str(answer[0][0]).splitlines()
            raise apsw.CorruptError(next((line for line in lines if not line.startswith("***")), lines[0]))


def _check_foreign_keys(
    connection: apsw.Connection, tables: list[str], missing: dict[str, None]
) -> tuple[int, list[str]]:
    """How many rows refer to others that are not there, and what SQLite says of keys that fit nothing."""
    orphans, mismatches = 0, []
    for name in tables:
        try:
            orphans += sum(1 for _ in connection.execute(f"PRAGMA foreign_key_check({quoted(name)})"))
        except apsw.SQLError as error:
            if not _note_missing(error, missing):
                mismatches.append(said(error))
    return orphans, mismatches


def _note_missing(error: apsw.Error, missing: dict[str, None]) -> bool:
    found = _MISSING.search(str(error))
    if found:
        missing[f"{found[1].removesuffix(' sequence')} {found[2].removesuffix('()')}"] = None
    return found is not None


# ------------------------------------------------------------------------------------------ what it says


def ask(request: dict[str, Any], reports: Reports) -> None:
    """Asks one query that may do nothing but read: whether it holds, and what it returned or why it did not."""
    # What SQLite sorts; its files there have no name and are gone with this process.
    os.environ["SQLITE_TMPDIR"] = os.path.dirname(request["source"])
    apsw.hard_heap_limit(_MEMORY)
    with contextlib.closing(open_immutable(request["source"])) as connection:
        _let_read_only(connection, request["seconds"])
        holds, found = _asked(connection, request["sql"], request["seconds"])
    reports.send("asked", holds=holds, found=found[:_LONGEST_FOUND])


def _let_read_only(connection: apsw.Connection, seconds: float) -> None:
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 1)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    connection.pragma("query_only", 1)
    connection.authorizer = _permitted
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)


def _permitted(operation: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
    if operation == apsw.SQLITE_PRAGMA:
        name = (first or "").lower()
        permitted = name in _LOOKING or (name in _LOOKING_ALONE and second is None)
    else:
        permitted = operation in _READS
    if operation == apsw.SQLITE_FUNCTION and second in _FORBIDDEN_FUNCTIONS:
        permitted = False
    return apsw.SQLITE_OK if permitted else apsw.SQLITE_DENY


def _asked(connection: apsw.Connection, sql: str, seconds: float) -> tuple[bool, str]:
    statements = itertools.count(1)
    cursor = connection.cursor()
    cursor.exec_trace = lambda _, text, __: bool(_NOTHING.fullmatch(text)) or next(statements) == 1
    try:
        rows = list(itertools.islice(cursor.execute(sql), 2))
    except apsw.ExecTraceAbort:
        return False, "it is more than one statement"
    except apsw.InterruptError:
        return False, f"it took more than {seconds:g} seconds"
    except (apsw.Error, MemoryError, ValueError) as error:
        missing: dict[str, None] = {}
        if isinstance(error, apsw.SQLError) and _note_missing(error, missing):
            raise Failed("lacking", f"The SQLite that is here does not have the {', '.join(missing)}") from error
        return False, said(error)
    return _judged(rows)


def _judged(rows: list[tuple[Any, ...]]) -> tuple[bool, str]:
    if not rows:
        return False, "no row"
    if len(rows) > 1:
        return False, "more than one row"
    if len(rows[0]) > 1:
        return False, f"{len(rows[0])} columns"
    value = rows[0][0]
    return value == 1 and not isinstance(value, str), "NULL" if value is None else str(value)
