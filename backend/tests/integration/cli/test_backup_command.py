"""`hhh backup`, where no server runs."""

import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hhh.cli import backup as command
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.jobs.liveness import Liveness
from hhh.jobs.worker import working
from hhh.schemas.backup import BackupFilter
from support.backing_up import scratch_leftovers
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
