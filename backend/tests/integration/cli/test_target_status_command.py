"""`hhh target status`, where no server runs: what people and monitoring see."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.errors import NotFound
from hhh.models import BackupStatus
from hhh.schemas.backup import BackupFilter
from hhh.services.container import Services
from support.recoverable import a_backup, a_verification


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["target", "status", *arguments])


@pytest.fixture
def proven(services: Services) -> str:
    """The id of a proven backup of `source`."""
    [backup] = services.catalogue.page(BackupFilter(), cursor=None, limit=10).items
    a_verification(services.database, backup.id, result={"restore_seconds": 12.34})
    return backup.id


def test_one_healthy_database_ends_with_success(proven: str) -> None:
    result = run("source")
    assert result.exit_code == 0, result.output
    heading, row = result.output.splitlines()
    assert heading.split("  ")[0] == "DATABASE"
    assert all(column in heading for column in ("STATE", "LAST BACKUP", "LAST PROVEN", "RPO", "RTO"))
    assert row.split()[:2] == ["source", "healthy"]
    assert row.endswith("12.3 s")


def test_one_that_is_not_healthy_ends_with_1_and_says_what_to_do(proven: str) -> None:
    result = run()
    assert result.exit_code == 1
    rows = [line.split()[:2] for line in result.output.splitlines()[1:3]]
    assert rows == [["app", "unproven"], ["source", "healthy"]]
    assert (
        "app is unproven: Never backed up\n  It was never backed up. Take a backup: hhh backup run app\n"
        in result.output
    )


def test_the_reason_of_a_failure_is_shown_as_it_is(services: Services) -> None:
    a_backup(services.database, "source", age=timedelta(), status=BackupStatus.FAILED, error="[bold]no\x1b[2J space")
    output = run("source").output
    assert "source is failing: Last backup failed: [bold]no␛[2J space\n" in output
    assert "failed: [bold]no␛[2J space. Put that right, then: hhh backup run source" in output


def test_json_ends_with_the_same_codes(proven: str) -> None:
    one, all_of_them = run("source", "--json"), run("--json")
    assert (one.exit_code, json.loads(one.output)["state"]) == (0, "healthy")
    assert (all_of_them.exit_code, len(json.loads(all_of_them.output))) == (1, 2)


def test_an_unknown_name_is_told(services: Services) -> None:
    result = run("nobody")
    assert isinstance(result.exception, NotFound)


def test_the_help_says_that_the_exit_code_is_made_for_monitoring() -> None:
    words = " ".join(run("--help").output.split())
    assert "Exit code 0 only if all that are named are healthy, else 1" in words
