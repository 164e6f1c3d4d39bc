"""The room of schedules: told in words, set up by a choice or a line of cron, shown before it is saved."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from hhh.models import Schedule
from hhh.schemas.schedule import ScheduleRequest, ScheduleResource
from hhh.schemas.verification import Level
from support.console import Console
from support.pages import Seen

NEVER_SOON = "30 2 29 2 *"
NOBODY = "/schedules/00000000-0000-0000-0000-000000000000"


@pytest.fixture
def schedules(console: Console) -> Iterator[Console]:
    """The console, without schedules before and after."""
    yield console
    for each in all_of(console):
        console.services.schedules.remove(each.id)


def all_of(console: Console) -> list[ScheduleResource]:
    return list(console.services.schedules.page(limit=1000))


def add(console: Console, cron: str = NEVER_SOON, verify: Level | None = None) -> ScheduleResource:
    return console.services.schedules.add(ScheduleRequest(target="app", cron=cron, verify=verify))


def set_up(console: Console, button: str = "Set up the schedule", **typed: str) -> Seen:
    return console.press(console.get("/schedules/new?target=app"), button, action="", follow=True, **typed)


def test_without_schedules_the_list_says_what_one_does_and_leads_to_the_first(schedules: Console) -> None:
    page = schedules.get("/schedules")
    assert "Nothing is backed up by itself" in page.text
    assert page.links["Set up the first schedule"] == "/schedules/new"


@pytest.mark.parametrize(
    ("typed", "line", "words"),
    [
        ({"preset": "hourly", "minute": "5"}, "5 * * * *", "each hour at minute 5"),
        ({"preset": "daily", "daily_at": "23:00"}, "0 23 * * *", "each day at 23:00"),
        ({"preset": "weekly", "weekday": "7", "weekly_at": "04:30"}, "30 4 * * 0", "each Sunday at 04:30"),
        (
            {"preset": "monthly", "day": "31", "monthly_at": "00:00"},
            "0 0 31 * *",
            "on the 31st of each month that has it at 00:00",
        ),
        ({"preset": "line", "cron": " 0  4 * * mon,THU "}, "0 4 * * mon,THU", "each Monday and Thursday at 04:00"),
    ],
)
def test_a_schedule_is_set_up_by_a_choice_or_a_line_and_listed_in_words(
    schedules: Console, typed: dict[str, str], line: str, words: str
) -> None:
    page = set_up(schedules, **typed, time_zone="Europe/Berlin", jitter_seconds="300")

    assert page.notices == ["The schedule is set up."]
    [row] = page.rows()
    assert row["Schedule"] == f"Back up {words} {line} Europe/Berlin"
    [schedule] = all_of(schedules)
    assert (schedule.cron, schedule.time_zone, schedule.jitter_seconds) == (line, "Europe/Berlin", 300)
    again = schedules.get(f"/schedules/{schedule.id}/edit").form("Save").fields
    assert {name: [value.strip()] for name, value in typed.items() if name != "cron"}.items() <= again.items()


def test_the_next_runs_are_shown_before_anything_is_saved_by_both_clocks(schedules: Console) -> None:
    page = set_up(
        schedules, "Show the next runs", preset="line", cron="30 2 1 1 *", time_zone="Asia/Tokyo", verify="proven"
    )

    assert "It runs on the 1st of January at 02:30 by the clock of Asia/Tokyo" in page.text
    runs = page.rows("The next runs")
    assert [run["Asia/Tokyo"][4:10] + run["Asia/Tokyo"][-9:] for run in runs] == ["01 Jan02:30 JST"] * 5
    assert all(run["Your time"].endswith("12-31 17:30 UTC") for run in runs)
    assert page.form("Set up the schedule").fields["verify"] == ["proven"]
    assert all_of(schedules) == []


def test_what_a_change_of_the_clock_does_to_a_run_is_told(schedules: Console) -> None:
    page = set_up(schedules, "Show the next runs", daily_at="02:30", time_zone="Europe/Berlin")
    assert page.text.count("the clock skips 02:30: it runs at 03:00, once.") == 1
    assert page.text.count("the clock shows 02:30 twice: it runs the first time only.") == 1


@pytest.mark.parametrize("button", ["Set up the schedule", "Show the next runs"])
@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"preset": "line", "cron": "61 * * * *"}, "cron", "'61' is no minute of cron"),
        ({"preset": "line", "cron": "* * *"}, "cron", "has 3 fields, and not five"),
        ({"preset": "line", "cron": ""}, "cron", "has 0 fields, and not five"),
        ({"preset": "line", "cron": "0 0 30 2 *"}, "cron", "names no date that ever comes"),
        ({"preset": "line", "cron": "x" * 400}, "cron", "at most 254 characters"),
        ({"preset": "daily", "daily_at": "25:00"}, "daily_at", "This is not a time of the day"),
        ({"preset": "hourly", "minute": "60"}, "minute", "This is not a whole number from 0 to 59"),
        ({"preset": "monthly", "day": "²"}, "day", "This is not a whole number from 1 to 31"),
        ({"time_zone": "Europe/Belrin"}, "time_zone", "did you mean Europe/Berlin?"),
        ({"time_zone": "../../etc/passwd"}, "time_zone", "No time zone is named"),
    ],
)
def test_what_can_not_be_used_is_told_beside_it_with_what_was_typed(
    schedules: Console, button: str, typed: dict[str, str], field: str, said: str
) -> None:
    page = set_up(schedules, button, **typed)

    assert page.status == 422
    assert said in page.wrong[field]
    assert len(page.wrong) == 1
    assert {name: [value] for name, value in typed.items()}.items() <= page.form(button).fields.items()
    assert all_of(schedules) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("jitter_seconds", "-1"), ("jitter_seconds", "9" * 30), ("verify", "fully"), ("target", "nobody")],
)
def test_what_no_form_sends_is_refused_as_well(schedules: Console, name: str, value: str) -> None:
    form = schedules.get("/schedules/new").form("Set up the schedule")
    page = schedules.send("/schedules/new", {**form.fields, name: value})

    assert (page.status, list(page.wrong)) == (422, [name])
    assert all_of(schedules) == []


def test_nothing_at_all_is_no_schedule(schedules: Console) -> None:
    page = schedules.send("/schedules/new")
    assert page.status == 422
    assert "has 0 fields, and not five" in page.wrong["cron"]


def test_a_schedule_is_changed_in_its_own_form(schedules: Console) -> None:
    schedule = add(schedules, "@weekly")
    page = schedules.get(schedules.get(f"/schedules/{schedule.id}").location)

    assert page.heading == "Back up each Sunday at 00:00"
    assert page.form("Save").fields["weekly_at"] == ["00:00"]
    changed = schedules.press(page, "Save", preset="line", cron="0 5 * * *", verify="stored")

    assert changed.notices == ["The schedule is changed, and its next run planned anew."]
    [after] = all_of(schedules)
    assert (after.cron, after.verify, after.target) == ("0 5 * * *", "stored", "app")
    assert changed.rows()[0]["Schedule"].startswith("Check the copies of the newest backup each day at 05:00")


def test_a_change_that_can_not_be_used_changes_nothing(schedules: Console) -> None:
    schedule = add(schedules)
    page = schedules.press(schedules.get(f"/schedules/{schedule.id}/edit"), "Save", preset="line", cron="never")
    assert (page.status, list(page.wrong)) == (422, ["cron"])
    assert all_of(schedules)[0].cron == NEVER_SOON


def test_a_schedule_is_paused_and_resumed_from_the_list_as_it_was_filtered(schedules: Console) -> None:
    add(schedules)
    paused = schedules.press(schedules.get("/schedules?target=app"), "Pause")

    assert paused.rows()[0]["Next run"] == "paused"
    assert paused.form("Show").fields["target"] == ["app"]
    resumed = schedules.press(paused, "Resume")
    assert resumed.rows()[0]["Next run"].endswith("UTC")


def test_an_overdue_schedule_says_so(schedules: Console) -> None:
    add(schedules, "@daily", verify="proven")
    with schedules.database.transaction() as session:
        session.execute(update(Schedule).values(created_at=datetime.now(UTC) - timedelta(days=9)))
    page = schedules.get("/schedules")
    assert page.rows()[0]["Next run"].endswith("overdue")
    assert schedules.get(f"/schedules/{all_of(schedules)[0].id}/edit").facts["State"] == "overdue"


def test_a_run_by_hand_leads_to_what_it_makes_and_is_told_as_the_last_run_is(schedules: Console) -> None:
    schedule = add(schedules)
    page = schedules.press(schedules.get("/schedules"), "Run now", follow=False)

    assert page.location.startswith("/backups/")
    backup_id = page.location.removeprefix("/backups/").partition("?")[0]
    assert schedules.ended(f"/api/v1/backups/{backup_id}")["status"] == "success"
    with schedules.database.transaction() as session:
        session.execute(update(Schedule).values(last_run_at=datetime.now(UTC), last_job_id=backup_id))
    listed = schedules.get("/schedules")
    assert listed.rows()[0]["Last run"].endswith("success")
    assert f"/backups/{backup_id}" in listed.links.values()
    assert schedules.get(f"/schedules/{schedule.id}/edit").facts["Last run"].endswith("success")


def test_a_verification_by_hand_leads_to_its_drill(schedules: Console) -> None:
    schedules.back_up()
    add(schedules, verify="stored")
    page = schedules.press(schedules.get("/schedules"), "Run now", follow=False)
    assert page.location.startswith("/drills/")
    assert page.location.endswith("?done=verify-queued")
    schedules.ended(f"/api/v1/verifications/{page.location[len('/drills/') :].partition('?')[0]}")


def test_why_a_run_was_left_out_is_told_until_there_is_another(schedules: Console) -> None:
    add(schedules)
    now = datetime.now(UTC)
    with schedules.database.transaction() as session:
        session.execute(update(Schedule).values(last_skipped_at=now, last_skipped_reason="A <b>backup</b> runs"))
    assert "left out just now: A <b>backup</b> runs" in schedules.get("/schedules").rows()[0]["Last run"]
    with schedules.database.transaction() as session:
        session.execute(update(Schedule).values(last_run_at=now + timedelta(hours=1)))
    assert "left out" not in schedules.get("/schedules").rows()[0]["Last run"]


@pytest.mark.parametrize("where", ["/schedules", "/schedules/{id}/edit"])
def test_a_schedule_is_removed_after_what_ends_was_told(schedules: Console, where: str) -> None:
    schedule = add(schedules)
    page = schedules.get(where.format(id=schedule.id))

    assert "What it asked for is kept." in page.text
    removed = schedules.press(page, "Remove the schedule")
    assert removed.notices == ["The schedule is removed. What it asked for is kept."]
    assert all_of(schedules) == []


def test_the_list_is_told_by_pages_and_by_database(schedules: Console) -> None:
    for _ in range(51):
        add(schedules)
    first = schedules.get("/schedules?target=app")
    assert len(first.rows()) == 50
    last = schedules.get(first.links["Next"])
    assert (len(last.rows()), last.links["Before"]) == (1, "/schedules?target=app")
    assert "There is nothing on this page" in schedules.get("/schedules?page=9").text
    assert "nobody is not backed up by itself" in schedules.get("/schedules?target=nobody").text


@pytest.mark.parametrize("path", [NOBODY, f"{NOBODY}/edit", "/schedules/x/edit", "/schedules/%00/edit"])
def test_a_schedule_that_is_not_there_is_not_found(schedules: Console, path: str) -> None:
    page = schedules.get(path)
    assert (schedules.get(page.location) if page.location else page).status == 404


@pytest.mark.parametrize("what", ["edit", "pause", "resume", "run", "remove"])
def test_nothing_is_done_to_one_that_is_not_there(schedules: Console, what: str) -> None:
    assert schedules.send(f"{NOBODY}/{what}").status == 404


def test_nobody_is_led_elsewhere_after_a_button(schedules: Console) -> None:
    schedule = add(schedules)
    for back in ("https://example.com/", "//example.com", "/sign-in", "/backups"):
        page = schedules.send(f"/schedules/{schedule.id}/pause", back=back)
        assert page.location == "/schedules?done=schedule-paused"
