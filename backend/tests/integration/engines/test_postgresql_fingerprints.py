"""Fingerprints of tables: what changes them, and what does not."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import LiteralString

import pytest
from psycopg import sql

from hhh.core.run import Unattended
from hhh.engines.base import Workplace
from hhh.engines.fingerprints import methods_of
from hhh.engines.postgresql.connection import Session, open_connection, passfile, protect
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.facts import take_facts
from hhh.engines.postgresql.fingerprints import Wanted
from hhh.engines.postgresql.restore import PostgresqlRestorer
from hhh.engines.postgresql.snapshot import hold_snapshot
from hhh.engines.postgresql.url import parse_url
from hhh.engines.restoring import Destination, RestoreMode
from hhh.schemas.facts import PostgresqlFacts
from hhh.services.comparison import compare, compared_contents
from support.postgres import ALL_MAJORS, ONE_MAJOR_AT_FIRST, PostgresServer, PostgresServers
from support.postgres_data import make_odd_names_database
from support.postgres_dumps import dumping, read_to_end, restore, take_dump
from support.postgres_rich import drop_rich_roles, make_rich_database, rich_roles
from support.restoring import taken

pytestmark = pytest.mark.postgres

#: Rows of more than the heap of a small table.
_MANY = 12_000


def facts_of(
    server: PostgresServer, database: str, scratch: Path, wanted: Wanted = "full", *, url: str | None = None
) -> PostgresqlFacts:
    """Facts without a dump."""
    address = parse_url(url or server.url(database))
    with (
        passfile(address, scratch) as password_file,
        contextlib.closing(Session(open_connection(address, password_file))) as session,
    ):
        protect(session.connection)
        return take_facts(session, hold_snapshot(session, lock_timeout=10), wanted)


def fingerprints(facts: PostgresqlFacts) -> Mapping[str, str | None]:
    """By table."""
    assert facts.warnings == []
    return {f"{table.schema_name}.{table.name}": table.fingerprint for table in facts.tables}


#: Each changes one row, or two, of `thing`; none changes how many there are.
_CHANGES: tuple[LiteralString, ...] = (
    "UPDATE thing SET words = 'W7' WHERE id = 7",
    "UPDATE thing SET id = -id WHERE id = 7",
    "UPDATE thing SET id = id + (1::bigint << 32) + 1 WHERE id = 7",
    "WITH gone AS (DELETE FROM thing WHERE id = 7 RETURNING *) INSERT INTO thing (id) SELECT 51 FROM gone",
    "WITH gone AS (DELETE FROM thing WHERE id = 7) INSERT INTO thing SELECT * FROM thing WHERE id = 8",
    "UPDATE thing SET words = CASE id WHEN 7 THEN 'w8' ELSE 'w7' END WHERE id IN (7, 8)",
    "UPDATE thing SET words = more, more = words WHERE id = 7",
    "UPDATE thing SET words = '' WHERE id = 7",
    "UPDATE thing SET words = NULL WHERE id = 7",
    "UPDATE thing SET words = 'NULL' WHERE id = 7",
    "UPDATE thing SET many = NULL WHERE id = 7",
    "UPDATE thing SET many = 0 WHERE id = 7",
    "UPDATE thing SET letters = 'lx' WHERE id = 7",
    "UPDATE thing SET exact = 7.0 WHERE id = 7",
    "UPDATE thing SET exact = 'NaN' WHERE id = 7",
    "UPDATE thing SET single = single * 1.0000002 WHERE id = 7",
    "UPDATE thing SET double = 7.000000000000001 WHERE id = 7",
    "UPDATE thing SET double = '-0' WHERE id = 0",
    "UPDATE thing SET flag = NULL WHERE id = 7",
    "UPDATE thing SET flag = false WHERE id = 7",
    "UPDATE thing SET at = at + interval '1 microsecond' WHERE id = 7",
    "UPDATE thing SET at = 'infinity' WHERE id = 7",
    "UPDATE thing SET day = 'infinity' WHERE id = 7",
    "UPDATE thing SET local = local + interval '100 years' WHERE id = 7",
    "UPDATE thing SET bytes = '\\x00' WHERE id = 7",
    "UPDATE thing SET bytes = '' WHERE id = 7",
    "UPDATE thing SET bytes = NULL WHERE id = 7",
    """UPDATE thing SET doc = '{"a": 1.0}' WHERE id = 7""",
    "UPDATE thing SET doc = 'null' WHERE id = 7",
    """UPDATE thing SET raw = '{"a":1}' WHERE id = 7""",
    "UPDATE thing SET uid = NULL WHERE id = 7",
    "UPDATE thing SET list = '{{a},{b}}' WHERE id = 7",
    "UPDATE thing SET list = '[0:1]={a,b}' WHERE id = 7",
    "UPDATE thing SET list = '{}' WHERE id = 7",
    "UPDATE thing SET pair = ROW(1, NULL) WHERE id = 7",
    "UPDATE thing SET pair = ROW(NULL, NULL) WHERE id = 7",
    "UPDATE thing SET pair = NULL WHERE id = 8",
    "UPDATE thing SET span = '24 hours' WHERE id = 7",
    "UPDATE thing SET price = 1.51 WHERE id = 7",
)


@pytest.fixture
def things(postgres: PostgresServer, postgres_database: str) -> str:
    """A database with a table of many types, a copy of it, and one beside them that never changes."""
    with postgres.connect(postgres_database) as connection:
        connection.execute("""
            CREATE TYPE pair AS (a integer, b text);
            CREATE TABLE thing (
                id bigint, many integer, words text, more varchar(20), letters char(4), exact numeric, single float4,
                double float8, flag boolean, at timestamptz, day date, local timestamp, bytes bytea, doc jsonb,
                raw json, uid uuid, list text[], pair pair, span interval, price money, class regclass
            );
            INSERT INTO thing SELECT n, n, 'w' || n, 'm' || n, 'l', n, n, n, true, 'epoch', '2024-02-29', '2024-02-29',
                '\\x00ff', '{"a": 1}', '{"a": 1}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,b}', '(1,"")', '1 day',
                1.5, 'pair' FROM generate_series(0, 50) AS n;
            UPDATE thing SET pair = ROW(NULL, NULL) WHERE id = 8;
            CREATE TABLE original AS TABLE thing;
            CREATE TABLE quiet (a integer, b integer);
            INSERT INTO quiet VALUES (1, 2);
        """)
    return postgres_database


@ONE_MAJOR_AT_FIRST
def test_whatever_changes_in_as_many_rows_is_found(postgres: PostgresServer, things: str, tmp_path: Path) -> None:
    before = facts_of(postgres, things, tmp_path)
    with postgres.connect(things, autocommit=True) as connection:
        for change in _CHANGES:
            connection.execute(change)
            after = facts_of(postgres, things, tmp_path)
            assert [each.name for each in compare(before, after)] == ["content of public.thing"], change
            connection.execute("TRUNCATE thing; INSERT INTO thing TABLE original")
    assert compare(before, facts_of(postgres, things, tmp_path)) == []
    assert compared_contents(before, before) == 3


def test_neither_order_nor_place_nor_settings_change_it(postgres: PostgresServer, things: str, tmp_path: Path) -> None:
    before = facts_of(postgres, things, tmp_path)
    database = sql.Identifier(things)
    with postgres.connect(things, autocommit=True) as connection:
        connection.execute("CREATE INDEX by_id ON thing (words DESC); CLUSTER thing USING by_id; DROP INDEX by_id")
        connection.execute("UPDATE quiet SET a = a; ALTER TABLE quiet ADD c integer; ALTER TABLE quiet DROP c")
        connection.execute("VACUUM FULL quiet")
        for setting in (
            "TimeZone = 'Asia/Kathmandu'",
            "DateStyle = 'German, DMY'",
            "IntervalStyle = 'iso_8601'",
            "extra_float_digits = -10",
            "bytea_output = 'escape'",
            "search_path = public, pg_catalog",
            "quote_all_identifiers = on",
            "max_parallel_workers_per_gather = 0",
        ):
            connection.execute(sql.SQL("ALTER DATABASE {} SET {}").format(database, sql.SQL(setting)))
    assert compare(before, facts_of(postgres, things, tmp_path)) == []


def test_neither_does_the_order_of_columns_nor_what_is_generated(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a integer, b text, twice integer GENERATED ALWAYS AS (a * 2) STORED)")
        connection.execute("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, 'y')")
        before = facts_of(postgres, postgres_database, tmp_path)
        connection.execute("DROP TABLE t")
        connection.execute("CREATE TABLE t (b text, twice integer GENERATED ALWAYS AS (a * 3) STORED, a integer)")
        connection.execute("INSERT INTO t (a, b) VALUES (NULL, 'y'), (1, 'x'), (1, 'x')")
        assert compare(before, facts_of(postgres, postgres_database, tmp_path)) == []
        connection.execute("UPDATE t SET b = 'z' WHERE a = 1")  # the same change twice does not take itself back
    [difference] = compare(before, facts_of(postgres, postgres_database, tmp_path))
    assert difference.name == "content of public.t"


def test_user_code_is_not_run(postgres: PostgresServer, postgres_database: str, tmp_path: Path) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("""
            CREATE TYPE pair AS (a integer);
            CREATE FUNCTION harm(pair) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran'; END $$;
            CREATE FUNCTION harm(pair, pair) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran'; END $$;
            CREATE CAST (pair AS text) WITH FUNCTION harm(pair) AS IMPLICIT;
            CREATE OPERATOR = (FUNCTION = harm, LEFTARG = pair, RIGHTARG = pair);
            CREATE DOMAIN positive AS integer;
            CREATE TABLE t (a pair, b positive, c integer);
            INSERT INTO t VALUES (ROW(1), 1, 1);
            ALTER DOMAIN positive ADD CHECK (harm(ROW(VALUE)::pair) = '') NOT VALID;
        """)
    assert fingerprints(facts_of(postgres, postgres_database, tmp_path))["public.t"]


@pytest.fixture
def rich(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """A database of everything."""
    with postgres.connect(postgres_database, autocommit=True) as connection:
        make_rich_database(connection)
        columns = [sql.SQL("{} smallint").format(sql.Identifier(f"c {number}")) for number in range(1500)]
        connection.execute(sql.SQL("CREATE TABLE shop.wide ({})").format(sql.SQL(", ").join(columns)))
        connection.execute("""INSERT INTO shop.wide ("c 0", "c 1499") VALUES (1, 2)""")
        connection.execute("CREATE TABLE shop.large (id integer PRIMARY KEY, body text)")
        connection.execute(
            "INSERT INTO shop.large SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, %s) n", [_MANY]
        )
    yield postgres_database
    postgres.drop_database(postgres_database)
    drop_rich_roles(postgres, postgres_database)


def test_a_restore_has_the_fingerprints_of_its_source_on_every_major_that_reads_the_dump(
    postgres: PostgresServer, postgres_servers: PostgresServers, rich: str, tmp_path: Path
) -> None:
    archive, result = take_dump(postgres, postgres.url(rich), tmp_path, fingerprint="full")
    assert isinstance(result.facts, PostgresqlFacts)
    sampled = facts_of(postgres, rich, tmp_path, "sampled")
    assert methods_of(sampled.tables)["shop", "large"] == "sampled/1/64"
    for server in (postgres_servers.shared(major) for major in ALL_MAJORS if major >= postgres.major):
        with roles_of(server, rich):
            restored = server.create_database()
            restore(server, archive, restored)
            for facts in (result.facts, sampled):
                found = facts_of(server, restored, tmp_path, methods_of(facts.tables))
                assert found.warnings == []
                assert compared_contents(facts, found) == len(facts.tables)
                assert [each for each in compare(facts, found) if each.name.startswith(("content", "rows"))] == []
            server.drop_database(restored)


@contextlib.contextmanager
def roles_of(server: PostgresServer, database: str) -> Iterator[None]:
    """The roles of a rich database on another server."""
    names = [sql.Identifier(role) for role in rich_roles(database).values()]
    with server.connect(autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        made = [name for name, role in zip(names, rich_roles(database).values(), strict=True) if role not in there]
        for name in made:
            connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        yield
        for name in made:
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


def test_what_is_written_during_the_backup_is_in_neither(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    with any_postgres.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id serial PRIMARY KEY, words text)")
        connection.execute("INSERT INTO t (words) SELECT 'w' || n FROM generate_series(1, 5000) n")
        with dumping(any_postgres, any_postgres.url(database), tmp_path, fingerprint="full") as dump:
            connection.execute("UPDATE t SET words = 'changed' WHERE id % 7 = 0")
            connection.execute("DELETE FROM t WHERE id % 5 = 0; INSERT INTO t (words) VALUES ('new')")
            archive, result = read_to_end(dump), dump.finish()
    restored = any_postgres.create_database()
    restore(any_postgres, archive, restored)
    assert compare(result.facts, facts_of(any_postgres, restored, tmp_path)) == []
    assert [each.name for each in compare(result.facts, facts_of(any_postgres, database, tmp_path))] == [
        "rows of public.t"
    ]
    for each in (database, restored):
        any_postgres.drop_database(each)


def test_a_sample_finds_what_changes_in_many_rows_and_leaves_out_most(
    any_postgres: PostgresServer, tmp_path: Path
) -> None:
    database = any_postgres.create_database()
    with any_postgres.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id bigint, part text, words text, PRIMARY KEY (part, id))")
        connection.execute("INSERT INTO t SELECT n, 'p', repeat('w', 100) FROM generate_series(1, %s) n", [_MANY])
        connection.execute("CREATE TABLE keyless AS TABLE t")
        before = facts_of(any_postgres, database, tmp_path, "sampled")
        methods = methods_of(before.tables)
        assert methods == {("public", "t"): "sampled/1/64", ("public", "keyless"): "full/1"}
        changed = 0
        for number in range(1, 21):
            connection.execute("UPDATE t SET words = 'x' WHERE id = %s", [number])
            after = facts_of(any_postgres, database, tmp_path, methods)
            changed += compare(before, after) != []
            before = after
        assert changed <= 3
        connection.execute("UPDATE t SET words = 'y' WHERE id % 10 = 3")
        connection.execute("VACUUM FULL t")
    [difference] = compare(before, facts_of(any_postgres, database, tmp_path, methods))
    assert difference.name == "content of public.t"
    any_postgres.drop_database(database)


def test_a_fingerprint_that_can_not_be_taken_is_left_out_and_told(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database, role = any_postgres.create_database(), "reader_without_concat"
    with any_postgres.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE easy (a integer); CREATE TABLE hard (a numeric)")
        connection.execute("INSERT INTO easy VALUES (1); INSERT INTO hard VALUES (1)")
        connection.execute('REVOKE EXECUTE ON FUNCTION pg_catalog.concat(VARIADIC "any") FROM PUBLIC')
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE pg_read_all_data").format(
                sql.Identifier(role), any_postgres.password
            )
        )
        try:
            url = any_postgres.url(database, user=role, password=any_postgres.password)
            _, result = take_dump(any_postgres, url, tmp_path, fingerprint="full")
            connection.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.uuid_hash_extended FROM PUBLIC")
            nothing = facts_of(any_postgres, database, tmp_path, url=url)
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert isinstance(result.facts, PostgresqlFacts)
    assert [(table.name, table.rows, table.fingerprint is None) for table in result.facts.tables] == [
        ("easy", 1, False),
        ("hard", 1, True),
    ]
    [warning] = result.facts.warnings
    assert warning == "No fingerprint of public.hard was taken: permission denied for function concat"
    assert [(table.rows, table.fingerprint) for table in nothing.tables] == [(1, None), (1, None)]
    assert nothing.warnings == ["No fingerprints were taken: permission denied for function uuid_hash_extended"]
    any_postgres.drop_database(database)


def test_a_method_that_is_not_known_is_not_taken(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    with any_postgres.connect(database, autocommit=True) as connection:
        for name in ("a", "b", "c", "d", "e"):
            connection.execute(sql.SQL("CREATE TABLE {} (id integer)").format(sql.Identifier(name)))
    wanted = {
        ("public", "a"): "full/1",
        ("public", "b"): "full/2",
        ("public", "c"): "full/1-LATIN1",
        ("public", "d"): "sampled/1/64",  # it has no key
        ("public", "f"): "full/1",
    }
    found = fingerprints(facts_of(any_postgres, database, tmp_path, wanted))
    assert [name for name, fingerprint in found.items() if fingerprint] == ["public.a"]
    any_postgres.drop_database(database)


def test_another_encoding_is_another_method(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = "latin_fingerprints"
    any_postgres.execute(f"CREATE DATABASE {database} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with any_postgres.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (\"ü\" text); INSERT INTO t VALUES ('ü')")
    facts = facts_of(any_postgres, database, tmp_path)
    assert methods_of(facts.tables) == {("public", "t"): "full/1-LATIN1"}
    assert compare(facts, facts_of(any_postgres, database, tmp_path, methods_of(facts.tables))) == []
    any_postgres.drop_database(database)


def test_tables_of_any_name_have_one(any_postgres: PostgresServer, tmp_path: Path) -> None:
    database = any_postgres.create_database()
    with any_postgres.connect(database) as connection:
        make_odd_names_database(connection)
    facts = facts_of(any_postgres, database, tmp_path)
    assert compared_contents(facts, facts) == len(facts.tables)
    any_postgres.drop_database(database)


@pytest.mark.parametrize("mode", [RestoreMode.NEW, RestoreMode.TABLES])
def test_a_restore_looks_again_where_it_is_told_to(
    any_postgres: PostgresServer, tmp_path: Path, mode: RestoreMode
) -> None:
    workplace = Workplace(tmp_path, pg_bin_dir=any_postgres.bin_dir)
    database, restorer = any_postgres.create_database(), PostgresqlRestorer()
    with any_postgres.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id integer PRIMARY KEY, words text)")
        connection.execute("INSERT INTO t SELECT n, 'w' || n FROM generate_series(1, 10) n")
    source = taken(PostgresqlEngine(), any_postgres.url(database), workplace, fingerprint="full")
    tables = ("public.t",) if mode is RestoreMode.TABLES else ()
    destination = Destination(
        any_postgres.url(), f"{database}_again", mode, "fingerpr", tables=tables, with_fingerprints=True
    )
    try:
        built = restorer.build(source, destination, workplace, Unattended())
        assert compared_contents(source.facts, built.facts) == 1
        assert compare(source.facts, built.facts, only=tables or None) == []
        restorer.discard(destination, workplace)
        built = restorer.build(source, replace(destination, with_fingerprints=False), workplace, Unattended())
        assert [table.fingerprint for table in built.facts.tables] == [None]
    finally:
        restorer.discard(destination, workplace)
        any_postgres.drop_database(database)
