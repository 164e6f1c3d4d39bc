"""Fingerprints of the rows of tables: the same whatever their order, the order of columns, the server and its settings.

Each row has a hash, and the sum of all hashes is the fingerprint: what is there twice counts twice. The hash of a row
is made of those of its columns, each with a seed made of the column's name; see ``docs/decisions/0023``.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import psycopg
from psycopg import sql

from hhh.engines.fingerprints import Method
from hhh.engines.postgresql.connection import Session, last_line
from hhh.engines.postgresql.snapshot import Relation
from hhh.schemas.policy import Fingerprint

#: By schema and name, as `hhh.engines.fingerprints.methods_of` has them.
Wanted = Fingerprint | Mapping[tuple[str, str], str]

_VERSION = "1"
_UTF8 = "UTF8"
#: A table whose heap is smaller is looked at as a whole, also where samples are wanted.
_SMALL = 1 << 20
_ONE_OF = 64

#: What pg_dump writes of a table: neither dropped columns nor generated ones, which the restored server computes anew.
#: With the name of the type (of a domain that beneath it) if it is built in, and whether it is part of the key.
_COLUMNS = sql.SQL("""
    SELECT a.attrelid, a.attname::pg_catalog.text,
           CASE WHEN t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace THEN t.typname::pg_catalog.text END,
           coalesce(a.attnum = ANY (i.indkey), false)
      FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
      JOIN pg_catalog.pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
      LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
     WHERE a.attrelid = ANY (%(tables)s::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attgenerated = ''
     ORDER BY 1, 2
""")
_HEAPS = sql.SQL("""
    SELECT t.oid, pg_catalog.pg_relation_size(t.oid) FROM pg_catalog.unnest(%(tables)s::pg_catalog.oid[]) t (oid)
""")

#: What the functions below say of values that they all know. Another processor may say something else (they read
#: bytes in its own order), and so may a PostgreSQL to come: its fingerprints would be other ones.
_PROBE = sql.SQL("""
    SELECT pg_catalog.current_setting('server_encoding'), pg_catalog.hashint4extended(-7, 1)
        # pg_catalog.hashint8extended(-7000000000000, 2) # pg_catalog.hashoidextended(4000000000, 3)
        # pg_catalog.hashtextextended('a text of some length' COLLATE pg_catalog."C", 4)
        # pg_catalog.uuid_hash_extended('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::pg_catalog.uuid, 5)
        # pg_catalog.hash_array_extended(ARRAY['\\x00ff0a5c'::pg_catalog.bytea], 6)
""")
_PROBED = -320457829713058356

#: The hash of a column of each built-in type that is common and has a quick one that tells all values apart. That of
#: int8 folds them to 32 bits first: the value itself makes up for it.
_QUICK: Mapping[str, sql.SQL] = {
    "bool": sql.SQL("pg_catalog.hashint4extended({column}::pg_catalog.int4, {seed})"),
    "int2": sql.SQL("pg_catalog.hashint4extended({column}, {seed})"),
    "int4": sql.SQL("pg_catalog.hashint4extended({column}, {seed})"),
    "int8": sql.SQL("(pg_catalog.hashint8extended({column}, {seed}) # {column})"),
    "oid": sql.SQL("pg_catalog.hashoidextended({column}, {seed})"),
    "uuid": sql.SQL("pg_catalog.uuid_hash_extended({column}, {seed})"),
    "text": sql.SQL('pg_catalog.hashtextextended({column} COLLATE pg_catalog."C", {seed})'),
    "varchar": sql.SQL('pg_catalog.hashtextextended({column} COLLATE pg_catalog."C", {seed})'),
    # There is none for bytea itself before 18, and its text is twice as long.
    "bytea": sql.SQL("pg_catalog.hash_array_extended(ARRAY[{column}], {seed})"),
}
#: Of all others, the text that a dump has of them, by the type's own output function: a cast to text can be anybody's
#: code, and pads or shortens. A row of NULLs IS NULL, but it is not NULL.
_BY_TEXT = sql.SQL(
    "CASE WHEN {column} IS NOT DISTINCT FROM NULL THEN {seed} "
    'ELSE pg_catalog.hashtextextended(pg_catalog.concat({column}) COLLATE pg_catalog."C", {seed}) END'
)
#: Mixes the columns' hashes: sums of hashes that were only put together would not tell who has which value.
_MIXED = sql.SQL('pg_catalog.hashtextextended(({hash})::pg_catalog.text COLLATE pg_catalog."C", 0)')


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    #: Of a built-in type.
    type_name: str | None
    is_key: bool


class Fingerprints:
    """Which tables get a fingerprint, how, and what went wrong with it."""

    def __init__(
        self,
        methods: Mapping[int, Method] | None = None,
        columns: Mapping[int, Sequence[_Column]] | None = None,
        warnings: Iterable[str] = (),
    ) -> None:
        self._methods = dict(methods or {})
        self._columns = columns or {}
        self.warnings = list(warnings)

    @classmethod
    def plan(cls, session: Session, tables: Sequence[Relation], wanted: Wanted) -> Self:
        """Chooses how; nothing that goes wrong here, but for a lost connection, is worth a backup."""
        if wanted == "off" or not wanted or not tables:
            return cls()
        try:
            with session.connection.transaction(force_rollback=True):
                return cls._plan(session, tables, wanted)
        except (psycopg.Error, UnicodeError) as error:
            if session.connection.closed:
                raise
            return cls(warnings=[f"No fingerprints were taken: {_said(error)}"])

    @classmethod
    def _plan(cls, session: Session, tables: Sequence[Relation], wanted: Wanted) -> Self:
        [(encoding, probed)] = session.rows(_PROBE)
        if probed != _PROBED:
            return cls(warnings=["No fingerprints were taken: this server's hash functions are others"])
        version = _VERSION if encoding == _UTF8 else f"{_VERSION}-{encoding}"  # the texts' bytes are others, too
        oids = {"tables": [table.oid for table in tables]}
        columns: dict[int, list[_Column]] = defaultdict(list)
        for oid, *column in session.rows(_COLUMNS, oids):
            columns[oid].append(_Column(*column))
        with_key = {oid for oid, of_table in columns.items() if any(column.is_key for column in of_table)}
        if not isinstance(wanted, str):
            return cls(_as_before(tables, wanted, version, with_key), columns)
        large = {oid for oid, size in session.rows(_HEAPS, oids) if size > _SMALL} if wanted == "sampled" else set()
        return cls({oid: Method(version, _ONE_OF if oid in large & with_key else 1) for oid in oids["tables"]}, columns)

    def leave_out(self, table: Relation, error: Exception) -> None:
        """This table gets none; the operator hears why."""
        del self._methods[table.oid]
        self.warnings.append(f"No fingerprint of {table.schema}.{table.name} was taken: {_said(error)}")

    def of_any(self, tables: Iterable[Relation]) -> bool:
        """Whether one of the tables gets one."""
        return any(table.oid in self._methods for table in tables)

    def expression(self, table: Relation) -> sql.Composable:
        """What a query that counts the table's rows selects beside."""
        method = self._methods.get(table.oid)
        if method is None:
            return sql.SQL("NULL::pg_catalog.numeric")
        columns = self._columns.get(table.oid, ())
        total = sql.SQL("coalesce(pg_catalog.sum({}), 0)")
        hashed = _MIXED.format(hash=_hash(columns))
        if method.one_of == 1:
            return total.format(hashed)
        chosen = sql.SQL("({} & {}) = 0").format(
            _hash([column for column in columns if column.is_key], "key "), sql.Literal(method.one_of - 1)
        )
        return sql.SQL("coalesce(pg_catalog.sum({}) FILTER (WHERE {}), 0)").format(hashed, chosen)

    def text(self, table: Relation, total: Decimal | None) -> str | None:
        """The fingerprint of what `expression` came to."""
        return None if total is None else f"{self._methods[table.oid]}:{int(total) % 2**64:016x}"


def _as_before(
    tables: Iterable[Relation], wanted: Mapping[tuple[str, str], str], version: str, with_key: Container[int]
) -> Mapping[int, Method]:
    """Of the methods that are wanted, those that can be done here: of this version, and samples by a key."""
    methods = ((table.oid, Method.parse(wanted.get((table.schema, table.name), ""))) for table in tables)
    return {
        oid: method
        for oid, method in methods
        if method is not None and method.version == version and (method.one_of == 1 or oid in with_key)
    }


def _hash(columns: Sequence[_Column], purpose: str = "") -> sql.Composable:
    """The hashes of columns put together by XOR, in a tree: the server does not take expressions of any depth."""
    if not columns:
        return sql.SQL("0::pg_catalog.int8")
    if len(columns) > 1:
        half = len(columns) // 2
        return sql.SQL("({} # {})").format(_hash(columns[:half], purpose), _hash(columns[half:], purpose))
    [column] = columns
    seed = sql.Literal(_seed(purpose + column.name))
    quick = _QUICK.get(column.type_name or "")
    names = {"column": sql.Identifier(column.name), "seed": seed}
    return sql.SQL("coalesce({}, {})").format(quick.format(**names), seed) if quick else _BY_TEXT.format(**names)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _said(error: Exception) -> str:
    return last_line(error) if isinstance(error, psycopg.Error) else "a name is not valid in the database's encoding"
