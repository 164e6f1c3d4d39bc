"""`hhh backup pin|unpin|delete|prune`, where no server runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hhh.cli.app import app
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import BackupProtected, InvalidInput
from hhh.models import Policy
from hhh.schemas.retention import Retention
from support.local_services import services_with_a_target

TARGET = "source"


class Command:
    """`hhh backup …` on one data folder."""

    def __init__(self, folder: Path) -> None:
        self._environment = {"HHH_DATA_DIR": str(folder / "data"), "HHH_SCRATCH_DIR": str(folder / "scratch")}

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["backup", *arguments], env=self._environment)

    def lines(self, *arguments: str) -> Sequence[str]:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    def output(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, *arguments: str) -> Any:
        return json.loads("\n".join(self.lines(*arguments, "--json")))

    def taken(self, count: int) -> Sequence[dict[str, Any]]:
        return [self.json("run", TARGET) for _ in range(count)]


@pytest.fixture
def hhh(tmp_path: Path, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    services_with_a_target(tmp_path, sqlite_database, target=TARGET)
    return Command(tmp_path)


def keep(database: Database, rules: Retention) -> None:
    with database.transaction() as session:
        retention = rules.model_dump(exclude_none=True)
        session.merge(Policy(target=TARGET, stores=[], retries=0, retention=retention, updated_at=utcnow()))


def test_a_plan_shows_each_backup_and_why_and_changes_nothing(hhh: Command) -> None:
    older, newer = hhh.taken(2)
    output = hhh.output("prune", TARGET, "--plan", "--keep-last", "1")
    _, first, second, *_ = output.splitlines()
    assert newer["backup_file"] in first
    assert first.endswith("KEEP  newest good, last 1 of 1")
    assert older["backup_file"] in second
    assert second.endswith("drop  no rule keeps it")
    assert "1 kept, 1 would be dropped" in output
    assert [each["id"] for each in hhh.json("list")] == [newer["id"], older["id"]]


def test_a_prune_removes_what_the_rules_drop(hhh: Command, sqlite_database: Database) -> None:
    older, newer = hhh.taken(2)
    assert "has no rules: everything is kept" in hhh.output("prune", TARGET)
    keep(sqlite_database, Retention(daily=1))
    plan = hhh.json("prune", TARGET)
    assert [(each["backup_id"], each["keep"]) for each in plan["backups"]] == [
        (newer["id"], True),
        (older["id"], False),
    ]
    assert plan["removals"] == []
    assert [each["id"] for each in hhh.json("list")] == [newer["id"]]
    assert "1 kept, 0 dropped" in hhh.output("prune", TARGET)


def test_without_a_server_a_backup_prunes_its_target_by_itself(hhh: Command, sqlite_database: Database) -> None:
    keep(sqlite_database, Retention(keep_last=2))
    taken = hhh.taken(3)
    assert [each["id"] for each in hhh.json("list")] == [taken[2]["id"], taken[1]["id"]]
    done = hhh.run("run", TARGET)
    stored, dropped = done.stdout.splitlines()
    assert stored.startswith("Stored backup_")
    assert dropped == f"Dropped {taken[1]['backup_file']}: no rule keeps it"
    [logged] = [line for line in done.stderr.splitlines() if "backup_dropped" in line]
    assert "retention: no rule keeps it" in logged


def test_rules_can_only_be_tried_with_a_plan(hhh: Command) -> None:
    assert isinstance(hhh.run("prune", TARGET, "--keep-last", "1").exception, InvalidInput)
    refused = hhh.run("prune", TARGET, "--plan", "--max-age", "-1").exception
    assert isinstance(refused, InvalidInput)
    assert "--max-age" in str(refused)


def test_a_plan_tries_changes_of_the_rules_as_setting_them_would(hhh: Command, sqlite_database: Database) -> None:
    keep(sqlite_database, Retention(keep_last=1, minimum_kept=2))
    rules = hhh.json("prune", TARGET, "--plan", "--keep-daily", "7", "--max-age", "12h")["rules"]
    assert (rules["keep_last"], rules["daily"], rules["maximum_age_days"], rules["minimum_kept"]) == (1, 7, 0.5, 2)
    everything = hhh.json("prune", TARGET, "--plan", "--keep-all")["rules"]
    assert (everything["keep_last"], everything["minimum_kept"]) == (None, 1)


def test_a_pinned_backup_is_deleted_only_by_its_name(hhh: Command) -> None:
    old, _ = hhh.taken(2)
    assert "no rule drops it" in hhh.output("pin", old["id"])
    refused = hhh.run("delete", old["id"]).exception
    assert isinstance(refused, BackupProtected)
    assert f"--force {old['backup_file']}" in str(refused)
    assert "the rules decide" in hhh.output("unpin", old["id"])
    hhh.output("pin", old["id"])
    done = hhh.run("delete", old["id"], "--force", old["backup_file"])
    assert done.stdout == f"Removed {old['backup_file']} of {TARGET}\n"
    assert "backup_dropped" in done.stderr
    assert "by=cli" in done.stderr
    assert len(hhh.json("list")) == 1
