"""Pages of backups: the list, and each of them with what is known of it and what can be done with it."""

import sqlite3
import uuid
from datetime import timedelta

import pytest

from hhh.core.clock import utcnow
from hhh.core.text import harmless
from hhh.models import BackupLog, BackupStatus, CopyStatus, Job, JobKind, JobState
from support.console import Console
from support.logs import log
from support.stored_rows import stored_backup_row
from support.waiting import wait_until

__all__ = ["log"]

NOBODY = "5f1f2f0e-0000-4000-8000-000000000000"
HOSTILE = "<script>alert(1)</script> & 'quotes' \N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.fixture(scope="module")
def shop(console: Console) -> str:
    """The newest backup of `shop`."""
    console.add_target("shop")
    return console.back_up("shop")


def row(console: Console, status: BackupStatus = BackupStatus.FAILED, **more: object) -> str:
    """The id of a backup that has ended, of which there is the row alone."""
    backup = BackupLog(id=str(uuid.uuid4()), target="app", status=status, pinned=False, backup_size=0)
    backup.backup_file = f"backup_{backup.id[:8]}.sql"
    backup.created_at = backup.finished_at = utcnow()
    for name, value in more.items():
        setattr(backup, name, value)
    with console.database.transaction() as session:
        session.add(backup)
    return backup.id


def running(console: Console, target: str, **more: object) -> str:
    """The id of a backup that a worker elsewhere is on."""
    backup_id = row(console, BackupStatus.RUNNING, target=target, finished_at=None)
    now = utcnow()
    job = Job(id=backup_id, kind=JobKind.BACKUP, target=target, state=JobState.RUNNING, attempt=2, worker="elsewhere")
    job.created_at = job.started_at = now
    job.lease_expires_at = now + timedelta(seconds=25)
    job.progress = {"stage": "stream", "raw_bytes": 1_000_000, "expected_bytes": 4_000_000, "percent": 25.0}
    for name, value in more.items():
        setattr(job, name, value)
    with console.database.transaction() as session:
        session.add(job)
    return backup_id


def ids(console: Console, query: str) -> list[str]:
    """The ids of the backups that a list shows."""
    links = console.get(f"/backups?{query}").main.one("table").one("tbody").all("a")
    return [href.rpartition("/")[2] for each in links if (href := each.get("href")).startswith("/backups/")]


def rows(console: Console, query: str) -> list[dict[str, str]]:
    """What a list tells of each backup; some cells of one that has no object are one."""
    lines = console.get(f"/backups?{query}").main.one("table").one("tbody").all("tr")
    return [{cell.get("data-label"): cell.text for cell in line.all("th", "td")} for line in lines]


# ------------------------------------------------------------------------------------------------------- the list


def test_without_any_backup_the_list_says_how_to_take_one(fresh_console: Console) -> None:
    page = fresh_console.get("/backups")

    assert "No backups yet" in page.text
    assert page.form("Back up now").choices["target"] == ["app"]


def test_a_row_tells_state_copies_sizes_and_what_is_proven(console: Console, shop: str) -> None:
    [told] = rows(console, "target=shop")

    assert told["State"] == "success"
    assert told["Copies"] == "1 of 1"
    assert told["Verified"] == "not yet"
    assert told["Ratio"].endswith("×")
    assert told["Stored"].endswith(("bytes", "kB"))
    assert told["Took"].endswith(" s")


def test_a_failed_one_tells_the_first_line_of_its_error_in_whatever_words(console: Console) -> None:
    row(console, target="broken", error=f"{HOSTILE}\nmore of it")
    [told] = rows(console, "target=broken")

    assert told["State"] == f"failed {harmless(HOSTILE)}"
    assert "Stored" not in told


def test_a_missing_copy_is_named_with_its_reason(console: Console) -> None:
    states = {"default": CopyStatus.STORED, "offsite": CopyStatus.MISSING}
    stored_backup_row(console.database, target="copied", copies=states)
    [told] = rows(console, "target=copied")

    assert told["Copies"] == "1 of 2 offsite: missing"


def test_one_that_runs_shows_its_progress(console: Console) -> None:
    running(console, "slow")
    [told] = rows(console, "target=slow")

    assert told["State"] == "running storing 25 %"


def test_the_list_is_narrowed_and_its_fields_show_to_what(console: Console) -> None:
    old, moment = utcnow().replace(year=2020), {"verified_level": "proven", "verified_at": utcnow()}
    kept = row(console, BackupStatus.SUCCESS, target="narrow", pinned=True, backup_size=5, created_at=old)
    proven = row(console, BackupStatus.SUCCESS, target="narrow", backup_size=9, **moment)
    failed = row(console, target="narrow")

    assert set(ids(console, "target=narrow")) == {kept, proven, failed}
    assert ids(console, "target=narrow&status=failed") == [failed]
    assert ids(console, "target=narrow&proven=yes") == [proven]
    assert set(ids(console, "target=narrow&proven=no")) == {kept, failed}
    assert ids(console, "target=narrow&pinned=yes") == [kept]
    assert ids(console, f"target=narrow&to={old:%Y-%m-%d}") == [kept]
    assert set(ids(console, "target=narrow&from=2021-01-01")) == {proven, failed}
    assert ids(console, "target=narrow&sort=oldest")[0] == kept
    assert ids(console, "target=narrow&sort=largest") == [proven, kept]
    page = console.get("/backups?target=narrow&status=failed&from=2021-01-01")
    fields = page.form("Show").fields
    assert (fields["target"], fields["status"], fields["from"]) == (["narrow"], ["failed"], ["2021-01-01"])
    assert page.links["Show all"] == "/backups"


@pytest.mark.parametrize(
    ("query", "field"),
    [("from=yesterday", "from"), ("to=9999-12-31", "to"), ("status=odd", "status"), ("sort=x", "sort")],
)
def test_what_cannot_be_asked_for_is_said_beside_its_field(console: Console, query: str, field: str) -> None:
    page = console.get(f"/backups?{query}")

    assert page.status == 422
    assert [*page.wrong] == [field]


@pytest.mark.parametrize("query", ["target=none", "target=%00", "target=app&pinned=yes", "status=queued&sort=largest"])
def test_where_nothing_fits_the_list_says_so(console: Console, query: str) -> None:
    page = console.get(f"/backups?{query}")

    assert "No backup is like that" in page.text
    assert page.links["Show all"] == "/backups"


@pytest.mark.parametrize("sort", ["newest", "oldest", "largest", "smallest"])
def test_pages_hold_each_backup_once_and_keep_what_was_asked_for(console: Console, sort: str) -> None:
    target = f"many-{sort}"
    made = {stored_backup_row(console.database, target=target, size=1 + number % 7) for number in range(120)}
    page = console.get(path := f"/backups?target={target}&sort={sort}")
    seen = ids(console, path.partition("?")[2])
    while further := [href for text, href in page.links.items() if text in {"Older", "Newer", "Next page"}]:
        assert further[0].startswith(path)
        page = console.get(further[0])
        seen += ids(console, further[0].partition("?")[2])

    assert len(seen) == 120
    assert set(seen) == made
    assert page.links[{"newest": "Newest", "oldest": "Oldest"}.get(sort, "First page")] == path


def test_a_cursor_of_nobody_is_an_error_with_a_way_back(console: Console) -> None:
    assert console.get("/backups?cursor=x").status == 422


# ---------------------------------------------------------------------------------------------------- taking them


def test_a_backup_is_asked_for_followed_and_told(console: Console, shop: str) -> None:
    answer = console.send("/backups", target="shop")
    backup_id = answer.location.removeprefix("/backups/").partition("?")[0]
    console.ended(f"/api/v1/backups/{backup_id}")

    page = console.get(answer.location)
    assert (answer.location.partition("?")[2], page.notices) == ("done=backup-queued", [])
    assert page.facts["Database"] == "shop"
    assert "Restore" in page.links
    assert backup_id != shop


def test_a_busy_database_is_told_with_a_link_to_what_runs(console: Console) -> None:
    console.add_target("busy")
    backup_id = running(console, "busy")
    page = console.send("/backups", target="busy")

    assert page.status == 409
    assert page.links["Follow the backup"] == f"/backups/{backup_id}"


def test_an_unknown_database_is_an_error_page(console: Console) -> None:
    assert console.send("/backups", target="nobody").status == 404


def test_one_under_way_is_followed_and_can_be_cancelled(console: Console) -> None:
    backup_id = running(console, "cancelled")
    page = console.get(f"/backups/{backup_id}")
    box = page.main.one("section")
    assert box.get("data-follow") == f"/api/v1/backups/{backup_id}/events"
    assert "1.0 MB of about 4.0 MB" in box.text
    assert "attempt 2" in page.facts["Begun"]

    after = console.press(page, "Cancel")
    assert "does so within seconds" in after.text
    assert not any("Cancel" in form.buttons for form in after.forms)


def test_one_that_waits_for_a_further_attempt_tells_why(console: Console) -> None:
    later = utcnow() + timedelta(minutes=10)
    waits = {"state": JobState.QUEUED, "not_before": later, "error": "The store is away", "retries_left": 2}
    backup_id = running(console, "waiting", **waits)
    [notice] = console.get(f"/backups/{backup_id}").notices

    assert "Attempt 2 ended: The store is away" in notice
    assert "Attempt 3 begins in" in notice


# ------------------------------------------------------------------------------------------------------ one of them


def test_a_backup_tells_what_it_is_in_words(console: Console, shop: str) -> None:
    page = console.get(f"/backups/{shop}")

    assert page.facts["Source"].startswith("a SQLite database, taken with")
    assert "one moment" in page.facts["Consistency"]
    assert page.facts["Encryption"] == "none: whoever can read a store can read it"
    assert page.facts["Signed by"].endswith("this service's own key")
    [copy] = page.rows("Copies")
    assert (copy["Store"], copy["State"]) == ("default", "stored")
    assert page.facts["Took"].endswith("/s of the dump")


def test_its_hashes_and_commands_can_be_copied(console: Console, shop: str) -> None:
    page = console.get(f"/backups/{shop}")
    copied = {each.get("id"): each.text for each in page.main.all("pre")}
    digest = console.services.catalogue.get(shop).sha256

    assert digest
    assert digest in copied["hashes"]
    assert digest in copied["step-1"]
    assert copied["fetch-1"].startswith("mkdir -p recovered && cd recovered cp -- /")


@pytest.mark.usefixtures("log")
def test_what_it_logged_stands_on_its_page(console: Console) -> None:
    console.add_target("logged")
    backup_id = console.back_up("logged")
    wait_until(lambda: console.services.job_logs.of(backup_id), what="its log")
    lines = console.get(f"/backups/{backup_id}").rows("Log lines")

    assert [line["Event"] for line in lines] == ["attempt begun", *["stage begun"] * 3, "backup stored"]


def test_a_failed_one_tells_why_and_offers_another(console: Console) -> None:
    page = console.get(f"/backups/{row(console, error=HOSTILE)}")

    assert harmless(HOSTILE) in page.notices[0]
    assert page.form("Back up again").fields["target"] == ["app"]
    assert "Restore" not in page.links


@pytest.mark.parametrize("path", ["", "/contents", "/delete", "/download"])
@pytest.mark.parametrize("backup_id", [NOBODY, "no-id", "%00"])
def test_what_is_not_there_is_an_error_page(console: Console, backup_id: str, path: str) -> None:
    page = console.get(f"/backups/{backup_id}{path}")

    assert page.status == 404
    assert page.heading == "Not found"


def test_it_is_verified_and_the_page_of_the_drill_follows_that(console: Console, shop: str) -> None:
    answer = console.press(console.get(f"/backups/{shop}"), "Verify", follow=False, level="stored")
    verification_id = answer.location.removeprefix("/drills/").partition("?")[0]
    console.ended(f"/api/v1/verifications/{verification_id}")

    [told, *_] = console.get(f"/backups/{shop}").rows("Verifications")
    assert (told["Level"], told["State"], told["Found"]) == ("stored", "success", "nothing against it")


def test_it_is_verified_at_no_other_level(console: Console, shop: str) -> None:
    assert console.send(f"/backups/{shop}/verify", level="somehow").status == 422


def test_what_a_verification_found_stands_in_its_line(console: Console) -> None:
    console.add_target("damaged")
    backup_id = console.back_up("damaged")
    [stored] = (console.folder / "data").rglob("damaged/*.zst")
    stored.write_bytes(b"x")
    console.send(f"/backups/{backup_id}/verify", level="stored")
    verifications = console.client.get(f"/api/v1/verifications?backup_id={backup_id}").json()["items"]
    console.ended(f"/api/v1/verifications/{verifications[0]['id']}")

    [told] = console.get(f"/backups/{backup_id}").rows("Verifications")
    assert told["State"] == "failed"
    assert "is damaged" in told["Found"]


def test_it_is_pinned_and_unpinned(console: Console, shop: str) -> None:
    pinned = console.press(console.get(f"/backups/{shop}"), "Pin")
    assert pinned.facts["Kept"] == "pinned: no rule removes it"
    assert shop in ids(console, "pinned=yes")

    unpinned = console.press(pinned, "Unpin")
    assert unpinned.facts["Kept"] == "what is kept of shop"


@pytest.mark.parametrize("form", ["stored", "plain"])
def test_a_download_leads_to_the_artifact(console: Console, shop: str, form: str) -> None:
    answer = console.get(f"/backups/{shop}/download?form={form}")

    assert (answer.status, answer.location) == (303, f"/api/v1/backups/{shop}/download?form={form}")
    assert console.client.get(answer.location).status_code == 200


def test_no_download_of_another_form(console: Console, shop: str) -> None:
    assert console.get(f"/backups/{shop}/download?form=/elsewhere").status == 422


def test_what_stands_against_a_download_is_told_as_a_page(console: Console) -> None:
    page = console.get(f"/backups/{row(console)}/download?form=plain")

    assert page.status == 404
    assert "holds nothing" in page.text


# ------------------------------------------------------------------------------------------------------ its contents


def test_its_contents_are_tables_with_rows_and_definitions(console: Console, shop: str) -> None:
    page = console.get(f"/backups/{shop}/contents")
    [first, *_] = page.rows()

    assert first["Table"]
    assert first["Rows"].replace(",", "").isdecimal()
    assert "CREATE TABLE" in first["Definition"]


def test_thousands_of_tables_are_paged_and_found_by_their_names(console: Console) -> None:
    file = console.add_target("tables")
    with sqlite3.connect(file) as database:
        for number in range(250):
            database.execute(f'CREATE TABLE "wide {number}" (a)')
    database.close()
    backup_id = console.back_up("tables")
    page = console.get(f"/backups/{backup_id}/contents?q=WIDE")
    seen = [line["Table"] for line in page.rows()]
    while further := page.links.get("Next page"):
        page = console.get(further)
        seen += [line["Table"] for line in page.rows()]

    assert len(seen) == len(set(seen)) == 250
    assert page.links["First page"] == f"/backups/{backup_id}/contents?q=WIDE"
    assert [line["Table"] for line in console.get(f"/backups/{backup_id}/contents?q=wide+249").rows()] == ["wide 249"]
    assert "No table is called so" in console.get(f"/backups/{backup_id}/contents?q=nothing").text


def test_contents_that_no_store_gives_are_told_with_what_to_do(console: Console) -> None:
    console.add_target("emptied")
    backup_id = console.back_up("emptied")
    for each in (console.folder / "data").rglob("emptied/*.facts.json"):
        each.unlink()
    page = console.get(f"/backups/{backup_id}/contents")

    assert page.status == 503
    assert "has no object" in page.notices[0]
    assert page.links["Try again"] == f"/backups/{backup_id}/contents"


# ------------------------------------------------------------------------------------------------------- its end


def test_one_that_others_follow_is_deleted_without_further_questions(console: Console, shop: str) -> None:
    newer = console.back_up("shop")
    page = console.get(f"/backups/{shop}/delete")
    assert not page.notices

    after = console.press(page, "Delete")
    assert "gone from every list" in after.text
    assert console.get(f"/backups/{shop}").status == 404
    assert newer in ids(console, "target=shop")


def test_a_protected_one_goes_only_where_its_file_is_named(fresh_console: Console) -> None:
    fresh_console.add_target("only")
    backup_id = fresh_console.back_up("only")
    file = fresh_console.services.catalogue.get(backup_id).backup_file
    page = fresh_console.get(f"/backups/{backup_id}/delete")
    assert "it is the newest good backup of its database" in page.notices[0]

    refused = fresh_console.send(f"/backups/{backup_id}/delete")
    assert (refused.status, "protected" in refused.notices[0]) == (409, True)
    wrong = fresh_console.press(page, "Delete", name="backup_20250101_000000.sql")
    assert (wrong.status, "not the name of its file" in wrong.wrong["name"]) == (422, True)
    assert "gone from every list" in fresh_console.press(page, "Delete", name=file).text


def test_a_failed_one_is_removed_from_the_list(console: Console) -> None:
    backup_id = row(console)
    console.press(console.get(f"/backups/{backup_id}/delete"), "Remove")

    assert console.get(f"/backups/{backup_id}").status == 404


def test_one_that_runs_is_not_deleted(console: Console) -> None:
    assert console.send(f"/backups/{running(console, 'kept')}/delete").status == 409
