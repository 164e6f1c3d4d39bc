"""Schedules as they are set up, changed, paused and shown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from hhh.core.database import Database
from hhh.core.errors import InvalidInput, NotFound
from hhh.models import BackupLog, BackupStatus, JobKind, Policy, Schedule, Verification, VerificationStatus
from hhh.schemas.schedule import ScheduleChange, ScheduleRequest, ScheduleResource
from hhh.schemas.verification import Level
from hhh.services.container import Services
from hhh.services.schedules import ScheduleService, preview
from support.local_services import services_with_a_target
from support.sweeping import take

_HOUR = timedelta(hours=1)
UNKNOWN = ["", "x", "00000000-0000-0000-0000-000000000000", "\x00"]


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def schedules(services: Services) -> ScheduleService:
    return services.schedules


def asked(
    cron: str = "@hourly",
    *,
    target: str = "source",
    zone: str = "UTC",
    jitter: int = 0,
    verify: Level | None = None,
) -> ScheduleRequest:
    return ScheduleRequest(target=target, cron=cron, time_zone=zone, jitter_seconds=jitter, verify=verify)


def rewrite(services: Services, schedule: ScheduleResource, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(Schedule).where(Schedule.id == schedule.id).values(**values))


def take_backup(services: Services, at: datetime, *, status: BackupStatus = BackupStatus.SUCCESS) -> None:
    with services.database.transaction() as session:
        session.add(
            BackupLog(
                id=f"{status}-{at:%d%H%M%S}",
                target="source",
                backup_file=f"backup_{at:%Y%m%d_%H%M%S}.sql",
                status=status,
                created_at=at,
                finished_at=at,
                backup_size=1,
                pinned=False,
            )
        )


def verify(
    services: Services,
    at: datetime,
    level: Level = "proven",
    *,
    status: VerificationStatus = VerificationStatus.SUCCESS,
    target: str = "source",
) -> None:
    """A verification in the catalogue alone."""
    with services.database.transaction() as session:
        session.add(
            Verification(
                id=f"{level}-{status}-{at:%d%H%M%S}",
                backup_id="0",
                target=target,
                backup_file="backup_20250101_120000.sql",
                backup_created_at=at,
                level=level,
                status=status,
                requested_by="schedule",
                created_at=at,
            )
        )


def test_a_schedule_is_kept_as_it_was_asked_for(schedules: ScheduleService) -> None:
    before = datetime.now(UTC)
    added = schedules.add(asked(" 30  2 * * * ", zone="Europe/Berlin", jitter=300))
    assert (added.target, added.cron, added.time_zone, added.jitter_seconds) == (
        "source",
        "30 2 * * *",
        "Europe/Berlin",
        300,
    )
    assert added == schedules.get(added.id)
    assert not added.paused
    assert before < added.next_runs[0] < before + 25 * _HOUR
    assert (added.last_run_at, added.last_job_id, added.last_skipped_at, added.last_backup_at) == (None,) * 4


def test_the_next_five_runs_are_shown_without_jitter(schedules: ScheduleService) -> None:
    added = schedules.add(asked(jitter=600))
    assert [run.minute for run in added.next_runs] == [0] * 5
    assert [run - added.next_runs[0] for run in added.next_runs] == [_HOUR * number for number in range(5)]
    assert added.next_run_at is not None
    assert added.next_runs[0] <= added.next_run_at < added.next_runs[0] + timedelta(minutes=10)


def test_jitter_spreads_schedules_never_beyond_the_next_instant_and_is_always_the_same(
    schedules: ScheduleService,
) -> None:
    added = [schedules.add(asked("* * * * *", jitter=86_400)) for _ in range(20)]
    late = [each.next_run_at - each.next_runs[0] for each in added if each.next_run_at is not None]
    assert len(set(late)) == 20
    assert min(late) >= timedelta()
    assert max(late) < timedelta(minutes=1)
    one = schedules.add(asked("0 0 1 1 *", jitter=3600))
    again = [schedules.change(one.id, ScheduleChange()), schedules.resume(schedules.pause(one.id).id)]
    assert {each.next_run_at for each in again} == {one.next_run_at}


def test_only_targets_that_are_there_have_schedules(schedules: ScheduleService) -> None:
    assert schedules.add(asked(target="app")).target == "app"
    for name in ("none", "", "No", "\x00"):
        with pytest.raises(NotFound, match="No target is named"):
            schedules.add(asked(target=name))


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("0 0 30 2 *", "UTC"), ("nonsense", "UTC"), ("", "UTC"), ("@daily", "Mars/Olympus"), ("@daily", "")],
)
def test_what_never_comes_is_neither_set_up_nor_changed_to(schedules: ScheduleService, cron: str, zone: str) -> None:
    kept = schedules.add(asked())
    with pytest.raises(InvalidInput):
        schedules.add(asked(cron, zone=zone))
    with pytest.raises(InvalidInput):
        schedules.change(kept.id, ScheduleChange(cron=cron, time_zone=zone))
    assert schedules.page(limit=10) == [schedules.get(kept.id)]
    assert schedules.get(kept.id).next_runs == kept.next_runs


def test_a_change_plans_the_next_run_anew_and_leaves_the_rest(schedules: ScheduleService) -> None:
    added = schedules.add(asked(jitter=60))
    changed = schedules.change(added.id, ScheduleChange(cron="0 12 1 1 *", time_zone="Asia/Tokyo"))
    assert (changed.cron, changed.time_zone, changed.jitter_seconds) == ("0 12 1 1 *", "Asia/Tokyo", 60)
    assert {(run.month, run.day, run.hour) for run in changed.next_runs} == {(1, 1, 3)}
    exact = schedules.change(added.id, ScheduleChange(jitter_seconds=0))
    assert (exact.cron, exact.next_run_at) == ("0 12 1 1 *", exact.next_runs[0])


def test_a_paused_one_plans_nothing_and_stays_so_through_a_change(schedules: ScheduleService) -> None:
    added = schedules.add(asked())
    for paused in (schedules.pause(added.id), schedules.change(added.id, ScheduleChange(cron="@daily"))):
        assert (paused.paused, paused.next_run_at, paused.next_runs, paused.overdue) == (True, None, [], False)
    resumed = schedules.resume(added.id)
    assert (resumed.paused, resumed.cron, len(resumed.next_runs)) == (False, "@daily", 5)


def test_what_was_missed_while_paused_is_not_caught_up(services: Services, schedules: ScheduleService) -> None:
    added = schedules.pause(schedules.add(asked()).id)
    rewrite(services, added, updated_at=datetime.now(UTC) - 50 * _HOUR)
    resumed = schedules.resume(added.id)
    assert resumed.next_run_at is not None
    assert resumed.next_run_at > datetime.now(UTC)


def test_a_resume_of_one_that_is_not_paused_changes_nothing(services: Services, schedules: ScheduleService) -> None:
    added = schedules.add(asked())
    missed = datetime.now(UTC).replace(microsecond=0) - 3 * _HOUR
    rewrite(services, added, planned_at=missed, next_run_at=missed)
    assert schedules.resume(added.id).next_run_at == missed


def test_an_instant_that_had_its_run_has_no_other_after_the_clock_was_set_back(
    services: Services, schedules: ScheduleService
) -> None:
    added = schedules.add(asked())
    ran = added.next_runs[0]
    rewrite(services, added, last_run_at=ran)
    assert schedules.resume(schedules.pause(added.id).id).next_runs[0] == ran + _HOUR
    assert schedules.change(added.id, ScheduleChange(jitter_seconds=0)).next_runs[0] == ran + _HOUR


def test_a_backup_that_no_schedule_asks_for_has_the_time_limit_and_is_not_tried_again(services: Services) -> None:
    with services.database.transaction() as session:
        session.add(Policy(target="source", stores=[], retries=4, time_limit_seconds=60, updated_at=datetime.now(UTC)))
    new = services.backups.request("source")
    assert (new.retries, new.time_limit_seconds, new.schedule_id) == (0, 60, None)


def test_a_run_asked_for_by_hand_is_the_target_s_backup_by_its_policy(
    services: Services, schedules: ScheduleService
) -> None:
    added = schedules.add(asked())
    with services.database.transaction() as session:
        session.add(Policy(target="source", stores=[], retries=4, time_limit_seconds=60, updated_at=datetime.now(UTC)))
    new = schedules.request(added.id)
    assert (new.target, new.retries, new.time_limit_seconds, new.schedule_id, new.job_id) == (
        "source",
        4,
        60,
        added.id,
        None,
    )


def test_removed_ones_are_gone_and_no_other(schedules: ScheduleService) -> None:
    removed, kept = schedules.add(asked()), schedules.add(asked())
    schedules.remove(removed.id)
    assert [each.id for each in schedules.page(limit=10)] == [kept.id]
    with pytest.raises(NotFound):
        schedules.remove(removed.id)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_ids_of_no_schedule_are_not_found(schedules: ScheduleService, unknown: str) -> None:
    for call in (schedules.get, schedules.pause, schedules.resume, schedules.remove, schedules.request):
        with pytest.raises(NotFound, match="No schedule has that id"):
            call(unknown)
    with pytest.raises(NotFound, match="No schedule has that id"):
        schedules.change(unknown, ScheduleChange())


def test_they_are_listed_by_target_in_pages(services: Services, schedules: ScheduleService) -> None:
    services.targets.add("another", "sqlite:////srv/another.db")
    first = [schedules.add(asked(target=name)).id for name in ("source", "another", "source", "app")]
    in_order = [first[1], first[3], first[0], first[2]]
    assert [each.id for each in schedules.page(limit=10)] == in_order
    assert [each.id for each in schedules.page(limit=2, offset=1)] == in_order[1:3]
    assert [each.id for each in schedules.page(target="source", limit=10)] == [first[0], first[2]]
    assert schedules.page(target="\x00", limit=10) == []


def test_the_newest_good_backup_of_the_target_is_told(services: Services, schedules: ScheduleService) -> None:
    added = schedules.add(asked())
    newest = datetime.now(UTC).replace(microsecond=0)
    for hours in (3, 1, 2):
        take_backup(services, newest - hours * _HOUR)
    take_backup(services, newest, status=BackupStatus.FAILED)
    assert schedules.get(added.id).last_backup_at == newest - _HOUR


@pytest.mark.parametrize(
    ("every_hour", "run", "newest", "overdue"),
    [
        (True, 0.5, 0.6, False),  # it runs still, or waits for a worker
        (True, 0.5, 1.6, True),
        (False, 3, 3.1, False),
        (False, 9, 9.1, True),
        (False, 9, 2, False),
    ],
)
def test_a_target_is_overdue_when_a_run_should_have_made_a_newer_backup(
    services: Services, schedules: ScheduleService, every_hour: bool, run: float, newest: float, overdue: bool
) -> None:
    """It ran so many hours ago, and the newest backup is so many hours old."""
    now = datetime.now(UTC)
    ran = now - run * _HOUR
    added = schedules.add(asked(f"{ran.minute} {'*' if every_hour else ran.hour} * * *"))
    rewrite(services, added, created_at=now - 100 * _HOUR)
    take_backup(services, now - newest * _HOUR)
    assert schedules.get(added.id).overdue is overdue


def test_what_was_due_before_there_was_a_schedule_is_not_overdue(
    services: Services, schedules: ScheduleService
) -> None:
    take_backup(services, datetime.now(UTC) - 1000 * _HOUR)
    assert not schedules.add(asked()).overdue


def test_a_new_schedule_is_not_overdue_before_its_first_run_had_its_time(
    services: Services, schedules: ScheduleService
) -> None:
    added = schedules.add(asked())
    assert not added.overdue
    rewrite(services, added, created_at=datetime.now(UTC) - 5 * _HOUR)
    assert schedules.get(added.id).overdue


# --------------------------------------------------------------------------------------------------- verifications


def test_a_schedule_verifies_or_takes_backups_as_it_is_told(schedules: ScheduleService) -> None:
    added = schedules.add(asked(verify="proven"))
    assert (added.verify, schedules.add(asked()).verify) == ("proven", None)
    assert schedules.change(added.id, ScheduleChange(cron="@daily")).verify == "proven"
    assert schedules.change(added.id, ScheduleChange(verify="stored")).verify == "stored"
    taking = schedules.change(added.id, ScheduleChange(verify=None))
    assert (taking.verify, taking.cron) == (None, "@daily")


def test_it_verifies_the_newest_backup_that_a_store_has(services: Services, schedules: ScheduleService) -> None:
    added = schedules.add(asked(verify="readable"))
    with pytest.raises(NotFound, match=r"^Nothing to verify yet$"):
        schedules.request(added.id)
    _, good, lost, ahead, removed = (take(services) for _ in range(5))
    with services.database.transaction() as session:
        session.get_one(BackupLog, lost).copies[0].status = "missing"
        session.get_one(BackupLog, ahead).created_at = datetime.now(UTC) + 99 * _HOUR
    services.deletion.delete(removed, by="me", force=services.catalogue.get(removed).backup_file)

    new = schedules.request(added.id)

    assert (new.kind, new.target, new.schedule_id, new.job_id) == (JobKind.VERIFY, "source", added.id, None)
    with services.database.transaction() as session:
        new.write(session, added.id, datetime.now(UTC))
    asked_for = services.verifications.get(added.id)
    assert (asked_for.backup_id, asked_for.level, asked_for.requested_by) == (good, "readable", "schedule")


def test_the_newest_successful_verification_of_its_level_or_a_higher_one_is_told(
    services: Services, schedules: ScheduleService
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    verify(services, now - 4 * _HOUR, "proven")
    verify(services, now - 3 * _HOUR, "readable")
    verify(services, now - 2 * _HOUR, "stored")
    for status in (VerificationStatus.FAILED, VerificationStatus.INCONCLUSIVE, VerificationStatus.RUNNING):
        verify(services, now - _HOUR, status=status)
    verify(services, now, target="app")
    levels: list[Level | None] = ["proven", "readable", "stored", None]
    added = [schedules.add(asked(verify=level)) for level in levels]
    told = [schedules.get(each.id).last_verified_at for each in added]
    assert told == [now - 4 * _HOUR, now - 3 * _HOUR, now - 2 * _HOUR, None]
    assert [each.last_verified_at for each in schedules.page(limit=9)] == told


@pytest.mark.parametrize(
    ("status", "hours_ago", "overdue"),
    [
        (VerificationStatus.SUCCESS, 9.1, True),
        (VerificationStatus.SUCCESS, 2, False),
        (VerificationStatus.FAILED, 2, True),
        (VerificationStatus.INCONCLUSIVE, 2, True),
    ],
)
def test_it_is_overdue_when_a_run_should_have_made_a_newer_verification(
    services: Services, schedules: ScheduleService, status: VerificationStatus, hours_ago: float, overdue: bool
) -> None:
    now = datetime.now(UTC)
    ran = now - 9 * _HOUR
    added = schedules.add(asked(f"{ran.minute} {ran.hour} * * *", verify="proven"))
    rewrite(services, added, created_at=now - 100 * _HOUR)
    take_backup(services, now)  # which proves nothing
    verify(services, now - hours_ago * _HOUR, status=status)
    assert schedules.get(added.id).overdue is overdue


def test_a_preview_shows_the_next_five_runs() -> None:
    shown = preview(" 0 12  * * *", "Europe/Berlin")
    assert (shown.cron, len(shown.next_runs)) == ("0 12 * * *", 5)
    assert {run.hour for run in shown.next_runs} <= {10, 11}
    assert (shown.cron_in_words, shown.clock_changes) == ("each day at 12:00", [])


def test_a_preview_tells_which_times_a_clock_skips_or_shows_twice() -> None:
    skipped, twice = sorted(preview("0,30 2 * * *", "Europe/Berlin").clock_changes, key=lambda told: "twice" in told)
    assert "the clock skips 02:00 and 02:30: it runs at 03:00, once" in skipped
    assert "the clock shows 02:00 and 02:30 twice: it runs the first time only" in twice
    assert preview("*/30 * * * *", "Europe/Berlin").clock_changes == []


def test_what_has_become_of_the_last_run_is_told_while_it_is_there(
    services: Services, schedules: ScheduleService
) -> None:
    backs_up, verifies = schedules.add(asked()), schedules.add(asked(verify="stored"))
    backup_id = take(services)
    now = datetime.now(UTC)
    verify(services, now, "stored", status=VerificationStatus.INCONCLUSIVE)
    rewrite(services, backs_up, last_job_id=backup_id)
    rewrite(services, verifies, last_job_id=f"stored-inconclusive-{now:%d%H%M%S}")
    told = {each.id: each.last_job_status for each in schedules.page(limit=2)}
    assert told == {backs_up.id: "success", verifies.id: "inconclusive"}

    services.deletion.delete(backup_id, by="me", force=services.catalogue.get(backup_id).backup_file)
    assert schedules.get(backs_up.id).last_job_status is None
