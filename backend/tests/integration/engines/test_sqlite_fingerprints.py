"""Fingerprints of SQLite's tables: what changes them, and what does not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hhh.core.run import Unattended
from hhh.engines.fingerprints import methods_of
from hhh.engines.restoring import RestoreMode
from hhh.schemas.facts import SqliteFacts
from hhh.schemas.policy import Fingerprint
from hhh.services.comparison import compare, compared_contents
from support.sqlite_data import make_odd_names_sqlite_database
from support.sqlite_restoring import SqliteRestoring
from support.sqlite_source import SqliteSource

_MANY = 40_000

#: Each changes rows of `thing`, and not how many there are.
_CHANGES = (
    "UPDATE thing SET words = 'W7' WHERE id = 7",
    "UPDATE thing SET words = '' WHERE id = 7",
    "UPDATE thing SET words = NULL WHERE id = 7",
    "UPDATE thing SET words = 'NULL' WHERE id = 7",
    "UPDATE thing SET words = CAST('w7' AS BLOB) WHERE id = 7",
    "UPDATE thing SET words = more, more = words WHERE id = 7",
    "UPDATE thing SET words = CASE id WHEN 7 THEN 'w8' ELSE 'w7' END WHERE id IN (7, 8)",
    "UPDATE thing SET id = 1000 WHERE id = 7",
    "UPDATE thing SET value = '7' WHERE id = 7",
    "UPDATE thing SET value = 7.0 WHERE id = 7",
    "UPDATE thing SET value = 9223372036854775807 WHERE id = 7",
    "UPDATE thing SET value = 1e308 WHERE id = 7",
    "UPDATE thing SET value = x'00' WHERE id = 7",
    "DELETE FROM thing WHERE id = 7; INSERT INTO thing (id) VALUES (51)",
    "DELETE FROM plain WHERE a = 7; INSERT INTO plain SELECT * FROM plain WHERE a = 8",
    "UPDATE keyed SET value = 'x' WHERE id = 'k7'",
)


@pytest.fixture
def source(tmp_path: Path) -> SqliteSource:
    source = SqliteSource(tmp_path)
    with source.connected() as connection:
        connection.executescript("""
            CREATE TABLE thing (
                id INTEGER PRIMARY KEY, words TEXT, more TEXT, value, twice AS (id * 2), thrice AS (id * 3) STORED
            );
            CREATE TABLE plain (a, b);
            CREATE TABLE keyed (id TEXT PRIMARY KEY, value) WITHOUT ROWID;
            CREATE INDEX by_words ON thing (words);
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50)
            INSERT INTO thing SELECT n, 'w' || n, 'm' || n, n FROM n;
            INSERT INTO plain SELECT id, words FROM thing;
            INSERT INTO keyed SELECT 'k' || id, words FROM thing;
        """)
    return source


def fingerprints(source: SqliteSource, wanted: Fingerprint = "full") -> Mapping[str, str | None]:
    """By table."""
    return {table.name: table.fingerprint for table in source.facts(fingerprint=wanted).tables}


def contents(before: SqliteFacts, after: SqliteFacts) -> list[str]:
    """What differs, but for what the header says."""
    return [each.name for each in compare(before, after)]


@pytest.mark.parametrize("change", _CHANGES)
def test_whatever_changes_in_as_many_rows_is_found(source: SqliteSource, change: str) -> None:
    before = source.facts(fingerprint="full")
    with source.connected() as connection:
        connection.executescript(change)
    changed = next(name for name in ("thing", "plain", "keyed") if f" {name} " in change)
    assert contents(before, source.facts(fingerprint="full")) == [f"content of {changed}"]


def test_neither_order_nor_place_nor_rowids_change_it(source: SqliteSource) -> None:
    before = source.facts(fingerprint="full")
    with source.connected() as connection:
        connection.executescript("""
            CREATE TABLE other (b, more AS (a), a);
            INSERT INTO other (a, b) SELECT a, b FROM plain ORDER BY a DESC;
            DROP TABLE plain; ALTER TABLE other RENAME TO plain;
            DELETE FROM thing WHERE id < 20;
            INSERT INTO thing (id, words, more, value) SELECT a, b, 'm' || a, a FROM plain WHERE a < 20 ORDER BY a DESC;
            UPDATE keyed SET value = value; VACUUM;
        """)
    assert contents(before, source.facts(fingerprint="full")) == []


def test_a_row_that_comes_twice_counts_twice(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.execute("INSERT INTO plain VALUES ('x', 'x'), ('x', 'x'), ('y', 'y')")
        before = source.facts(fingerprint="full")
        connection.execute("UPDATE plain SET (a, b) = ('z', 'z') WHERE a = 'x'")
    assert contents(before, source.facts(fingerprint="full")) == ["content of plain"]


def test_text_that_is_not_valid_is_no_obstacle(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.execute("UPDATE plain SET b = CAST(x'ff00fe' AS TEXT) WHERE a = 7")
        before = source.facts(fingerprint="full")
        connection.execute("UPDATE plain SET b = CAST(x'ff00fd' AS TEXT) WHERE a = 7")
        after = source.facts(fingerprint="full")
        connection.execute("UPDATE plain SET b = x'ff00fe' WHERE a = 7")
        as_blob = source.facts(fingerprint="full")
    assert compared_contents(before, after) == 3
    assert contents(before, after) == contents(before, as_blob) == ["content of plain"]


def test_virtual_tables_have_none_but_those_behind_them_do(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.execute("CREATE VIRTUAL TABLE found USING fts5 (body)")
        connection.execute("INSERT INTO found VALUES ('some words')")
    found = fingerprints(source)
    assert found["found"] is None
    assert found["found_content"]
    assert source.take(fingerprint="full").warnings == ()


def test_tables_of_any_name_have_one(tmp_path: Path) -> None:
    source = SqliteSource(tmp_path)
    make_odd_names_sqlite_database(source.path)
    found = fingerprints(source)
    with source.connected() as connection:
        virtual = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE rootpage = 0")]
    assert {name for name, fingerprint in found.items() if fingerprint is None} == found.keys() & virtual


def test_a_table_of_too_many_columns_for_odd_text_is_told_and_named_nowhere(source: SqliteSource) -> None:
    with source.connected() as connection:
        connection.execute(f"CREATE TABLE wide ({', '.join(f'c{number}' for number in range(1500))})")
        connection.execute("INSERT INTO wide (c7) VALUES (CAST(x'ff' AS TEXT))")
    result = source.take(fingerprint="full")
    assert [table.name for table in result.facts.tables if table.fingerprint is None] == ["wide"]
    assert result.warnings == ("Of 1 tables, no fingerprint could be taken",)


def test_a_sample_leaves_out_most_and_is_taken_again_in_the_same_way(tmp_path: Path) -> None:
    restoring = SqliteRestoring(tmp_path)
    with restoring.source.connected() as connection:
        connection.executescript(f"""
            CREATE TABLE large (id INTEGER PRIMARY KEY, words TEXT);
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {_MANY})
            INSERT INTO large SELECT n, 'w' || n FROM n;
            CREATE TABLE paired (b INT, a BIGINT, words TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
            INSERT INTO paired SELECT id % 3, id / 3, words FROM large;
            CREATE TABLE keyless AS SELECT words FROM large;
            CREATE TABLE named (name TEXT PRIMARY KEY);
            INSERT INTO named SELECT words FROM large;
        """)
        before = restoring.source.facts(fingerprint="sampled")
        assert methods_of(before.tables) == {
            ("", "large"): "sampled/1/4",
            ("", "paired"): "sampled/1/4",
            ("", "keyless"): "full/1",
            ("", "named"): "full/1",
        }
        found = Counter[str]()
        for number in range(1, 11):
            connection.execute("UPDATE large SET words = 'x' WHERE id = ?", [number])
            connection.execute("UPDATE paired SET words = 'x' WHERE a = ?", [number])
            after = restoring.source.facts(fingerprint="sampled")
            found.update(contents(before, after))
            before = after
        assert all(1 <= found[f"content of {name}"] <= 7 for name in ("large", "paired"))
    source = replace(restoring.back_up(), facts=before)
    destination = replace(restoring.destination(RestoreMode.NEW), with_fingerprints=True)
    built = restoring.restorer.build(source, destination, restoring.workplace, Unattended())
    assert compared_contents(source.facts, built.facts) == 4
    assert compare(source.facts, built.facts) == []


def test_an_ordinary_restore_takes_none(tmp_path: Path) -> None:
    restoring = SqliteRestoring(tmp_path)
    with restoring.source.connected() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    facts = restoring.source.facts(fingerprint="full")
    source = replace(restoring.back_up(), facts=facts)
    built = restoring.build(source, RestoreMode.NEW)
    assert [table.fingerprint for table in built.facts.tables] == [None]


def test_a_method_that_is_not_known_is_not_taken(tmp_path: Path) -> None:
    restoring = SqliteRestoring(tmp_path)
    with restoring.source.connected() as connection:
        connection.executescript("CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE c (x)")
    facts = restoring.source.facts(fingerprint="full")
    wanted = {"a": "full/1:0", "b": "full/2:0", "c": "sampled/1/64:0"}  # c has no key
    tables = [table.model_copy(update={"fingerprint": wanted[table.name]}) for table in facts.tables]
    source = replace(restoring.back_up(), facts=facts.model_copy(update={"tables": tables}))
    destination = replace(restoring.destination(RestoreMode.NEW), with_fingerprints=True)
    built = restoring.restorer.build(source, destination, restoring.workplace, Unattended())
    assert [table.fingerprint is not None for table in built.facts.tables] == [True, False, False]
    assert [each.name for each in compare(source.facts, built.facts)] == ["content of a"]
