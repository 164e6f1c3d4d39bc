"""`hhh target`, where no server runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hhh.cli import target as command
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.services.targets import TargetService
from support.local_services import settings_in


def test_a_target_sealed_with_another_key_does_not_hide_the_others(
    sqlite_database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    TargetService(settings_in(tmp_path, secret_key="another " * 8), sqlite_database).add("closed", "sqlite:////x.db")
    environment = {"HHH_DATA_DIR": str(settings.data_dir)}

    as_table = CliRunner().invoke(command.app, ["list"], env=environment)
    as_json = CliRunner().invoke(command.app, ["list", "--json"], env=environment)

    assert (as_table.exit_code, as_json.exit_code) == (0, 0), as_table.output + as_json.output
    assert "(The stored secret of target closed can't be opened" in as_table.output
    app, closed = json.loads(as_json.output)
    assert (app["name"], app["problem"]) == ("app", None)
    assert closed["url"] is None
    assert "HHH_SECRET_KEY" in closed["problem"]
