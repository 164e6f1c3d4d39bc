"""The room of a target's rules: tried as a calendar, saved and applied only once somebody agreed to what goes."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import delete, insert, select, update

from hhh.models import BackupCopy, BackupLog, CopyStatus, Job, JobKind, Policy
from hhh.schemas.policy import PolicyFields
from hhh.schemas.retention import Retention
from support.console import Console
from support.pages import Seen

PAGE = "/targets/app/retention"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
DAY = timedelta(days=1)


@pytest.fixture
def retention(console: Console) -> Iterator[Console]:
    """The console, without backups and rules before and after."""
    yield console
    with console.database.transaction() as session:
        for model in (BackupCopy, BackupLog, Policy, Job):
            session.execute(delete(model))


def store(console: Console, moments: Sequence[datetime], *, stores: Sequence[str] = ("default",)) -> list[str]:
    """Rows of successful backups of 1 MB each; their ids."""
    ids = [str(uuid.uuid4()) for _ in moments]
    backups = [
        {
            "id": backup_id,
            "target": "app",
            "backup_file": f"backup_{at:%Y%m%d_%H%M%S}.sql",
            "status": "SUCCESS",
            "created_at": at,
            "finished_at": at,
            "backup_size": 1_000_000,
            "read_back_at": datetime.now(UTC),
        }
        for backup_id, at in zip(ids, moments, strict=True)
    ]
    copies = [
        {"backup_id": each, "storage": name, "key": "k", "status": "stored", "size": 1_000_000, "sha256": "0" * 64}
        for each in ids
        for name in stores
    ]
    with console.database.transaction() as session:
        session.execute(insert(BackupLog), backups)
        session.execute(insert(BackupCopy), copies)
    return ids


def rules(console: Console) -> Retention | None:
    return console.services.policies.of("app").retention


def set_rules(console: Console, of: Retention) -> None:
    console.services.targets.update("app", None, PolicyFields(retention=of), whole=False)


def days(page: Seen) -> dict[str, str]:
    """What the calendar tells of each day that has backups."""
    return dict(each.get("aria-label").split(": ") for each in page.main.all("button") if each.get("name") == "day")


def months(page: Seen) -> list[str]:
    return [each.one("caption").text for each in page.main.all("table") if each.get("class") == "month"]


def name(day: datetime) -> str:
    return f"{day.day} {day:%B}"


def tried(console: Console, **typed: str) -> Seen:
    return console.press(console.get(PAGE), "Try", action="", follow=True, **typed)


def test_without_backups_the_page_says_so(retention: Console) -> None:
    page = retention.get(PAGE)
    assert page.heading == "Retention of app"
    assert "There is no successful backup yet" in page.text


def test_without_rules_everything_is_kept_and_good_ones_can_be_tried(retention: Console) -> None:
    store(retention, [NOON - DAY * each for each in range(60)])
    page = retention.get(PAGE)

    assert "Everything is kept: app has no rules." in page.text
    assert page.facts["Kept"].startswith("60 backups, 60.0 MB")
    assert page.facts["Dropped"] == "0 backups"
    assert "Prune now" not in page.headings
    started = retention.get(page.links["Keep 7 days, 4 weeks, 12 months"])
    assert started.form("Try").fields["daily"] == ["7"]
    assert "These rules are tried, not saved." in started.text
    assert rules(retention) is None


def test_rules_are_tried_as_a_calendar_that_says_what_becomes_of_each_day(retention: Console) -> None:
    store(retention, [NOON - DAY * (each // 2) - timedelta(hours=each % 2) for each in range(8)])
    page = tried(retention, daily="2")

    assert days(page) == {
        name(NOON): "1 protected, 1 dropped",
        name(NOON - DAY): "1 kept, 1 dropped",
        name(NOON - 2 * DAY): "2 dropped",
        name(NOON - 3 * DAY): "2 dropped",
    }
    assert page.facts["Dropped"] == "6 backups, which frees 6.0 MB in each store"
    assert page.rows("Backups, and what becomes")[0]["Why"] == "newest good, daily 1 of 2"
    assert rules(retention) is None


def test_what_each_store_would_have_left_is_told(retention: Console) -> None:
    store(retention, [NOON, NOON - DAY], stores=["default", "away"])
    store(retention, [NOON - 2 * DAY])
    page = tried(retention, keep_last="1")
    assert page.rows("What stores have of it") == [
        {"Store": "away", "Backups now": "2", "Size now": "2.0 MB", "Backups left": "1", "Size left": "1.0 MB"},
        {"Store": "default", "Backups now": "3", "Size now": "3.0 MB", "Backups left": "1", "Size left": "1.0 MB"},
    ]


def test_a_day_that_is_chosen_tells_of_each_of_its_backups_and_keeps_what_is_tried(retention: Console) -> None:
    store(retention, [NOON, NOON - DAY, NOON - DAY - timedelta(hours=1)])
    page = tried(retention, keep_last="2")
    form = page.form(f"{name(NOON - DAY)}: 1 kept, 1 dropped")
    query = {**form.fields, "day": f"{NOON - DAY:%Y-%m-%d}"}
    assert form.buttons[f"{name(NOON - DAY)}: 1 kept, 1 dropped"] == ("day", query["day"])
    chosen = retention.get(f"{PAGE}?{urlencode(query, doseq=True)}")

    assert [row["Becomes"] for row in chosen.rows("Backups, and what becomes")] == ["kept", "dropped"]
    assert chosen.form("Try").fields["keep_last"] == ["2"]
    assert "None that is kept or dropped" in retention.get(f"{PAGE}?day=2001-01-01").text


def test_pinned_ones_are_told_apart(retention: Console) -> None:
    _, pinned, _ = store(retention, [NOON, NOON - DAY, NOON - 2 * DAY])
    with retention.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == pinned).values(pinned=True))
    page = tried(retention, keep_last="1")
    assert days(page)[name(NOON - DAY)] == "1 protected"
    assert "2 of them protected" in page.facts["Kept"]
    assert page.rows("Backups, and what becomes")[1]["Why"] == "pinned"


def test_limits_are_typed_as_one_says_them(retention: Console) -> None:
    set_rules(retention, Retention(maximum_total_bytes=1_500_000_000, maximum_age_days=0.5, minimum_kept=3))
    fields = retention.get(PAGE).form("Try").fields
    assert {field: fields[field] for field in ("maximum_size", "unit", "maximum_age_days", "minimum_kept")} == {
        "maximum_size": ["1.5"],
        "unit": ["GB"],
        "maximum_age_days": ["0.5"],
        "minimum_kept": ["3"],
    }
    store(retention, [NOON - DAY * each for each in range(4)])
    assert (
        tried(retention, maximum_size="2,5", unit="MB", maximum_age_days="", minimum_kept="")
        .facts["Dropped"]
        .startswith("2 backups")
    )


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("daily", "x", "This is not a whole number"),
        ("daily", "0", "It has to be at least 1"),
        ("weekly", "9" * 40, "It may be at most 100000"),
        ("monthly", "1.5", "This is not a whole number"),
        ("maximum_age_days", "nan", "It may be at most 36500"),
        ("maximum_age_days", "0", "It has to be more than 0"),
        ("maximum_size", "1e999999999", "This is not a size"),
        ("maximum_size", "0.0", "It has to be more than 0"),
        ("minimum_kept", "-1", "It has to be at least 1"),
    ],
)
def test_a_rule_that_can_not_be_used_is_told_beside_it(retention: Console, field: str, typed: str, said: str) -> None:
    for page in (tried(retention, **{field: typed}), retention.send(PAGE, {field: typed, "unit": "MB"})):
        assert page.status == 422
        assert said in page.wrong[field]
        assert page.form("Try").fields[field] == [typed]
    assert rules(retention) is None


@pytest.mark.parametrize("query", ["day=never", "until=2026", "until=9999-99", "until=0000-00", "day=9999-12-31"])
def test_dates_that_are_none_fail_nothing(retention: Console, query: str) -> None:
    store(retention, [NOON])
    assert retention.get(f"{PAGE}?{query}").status in {200, 422}


def test_rules_that_drop_nothing_are_saved_at_once(retention: Console) -> None:
    store(retention, [NOON])
    page = retention.press(tried(retention, daily="7", minimum_kept="2"), "Save these rules")
    assert page.notices[0].startswith("The rules are saved.")
    assert rules(retention) == Retention(daily=7, minimum_kept=2)


def test_rules_that_drop_backups_are_saved_once_that_was_agreed_to(retention: Console) -> None:
    store(retention, [NOON - DAY * each for each in range(5)])
    asked = retention.press(tried(retention, keep_last="2"), "Save these rules", follow=False)

    assert (asked.status, asked.heading) == (200, "Save these rules?")
    assert "3 backups of app are dropped, 3.0 MB in each store; 2 stay." in asked.text
    assert rules(retention) is None
    back = retention.get(asked.links["Back to the calendar"])
    assert back.form("Try").fields["keep_last"] == ["2"]
    saved = retention.press(asked, "Save, and drop 3 backups")
    assert saved.notices[0].startswith("The rules are saved.")
    assert rules(retention) == Retention(keep_last=2)


def test_more_than_was_agreed_to_is_asked_about_again(retention: Console) -> None:
    store(retention, [NOON - DAY * each for each in range(5)])
    asked = retention.press(tried(retention, keep_last="2"), "Save these rules", follow=False)
    store(retention, [NOON - timedelta(hours=1)])
    again = retention.press(asked, "Save, and drop 3 backups", follow=False)
    assert "4 backups of app are dropped" in again.text
    assert rules(retention) is None


def test_without_any_rule_everything_is_kept_again(retention: Console) -> None:
    set_rules(retention, Retention(keep_last=1, minimum_kept=4))
    retention.press(tried(retention, keep_last=""), "Save these rules")
    assert rules(retention) is None


def test_a_prune_is_asked_for_once_what_goes_was_agreed_to(retention: Console) -> None:
    store(retention, [NOON - DAY * each for each in range(3)])
    set_rules(retention, Retention(keep_last=1))
    asked = retention.press(retention.get(PAGE), "Prune now", follow=False)

    assert (asked.heading, prunes(retention)) == ("Prune now?", 0)
    done = retention.press(asked, "Remove 2 backups")
    assert done.notices[0].startswith("Pruning was asked for.")
    assert prunes(retention) == 1


def test_a_prune_that_drops_nothing_is_not_asked_about(retention: Console) -> None:
    store(retention, [NOON])
    set_rules(retention, Retention(keep_last=1))
    page = retention.get(PAGE)
    assert "The rules drop nothing now." in page.text
    retention.press(page, "Prune now")
    assert prunes(retention) == 1


def test_what_earlier_prunes_could_not_remove_is_told_with_what_its_store_said(retention: Console) -> None:
    _, left = store(retention, [NOON, NOON - DAY])
    later = datetime.now(UTC) + 9 * DAY
    with retention.database.transaction() as session:
        session.execute(
            update(BackupLog)
            .where(BackupLog.id == left)
            .values(deleted_at=NOON, deleted_by="retention: no rule keeps it", removal_due_at=later)
        )
        session.execute(
            update(BackupCopy)
            .where(BackupCopy.backup_id == left)
            .values(status=CopyStatus.UNDELETABLE, error="403 <Forbidden>")
        )
    page = retention.get(PAGE)
    [row] = page.rows("Dropped, and not gone yet")
    assert (row["By"], row["What is left"]) == ("retention: no rule keeps it", "default 403 <Forbidden>")
    assert days(page)[name(NOON - DAY)] == "1 being removed"
    assert "What could not be removed before is tried again." in page.text


def test_years_of_backups_are_told_twelve_months_at_a_time(retention: Console) -> None:
    store(retention, [NOON - 10 * DAY * each for each in range(150)])
    first = retention.get(PAGE)
    assert len(months(first)) == 12
    assert len(first.rows("All months")) > 36
    assert "Newer months" not in first.links
    older = retention.get(first.links["Older months"].partition("#")[0])
    assert retention.get(older.links["Newer months"].partition("#")[0]).html == first.html
    told = [set(months(page)) for page in (first, older, retention.get(older.links["Older months"].partition("#")[0]))]
    assert len(set.union(*told)) == sum(map(len, told)) == 36


def test_the_page_of_hourly_backups_stays_small(retention: Console) -> None:
    assert len(retention.get(PAGE).html) < 15_000
    store(retention, [NOON - timedelta(hours=each) for each in range(24 * 400)])
    assert len(tried(retention, hourly="24", daily="7", weekly="4", monthly="12").html) < 100_000


@pytest.mark.parametrize("path", ["/targets/nobody/retention", "/targets/%00/retention"])
def test_a_target_that_is_not_there_has_no_rules(retention: Console, path: str) -> None:
    assert retention.get(path).status == 404
    assert retention.send(path, daily="7").status == 404
    assert retention.send("/targets/nobody/prune").status == 404


def prunes(console: Console) -> int:
    with console.database.snapshot() as session:
        return len(session.scalars(select(Job.id).where(Job.kind == JobKind.PRUNE)).all())
