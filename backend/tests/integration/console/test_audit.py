"""The page of the audit log, and what it tells of what is done in the console."""

import json

from hhh.models import Role
from support.console import Console
from support.sign_in import EMAIL, make_user

_EVENTS = "Events, newest first"


def events(console: Console, query: str = "") -> list[dict[str, str]]:
    return [*console.get(f"/audit{query}").rows(_EVENTS)]


def test_what_is_done_stands_there_with_who_did_it_and_from_where(console: Console) -> None:
    console.add_target("told")
    backup = console.back_up("told")

    stored, asked, added = events(console, "?subject=told")
    assert [each["What"] for each in (added, asked, stored)] == ["Database added", "Backup", "Backup"]
    assert [each["Result"] for each in (added, asked, stored)] == ["Done", "Asked for", "Done"]
    for each in (added, asked, stored):
        assert each["Who"] == f"{EMAIL}from testclient"
    page = console.get("/audit?subject=told")
    file = stored["On what"].removesuffix("of told")
    assert file.endswith(".sql")
    assert page.links[file] == f"/backups/{backup}"
    assert f"id{backup}" in stored["Details"].replace(" ", "")


def test_the_log_is_narrowed_by_each_field(console: Console) -> None:
    console.add_target("narrowed")
    console.back_up("narrowed")
    about_it = len(events(console, "?subject=narrowed"))

    assert len(events(console, "?subject=narrowed&action=backup")) == 2
    assert len(events(console, "?subject=narrowed&result=asked")) == 1
    assert len(events(console, f"?subject=narrowed&actor={EMAIL}")) == about_it
    assert "No event is like that" in console.get("/audit?subject=narrowed&to=2020-01-01").text
    assert "No event is like that" in console.get("/audit?actor=nobody@example.com").text


def test_what_can_not_be_asked_for_is_told_at_its_field(console: Console) -> None:
    page = console.get("/audit?from=yesterday&result=good")

    assert page.status == 422
    assert "Give a day such as 2025-01-31" in page.text
    assert _EVENTS not in page.text


def test_pages_follow_each_other_without_a_gap(console: Console) -> None:
    for _ in range(30):
        console.send("/schedules", target="app", kind="backup", cron="@daily", time_zone="UTC")
    numbers, page = [], console.get("/audit")
    while True:
        numbers += [int(row["Details"].removeprefix("Event ").split()[0]) for row in page.rows(_EVENTS)]
        if "Older" not in page.links:
            break
        page = console.get(page.links["Older"])

    assert numbers == list(range(numbers[0], 0, -1))


def test_the_export_has_what_the_page_is_narrowed_to(console: Console) -> None:
    console.add_target("exported")

    link = console.get("/audit?subject=exported&from=2020-01-01").links["Export"]
    answer = console.client.get(console.get(link).location)

    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    first, *_, last = [json.loads(line) for line in answer.text.splitlines()]
    assert (first["action"], first["subject"]) == ("target.add", "exported")
    assert last["end"]["narrowed_to"] == {"subject": "exported", "since": "2020-01-01T00:00:00Z"}


def test_who_may_not_do_something_and_tries_is_told_once(console: Console) -> None:
    member = "curious@example.com"
    make_user(console.database, email=member, role=Role.MEMBER)
    browser = console.another_browser()
    browser.sign_in(email=member)

    for _ in range(5):
        assert browser.client.get("/api/v1/audit").status_code == 403
    browser.client.get("/api/v1/targets")

    told = events(console, f"?actor={member}&action=access")
    assert [each["On what"] for each in told] == ["GET /api/v1/targets", "GET /api/v1/audit"]
    assert {each["Result"] for each in told} == {"Refused"}


def test_a_protected_backup_that_somebody_wants_to_delete_is_told(console: Console) -> None:
    console.add_target("kept")
    backup = console.back_up("kept")

    answer = console.client.request("DELETE", f"/api/v1/backups/{backup}", headers=console.token)

    assert answer.status_code == 409
    [told] = events(console, "?action=access.refused&result=refused")[:1]
    assert told["On what"] == f"DELETE /api/v1/backups/{backup}"
    assert "ERR_BACKUP_PROTECTED" in told["Details"]
