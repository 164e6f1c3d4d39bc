"""Schedules of a running service: over HTTP, and on the command line beside it."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from hhh.core.database import Database
from hhh.models import Schedule
from support.backing_up import backup, hhh
from support.service import Service
from support.session import current_session
from support.waiting import wait_until

SCHEDULES = "/api/v1/schedules"
NEVER = {"target": "app", "cron": "0 0 30 2 *"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One for all tests."""
    folder = current_session().new_folder("schedules")
    (folder / "scratch").mkdir()
    with Service(folder, {"scratch_dir": folder / "scratch"}) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.signed_in_client() as client:
        yield client


@pytest.fixture
def schedule(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """One that will not run by itself while the test runs."""
    answer = client.post(SCHEDULES, json={"target": "app", "cron": "0 12 1 1 *", "time_zone": "Europe/Berlin"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{SCHEDULES}/{answer.json()['id']}"
    yield answer.json()
    client.delete(answer.headers["Location"])


def shown(client: httpx.Client, schedule: dict[str, Any]) -> dict[str, Any]:
    return client.get(f"{SCHEDULES}/{schedule['id']}").raise_for_status().json()


def post(client: httpx.Client, schedule: dict[str, Any], what: str) -> dict[str, Any]:
    return client.post(f"{SCHEDULES}/{schedule['id']}/{what}").raise_for_status().json()


def ended(client: httpx.Client, backup_id: str) -> dict[str, Any]:
    """The backup, once it has ended."""

    def has_ended() -> bool:
        return backup(client, backup_id)["status"] not in {"queued", "running"}

    wait_until(has_ended, seconds=30, what="the end of the backup")
    return backup(client, backup_id)


def test_a_schedule_is_a_resource(client: httpx.Client, schedule: dict[str, Any]) -> None:
    assert schedule == shown(client, schedule)
    assert schedule in client.get(SCHEDULES).json()
    assert schedule in client.get(SCHEDULES, params={"target": "app", "limit": 1000, "offset": 0}).json()
    assert client.get(SCHEDULES, params={"target": "other"}).json() == []
    following = schedule["next_runs"][0]
    assert (following[5:], len(schedule["next_runs"])) == ("01-01T11:00:00+00:00", 5)
    assert {key: value for key, value in schedule.items() if key not in {"id", "created_at", "next_runs"}} == {
        "target": "app",
        "verify": None,
        "cron": "0 12 1 1 *",
        "cron_in_words": "on the 1st of January at 12:00",
        "time_zone": "Europe/Berlin",
        "jitter_seconds": 0,
        "paused": False,
        "next_run_at": following,
        "last_run_at": None,
        "last_job_id": None,
        "last_job_status": None,
        "last_skipped_at": None,
        "last_skipped_reason": None,
        "last_backup_at": schedule["last_backup_at"],
        "last_verified_at": None,
        "overdue": False,
    }


def test_it_is_changed_paused_resumed_and_removed(client: httpx.Client, schedule: dict[str, Any]) -> None:
    place = f"{SCHEDULES}/{schedule['id']}"
    changed = client.patch(place, json={"jitter_seconds": 30}).raise_for_status().json()
    assert changed == {**schedule, "jitter_seconds": 30, "next_run_at": changed["next_run_at"]}
    paused = post(client, schedule, "pause")
    assert (paused["paused"], paused["next_run_at"], paused["next_runs"]) == (True, None, [])
    assert post(client, schedule, "resume") == changed
    assert client.delete(place).status_code == 204
    for answer in (client.get(place), client.delete(place), client.post(f"{place}/run")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (NEVER, 422, "no date that ever comes"),
        ({"target": "app", "cron": "@daily", "time_zone": "Europe/Berlim"}, 422, "did you mean Europe/Berlin?"),
        ({"target": "app", "cron": "@daily", "jitter_seconds": -1}, 422, "jitter_seconds"),
        ({"target": "app", "cron": "@daily", "paused": True}, 422, "paused"),
        ({"target": "none", "cron": "@daily"}, 404, "No target is named 'none'"),
        ({"cron": "@daily"}, 422, "target"),
    ],
)
def test_what_can_not_be_a_schedule_is_refused(
    client: httpx.Client, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(SCHEDULES, json=body)
    assert answer.status_code == status
    assert said in answer.text


def test_a_line_is_tried_without_a_schedule(client: httpx.Client) -> None:
    answer = client.get(f"{SCHEDULES}/preview", params={"cron": "0 12 1 1 *", "time_zone": "Asia/Tokyo"}).json()
    assert [run[5:] for run in answer["next_runs"]] == ["01-01T03:00:00+00:00"] * 5
    assert (answer["cron_in_words"], answer["clock_changes"]) == ("on the 1st of January at 12:00", [])
    assert client.get(f"{SCHEDULES}/preview", params={"cron": NEVER["cron"]}).status_code == 422


def test_only_super_admins_with_their_token_may(service: Service, client: httpx.Client) -> None:
    with service.client() as nobody:
        assert nobody.get(SCHEDULES).status_code == 403
    del client.headers["X-CSRF-Token"]
    assert client.post(SCHEDULES, json=NEVER).json()["error"]["code"] == "ERR_CSRF_INVALID"


def test_a_run_by_hand_takes_a_backup_and_leaves_the_plan(client: httpx.Client, schedule: dict[str, Any]) -> None:
    answer = client.post(f"{SCHEDULES}/{schedule['id']}/run")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert answer.headers["Location"] == f"/api/v1/backups/{answer.json()['backup_id']}"
    taken = ended(client, answer.json()["backup_id"])
    assert (taken["status"], taken["target"]) == ("success", "app")
    assert shown(client, schedule) == {**schedule, "last_backup_at": taken["created_at"]}


def test_what_was_missed_while_the_service_was_away_is_caught_up_once(
    service: Service, schedule: dict[str, Any]
) -> None:
    service.terminate()
    missed = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    with closing(Database(f"sqlite:///{service.data_dir / 'hhh.db'}")) as database, database.transaction() as session:
        session.execute(update(Schedule).values(planned_at=missed, next_run_at=missed, updated_at=missed))
    service.start()
    with service.signed_in_client() as client:
        wait_until(lambda: shown(client, schedule)["last_run_at"], seconds=30, what="the run that was missed")
        after = shown(client, schedule)
        assert datetime.fromisoformat(after["last_run_at"]) == missed
        assert after["next_runs"] == schedule["next_runs"]
        assert ended(client, after["last_job_id"])["status"] == "success"


@pytest.mark.soak
def test_the_command_line_does_the_same_beside_it(service: Service, client: httpx.Client) -> None:
    def told(*arguments: str) -> Any:
        done = hhh(service, "schedule", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    added = told("add", "app", "0 12 1 1 *", "--time-zone", "Europe/Berlin", "--jitter", "5m")
    assert added == shown(client, added)
    taken = told("run", added["id"])
    assert (taken["status"], taken["target"]) == ("success", "app")
    assert hhh(service, "schedule", "remove", added["id"]).returncode == 0
    assert client.get(f"{SCHEDULES}/{added['id']}").status_code == 404
    refused = hhh(service, "schedule", "add", "app", "0 0 30 2 *")
    assert (refused.returncode, "no date that ever comes" in refused.stderr) == (2, True)
