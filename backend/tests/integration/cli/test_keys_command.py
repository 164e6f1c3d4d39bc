"""`hhh keys`, where no server runs."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hhh.cli import app as root
from hhh.cli import keys as command
from hhh.core.errors import ConfigurationError, InvalidInput

PASSPHRASE = "six words that are not random"


pytestmark = pytest.mark.usefixtures("installation")


def test_public_keys_are_shown() -> None:
    shown = CliRunner().invoke(command.app, ["show"])
    as_json = CliRunner().invoke(command.app, ["show", "--json"])

    assert (shown.exit_code, as_json.exit_code) == (0, 0), shown.output
    keys = json.loads(as_json.stdout)
    assert keys.keys() == {"installation", "signing_key", "trusted_keys", "recipients", "identities"}
    assert keys["installation"] in shown.stdout
    assert keys["signing_key"] in shown.stdout


def test_a_kit_is_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(command.app, ["kit", "--to", "kit.md"])

    assert result.exit_code == 0, result.output
    kit = tmp_path / "kit.md"
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    assert kit.read_text().startswith("# HHH Backup: recovery kit\n")
    assert "AGE ENCRYPTED" not in kit.read_text()


def test_a_kit_is_printed_where_no_file_is_named() -> None:
    assert CliRunner().invoke(command.app, ["kit"]).stdout.startswith("# HHH Backup: recovery kit\n")


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kit.md").write_text("an older one")

    result = CliRunner().invoke(command.app, ["kit", "--to", "kit.md"])

    assert isinstance(result.exception, InvalidInput)
    assert (tmp_path / "kit.md").read_text() == "an older one"


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = CliRunner().invoke(command.app, ["kit", "--to", "file/kit.md"])

    assert isinstance(result.exception, ConfigurationError)
    assert f"{tmp_path}/file can't be written by this account" in str(result.exception)
    assert "another folder" in str(result.exception)


def test_on_one_machine_agreeing_asks_for_no_copy_of_the_key() -> None:
    result = CliRunner().invoke(root.app, ["keys", "agree"])

    assert result.exit_code == 0, result.output
    assert result.stdout == "Agreed. No other machine works for this installation: nothing else is to be done.\n"


@pytest.mark.soak
def test_secrets_are_encrypted_by_the_first_line_of_standard_input() -> None:
    result = CliRunner().invoke(command.app, ["kit", "--with-secrets"], input=f"{PASSPHRASE}\n")

    assert result.exit_code == 0, result.output
    assert "-----BEGIN AGE ENCRYPTED FILE-----" in result.stdout
    assert PASSPHRASE not in result.output


@pytest.mark.parametrize(("typed", "saying"), [("", "No passphrase"), ("short\n", "shorter than 16")])
def test_without_a_good_passphrase_nothing_is_written(typed: str, saying: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(command.app, ["kit", "--with-secrets", "--to", "kit.md"], input=typed)

    assert isinstance(result.exception, InvalidInput)
    assert saying in str(result.exception)
    assert not (tmp_path / "kit.md").exists()


def test_a_malformed_trusted_key_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHH_TRUSTED_KEYS", "x")
    monkeypatch.setattr("sys.argv", ["hhh", "keys", "show"])

    assert root.run() == root.EXIT_USAGE
