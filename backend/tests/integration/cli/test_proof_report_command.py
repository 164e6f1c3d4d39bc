"""`hhh backup report` and `check-report`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.errors import InvalidInput
from hhh.schemas.backup import BackupFilter
from hhh.services.container import Services
from support.recoverable import a_verification


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backup", *arguments])


@pytest.fixture
def verification(services: Services) -> str:
    """The id of a verification of the one backup of `source`."""
    [backup] = services.catalogue.page(BackupFilter(), cursor=None, limit=10).items
    return a_verification(services.database, backup.id)


@pytest.fixture
def page(verification: str, tmp_path: Path) -> Path:
    file = tmp_path / "report.html"
    written = run("report", verification, "--output", str(file))
    assert written.exit_code == 0, written.output
    return file


def test_both_forms_are_genuine_and_say_what_they_prove(page: Path, verification: str, tmp_path: Path) -> None:
    data = tmp_path / "report.json"
    data.write_bytes(run("report", verification, "--format", "json").stdout_bytes)
    for file in (page, data):
        checked = run("check-report", str(file))
        assert checked.exit_code == 0, checked.output
        assert "Genuine" in checked.output
        assert "PROVEN RESTORABLE" in checked.output
        assert "source" in checked.output
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_changed_page_ends_with_1(page: Path) -> None:
    page.write_text(page.read_text().replace("PROVEN RESTORABLE</h1>", "PROVEN RESTORABLE, ALWAYS</h1>"))
    checked = run("check-report", str(page))
    assert checked.exit_code == 1
    assert "Not genuine: This page was changed" in checked.output


def test_the_key_of_who_issued_it_is_enough_where_no_installation_is(
    page: Path, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "auditor"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HHH_DATA_DIR", str(elsewhere / "data"))
    right = run("check-report", str(page), "--key", services.identity.signing_key.public_key, "--json")
    wrong = run("check-report", str(page), "--key", "A" * 43 + "=")
    assert (right.exit_code, json.loads(right.output)["backup"]["target"]) == (0, "source")
    assert wrong.exit_code == 1
    assert "not trusted" in wrong.output
    assert not [*elsewhere.iterdir()]


def test_a_file_that_is_there_is_not_overwritten_and_a_missing_one_is_told(page: Path, verification: str) -> None:
    for arguments in (
        ("report", verification, "--output", str(page)),
        ("check-report", str(page.with_name("none"))),
        ("check-report", str(page), "--key", "no key"),
    ):
        assert isinstance(run(*arguments).exception, InvalidInput)
    assert run("check-report", str(page)).exit_code == 0
