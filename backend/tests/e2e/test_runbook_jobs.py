"""What the runbook says of schedules, several stores, retention, following and cancelling, command by command."""

import json
import sqlite3
from pathlib import Path

import pytest

from support.documentation import Operator, require_programs
from support.service import ADMIN_EMAIL, ADMIN_PASSWORD, Service
from support.sqlite_data import make_sqlite_database


@pytest.fixture(autouse=True)
def _programs() -> None:
    require_programs("bash", "curl", "grep", "awk")


@pytest.fixture
def shopkeeper(service: Service, tmp_path: Path) -> Operator:
    """An operator of a service with the target `shop`."""
    make_sqlite_database(tmp_path / "shop.db")
    operator = Operator(tmp_path, service)
    operator.environment |= {"SHOP_URL": f"sqlite:///{tmp_path}/shop.db", "NOTES_URL": f"sqlite:///{tmp_path}/notes.db"}
    operator.must_run("add-targets")
    return operator


def first_id(operator: Operator, command: str) -> str:
    listed = json.loads(operator.run_script(f"{command} --json").stdout)
    return str(listed[0]["id"])


def backed_up(operator: Operator) -> str:
    """The id of a new backup of the shop."""
    done = operator.run_script("hhh backup run shop --json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


@pytest.mark.soak
def test_a_target_is_changed_as_documented(shopkeeper: Operator) -> None:
    printed = shopkeeper.must_run("change-target")

    assert "retries     3" in printed
    assert "time limit  7200 s" in printed


@pytest.mark.soak
def test_a_schedule_is_set_up_changed_run_and_removed_as_documented(shopkeeper: Operator) -> None:
    assert "shop" in shopkeeper.must_run("schedule")
    shopkeeper.environment["SCHEDULE_ID"] = first_id(shopkeeper, "hhh schedule list")

    printed = shopkeeper.must_run("schedule-change")

    assert "none, it is paused" in printed
    assert "Stored backup_" in printed
    assert json.loads(shopkeeper.run_script("hhh schedule list --json").stdout) == []


def test_a_backup_is_followed_to_its_end_on_the_command_line_and_over_http(shopkeeper: Operator) -> None:
    shopkeeper.environment["BACKUP_ID"] = backed_up(shopkeeper)
    shopkeeper.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD)

    assert "Stored backup_" in shopkeeper.must_run("follow")
    events = shopkeeper.must_run("events")

    (data,) = (line.removeprefix("data: ") for line in events.splitlines() if line.startswith("data: "))
    assert "event: end" in events
    assert json.loads(data)["status"] == "success"


@pytest.mark.soak
def test_a_backup_that_has_ended_is_not_cancelled_and_the_answer_is_the_documented_one(shopkeeper: Operator) -> None:
    shopkeeper.environment["BACKUP_ID"] = backed_up(shopkeeper)
    shopkeeper.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD)

    by_command, over_http = shopkeeper.run("cancel"), shopkeeper.curl("cancel-http")

    assert by_command.returncode == 1
    assert "The backup has ended already: it is success" in by_command.stderr
    assert (over_http.status, over_http.code) == (409, "ERR_ALREADY_ENDED")


@pytest.mark.soak
def test_rules_are_looked_at_first_and_a_pinned_backup_stays(shopkeeper: Operator) -> None:
    shopkeeper.environment["BACKUP_ID"] = backed_up(shopkeeper)

    printed = shopkeeper.must_run("keep")

    assert "KEEP  newest good, daily 1 of 7, weekly 1 of 5" in printed
    assert "Pinned backup_" in printed


@pytest.mark.soak
def test_a_backup_is_proven_and_so_are_those_to_come(shopkeeper: Operator) -> None:
    shopkeeper.environment["BACKUP_ID"] = backed_up(shopkeeper)

    assert ", is proven: it was restored, and is what was backed up." in shopkeeper.must_run("prove")

    printed = shopkeeper.must_run("prove-by-itself")
    assert "proven within 7 days, backed up within 26 hours" in printed
    assert "verifies the newest backup: proven" in printed


@pytest.mark.soak
def test_a_second_store_gets_the_same_backup(shopkeeper: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    shopkeeper.environment["SECOND_FOLDER"] = str(folder)

    shopkeeper.must_run("second-store")
    backed_up(shopkeeper)

    assert len(list(folder.glob("*/shop/backup_*.sql.json"))) == 1


@pytest.mark.soak
def test_doctor_finds_nothing_left_over_with_and_without_repair(shopkeeper: Operator, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "notes.db").execute("CREATE TABLE note (text)").connection.close()

    printed = shopkeeper.must_run("sweep")

    assert printed.count("All is well.") == 2
