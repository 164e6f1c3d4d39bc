"""What a failing command says on standard error."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hhh.cli import backup as command
from hhh.core.config import Settings
from hhh.core.errors import BackupFailed


def test_why_a_backup_failed_is_left_to_the_commands_own_error(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"HHH_DATA_DIR": str(settings.data_dir), "HHH_SCRATCH_DIR": "/proc/nowhere"}

    failed = CliRunner().invoke(command.app, ["run"], env=environment)

    assert isinstance(failed.exception, BackupFailed)
    assert "/proc/nowhere" in failed.exception.message
    assert "/proc/nowhere" not in failed.output
