"""`hhh backup`, where no server runs."""

import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hhh.cli import backup as command
from hhh.core.config import Settings
from hhh.jobs.liveness import Liveness
from support.backing_up import scratch_leftovers


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
