"""`hhh doctor`, where no server runs: what it tells of what is left over or lacks something, and what it repairs."""

import json
from datetime import timedelta
from pathlib import Path

from sqlalchemy import update
from typer import Typer
from typer.testing import CliRunner, Result

from hhh.cli import doctor as command
from hhh.core.clock import utcnow
from hhh.jobs.worker import working
from hhh.models import AlertChannel, BackupCopy, CopyStatus, Installation, Job, JobState, Policy, Schedule
from hhh.schemas.schedule import ScheduleRequest
from hhh.services.container import Services
from hhh.services.doctor import examine_upkeep
from hhh.services.sealing import Sealing, channel_owner
from support.sweeping import NOBODYS, SOURCE, everything_in, folder, key_of, left_over, look, take

DAY = timedelta(days=1)


def doctor(*arguments: str) -> Result:
    app = Typer()
    app.command()(command.doctor)
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def findings(*arguments: str) -> dict[str, dict[str, object]]:
    """By subject, the last of each."""
    return {each["subject"]: each for each in json.loads(doctor("--json", *arguments).stdout)}


def wrong(*arguments: str) -> dict[str, object]:
    return {subject: each["detail"] for subject, each in findings(*arguments).items() if not each["ok"]}


def test_where_all_is_well_it_says_so(services: Services) -> None:
    result = doctor()

    assert result.exit_code == 0, result.output
    assert "ok   sweep: nothing is left over, and what counts as stored is there\n" in result.stdout
    assert result.stdout.endswith("All is well.\n")


def test_it_only_tells_and_with_repair_it_repairs_and_says_what_it_did(services: Services) -> None:
    path = left_over(services)
    told = f"object without manifest in default: {key_of(services, path)}: No manifest names it"
    before = everything_in(folder(services))

    dry = doctor()

    assert dry.exit_code == 1
    assert f"FAIL {told}" in dry.stdout
    assert "1 of" in dry.stdout
    assert everything_in(folder(services)) == before

    repaired = doctor("--repair")

    assert repaired.exit_code == 0, repaired.output
    assert f"done {told}" in repaired.stdout
    assert "older than 24 hours → removed\n" in repaired.stdout
    assert not path.exists()
    assert doctor("--repair").stdout.count("done ") == 0


def test_programs_are_told_what_was_done(services: Services) -> None:
    left_over(services)
    subject = "object without manifest in default"
    dry, repaired = findings()[subject], findings("--repair")[subject]
    assert (dry["ok"], dry["done"]) == (False, "")
    assert (repaired["ok"], repaired["done"]) == (True, "removed")


def test_of_many_the_first_are_told_and_all_are_repaired(services: Services) -> None:
    paths = [left_over(services, f"{NOBODYS}.{attempt}.zst") for attempt in range(1, 251)]

    result = doctor("--repair")

    assert result.exit_code == 0, result.output
    assert result.stdout.count("done object without manifest in default") == 20
    assert "… and more of these" in result.stdout
    assert "done object without manifest: 50 more; the log has all" in result.stdout
    assert not any(path.exists() for path in paths)


def test_a_job_whose_worker_died_is_told_and_with_repair_ended(services: Services) -> None:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(SOURCE))
    with services.database.transaction() as session:
        session.execute(update(Job).where(Job.id == backup_id).values(state=JobState.RUNNING, attempt=1))
        session.execute(update(Job).where(Job.id == backup_id).values(lease_expires_at=utcnow() - DAY))

    assert "gives no sign of life" in str(wrong()["job without worker"])
    assert services.catalogue.get(backup_id).status == "queued"
    assert wrong("--repair") == {}
    assert services.catalogue.get(backup_id).status == "failed"


def test_every_store_is_tried_and_one_that_is_down_does_not_end_it(services: Services, tmp_path: Path) -> None:
    services.stores.add("good", (tmp_path / "good").as_uri())
    (tmp_path / "file").write_text("no folder")
    services.stores.add("bad", (tmp_path / "file").as_uri())

    told = findings()

    assert told["store default: refuse a second create"]["ok"]
    assert told["store good: refuse a second create"]["ok"]
    assert told["store good"]["ok"]
    lines = doctor().stdout.splitlines()
    assert sum("store good" in line for line in lines) == 1, "what works takes one line, however many stores there are"
    assert [subject for subject, each in told.items() if not each["ok"]] == ["store bad: write"]
    assert told["sweep"]["ok"]


def test_a_store_that_can_not_be_opened_is_told_once(services: Services, tmp_path: Path) -> None:
    services.stores.add("sealed", (tmp_path / "sealed").as_uri())
    with services.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE stores SET sealed_options = 'x'")
    assert [*wrong()] == ["store sealed"]


def test_what_should_have_happened_by_itself_is_told(services: Services) -> None:
    services.schedules.add(ScheduleRequest(target=SOURCE, cron="0 * * * *"))
    backup_id = take(services)
    with services.database.transaction() as session:
        session.execute(update(Schedule).values(created_at=utcnow() - 3 * DAY))
        session.connection().exec_driver_sql("UPDATE backup_log SET created_at = datetime(created_at, '-2 days')")
        session.add(Policy(target=SOURCE, stores=["default", "gone"], retries=0, updated_at=utcnow()))
        session.execute(update(Installation).values(created_at=utcnow() - 2 * DAY))
        copies = update(BackupCopy).where(BackupCopy.backup_id == backup_id)
        session.execute(copies.values(status=CopyStatus.MISSING, error="503"))

    told = wrong()

    assert str(told[f"schedule of {SOURCE}"]).startswith("0 * * * * is overdue: the newest backup is of ")
    assert "names stores that nobody knows: gone" in str(told[f"policy of {SOURCE}"])
    assert str(told["copies in default"]).startswith("1 missing")
    assert "it has none" in str(told["backups of app"])
    assert f"backups of {SOURCE}" not in told


def test_the_last_sweep_is_told_and_one_that_failed_or_is_long_ago_is_not_well(services: Services) -> None:
    assert findings()["last sweep"]["detail"] == "none by itself yet: workers begin one each day"
    with working(services) as worker:
        job_id = worker.create(services.sweep.request())
        worker.execute(job_id)
    assert str(findings()["last sweep"]["detail"]).endswith("UTC: success")

    def sweep_was(**values: object) -> dict[str, object]:
        with services.database.transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(**values))
        return wrong()

    assert str(sweep_was(created_at=utcnow() - 4 * DAY)["last sweep"]).endswith("does any worker run?")
    ended = sweep_was(created_at=utcnow(), state=JobState.FAILED, error="503")["last sweep"]
    assert str(ended).endswith("UTC: failed: 503")
    assert look(services).total == 0


def test_a_channel_that_takes_no_alerts_is_told_and_that_there_is_none(services: Services) -> None:
    [none] = [each for each in examine_upkeep(services) if each.subject == "alerts"]
    assert none.ok
    assert "nobody is told" in none.detail
    sealing, now = Sealing(services.settings), utcnow()
    with services.database.transaction() as session:
        for name, error in (("ops", "Connection refused"), ("boss", None)):
            url = sealing.seal(session, "json://127.0.0.1:9/", owner=channel_owner(name))
            row = AlertChannel(id=name, name=name, sealed_url=url, enabled=True, created_at=now, last_error=error)
            session.add(row)
    boss, ops = (each for each in examine_upkeep(services) if each.subject.startswith("alerts"))
    assert (boss.subject, boss.ok, boss.detail) == ("alerts to boss", True, "none went there")
    assert (ops.subject, ops.ok) == ("alerts to ops", False)
    assert ops.detail == (
        "it takes none: Connection refused; none went there, and 0 messages wait. Try it: hhh alerts test ops"
    )
