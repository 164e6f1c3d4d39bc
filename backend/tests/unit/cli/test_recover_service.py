"""What ``hhh recover-service`` says at its end."""

from datetime import timedelta
from pathlib import Path

import pytest

from hhh.cli.recover_service import print_recovered
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.services.service_recovery import Recovered


def test_a_clock_that_is_behind_the_backup_is_to_be_set_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to_come = utcnow() + timedelta(days=1)

    print_recovered(Settings(data_dir=tmp_path), Recovered("backup_20250101_120000.sql", to_come, "-", "-", []))

    told = capsys.readouterr()
    assert "To do: the clock of this machine shows" in " ".join(told.err.split())
    assert "ago" not in told.out
