"""Fingerprints of the rows of tables: the same whatever their order, and the order of columns.

Each row is hashed with the types of its values, columns in the order of their names, and the sum of all hashes is the
fingerprint: what is there twice counts twice. See ``docs/decisions/0023``.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Mapping
from typing import Any

import apsw

from hhh.engines.sqlite.child.checks import quoted
from hhh.engines.sqlite.child.opening import open_immutable

_VERSION = "1"
#: A table of fewer rows is looked at as a whole, also where samples are wanted; of others, half as many or more are.
_SMALL = 1 << 14
#: Python's own form of a row, types included. This version of it knows no references: equal rows are equal bytes.
_MARSHAL_VERSION = 2
_HASH_BYTES = 8
#: Of so many columns, and so many bits of each, products and sums stay integers.
_MOST_KEYS = 6
_31_BITS = 0x7FFFFFFF
#: Neighbouring keys are spread by 2^32 divided by the golden ratio.
_CHOSEN = f"(((({{key}}) & {_31_BITS}) * 2654435769) >> 16) & {{mask}} = 0"


def add_fingerprints(path: str, result: dict[str, Any], wanted: str | Mapping[str, str]) -> None:
    """Adds fingerprints to the facts of a file that nobody changes.

    One that can't be taken is left out, and a warning tells how many: it names nothing, like those of
    `hhh.engines.sqlite.child.checks.take_facts`.

    Args:
        path: of the file.
        result: as `take_facts` returned it.
        wanted: ``off``, ``sampled`` or ``full``; or how that of each table is to be taken, as the text of a fingerprint
            begins: ``full/1``, ``sampled/1/64``.
    """
    if wanted == "off" or not wanted:
        return
    connection = open_immutable(path)
    missing = 0
    for table in result["facts"]["tables"]:
        method = _method(connection, table["name"], table["rows"], wanted)
        if method is not None and _is_stored(connection, table["name"]):
            try:
                table["fingerprint"] = f"{method}:{_fingerprint(connection, table['name'], method)}"
            except (apsw.SQLError, apsw.TooBigError, apsw.NoMemError, MemoryError):
                missing += 1
    if missing:
        result["warnings"].append(f"Of {missing} tables, no fingerprint could be taken")


def _method(connection: apsw.Connection, table: str, rows: int, wanted: str | Mapping[str, str]) -> str | None:
    """How to take it, as text; None for not at all."""
    if not isinstance(wanted, str):
        method = wanted.get(table, "")
        is_possible = method == f"full/{_VERSION}" or (_one_of(method) > 1 and _key(connection, table) is not None)
        return method if is_possible else None
    one_of = 1 << max(0, (rows // _SMALL).bit_length()) if wanted == "sampled" else 1
    return f"sampled/{_VERSION}/{one_of}" if one_of > 1 and _key(connection, table) else f"full/{_VERSION}"


def _one_of(method: str) -> int:
    """About one row of so many is looked at; a power of two."""
    match method.split("/"):
        case ["sampled", version, one_of] if version == _VERSION and one_of.isdecimal():
            return int(one_of)
    return 1


def _is_stored(connection: apsw.Connection, table: str) -> bool:
    """Whether it has rows of its own: those of a virtual table are in others, or nowhere."""
    return bool(connection.execute("SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?", [table]).get)


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    """All that are stored as they were written: generated ones are left out."""
    found = connection.execute(f"PRAGMA table_xinfo({quoted(table)})")
    return sorted(str(name) for _, name, _, _, _, _, hidden in found if not hidden)


def _key(connection: apsw.Connection, table: str) -> str | None:
    """The primary key as one integer that differs from row to row, as SQL; None where it is not of integers alone."""
    found = connection.execute(f"PRAGMA table_xinfo({quoted(table)})")
    keys = [(str(name), str(type_name)) for _, name, type_name, _, _, place, hidden in found if place and not hidden]
    if not 0 < len(keys) <= _MOST_KEYS or not all("INT" in type_name.upper() for _, type_name in keys):
        return None
    return " + ".join(f"({quoted(name)} & {_31_BITS}) * {31**place}" for place, (name, _) in enumerate(sorted(keys)))


def _fingerprint(connection: apsw.Connection, table: str, method: str) -> str:
    columns = _columns(connection, table)
    one_of, key = _one_of(method), _key(connection, table)
    chosen = f" WHERE {_CHOSEN.format(key=key, mask=one_of - 1)}" if key and one_of > 1 else ""
    source = f"FROM {quoted(table)} NOT INDEXED{chosen}"
    try:
        total = _total(connection, f"SELECT {', '.join(map(quoted, columns))} {source}")
    except UnicodeDecodeError:
        total = _total(connection, f"SELECT {', '.join(map(_as_bytes, columns))} {source}")
    named = marshal.dumps((tuple(columns), total), _MARSHAL_VERSION)
    return hashlib.blake2b(named, digest_size=_HASH_BYTES).hexdigest()


def _as_bytes(column: str) -> str:
    """A value and whether it is text, for tables with text that is not valid."""
    name = quoted(column)
    return f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name}) = 'text'"


def _total(connection: apsw.Connection, query: str) -> int:
    blake2b, dumps, from_bytes = hashlib.blake2b, marshal.dumps, int.from_bytes  # a third of the time is looking up
    total = 0
    for row in connection.execute(query):
        total += from_bytes(blake2b(dumps(row, _MARSHAL_VERSION), digest_size=_HASH_BYTES).digest(), "little")
    return total
