"""Dumps that were piped learn where their rows are: as pg_dump itself writes it, and pg_restore restores the same."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from hhh.core.run import Unattended
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.offsets import fill_offsets
from support.postgres import PostgresServer
from support.postgres_dumps import dump_by_hand, listing

pytestmark = pytest.mark.postgres

_SET = 2
#: Rows of one chunk each, so that each length of a chunk has NULs elsewhere; their line break is the last byte.
_LENGTHS = (2, 255, 256, 257, 65_535, 65_536, 65_537, 16_777_215, 16_777_216)
_TABLES = ("odd", "empty_one", "bytes", "many", "empty_two")


@pytest.fixture(scope="module")
def odd_database(any_postgres: PostgresServer) -> Iterator[str]:
    """Rows whose lengths look like the end of a table, empty tables, bytes and large objects."""
    database = any_postgres.create_database()
    with any_postgres.connect(database) as connection:
        connection.execute("CREATE TABLE odd (t text)")
        for length in _LENGTHS:
            connection.execute("INSERT INTO odd VALUES (repeat('x', %s))", [length - 1])
        connection.execute("CREATE TABLE empty_one (id integer); CREATE TABLE empty_two (id integer)")
        connection.execute("CREATE TABLE bytes (b bytea)")
        connection.execute("INSERT INTO bytes SELECT decode(repeat('00', n), 'hex') FROM generate_series(0, 300) n")
        connection.execute("CREATE TABLE many AS SELECT n, NULL::text AS nothing FROM generate_series(1, 20000) n")
        connection.execute(
            "SELECT lo_from_bytea(0, decode(repeat('00', n), 'hex')) FROM generate_series(0, 70000, 7000) n"
        )
    yield database
    any_postgres.drop_database(database)


def piped(server: PostgresServer, database: str, path: Path, *options: str) -> Path:
    """A dump that did not know its own offsets when it was written."""
    dump: list[str | Path] = [server.bin_dir / "pg_dump", "--format=custom", *options, f"--dbname={database}"]
    with path.open("wb") as file, subprocess.Popen(dump, stdout=subprocess.PIPE, env=server.environment()) as child:
        assert child.stdout is not None
        shutil.copyfileobj(child.stdout, file)
    assert child.returncode == 0
    return path


def slots(path: Path) -> dict[int, bytes]:
    """The slot of each entry that has rows."""
    archive, content = Archive.read(path), path.read_bytes()
    assert archive.layout is not None
    return {
        entry.dump_id: content[place : place + 1 + archive.layout.offset_size]
        for entry in archive.entries
        if entry.has_data
        for place in [archive.layout.slots[entry.dump_id]]
    }


def fill(path: Path) -> bool:
    return fill_offsets(path, Archive.read(path), Unattended())


def rows(connection: "psycopg.Connection[tuple[object, ...]]") -> list[list[tuple[object, ...]]]:
    """All that is in the database, by hashes."""
    tables = [
        connection.execute(
            sql.SQL("SELECT md5({}::text) FROM {} ORDER BY 1").format(sql.Identifier(name), sql.Identifier(name))
        ).fetchall()
        for name in _TABLES
    ]
    return [
        *tables,
        connection.execute("SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1").fetchall(),
    ]


@pytest.mark.parametrize("options", [("--compress=0",), ("--compress=1",), ("--compress=0", "--inserts")])
def test_each_offset_is_the_one_that_pg_dump_writes_into_a_file(
    any_postgres: PostgresServer, odd_database: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = piped(any_postgres, odd_database, tmp_path / "piped.dump", *options)
    unknown = slots(path)
    listed = listing(any_postgres, path, "--list")
    assert len(unknown) > len(_TABLES)
    assert fill(path)
    dump_by_hand(any_postgres, odd_database, tmp_path / "file.dump", *options)
    assert slots(path) == slots(tmp_path / "file.dump")
    assert {slot[0] for slot in slots(path).values()} == {_SET}
    assert {slot[0] for slot in unknown.values()} == {1}
    assert listing(any_postgres, path, "--list") == listed
    assert not fill(path), "there is nothing to do a second time"


def test_jobs_restore_the_same_rows(any_postgres: PostgresServer, odd_database: str, tmp_path: Path) -> None:
    path = piped(any_postgres, odd_database, tmp_path / "piped.dump", "--compress=0")
    assert fill(path)
    restored = any_postgres.create_database()
    subprocess.run(
        [any_postgres.bin_dir / "pg_restore", "--exit-on-error", "--jobs=3", f"--dbname={restored}", path],
        check=True,
        capture_output=True,
        env=any_postgres.environment(),
    )
    with any_postgres.connect(odd_database) as before, any_postgres.connect(restored) as after:
        assert rows(after) == rows(before)
    any_postgres.drop_database(restored)


def test_a_dump_that_ends_too_early_is_left_as_it_is(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT repeat('x', 300) AS x FROM generate_series(1, 5)")
        connection.execute("SELECT lo_from_bytea(0, '\\x000000')")
    content = piped(postgres, postgres_database, tmp_path / "whole.dump", "--compress=0").read_bytes()
    layout = Archive.read(tmp_path / "whole.dump").layout
    assert layout is not None
    path = tmp_path / "cut.dump"
    for size in range(layout.blocks_at, len(content), 7):
        path.write_bytes(content[:size])
        assert not fill(path)
        assert path.read_bytes() == content[:size]


def test_no_flipped_byte_of_the_rows_does_more_than_to_be_left_or_taken_for_rows(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with postgres.connect(postgres_database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE a AS SELECT 1 AS x; CREATE TABLE b AS SELECT 2 AS x; CREATE TABLE c (x integer)"
        )
        connection.execute("SELECT lo_from_bytea(0, '\\x0102')")
    content = piped(postgres, postgres_database, tmp_path / "whole.dump", "--compress=0").read_bytes()
    layout = Archive.read(tmp_path / "whole.dump").layout
    assert layout is not None
    path = tmp_path / "flipped.dump"
    left = 0
    for place in range(layout.blocks_at, len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        if fill(path):  # it was in a row's text, or in the length of one: pg_restore finds what it found before
            assert path.read_bytes()[layout.blocks_at :] == flipped[layout.blocks_at :]
        else:
            left += 1
            assert path.read_bytes() == flipped
    assert left > 4 * (1 + 1 + layout.int_size)


def test_a_block_that_the_table_of_contents_does_not_know_changes_nothing(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    postgres.execute("CREATE TABLE t AS SELECT 1 AS x", database=postgres_database)
    path = piped(postgres, postgres_database, tmp_path / "piped.dump", "--compress=0")
    whole = path.read_bytes()
    layout = Archive.read(path).layout
    assert layout is not None
    block = whole[layout.blocks_at :]
    for more in (block, b"\1" + bytes([0, 99, 9, 0, 0]) + block[6:], b"\3" + block[1:], b"\0" * 50):
        path.write_bytes(whole + more)
        assert not fill(path)
        assert path.read_bytes() == whole + more
