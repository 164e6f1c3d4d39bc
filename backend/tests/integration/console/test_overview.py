"""The overview: how each database stands at a glance, what to do about it, and what became of its backups."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from hhh.core.clock import utcnow
from hhh.models import BackupLog, BackupStatus, BackupTotals, CopyStatus, Target
from support.console import Console
from support.pages import Element, Seen
from support.recoverable import a_backup, a_verification

DAY = timedelta(days=1)


def a_target(console: Console, name: str) -> None:
    """The row of a target that nobody opens."""
    now = utcnow()
    with console.database.transaction() as session:
        row = Target(id=str(uuid.uuid4()), name=name, engine="sqlite", sealed_url="", created_at=now, updated_at=now)
        session.add(row)


def counted(console: Console, count: int = 1) -> None:
    """Has the totals know of so many backups."""
    with console.database.transaction() as session:
        session.execute(update(BackupTotals).values(total=count, successful=count, stored_bytes=count * 1000))


def proven(console: Console, target: str, **more: Any) -> str:
    backup_id = a_backup(console.database, target, **more)
    a_verification(console.database, backup_id, result={"restore_seconds": 40.2})
    return backup_id


def card(page: Seen, target: str) -> Element:
    [found] = [each for each in page.main.all("article") if each.one("h3").text == target]
    return found


def names(page: Seen) -> list[str]:
    return [each.one("h3").text for each in page.main.all("article")]


def day(page: Seen, target: str, told: str) -> Element:
    """The day of a target's time line that is told so."""
    [row] = [each for each in page.table("What became").one("tbody").all("tr") if each.one("th").text == target]
    [found] = [each for each in row.all("a") if each.get("aria-label") == told]
    return found


@pytest.fixture(scope="module")
def several(console: Console) -> dict[str, str]:
    """One target in each state; by target, the id of its newest backup."""
    for name in ("shop", "ledger", "wiki"):
        a_target(console, name)
    good = {name: proven(console, name) for name in ("app", "ledger", "shop")}
    failed = a_backup(
        console.database, "shop", age=timedelta(), status=BackupStatus.FAILED, error="pg_dump: connection refused"
    )
    console.client.patch(
        "/api/v1/targets/ledger", json={"backed_up_within_hours": 1}, headers=console.token
    ).raise_for_status()
    with console.database.transaction() as session:
        session.get_one(BackupLog, good["ledger"]).created_at = utcnow() - 3 * DAY
    counted(console, 1234)
    return {**good, "shop": failed}


def test_a_new_service_leads_to_its_first_steps(fresh_console: Console) -> None:
    page = fresh_console.get("/")
    assert "Nothing is backed up yet" in page.text
    assert page.links["Take the first steps"] == "/first-steps"
    assert "Your database needs you" in page.text
    assert card(page, "app").one("p").text == "Never backed up"


def test_one_healthy_database_is_told_in_green_with_its_age_and_the_time_of_a_restore(fresh_console: Console) -> None:
    proven(fresh_console, "app")
    counted(fresh_console)
    page = fresh_console.get("/")
    assert "Your database can be got back" in page.text
    shown = card(page, "app")
    assert shown.get("data-state") == "healthy"
    assert "Proven restorable 1 h ago, restores in about 40 s" in shown.text
    assert not shown.all("button")
    assert not shown.all("details")


def test_the_headline_and_the_totals_tell_it_at_a_glance(console: Console, several: dict[str, str]) -> None:
    page = console.get("/")
    assert "3 of 4 databases need you" in page.text
    assert page.links["1 failing"] == "/?state=failing"
    assert page.links["1 late"] == "/?state=late"
    assert page.links["1 unproven"] == "/?state=unproven"
    assert page.links["1 healthy"] == "/?state=healthy"
    assert page.links["1,234 backups, 1.2 MB"] == "/backups"
    assert page.links["0 running"] == "/workers"


def test_the_worst_comes_first_each_with_one_sentence(console: Console, several: dict[str, str]) -> None:
    page = console.get("/")
    assert names(page) == ["shop", "ledger", "wiki", "app"]
    assert [each.get("data-state") for each in page.main.all("article")] == ["failing", "late", "unproven", "healthy"]
    assert "Last backup failed: pg_dump: connection refused" in card(page, "shop").text
    assert "Last backup 3 days ago, overdue" in card(page, "ledger").text
    assert "Never backed up" in card(page, "wiki").text


def test_a_card_tells_why_and_leads_to_what_failed(console: Console, several: dict[str, str]) -> None:
    shop = card(console.get("/"), "shop")
    assert "hhh backup run shop" in shop.one("details").text
    [failed] = [each for each in shop.all("a") if each.text == "See what failed"]
    assert failed.get("href") == f"/backups/{several['shop']}"
    assert console.get(failed.get("href")).status == 200


def test_a_card_backs_up_and_proves_what_lacks_it(fresh_console: Console) -> None:
    page = fresh_console.press(fresh_console.get("/"), "Back up now", follow=False)
    assert page.location.startswith("/backups/")
    backup_id = page.location.removeprefix("/backups/").partition("?")[0]
    fresh_console.ended(f"/api/v1/backups/{backup_id}")

    page = fresh_console.get("/")
    assert "never proven" in card(page, "app").text
    form = page.form("Prove the newest")
    assert (form.action, form.fields["level"]) == (f"/backups/{backup_id}/verify", ["proven"])


def test_states_and_names_narrow_what_is_shown(console: Console, several: dict[str, str]) -> None:
    assert names(console.get("/?state=late")) == ["ledger"]
    assert names(console.get("/?q=WIK")) == ["wiki"]
    assert names(console.press(console.get("/?state=failing"), "Search", q="shop")) == ["shop"]
    nothing = console.get("/?state=failing&q=wiki")
    assert "No database is like that" in nothing.text
    assert nothing.links["Show all"] == "/"
    chosen = console.get("/?state=late&q=led")
    assert chosen.links["1 late"] == "/?q=led"
    assert "3 of 4 databases need you" in chosen.text


@pytest.mark.parametrize("query", ["state=nonsense", "state=%00", "page=999", "q=%00%ff"])
def test_whatever_is_asked_for_is_answered(console: Console, several: dict[str, str], query: str) -> None:
    assert console.get(f"/?{query}").status == 200


@pytest.mark.parametrize("query", ["page=0", "page=x", f"q={'x' * 101}"])
def test_what_can_not_be_asked_for_is_told(console: Console, query: str) -> None:
    assert console.get(f"/?{query}").status == 422


def test_many_databases_are_on_several_pages(fresh_console: Console) -> None:
    for number in range(18):
        a_target(fresh_console, f"t{number:02}")
    first = fresh_console.get("/")
    assert (len(names(first)), "Page 1 of 2" in first.text) == (12, True)
    second = fresh_console.get(first.links["Next"])
    assert (len(names(second)), second.links["Before"]) == (7, "/")
    assert not {*names(first)} & {*names(second)}
    assert len(second.table("What became").one("tbody").all("tr")) == 7


def test_missing_copies_are_told(fresh_console: Console) -> None:
    assert "copies missing" not in fresh_console.get("/").text
    a_backup(fresh_console.database, "app", copies={"default": CopyStatus.STORED, "second": CopyStatus.MISSING})
    assert fresh_console.get("/").links["1 copies missing"] == "/stores"


def test_a_day_of_the_time_line_tells_what_became_of_its_backups_and_leads_to_them(
    console: Console, several: dict[str, str]
) -> None:
    at = utcnow() - 5 * DAY
    for status in (BackupStatus.SUCCESS, BackupStatus.SUCCESS, BackupStatus.FAILED):
        a_backup(console.database, "wiki", age=5 * DAY, status=status)

    cell = day(console.get("/"), "wiki", "2 stored, 1 failed")

    assert cell.get("href") == f"/backups?target=wiki&from={at:%Y-%m-%d}&to={at:%Y-%m-%d}"
    assert cell.get("title").endswith("2 stored, 1 failed")
    assert console.get(cell.get("href")).status == 200
    kinds = [each.get("class") for each in cell.all("path")]
    assert kinds == ["part-ok", "part-failed"]


def test_hundreds_of_backups_a_day_are_few_parts(fresh_console: Console) -> None:
    with fresh_console.database.transaction() as session:
        begun = utcnow() - 3 * DAY
        for number in range(200):
            row = BackupLog(id=str(uuid.uuid4()), target="app", backup_file=f"{number}", created_at=begun, pinned=False)
            row.status, row.finished_at, row.backup_size = BackupStatus.SUCCESS, begun, 1
            session.add(row)
    cell = day(fresh_console.get("/"), "app", "200 stored")
    assert [each.get("d").count("z") for each in cell.all("path")] == [1]


def test_every_chart_has_its_figures_in_a_table(fresh_console: Console) -> None:
    assert fresh_console.get("/").text.count("Nothing was stored in these days") == 3
    begun = utcnow() - 2 * DAY
    a_backup(
        fresh_console.database,
        "app",
        age=2 * DAY,
        backup_size=5_000_000,
        raw_size=80_000_000,
        finished_at=begun + timedelta(seconds=40),  # A moment less from when its row is made.
    )
    page = fresh_console.get("/")
    told = f"{begun:%Y-%m-%d}"
    assert page.rows("Stored a day") == [{"Day (UTC)": told, "Stored a day": "5.0 MB"}]
    assert page.rows("Duration of a backup")[0]["Duration of a backup"] == "40 s"
    assert page.rows("Rate of a backup")[0]["Rate of a backup"] == "2.0 MB/s"


def test_what_a_tool_said_is_told_as_text(fresh_console: Console) -> None:
    a_backup(
        fresh_console.database,
        "app",
        status=BackupStatus.FAILED,
        error="<script>alert(1)</script>\n" + "<b>" * 100,
    )
    page = fresh_console.get("/")
    assert "<b>" not in page.html
    assert "alert(1)</script>" not in page.html
    assert "Last backup failed: <b><b>" in card(page, "app").text


def test_all_that_tells_how_they_stand_is_asked_for_again_by_itself(console: Console, several: dict[str, str]) -> None:
    page = console.get("/")
    live = page.main.where(lambda each: "data-live" in each.attributes)
    for told in ("databases need you", "Last backup failed", "The last 30 days", "Size, duration and rate"):
        assert any(told in each.text for each in live), told
    assert not any(each.get("type") == "search" for block in live for each in block.all("input"))
