"""`hhh backup`, where no server runs."""

import subprocess
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli import backup as command
from hhh.cli.app import app as root
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable
from hhh.jobs.liveness import Liveness
from hhh.jobs.worker import working
from hhh.models import Policy
from hhh.schemas.backup import BackupFilter
from support.backing_up import scratch_leftovers
from support.documentation import require_programs
from support.local_services import services_with_a_target


def test_a_run_that_was_killed_leaves_nothing_once_the_next_one_has_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scratch, killed = tmp_path / "scratch", str(uuid.uuid4())
    (scratch / f"hhh-scratch-{killed}-x").mkdir(parents=True)
    (settings.data_dir / "workers").mkdir()
    (settings.data_dir / "workers" / f"{killed}.lock").touch()
    environment = {"HHH_DATA_DIR": str(settings.data_dir), "HHH_SCRATCH_DIR": str(scratch)}

    result = CliRunner().invoke(command.app, ["run"], env=environment)

    assert result.exit_code == 0, result.output
    assert scratch_leftovers(scratch) == []
    assert Liveness(settings.data_dir).dead() == []


def test_missing_copies_are_told_with_their_reasons_and_those_made_again(
    sqlite_database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    services = services_with_a_target(tmp_path, sqlite_database)
    (tmp_path / "second").mkdir()
    services.stores.add("second", (tmp_path / "second").as_uri())
    with sqlite_database.transaction() as session:
        session.add(
            Policy(target="source", stores=["default", "second"], minimum_copies=1, retries=0, updated_at=utcnow())
        )
    (tmp_path / "second").rmdir()
    (tmp_path / "second").write_text("no folder")

    def hhh(*arguments: str) -> Result:
        return CliRunner().invoke(root, ["backup", *arguments], env={"HHH_DATA_DIR": str(settings.data_dir)})

    taken = hhh("run", "source")
    assert taken.exit_code == 0, taken.output
    [backup] = services.catalogue.page(BackupFilter(), cursor=None, limit=1).items
    [reason] = [copy.error for copy in backup.copies if copy.status == "missing"]
    assert taken.stdout.endswith(f"in 1 of 2 stores; missing in second: {reason}\n")
    assert f"): {reason}\n" in hhh("show", backup.id).stdout

    failed = hhh("repair")
    assert failed.stdout.startswith("source: 1 copy could not be made: ")
    (tmp_path / "second").unlink()
    (tmp_path / "second").mkdir()
    made = hhh("repair")
    assert made.stdout == f"source: 1 copy made: {backup.backup_file} in second\n"
    assert "copy_made" in made.stderr
    assert hhh("repair", "source").stdout == "source: no copy is missing\n"


def test_no_name_commands_the_operators_terminal(
    sqlite_database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    services = services_with_a_target(tmp_path, sqlite_database)
    services.targets.add("odd", f"sqlite:///{tmp_path}/a%1B[2J%C2%9B%E2%80%AEb.db")
    environment = {"HHH_DATA_DIR": str(settings.data_dir)}

    CliRunner().invoke(command.app, ["run", "odd"], env=environment)
    backup_id = services.catalogue.page(BackupFilter(), cursor=None, limit=1).items[0].id
    result = CliRunner().invoke(command.app, ["show", backup_id], env=environment)

    assert f"{tmp_path}/a␛[2J��b.db can't be opened" in result.output


def test_what_looks_like_markup_is_shown_as_it_is(
    sqlite_database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    services = services_with_a_target(tmp_path, sqlite_database)
    services.targets.add("odd", f"sqlite:///{tmp_path}/[/x] [bold]y.db")
    with working(services) as worker:
        backup_id = worker.create(services.backups.request("odd"))
        worker.execute(backup_id)

    environment = {"HHH_DATA_DIR": str(settings.data_dir)}
    result = CliRunner().invoke(command.app, ["show", backup_id], env=environment)

    assert result.exit_code == 0, result.output
    assert f"{tmp_path}/[/x] [bold]y.db can't be opened" in result.output
    assert backup_id in CliRunner().invoke(command.app, ["list"], env=environment).output


def test_an_own_database_that_can_not_be_opened_is_named_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.db").mkdir()
    environment = {"HHH_DATA_DIR": str(tmp_path / "data"), "HHH_DATABASE_URL": f"sqlite:///{tmp_path}/own.db"}

    problem = CliRunner().invoke(command.app, ["list"], env=environment).exception

    assert isinstance(problem, DatabaseUnavailable)
    assert f"{tmp_path}/own.db belongs to {tmp_path.owner()}, and this is " in str(problem)


def test_the_commands_that_recover_a_backup_by_hand_can_be_run_as_they_are_printed(
    sqlite_database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_programs("bash", "zstd", "sha256sum", "sqlite3")
    monkeypatch.chdir(tmp_path)
    services = services_with_a_target(tmp_path, sqlite_database)
    with working(services) as worker:
        backup_id = worker.create(services.backups.request("source"))
        worker.execute(backup_id)

    printed = CliRunner().invoke(root, ["backup", "commands", backup_id], env={"HHH_DATA_DIR": str(settings.data_dir)})

    assert printed.exit_code == 0, printed.output
    done = subprocess.run(["bash", "-ec", printed.stdout], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "ok", done.stderr
