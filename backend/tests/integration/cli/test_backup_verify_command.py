"""`hhh backup verify`, `verifications` and `verification`, where no server runs."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.errors import ConfigurationError, Lacking, NotFound, VerificationFailed
from hhh.schemas.backup import BackupFilter, BackupResource
from hhh.services.container import Services


def hhh(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backup", *arguments])


@pytest.fixture
def backup(services: Services) -> BackupResource:
    """The one that was taken."""
    [backup] = services.catalogue.page(BackupFilter(), cursor=None, limit=1).items
    return backup


@pytest.fixture
def stored(services: Services, backup: BackupResource) -> Path:
    """The file of its object."""
    return services.settings.data_dir / "backups" / backup.copies[0].key


def test_a_good_backup_is_told_in_sentences_and_shown_from_then_on(backup: BackupResource) -> None:
    assert "no: hhh backup verify" in hhh("show", backup.id).stdout

    done = hhh("verify", backup.id, "--level", "stored")

    assert done.exit_code == 0, done.output
    copy, verdict = done.stdout.splitlines()
    assert copy.startswith("The copy in default was read back (")
    assert verdict.startswith(f"{backup.backup_file} of source, begun ")
    assert verdict.endswith(" is stored: every copy was read back, and is what was stored.")
    assert "stored, 2" in hhh("show", backup.id).stdout
    assert "  stored    " in hhh("list").stdout


def test_a_proven_one_says_what_was_compared_and_how_long_it_took(backup: BackupResource) -> None:
    done = hhh("verify", backup.id)

    assert done.exit_code == 0, done.output
    assert "Restored from the copy in default into " in done.stdout
    assert " a second).\n" in done.stdout
    assert "Compared with the source: " in done.stdout
    assert done.stdout.endswith(" is proven: it was restored, and is what was backed up.\n")


def test_a_damaged_one_fails_with_what_to_do(backup: BackupResource, stored: Path) -> None:
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")

    failed = hhh("verify", backup.id, "--level", "stored")

    assert isinstance(failed.exception, VerificationFailed)
    assert failed.exception.message == "The backup failed its verification"
    assert failed.stderr.startswith("The copy in default is damaged: ")
    assert "→ Don't count on this backup. Take another and verify that: hhh backup run source" in failed.stderr
    assert "hhh backup repair" not in failed.stderr


def test_what_can_not_be_found_out_here_is_no_success(services: Services, backup: BackupResource) -> None:
    with services.database.transaction() as session:
        session.execute(text("UPDATE backup_copies SET storage = 'gone'"))

    unsure = hhh("verify", backup.id, "--level", "stored")

    assert isinstance(unsure.exception, Lacking)
    assert unsure.exception.message == "The verification is inconclusive"
    assert "The copy in gone could not be reached: " in unsure.stderr
    assert f"then: hhh backup verify {backup.id} --level stored" in unsure.stderr
    as_json = hhh("verify", backup.id, "--level", "stored", "--json")
    assert json.loads(as_json.stdout)["status"] == "inconclusive"
    assert str(as_json.exception).startswith("The verification is inconclusive: gone: ")


def test_verifications_are_listed_and_shown(backup: BackupResource) -> None:
    assert hhh("verifications").stdout.startswith("No verifications yet.")
    found = json.loads(hhh("verify", backup.id, "--level", "stored", "--json").stdout)

    [line] = hhh("verifications", "--target", "source", "--backup", backup.id, "--status", "success").stdout.split(
        "\n"
    )[1:-1]
    assert line.split()[2:] == ["source", "stored", "success", backup.backup_file, found["id"]]
    assert hhh("verifications", "--status", "failed").stdout == "No verification is like that.\n"
    [listed] = json.loads(hhh("verifications", "--json").stdout)
    assert listed == json.loads(hhh("verification", found["id"], "--json").stdout) == found
    shown = hhh("verification", found["id"]).stdout
    assert "asked by     cli\n" in shown
    assert shown.endswith(" is stored: every copy was read back, and is what was stored.\n")


def test_what_is_left_to_a_service_needs_one_and_no_backup_is_guessed(backup: BackupResource) -> None:
    assert isinstance(hhh("verify", backup.id, "--detach").exception, ConfigurationError)
    assert isinstance(hhh("verify", "latest").exception, NotFound)
    assert hhh("verify", backup.id, "--level", "good").exit_code == 2
    assert hhh("verifications").stdout.startswith("No verifications yet.")
