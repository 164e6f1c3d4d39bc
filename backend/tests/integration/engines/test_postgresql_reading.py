"""Dumps of PostgreSQL read to their end, as they come from a store."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hhh.core.errors import ArtifactDamaged, Cancelled, Lacking
from hhh.core.run import Progress, Run, Unattended
from hhh.engines.base import Workplace
from hhh.engines.postgresql.archive import Archive
from hhh.engines.postgresql.reading import read_through
from support.drills import backed_up
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.postgres_dumps import dump_by_hand
from support.postgres_rich import drop_rich_roles, make_rich_database

pytestmark = pytest.mark.postgres

PIECE = 10_007


@pytest.fixture(scope="module")
def rich_dump(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A backup with something of every kind, as it is piped into the store."""
    database = postgres.create_database()
    try:
        with postgres.connect(database, autocommit=True) as connection:
            make_rich_database(connection)
        source = backed_up(postgres, database, tmp_path_factory.mktemp("rich"))
        assert source.dump is not None
        yield source.dump
    finally:
        postgres.drop_database(database)
        drop_rich_roles(postgres, database)


@pytest.fixture(scope="module")
def shop_dump(any_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """One of some MB."""
    database = any_postgres.create_database()
    try:
        with any_postgres.connect(database) as connection:
            make_realistic_database(connection, megabytes=4)
        source = backed_up(any_postgres, database, tmp_path_factory.mktemp("shop"))
        assert source.dump is not None
        yield source.dump.read_bytes()
    finally:
        any_postgres.drop_database(database)


def pieces(content: bytes, size: int = PIECE) -> Iterator[bytes]:
    return (content[begin : begin + size] for begin in range(0, len(content), size))


def read(content: bytes, scratch: Path, *, run: Run | None = None, server: PostgresServer | None = None) -> str:
    workplace = Workplace(scratch, pg_bin_dir=None if server is None else server.bin_dir)
    return read_through(pieces(content), len(content), workplace, run or Unattended())


def test_a_backup_is_read_to_its_end(postgres: PostgresServer, rich_dump: Path, tmp_path: Path) -> None:
    entries = len(Archive.read(rich_dump).entries)
    assert read(rich_dump.read_bytes(), tmp_path, server=postgres) == f"{entries} entries"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--compress=0"], ["--schema-only"], ["--data-only"], ["--inserts"]])
def test_a_dump_that_somebody_made_is_read_to_its_end(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path, options: list[str]
) -> None:
    with postgres.connect(postgres_database) as connection:
        make_realistic_database(connection, megabytes=0.2)
    dump_by_hand(postgres, postgres_database, tmp_path / "dump", *options)
    content = (tmp_path / "dump").read_bytes()
    assert read(content, tmp_path, server=postgres) == f"{len(Archive.read(tmp_path / 'dump').entries)} entries"


@pytest.mark.parametrize("part", [0.001, 0.01, 0.3, 0.8, 0.999])
def test_a_dump_that_is_cut_off_is_damaged(
    any_postgres: PostgresServer, shop_dump: bytes, tmp_path: Path, part: float
) -> None:
    with pytest.raises(ArtifactDamaged, match=r"damaged before byte|can't be read to its end"):
        read(shop_dump[: int(len(shop_dump) * part)], tmp_path, server=any_postgres)


def test_a_dump_without_its_last_byte_is_damaged(
    any_postgres: PostgresServer, shop_dump: bytes, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactDamaged, match=r"pg_restore failed with status 1: pg_restore: error: .*end of file"):
        read(shop_dump[:-1], tmp_path, server=any_postgres)


def test_a_dump_whose_blocks_are_not_where_they_must_be_is_damaged(
    any_postgres: PostgresServer, shop_dump: bytes, tmp_path: Path
) -> None:
    middle = len(shop_dump) // 2
    with pytest.raises(ArtifactDamaged, match="can't be read to its end"):
        read(shop_dump[:middle] + shop_dump[middle + 1 :], tmp_path, server=any_postgres)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it ends there"),
        (b"\0" * 100_000, "no dump in PostgreSQL's custom format"),
        (b"CREATE TABLE t (id integer);\n" * 10, "no dump in PostgreSQL's custom format"),
        (b"PGDMP", "it ends there"),
        (b"PGDMP" + b"\1\x10\0\4\x08\1" + b"\xff" * 100_000, "damaged before byte"),
    ],
)
def test_what_is_no_dump_is_damaged(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(ArtifactDamaged, match=told):
        read(content, tmp_path)


def test_of_a_format_that_is_not_known_nothing_is_said(tmp_path: Path, shop_dump: bytes) -> None:
    newer = shop_dump[:6] + bytes([shop_dump[6] + 40]) + shop_dump[7:]
    with pytest.raises(Lacking, match=r"version 1\.5\d of the custom format") as raised:
        read(newer, tmp_path)
    assert raised.value.hint is not None


def test_without_a_program_that_is_new_enough_it_says_what_to_install(tmp_path: Path, shop_dump: bytes) -> None:
    with pytest.raises(Lacking, match=r"made by pg_dump 99\.") as raised:
        read(shop_dump[:200].replace(b"16.", b"99.") + shop_dump[200:], tmp_path)
    assert raised.value.hint is not None
    assert "postgresql-client-99" in raised.value.hint


def test_what_the_pieces_raise_passes_through(any_postgres: PostgresServer, shop_dump: bytes, tmp_path: Path) -> None:
    def damaged() -> Iterator[bytes]:
        yield from pieces(shop_dump)
        raise ArtifactDamaged("another hash")

    workplace = Workplace(tmp_path, pg_bin_dir=any_postgres.bin_dir)
    with pytest.raises(ArtifactDamaged, match="another hash"):
        read_through(damaged(), len(shop_dump), workplace, Unattended())


def test_all_pieces_are_taken_also_those_after_the_last_entry(
    any_postgres: PostgresServer, shop_dump: bytes, tmp_path: Path
) -> None:
    content = shop_dump + b"\0" * 5_000_000
    left = pieces(content, 1 << 20)
    workplace = Workplace(tmp_path, pg_bin_dir=any_postgres.bin_dir)
    assert read_through(left, len(content), workplace, Unattended()).endswith(" entries")
    assert list(left) == []


class Stopped(Unattended):
    """A run that is cancelled once a megabyte was read."""

    def __init__(self) -> None:
        self.read = 0

    def report(self, progress: Progress) -> None:
        self.read = progress.raw_bytes

    def raise_if_cancelled(self) -> None:
        if self.read > 1_000_000:
            raise Cancelled("cancelled")


def test_a_cancelled_run_ends_in_the_middle(any_postgres: PostgresServer, shop_dump: bytes, tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    run = Stopped()
    with pytest.raises(Cancelled):
        read(shop_dump, tmp_path, run=run, server=any_postgres)
    assert run.read < len(shop_dump) // 2
    assert set(psutil.Process().children()) == before
