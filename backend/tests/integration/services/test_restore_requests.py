"""What may be asked of a restore, and what is refused before anything is looked at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound, RestoreUnsafe
from hhh.jobs.worker import working
from hhh.models import BackupLog
from hhh.schemas.restore import RestoreRequest
from hhh.services.restore_orders import COMMAND_LINE
from support.local_services import services_with_a_target
from support.ports import LOOPBACK
from support.postgres import PostgresServer
from support.restoring import RestoreBench

NO_ID = "5f1f2f0e-0000-4000-8000-000000000000"


@pytest.fixture
def bench(tmp_path: Path, sqlite_database: Database) -> Iterator[RestoreBench]:
    services = services_with_a_target(tmp_path, sqlite_database)
    with working(services) as worker:
        yield RestoreBench(services, worker)


def refused(bench: RestoreBench, backup_id: str, **asked: Any) -> str:
    with pytest.raises(InvalidInput) as error:
        bench.ask(backup_id, **asked)
    assert bench.services.restores.page(cursor=None, limit=1).items == []
    return str(error.value)


@pytest.mark.parametrize("backup_id", [NO_ID, "none", "a\0b"])
def test_a_backup_that_is_not_there_is_not_found(bench: RestoreBench, tmp_path: Path, backup_id: str) -> None:
    with pytest.raises(NotFound, match="No backup"):
        bench.ask(backup_id, destination=f"{tmp_path}/new.db")


def test_a_backup_that_failed_or_waits_is_not_restored(bench: RestoreBench, tmp_path: Path) -> None:
    waiting = bench.worker.create(bench.services.backups.request("source"))
    assert "queued" in refused(bench, waiting, destination=f"{tmp_path}/new.db")
    (tmp_path / "source.db").write_bytes(b"no database" * 1000)
    bench.worker.execute(waiting)
    assert "failed" in refused(bench, waiting, destination=f"{tmp_path}/new.db")


def test_replacing_needs_the_name_of_the_target_and_takes_no_other_destination(
    bench: RestoreBench, tmp_path: Path
) -> None:
    backup_id = bench.backup()
    for confirm in (None, "", "Source", "app"):
        assert "'source'" in refused(bench, backup_id, mode="replace", confirm=confirm)
    said = refused(bench, backup_id, mode="replace", confirm="source", destination=f"{tmp_path}/source.db")
    assert "where the target is" in said


def test_the_own_database_is_replaced_by_no_other_name_than_its_own(bench: RestoreBench, tmp_path: Path) -> None:
    own = bench.backup("app")
    assert "'app'" in refused(bench, own, mode="replace", confirm="source")
    bench.services.targets.add("alias", bench.services.targets.find("app").url)
    (tmp_path / "link.db").symlink_to(bench.services.database.file or "")
    bench.services.targets.add("link", f"sqlite:///{tmp_path}/link.db")
    (tmp_path / "hard.db").hardlink_to(bench.services.database.file or "")
    bench.services.targets.add("hard", f"sqlite:///{tmp_path}/hard.db")
    bench.services.targets.add("key", f"sqlite:///{tmp_path}/data/secret.key.new")
    for name in ("alias", "link", "hard", "key"):
        assert "own database" in refused(bench, own, mode="replace", target=name, confirm=name)


def test_new_and_tables_need_a_destination_and_only_tables_names_some(bench: RestoreBench, tmp_path: Path) -> None:
    backup_id, destination = bench.backup(), f"{tmp_path}/new.db"
    for mode in ("new", "tables"):
        assert "destination is missing" in refused(bench, backup_id, mode=mode, tables=["note"] * (mode == "tables"))
    assert "No tables" in refused(bench, backup_id, mode="tables", destination=destination)
    assert "all tables" in refused(bench, backup_id, mode="new", destination=destination, tables=["note"])
    for odd in ("a\0b", "\ud800"):
        assert "no text" in refused(bench, backup_id, mode="tables", destination=destination, tables=[odd])
        assert "no text" in refused(bench, backup_id, destination=destination, acknowledge=[odd])


@pytest.mark.postgres
def test_a_backup_goes_to_a_target_of_its_own_kind(
    bench: RestoreBench, tmp_path: Path, postgres: PostgresServer
) -> None:
    bench.services.targets.add("server", postgres.url("postgres"))
    said = refused(bench, bench.backup(), target="server", destination="copy")
    assert "sqlite" in said
    assert "postgresql" in said
    with pytest.raises(NotFound, match="nobody"):
        bench.ask(bench.backup(), target="nobody", destination=f"{tmp_path}/new.db")


@pytest.mark.postgres
def test_names_of_databases_are_looked_at(
    tmp_path: Path, postgresql_database: Database, any_postgres: PostgresServer
) -> None:
    services = services_with_a_target(tmp_path, postgresql_database, pg_bin_dir=any_postgres.bin_dir)
    with working(services) as worker:
        bench = RestoreBench(services, worker)
        backup_id = bench.backup("app")
        assert "own database" in refused(bench, backup_id, destination=urlsplit(str(services.database.url)).path[1:])
        assert "63 bytes" in refused(bench, backup_id, destination="ä" * 32)
        assert "control character" in refused(bench, backup_id, destination="a\nb")
        own = services.targets.find("app").url
        for name, host in (("alias", LOOPBACK), ("host", "localhost"), ("loop", "127.0.0.2")):
            services.targets.add(name, own.replace(f"@{LOOPBACK}:", f"@{host}:"))
            assert "own database" in refused(bench, backup_id, mode="replace", target=name, confirm=name)


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("new.db", "absolute path"),
        ("{folder}/x/../new.db", "without '..'"),
        ("{folder}/new.db/", "absolute path"),
        ("{folder}/new\n.db", "control character"),
        ("{folder}/source.db-wal", "part of another database"),
        ("{folder}/source.db-journal", "part of another database"),
        ("{folder}/dangling.db", "symbolic link"),
        ("{folder}/nowhere/new.db", "folder can't be used"),
        ("{folder}/" + "x" * 300, "can't be used"),
        ("{folder}/data/hhh.db", "its own files"),
        ("{folder}/data/signing.key", "its own files"),
        ("{folder}/data/secret.key.new", "its own files"),
        ("{folder}/data/backups/new.db", "its own files"),
        ("{folder}/x/second/new.db", "its own files"),
        ("{folder}/around/data/workers/new.db", "its own files"),
        ("{folder}/hhh-scratch-of-a-run/new.db", "its own files"),
        ("/new.db", "may be restored into"),
    ],
)
def test_files_go_beside_the_target_but_not_where_the_services_own_are(
    bench: RestoreBench, tmp_path: Path, destination: str, reason: str
) -> None:
    backup_id = bench.backup()
    for folder in ("x/second", "hhh-scratch-of-a-run"):
        (tmp_path / folder).mkdir(parents=True)
    bench.services.stores.add("second", f"file://{tmp_path}/x/second")
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nothing.db")
    (tmp_path / "around").symlink_to(tmp_path)
    assert reason in refused(bench, backup_id, destination=destination.format(folder=tmp_path))


@pytest.mark.parametrize("destination", ["{folder}/new.db", "{folder}/data/new.db", "{folder}/allowed/out/new.db"])
def test_folders_that_the_operator_names_are_the_only_ones(
    tmp_path: Path, sqlite_database: Database, destination: str
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database, restore_dirs=tmp_path / "allowed")
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "out").symlink_to(tmp_path)
    with working(services) as worker:
        bench = RestoreBench(services, worker)
        said = refused(bench, bench.backup(), destination=destination.format(folder=tmp_path))
        assert "HHH_RESTORE_DIRS" in said
        asked = RestoreRequest(backup_id=bench.backup(), destination=destination.format(folder=tmp_path))
        free = services.restores.request(asked, requested_by=COMMAND_LINE, address=COMMAND_LINE)
        assert bench.run(worker.create(free)).status == "success"


def test_a_manifest_that_was_changed_in_the_catalogue_is_not_restored(bench: RestoreBench, tmp_path: Path) -> None:
    backup_id = bench.backup()
    with bench.services.database.transaction() as session:
        manifest = {**(bench.services.catalogue.get(backup_id).manifest or {}), "target": "another"}
        session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(manifest=manifest))
    with pytest.raises(RestoreUnsafe) as error:
        bench.ask(backup_id, destination=f"{tmp_path}/new.db")
    assert [reason["name"] for reason in error.value.reasons] == ["signature"]
