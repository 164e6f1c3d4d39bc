"""Whether a copy is sound, and what is in it."""

from __future__ import annotations

from typing import Any

import apsw

from hhh.engines.sqlite.child.opening import is_wal, open_immutable

#: KiB of pages kept while a copy is checked: a thorough check comes back to them, a quick one reads each page once and
#: was a third faster with few. A memory map gains a fifth more, but stays resident.
THOROUGH_CHECK_CACHE = 64 << 10
QUICK_CHECK_CACHE = 1 << 10
#: Warnings stand in the manifest in clear: they name nothing of the database, and no message of SQLite that does.
_NEEDS_APPLICATION = "they need a module, function, collation or view that only their application has"
NAMES_OF_TABLES = r"FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'"


def take_facts(path: str, *, thorough: bool, checked: bool = False) -> dict[str, Any]:
    """Checks a copy, thoroughly or not, and says what is in it.

    Args:
        path: of the copy.
        thorough: whether each row is looked up in each index.
        checked: whether these very bytes were checked before; then they are not checked again.

    Returns:
        ``facts`` in the form of `hhh.schemas.facts.SqliteFacts`, ``warnings`` and ``versions``.
    """
    connection = open_immutable(path)
    names = names_of_tables(connection)
    connection.pragma("cache_size", -(THOROUGH_CHECK_CACHE if thorough else QUICK_CHECK_CACHE))
    warnings = [] if checked else check_integrity(connection, names, thorough=thorough)
    tables = count_all_rows(connection, names)
    if len(tables) < len(names):
        warnings.append(f"The rows of {len(names) - len(tables)} tables were not counted: {_NEEDS_APPLICATION}")
    names_of_pragmas = ("page_size", "page_count", "encoding", "user_version", "application_id", "auto_vacuum")
    facts = {
        "engine": "sqlite",
        "sqlite_version": apsw.sqlite_lib_version(),
        "journal_mode": "wal" if is_wal(path) else "delete",
        **{name: connection.pragma(name) for name in names_of_pragmas},
        "integrity_check": "ok" if thorough and not checked else None,
        "quick_check": None if checked else "ok",
        "tables": tables,
        "objects": connection.execute(
            "SELECT type, name FROM sqlite_schema WHERE type <> 'table' ORDER BY type, name"
        ).fetchall(),
        "definitions": definitions(connection),
    }
    versions = {"sqlite": apsw.sqlite_lib_version(), "apsw": apsw.apsw_version()}
    return {"facts": facts, "warnings": warnings, "versions": versions}


def definitions(connection: apsw.Connection) -> list[tuple[str, ...]]:
    """Type, name, table and SQL of everything there is; what is no text in the database's encoding is shown escaped."""
    encoding = str(connection.pragma("encoding"))
    rows = connection.execute(
        "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(tbl_name AS BLOB), CAST(coalesce(sql, '') AS BLOB) "
        "FROM sqlite_schema ORDER BY type, name"
    )
    return [tuple(each.decode(encoding, "backslashreplace") for each in row) for row in rows]


def names_of_tables(connection: apsw.Connection) -> list[str]:
    """All that are no part of SQLite itself."""
    return [name for (name,) in connection.execute(f"SELECT name {NAMES_OF_TABLES} ORDER BY name")]


def check_integrity(connection: apsw.Connection, tables: list[str], *, thorough: bool) -> list[str]:
    """``PRAGMA integrity_check``, or ``quick_check`` and a count of each index; warnings of what could not be seen.

    A collation or function that only the application has keeps SQLite from checking the whole; then it is asked for
    table after table.

    Raises:
        apsw.CorruptError: the copy, and so the source, is damaged; with the first line that SQLite says about it.
    """
    pragma = "integrity_check" if thorough else "quick_check"
    if not thorough:
        for name in tables:
            compare_index_counts(connection, name)
    try:
        _expect_ok(connection, f"PRAGMA {pragma}(1)")
    except apsw.SQLError:
        unchecked = sum(not _is_checked(connection, pragma, name) for name in tables)
        return [f"Tables were checked one by one, and {unchecked} of them not at all: {_NEEDS_APPLICATION}"]
    return []


def compare_index_counts(connection: apsw.Connection, table: str) -> None:
    """Finds entries that an index lacks or has too many, which a quick check does not look for.

    Raises:
        apsw.CorruptError: in the words of ``PRAGMA integrity_check``.
    """
    rows = _count(connection, f"{quoted(table)} NOT INDEXED")
    for _, index, _, origin, partial in _indexes(connection, table):
        entries = (
            None if partial or origin == "pk" else _count(connection, f"{quoted(table)} INDEXED BY {quoted(index)}")
        )
        if entries not in {rows, None}:
            raise apsw.CorruptError(f"wrong # of entries in index {index}")


def _indexes(connection: apsw.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"PRAGMA index_list({quoted(table)})").fetchall()


def _count(connection: apsw.Connection, source: str) -> int | None:
    """The rows of a table, read in a certain way; None where that is not possible here."""
    try:
        return int(connection.execute(f"SELECT count(*) FROM {source}").get)  # noqa: S608  quoted by the caller
    except apsw.SQLError:
        return None


def _is_checked(connection: apsw.Connection, pragma: str, table: str) -> bool:
    try:
        _expect_ok(connection, f"PRAGMA {pragma}({quoted(table)})")
    except apsw.SQLError:
        return False
    return True


def _expect_ok(connection: apsw.Connection, pragma: str) -> None:
    first = str(connection.execute(pragma).get)
    if first != "ok":
        line = next((line for line in first.splitlines() if not line.startswith("***")), first)
        raise apsw.CorruptError(line)


def count_all_rows(connection: apsw.Connection, tables: list[str]) -> list[dict[str, Any]]:
    """The rows of each table, without those that can't be counted; neither a trigger nor a view runs."""
    counts = {name: _count(connection, quoted(name)) for name in tables}
    return [{"schema_name": "", "name": name, "rows": rows} for name, rows in counts.items() if rows is not None]


def quoted(name: str) -> str:
    """The name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
