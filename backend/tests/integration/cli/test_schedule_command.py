"""`hhh schedule`, where no server runs: what people see."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from hhh.cli import schedule as command
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound
from hhh.models import Schedule
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.sweeping import take

Run = Callable[..., str]


@pytest.fixture
def services(sqlite_database: Database, tmp_path: Path) -> Services:
    return services_with_a_target(tmp_path, sqlite_database)


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command that has to succeed; answers what it printed."""
    monkeypatch.chdir(tmp_path)
    environment = {"HHH_DATA_DIR": str(settings.data_dir)}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command.app, [*arguments], env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_without_schedules_the_list_says_how_to_get_one(run: Run) -> None:
    assert 'hhh schedule add app "@daily"' in run("list")


def test_a_new_schedule_is_shown_with_its_next_runs_by_both_clocks(services: Services, run: Run) -> None:
    shown = run("add", "source", "0 12 1 7 *", "--time-zone", "Europe/Berlin", "--jitter", "1m")
    assert "0 12 1 7 * in Europe/Berlin, up to 60 s later" in shown
    assert "in words     on the 1st of July at 12:00" in shown
    assert shown.count("-07-01 12:00:00 CEST (") == shown.count("-07-01 10:00:00 UTC)") == 5
    assert "what         takes a backup" in shown
    assert "last backup  none" in shown


def test_the_list_says_whose_backup_is_overdue_and_which_is_paused(services: Services, run: Run) -> None:
    run("add", "source", "@daily")
    run("add", "app", "@daily")
    paused, late = (each.id for each in services.schedules.page(limit=2))
    services.schedules.pause(paused)
    with services.database.transaction() as session:
        long_ago = datetime.now(UTC) - timedelta(days=9)
        session.execute(update(Schedule).values(created_at=long_ago))
    first, second = run("list").splitlines()[1:]
    assert (first.split()[:2], "paused" in first, first.split()[-2:]) == (["app", "backup"], True, ["no", paused])
    assert (second.split()[:2], "paused" in second, second.split()[-2:]) == (["source", "backup"], False, ["yes", late])
    assert "none, which is overdue" in run("show", late)
    assert "none, it is paused" in run("show", paused)


def test_why_a_run_was_left_out_is_shown(services: Services, run: Run) -> None:
    run("add", "source", "@daily")
    [schedule] = services.schedules.page(limit=1)
    with services.database.transaction() as session:
        reason = "No target is named [bold]x"
        session.execute(update(Schedule).values(last_skipped_at=datetime.now(UTC), last_skipped_reason=reason))
    assert "UTC: No target is named [bold]x" in run("show", schedule.id)


def test_a_run_takes_the_backup_and_waits_for_it(services: Services, run: Run) -> None:
    run("add", "source", "@daily")
    [schedule] = services.schedules.page(limit=1)
    assert "of source: " in run("run", schedule.id)
    assert "last backup  of " in run("show", schedule.id)


def test_a_run_of_one_that_verifies_tells_what_was_found(services: Services, run: Run) -> None:
    run("add", "source", "@daily", "--verify", "stored")
    [schedule] = services.schedules.page(limit=1)
    with pytest.raises(NotFound, match="Nothing to verify yet"):
        run("run", schedule.id)
    backup_id = take(services)
    found = json.loads(run("run", schedule.id, "--json"))
    assert (found["backup_id"], found["reached"], found["requested_by"]) == (backup_id, "stored", "schedule")
    assert "verified     of " in run("show", schedule.id)


def test_a_schedule_that_verifies_says_so(services: Services, run: Run) -> None:
    shown = run("add", "source", "@weekly", "--verify", "proven")
    [schedule] = services.schedules.page(limit=1)
    assert schedule.verify == "proven"
    assert "what         verifies the newest backup: proven" in shown
    assert "verified     none" in shown
    assert run("list").splitlines()[1].split()[:3] == ["source", "verify", "proven"]
    assert "verifies the newest backup: stored" in run("set", schedule.id, "--verify", "stored")
    assert "verifies the newest backup: stored" in run("set", schedule.id, "--cron", "@daily")
    assert "takes a backup" in run("set", schedule.id, "--verify", "none")


def test_a_preview_needs_no_installation_and_makes_none(run: Run, tmp_path: Path) -> None:
    shown = run("preview", "30 2 * * *")
    assert (shown.splitlines()[0], shown.count(" 02:30:00 UTC")) == ("each day at 02:30", 5)
    assert run("preview", "30 2 29 3 *", "--time-zone", "Asia/Tokyo").count("03-29 02:30:00 JST (") == 5
    assert not list(tmp_path.glob("**/hhh.db"))


def test_programs_can_do_all_that_people_can(services: Services, run: Run) -> None:
    def told(*arguments: str) -> Any:
        return json.loads(run(*arguments, "--json"))

    added = told("add", "source", "0 12 1 1 *", "--time-zone", "Europe/Berlin", "--jitter", "5m")
    assert added["jitter_seconds"] == 300
    assert added == told("show", added["id"])
    assert added in told("list")
    assert added not in told("list", "--target", "app")
    changed = told("set", added["id"], "--cron", "@yearly", "--jitter", "0")
    assert (changed["cron"], changed["jitter_seconds"], changed["time_zone"]) == ("@yearly", 0, "Europe/Berlin")
    assert told("pause", added["id"])["paused"]
    assert not told("resume", added["id"])["paused"]
    assert len(told("preview", "@daily")["next_runs"]) == 5
    run("remove", added["id"])
    assert services.schedules.page(limit=9) == []


@pytest.mark.parametrize(("jitter", "problem"), [("60", "no duration"), ("2d", "longer than a day")])
def test_a_jitter_has_a_unit_and_is_a_day_at_most(services: Services, run: Run, jitter: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        run("add", "source", "@daily", "--jitter", jitter)
    assert services.schedules.page(limit=9) == []


@pytest.mark.parametrize(
    "typed", [["x" * 64, "@daily"], ["app", "0 " * 200], ["app", "@daily", "--time-zone", "x" * 65]]
)
def test_what_is_too_long_is_told_without_a_traceback(run: Run, typed: list[str]) -> None:
    with pytest.raises(InvalidInput, match="at most"):
        run("add", *typed)
