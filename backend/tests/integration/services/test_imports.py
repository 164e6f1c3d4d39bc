"""Dumps that were made elsewhere: what is taken in, what is refused, and that nothing is left of that."""

import gzip
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.core.database import Database
from hhh.core.errors import (
    DatabaseUnavailable,
    EngineError,
    InvalidInput,
    SourceUnreadable,
    StorageUnavailable,
    ToolMissing,
)
from hhh.core.run import Progress, Unattended
from hhh.schemas.backup import BackupFilter
from hhh.services.container import Services, assemble
from support.backing_up import files_below, scratch_leftovers
from support.local_services import settings_in
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.postgres_dumps import dump_by_hand
from support.sqlite_data import make_sqlite_database


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return assemble(settings_in(tmp_path), own_database)


@pytest.fixture
def empty_services(tmp_path: Path, sqlite_database: Database, any_postgres: PostgresServer) -> Iterator[Services]:
    """Services of which nothing is left in the end: no object, no row, no scratch."""
    services = assemble(settings_in(tmp_path, pg_bin_dir=any_postgres.bin_dir), sqlite_database)
    yield services
    assert files_below(services.settings.data_dir / "backups") == []
    assert services.catalogue.page(BackupFilter(), cursor=None, limit=1).items == []
    assert services.catalogue.stats().total_backups == 0
    assert scratch_leftovers(services.settings.scratch_dir) == []


@pytest.fixture(scope="module")
def dump(any_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A custom-format dump of tables and a large object."""
    name, path = any_postgres.create_database(), tmp_path_factory.mktemp("dump") / "dump"
    with any_postgres.connect(name) as connection:
        make_realistic_database(connection)
    dump_by_hand(any_postgres, name, path)
    any_postgres.drop_database(name)
    return path.read_bytes()


def take_in(services: Services, file: Path, target: str = "legacy") -> str:
    return services.imports.take_in(file, target, Unattended())


def test_an_import_is_a_backup_of_a_target_that_nobody_registered(services: Services, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "foreign.db")

    backups = [services.catalogue.get(take_in(services, tmp_path / "foreign.db")) for _ in range(3)]

    assert len({each.backup_file for each in backups}) == 3
    assert {(each.target, each.status) for each in backups} == {("legacy", "success")}
    assert services.catalogue.stats().total_backup_size == sum(each.stored_size for each in backups)
    assert [copy.storage for copy in backups[0].copies] == ["default"]
    assert services.contents.of(backups[0].id).tables


def plain_sql(folder: Path) -> Path:
    file = folder / "dump.sql"
    file.write_text("--\n-- PostgreSQL database dump\n--\n\\! touch /tmp/owned\nCREATE TABLE a (b int);\n")
    return file


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "dump.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(plain_sql(folder), "toc.dat")
    return folder / "dump.tar"


def directory(folder: Path) -> Path:
    (folder / "dump").mkdir()
    (folder / "dump" / "toc.dat").write_bytes(b"PGDMP")
    return folder / "dump"


def compressed(folder: Path) -> Path:
    (folder / "dump.gz").write_bytes(gzip.compress(b"PGDMP"))
    return folder / "dump.gz"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def empty(folder: Path) -> Path:
    (folder / "empty").touch()
    return folder / "empty"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (plain_sql, "plain SQL is not taken"),
        (tar, "tar archive"),
        (directory, "is a folder"),
        (compressed, "compressed by gzip"),
        (pipe, "is no file"),
        (empty, "is empty"),
        (lambda folder: folder / "nothing", "can't be read: No such file"),
    ],
)
def test_what_is_of_another_kind_is_refused(
    empty_services: Services, tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        take_in(empty_services, make(tmp_path))


@pytest.mark.parametrize("target", ["", "../up", "Capital", "a/b"])
def test_a_name_that_no_target_may_have_is_refused(empty_services: Services, tmp_path: Path, target: str) -> None:
    make_sqlite_database(tmp_path / "foreign.db")

    with pytest.raises(InvalidInput, match="no name for a target"):
        take_in(empty_services, tmp_path / "foreign.db", target)


@pytest.mark.postgres
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_a_dump_that_is_cut_off_is_refused(empty_services: Services, dump: bytes, tmp_path: Path, kept: float) -> None:
    (tmp_path / "foreign.dump").write_bytes(dump[: int(kept * len(dump))])

    with pytest.raises(EngineError):
        take_in(empty_services, tmp_path / "foreign.dump")


@pytest.mark.postgres
def test_a_dump_of_a_newer_pg_dump_than_there_is_is_refused(
    empty_services: Services, dump: bytes, tmp_path: Path
) -> None:
    version = dump.index(b"16.", 20, 200)  # of the server, then of pg_dump; both are texts of the header
    (tmp_path / "foreign.dump").write_bytes(dump[:version] + dump[version:300].replace(b"16.", b"99.") + dump[300:])

    with pytest.raises(ToolMissing, match=r"made by pg_dump 99\."):
        take_in(empty_services, tmp_path / "foreign.dump")


@pytest.mark.postgres
def test_a_dump_that_changes_meanwhile_is_refused(empty_services: Services, dump: bytes, tmp_path: Path) -> None:
    file = tmp_path / "foreign.dump"
    file.write_bytes(dump)

    class Growing(Unattended):
        def report(self, progress: Progress) -> None:
            if progress.stage == "stream" and file.stat().st_size == len(dump):
                with file.open("ab") as opened:
                    opened.write(b"more")

    with pytest.raises(SourceUnreadable, match="changed while it was read"):
        empty_services.imports.take_in(file, "legacy", Growing())


def test_a_damaged_sqlite_file_is_refused(empty_services: Services, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "foreign.db", journal_mode="delete")
    content = (tmp_path / "foreign.db").read_bytes()
    (tmp_path / "foreign.db").write_bytes(content[:4096] + os.urandom(8192) + content[4096 + 8192 :])

    with pytest.raises(SourceUnreadable):
        take_in(empty_services, tmp_path / "foreign.db")


def test_what_the_catalogue_refuses_is_not_left_in_the_store(empty_services: Services, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "foreign.db")
    with empty_services.database.transaction() as session:
        session.execute(text("CREATE TRIGGER refuse BEFORE INSERT ON backup_log BEGIN SELECT raise(ABORT, 'no'); END"))

    with pytest.raises(DatabaseUnavailable):
        take_in(empty_services, tmp_path / "foreign.db")


def test_a_store_that_takes_nothing_fails_the_import(empty_services: Services, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "foreign.db")
    (empty_services.settings.data_dir / "backups").touch()
    try:
        with pytest.raises(StorageUnavailable):
            take_in(empty_services, tmp_path / "foreign.db")
    finally:
        (empty_services.settings.data_dir / "backups").unlink()
