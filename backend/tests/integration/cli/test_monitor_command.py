"""`hhh monitor`, where no server runs: what people and cron see."""

import json
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.errors import NotFound
from hhh.models import BackupStatus
from hhh.schemas import target as schemas
from hhh.schemas.backup import BackupFilter
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services
from hhh.services.reaching import Reaching
from support.recoverable import a_backup, a_verification

NOW_HERE = "postgresql://nobody@127.0.0.1:1/none"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["monitor", *arguments])


@pytest.fixture
def proven(services: Services) -> int:
    """Bytes of the proven backup of `source`."""
    [backup] = services.catalogue.page(BackupFilter(), cursor=None, limit=10).items
    a_verification(services.database, backup.id, result={"restore_seconds": 12.34})
    return backup.stored_size


def test_all_is_well_with_a_database_that_can_be_reached_and_got_back(proven: int) -> None:
    result = run("source")
    assert result.exit_code == 0, result.output
    heading, row = result.output.splitlines()
    assert heading.split() == ["DATABASE", "REACHABLE", "HEALTHY", "COUNT", "NEWEST", "PROVEN", "USED"]
    assert row.split()[:4] == ["source", "yes", "yes", "1"]
    assert row.endswith("B")


def test_failures_stand_under_the_table_with_what_to_do(services: Services, proven: int) -> None:
    services.targets.add("far", NOW_HERE)
    result = run()
    assert result.exit_code == 1
    rows = [line.split()[:4] for line in result.output.splitlines()[1:4]]
    assert rows == [["app", "yes", "unproven", "0"], ["far", "NO", "unproven", "0"], ["source", "yes", "yes", "1"]]
    assert "app is unproven:\n  It was never backed up. Take a backup: hhh backup run app\n" in result.output
    assert "far can't be reached:\n  No connection: " in result.output
    assert "Try it again: hhh target test far\n" in result.output
    assert "source is" not in result.output


def test_one_that_can_be_got_back_but_not_reached_is_no_success(
    services: Services, proven: int, tmp_path: Path
) -> None:
    (tmp_path / "source.db").unlink()
    result = run("source")
    assert result.exit_code == 1
    assert result.output.splitlines()[1].split()[:3] == ["source", "NO", "yes"]
    assert "source can't be reached:" in result.output


def test_what_a_database_says_of_itself_commands_no_terminal(services: Services, proven: int) -> None:
    a_backup(services.database, "source", status=BackupStatus.FAILED, error="[bold]no\x1b[2J space")
    assert "failed: [bold]no␛[2J space" not in run("source").output  # an older one than the good one
    services.targets.add("hostile", "sqlite:////nowhere/[bold]x\x1b[2J.db")
    output = run("hostile").output
    assert "\x1b[2J" not in output
    assert "[bold]x␛[2J.db" in output


def test_json_has_all_of_it_and_ends_with_the_same_codes(proven: int) -> None:
    one, all_of_them = run("source", "--json"), run("--json")
    [found] = json.loads(one.output)
    assert one.exit_code == 0
    assert {**found, "last_backup_at": "", "last_proven_at": ""} == {
        "target": "source",
        "reachable": True,
        "unreachable_because": None,
        "healthy": True,
        "fine": True,
        "state": "healthy",
        "reasons": [],
        "backups": 1,
        "used_bytes": proven,
        "last_backup_at": "",
        "last_proven_at": "",
    }
    assert found["last_backup_at"] == found["last_proven_at"]
    assert (all_of_them.exit_code, len(json.loads(all_of_them.output))) == (1, 2)


def test_a_backup_without_a_proof_is_a_failure_only_where_a_proof_is_demanded(services: Services) -> None:
    result = run("source")
    assert result.exit_code == 0
    assert result.output.splitlines()[1].split()[:3] == ["source", "yes", "unproven"]
    assert "source is unproven, which is no failure here since its policy demands no proof:\n  None of" in result.output
    services.targets.update("source", None, PolicyFields(proven_within_days=30), whole=False)
    result = run("source")
    assert result.exit_code == 1
    assert "source is unproven:\n  None of its backups is proven" in result.output


def test_an_unknown_name_is_told(services: Services) -> None:
    result = run("nobody")
    assert isinstance(result.exception, NotFound)
    assert "'nobody'" in str(result.exception)


def test_a_database_that_does_not_answer_is_waited_for_once_and_keeps_no_other_waiting() -> None:
    answers, tries = threading.Event(), list[str]()

    def test(name: str) -> schemas.TestedTarget:
        tries.append(name)
        if name.startswith("hangs"):
            answers.wait()
        return schemas.TestedTarget(name=name, ok=True, description=None, size=None, error=None)

    reaching = Reaching(test, patience=0.2)
    names = [*(f"hangs{number}" for number in range(9)), "answers"]
    for _ in range(2):
        found = reaching.all(names)
        assert {name for name, each in found.items() if each.ok} == {"answers"}
        assert found["hangs0"].error == "No answer within 0.2 seconds"
    assert sorted(tries) == sorted([*names, "answers"])
    answers.set()


def test_a_server_that_accepts_and_says_nothing_counts_as_not_reached(services: Services) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        services.targets.add("mute", f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
        found = Reaching(services.targets.test, patience=0.5).all(["mute", "source"])
        assert (found["mute"].ok, found["source"].ok) == (False, True)
