"""Pages of drills: what runs, what became of those that ended, and their reports."""

import json
import uuid
from datetime import timedelta

import pytest

from hhh.core.clock import utcnow
from hhh.models import Job, JobKind, JobLog, JobState, Verification, VerificationStatus
from support.console import Console
from support.sign_in import expire_access_token
from support.stored_rows import stored_backup_row

NOBODY = "5f1f2f0e-0000-4000-8000-000000000000"


def verify(console: Console, backup_id: str, level: str) -> str:
    """The id of a verification that has ended."""
    answer = console.client.post(f"/api/v1/backups/{backup_id}/verify", json={"level": level}, headers=console.token)
    verification_id = str(answer.raise_for_status().json()["verification_id"])
    console.ended(f"/api/v1/verifications/{verification_id}")
    return verification_id


def a_record(status: VerificationStatus, **more: object) -> Verification:
    """A verification of which there is the row alone; of a backup that is gone, unless told."""
    row = Verification(id=str(uuid.uuid4()), backup_id=str(uuid.uuid4()), target="app", backup_file="old.sql")
    row.level, row.status, row.requested_by, row.created_at = "proven", status, "policy", utcnow()
    row.backup_created_at = row.started_at = row.created_at
    if status not in (VerificationStatus.QUEUED, VerificationStatus.RUNNING):
        row.finished_at = row.created_at + timedelta(seconds=5)
    for name, value in more.items():
        setattr(row, name, value)
    return row


def record(console: Console, status: VerificationStatus, **more: object) -> str:
    """The id of such a verification."""
    row = a_record(status, **more)
    with console.database.transaction() as session:
        session.add(row)
    return row.id


@pytest.fixture(scope="module")
def proven(console: Console) -> tuple[str, str]:
    """A backup, and the verification that proved it."""
    console.add_target("shop")
    backup_id = console.back_up("shop")
    return backup_id, verify(console, backup_id, "proven")


def test_that_a_drill_was_asked_for_is_told_until_it_has_ended(console: Console) -> None:
    runs, is_over = record(console, VerificationStatus.RUNNING), record(console, VerificationStatus.SUCCESS)

    assert console.get(f"/drills/{runs}?done=verify-queued").notices[0].startswith("The verification was asked for.")
    assert console.get(f"/drills/{is_over}?done=verify-queued").notices == []


def test_without_any_drill_the_page_tells_what_to_do(fresh_console: Console) -> None:
    page = fresh_console.get("/drills")

    assert page.rows() == []
    assert "Nothing was proven yet" in page.text
    assert page.links["Backups"] == "/backups"


def test_a_proven_backup_is_told_with_what_it_took(console: Console, proven: tuple[str, str]) -> None:
    backup_id, verification_id = proven

    page = console.get(f"/drills/{verification_id}")

    assert page.main.one("section").text.startswith("Proven restorable This backup was restored")
    assert page.facts["Level reached"] == "proven"
    assert page.facts["Restored into"].startswith("SQLite")
    assert page.facts["Restore time"]
    assert page.links[page.facts["Backup"].partition(",")[0]] == f"/backups/{backup_id}"
    [copy] = page.rows("Copies read back")
    assert (copy["Store"], copy["State"], copy["Problem"]) == ("default", "good", "–")
    assert {row["State"] for row in page.rows("Tables")} == {"same"}
    assert "hhh backup check-report" in page.text


def test_what_it_wrote_to_the_log_stands_below(console: Console) -> None:
    drill = record(console, VerificationStatus.FAILED, result={"errors": ["no such table"]})
    line = {"timestamp": "2026-11-23T10:00:00Z", "level": "error", "event": "drill_failed", "error": "no such table"}
    with console.database.transaction() as session:
        session.add(JobLog(job_id=drill, lines=[line], written_at=utcnow()))

    page = console.get(f"/drills/{drill}")

    assert page.headings[-1] == "Log"
    assert [(row["Level"], row["Event"], row["More"]) for row in page.rows("Log lines")] == [
        ("error", "drill failed", "error no such table")
    ]


def test_it_is_verified_again_from_its_page(console: Console, proven: tuple[str, str]) -> None:
    backup_id, verification_id = proven
    form = console.get(f"/drills/{verification_id}").form("Verify again")
    assert (form.action, form.fields["level"]) == (f"/backups/{backup_id}/verify", ["proven"])


def test_its_reports_are_reached_with_a_session_whose_token_ran_out(console: Console, proven: tuple[str, str]) -> None:
    _, verification_id = proven
    page = console.get(f"/drills/{verification_id}")
    expire_access_token(console.client, console.services.settings)

    printed = console.get(page.links["Report to print"])
    data = console.get(page.links["Report as JSON"])

    assert (printed.status, data.status) == (303, 303)
    assert "PROVEN RESTORABLE" in console.client.get(printed.location).text
    assert json.loads(console.client.get(data.location).text)["verification"]["id"] == verification_id


def test_a_backup_that_is_not_what_it_was_is_told_with_what_to_do(console: Console) -> None:
    backup_id = console.back_up("app")
    for file in (console.folder / "data" / "backups").rglob("backup_*.zst*"):
        if f"{console.services.catalogue.get(backup_id).backup_file}." in file.name and "facts" not in file.name:
            file.write_bytes(b"\0" * file.stat().st_size)

    page = console.get(f"/drills/{verify(console, backup_id, 'stored')}")

    assert page.main.one("section").text.startswith("Failed This backup is not what it should be.")
    assert "Don't count on this backup" in page.text
    [copy] = page.rows("Copies read back")
    assert copy["State"] == "damaged"
    assert copy["Problem"] != "–"


def test_what_differs_comes_first_and_many_tables_are_folded_away(console: Console) -> None:
    tables = [{"schema_name": "", "name": f"t{number:03}", "rows": number} for number in range(40)]
    differing = {"name": "rows of t000", "expected": "7", "found": "0"}
    result = {"tables": tables, "differences": [differing], "compared": ["40 tables"], "assertions": []}
    result["assertions"] = [{"sql": "SELECT 1 = 2", "holds": False, "found": "false", "seconds": 0.1}]
    drill = record(console, VerificationStatus.FAILED, result=result, error="1 difference", refuted=True)

    page = console.get(f"/drills/{drill}")

    shown = page.rows("Tables that were restored")
    assert (shown[0]["Table"], shown[0]["State"]) == ("t000", "differs")
    assert (shown[0]["Rows in the source"], shown[0]["Rows restored"]) == ("7", "0")
    assert (len(shown), len(page.rows("Further tables"))) == (10, 30)
    assert page.rows("Differences") == [{"What": "rows of t000", "Expected": "7", "Found": "0"}]
    assert page.rows("Assertions")[0]["State"] == "does not hold"
    assert "If an assertion is wrong" in page.text
    assert "removed since" in page.facts["Backup"]
    assert not [form for form in page.forms if "Verify again" in form.buttons]


def test_an_inconclusive_one_tells_what_was_lacking_and_what_was_found_out(console: Console) -> None:
    result = {"reached": "readable", "lacking": ["no initdb 17 here (install postgresql-17)"]}
    drill = record(console, VerificationStatus.INCONCLUSIVE, result=result, reached="readable", error="no initdb 17")

    page = console.get(f"/drills/{drill}")

    assert "Nothing speaks against it. What was found out: the backup can be read to its end." in page.text
    assert "no initdb 17 here (install postgresql-17)" in page.text
    assert "Provide what was lacking, then verify again." in page.text


def test_a_cancelled_one_has_no_report(console: Console) -> None:
    drill = record(console, VerificationStatus.CANCELLED, error="The verification was cancelled")

    page = console.get(f"/drills/{drill}")
    refused = console.get(f"/drills/{drill}/report?format=html")

    assert "Report to print" not in page.links
    assert (refused.status, refused.notices != []) == (422, True)


def test_names_of_tables_are_shown_as_they_are(console: Console) -> None:
    tables = [{"schema_name": "", "name": "<script>alert(1)</script>", "rows": 1}]
    drill = record(console, VerificationStatus.SUCCESS, result={"tables": tables, "compared": ["1 table"]})

    assert console.get(f"/drills/{drill}").rows("Tables")[0]["Table"] == "<script>alert(1)</script>"


def test_one_that_runs_is_followed_and_cancelled(fresh_console: Console) -> None:
    console = fresh_console
    backup_id, now = stored_backup_row(console.database), utcnow()
    drill = record(console, VerificationStatus.RUNNING, backup_id=backup_id)
    job = Job(id=drill, kind=JobKind.VERIFY, target="app", state=JobState.RUNNING, attempt=1, worker=NOBODY)
    job.lease_expires_at, job.created_at, job.started_at = now + timedelta(seconds=25), now, now
    job.progress = {"stage": "restore", "raw_bytes": 10, "percent": 40.0}
    with console.database.transaction() as session:
        session.add(job)

    [row] = console.get("/drills").rows("Under way")
    page = console.get(f"/drills/{drill}")
    cancelled = console.press(page, "Cancel")

    assert (row["State"], row["Progress"]) == ("running", "restoring 40 %")
    followed = page.root.where(lambda each: "data-follow" in each.attributes)
    assert [each.get("data-follow") for each in followed] == [f"/api/v1/verifications/{drill}/events"]
    assert cancelled.notices == ["It was asked to stop, and does so within seconds."]
    with console.database.snapshot() as session:
        assert session.get_one(Job, drill).cancel_requested


def test_the_history_is_narrowed_and_paged(fresh_console: Console) -> None:
    console, now = fresh_console, utcnow()
    ended = [
        a_record(VerificationStatus.SUCCESS, level="stored", created_at=now - timedelta(minutes=minute))
        for minute in range(60)
    ]
    with console.database.transaction() as session:
        session.add_all(ended)
    failed = record(console, VerificationStatus.FAILED, target="shop", result={"restore_seconds": 40.0})

    first = console.get("/drills")
    second = console.get(first.links["Older"])

    assert (len(first.rows()), len(second.rows())) == (50, 11)
    assert first.links["old.sql"] == f"/drills/{failed}"
    assert first.rows()[0]["Restore"] == "40 s"
    assert second.links["Newest"] == "/drills"
    for narrowed in ("target=shop", "status=failed", "level=proven", "target=shop&status=failed&level=proven"):
        assert [row["Database"] for row in console.get(f"/drills?{narrowed}").rows()] == ["shop"], narrowed
    older = console.get("/drills?level=stored").links["Older"]
    assert len(console.get(older).rows()) == len(ended) - 50
    assert "No drill fits" in console.get("/drills?target=nobody").text
    assert console.get("/drills?target=%00&status=x&level=x&cursor=").status == 200
    assert console.get("/drills?cursor=x").status == 422


@pytest.mark.parametrize("path", ["/drills/no-id", f"/drills/{NOBODY}", f"/drills/{NOBODY}/report"])
def test_what_is_not_there_is_not_found(console: Console, path: str) -> None:
    assert console.get(path).status == 404
