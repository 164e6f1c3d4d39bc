"""`hhh keys rotate-secret`."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli import keys, target
from hhh.core.config import Settings
from hhh.core.errors import ConfigurationError, InvalidInput

URL = "postgresql://reader:s3cret@db.example.com/shop"
OLD, NEW = "old-key-" * 8, "new-key-" * 8


pytestmark = pytest.mark.usefixtures("installation")


def rotate(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(keys.app, ["rotate-secret", *arguments], input=typed)


def add_target() -> None:
    added = CliRunner().invoke(target.app, ["add", "shop", "-"], input=f"{URL}\n")
    assert added.exit_code == 0, added.output


def problem() -> object:
    """Why the target can't be opened with the key of the environment."""
    return json.loads(CliRunner().invoke(target.app, ["list", "--json"]).output)[1]["problem"]


def test_a_key_that_the_service_made_is_made_anew(settings: Settings) -> None:
    add_target()
    before = (settings.data_dir / "secret.key").read_bytes()

    done = rotate()

    after = (settings.data_dir / "secret.key").read_bytes()
    assert done.exit_code == 0, done.output
    assert "1 target(s), 0 store(s)" in done.output
    assert "Restart" in done.output
    assert after != before
    assert after.decode() not in done.output
    assert problem() is None


def test_a_folder_that_no_new_key_can_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused = rotate("--new-key-file", "file/new.key").exception

    assert isinstance(refused, ConfigurationError)
    assert f"{tmp_path}/file can't be written by this account" in str(refused)


def test_a_key_of_the_operator_is_made_in_a_file_for_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HHH_SECRET_KEY", OLD)
    add_target()
    refused = rotate()
    assert isinstance(refused.exception, InvalidInput)
    assert "--new-key-file" in str(refused.exception)

    done = rotate("--new-key-file", "new.key")

    key = (tmp_path / "new.key").read_text().strip()
    assert stat.S_IMODE((tmp_path / "new.key").stat().st_mode) == 0o600
    assert "Set HHH_SECRET_KEY to what is in new.key" in done.output
    assert key not in done.output
    assert "HHH_SECRET_KEY" in str(problem())
    monkeypatch.setenv("HHH_SECRET_KEY", key)
    assert problem() is None


def test_a_rotation_is_begun_again_with_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHH_SECRET_KEY", OLD)
    add_target()
    (tmp_path / "new.key").write_text(f"{NEW}\n")
    assert json.loads(rotate("--new-key-file", "new.key", "--json").output) == {
        "targets": 1,
        "stores": 0,
        "second_factors": 0,
        "channels": 0,
        "left": [],
    }

    again = rotate("--new-key-file", "new.key")

    assert "already" in str(again.exception)
    assert (tmp_path / "new.key").read_text() == f"{NEW}\n"
    monkeypatch.setenv("HHH_SECRET_KEY", NEW)
    assert problem() is None


def test_a_key_comes_on_standard_input_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHH_SECRET_KEY", OLD)
    add_target()
    assert isinstance(rotate("--new-key-file", "-").exception, InvalidInput)
    assert rotate("--new-key-file", "-", typed=f"{NEW}\n").exit_code == 0
    monkeypatch.setenv("HHH_SECRET_KEY", NEW)
    assert problem() is None


def test_with_a_wrong_present_key_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHH_SECRET_KEY", OLD)
    add_target()
    monkeypatch.setenv("HHH_SECRET_KEY", "wrong-key" * 8)
    assert isinstance(rotate("--new-key-file", "new.key").exception, ConfigurationError)
    monkeypatch.setenv("HHH_SECRET_KEY", OLD)
    assert problem() is None
    assert rotate("--new-key-file", "new.key").exit_code == 0
