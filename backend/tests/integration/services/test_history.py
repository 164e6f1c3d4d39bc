"""What became of backups day by day, from rows of backups, jobs and schedules, on both databases."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import BackupLog, BackupStatus, Job, JobState, Schedule
from hhh.schemas.schedule import ScheduleChange, ScheduleRequest
from hhh.services.container import Services
from hhh.services.history import DAYS, Figures, Outcomes
from support.local_services import services_with_a_target
from support.recoverable import a_backup

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
#: At noon: no test is near to midnight.
YESTERDAY = datetime.combine(utcnow().date() - DAY, datetime.min.time(), UTC) + 12 * HOUR
GB = 10**9


@pytest.fixture
def services(own_database: Database, tmp_path: Path) -> Services:
    return services_with_a_target(tmp_path, own_database, target="shop")


def on(services: Services, day: datetime = YESTERDAY, target: str = "shop") -> Outcomes:
    """What became of a target's backups on a day."""
    history = services.history.of([target])
    return history.targets[0].outcomes[history.days.index(day.date())]


def taken(services: Services, at: datetime = YESTERDAY, **more: Any) -> str:
    return a_backup(services.database, "shop", age=utcnow() - at, **more)


def a_job(services: Services, at: datetime = YESTERDAY, **more: Any) -> str:
    """The id of a job of a backup that is no longer kept, unless told."""
    job = Job(id=str(uuid.uuid4()), kind="backup", target="shop", state=JobState.SUCCESS, worker="", created_at=at)
    job.lease_expires_at = job.started_at = job.finished_at = at
    for name, value in more.items():
        setattr(job, name, value)
    with services.database.transaction() as session:
        session.add(job)
    return job.id


def nightly(services: Services, **more: Any) -> str:
    """The id of a schedule of each night at three, set up long ago."""
    schedule_id = services.schedules.add(ScheduleRequest(target="shop", cron="0 3 * * *")).id
    with services.database.transaction() as session:
        row = session.get_one(Schedule, schedule_id)
        row.created_at = utcnow() - 60 * DAY
        for name, value in more.items():
            setattr(row, name, value)
    return schedule_id


def missed(services: Services) -> int:
    return sum(each.missed for each in services.history.of(["shop"]).targets[0].outcomes)


def test_a_target_without_any_backup_has_thirty_days_of_nothing(services: Services) -> None:
    history = services.history.of(["shop", "app"])
    assert len(history.days) == DAYS == 30
    assert (history.days[0], history.days[-1]) == (utcnow().date() - 29 * DAY, utcnow().date())
    assert [each.target for each in history.targets] == ["shop", "app"]
    assert all(each == Outcomes() for target in history.targets for each in target.outcomes)
    assert set(history.figures) == {Figures(None, None, None)}


def test_each_backup_counts_on_its_day_as_what_became_of_it(services: Services) -> None:
    taken(services)
    taken(services, verified_level="stored")
    taken(services, verified_level="proven")
    taken(services, status=BackupStatus.FAILED)
    for neither in (BackupStatus.CANCELLED, BackupStatus.RUNNING, BackupStatus.QUEUED):
        taken(services, status=neither)
    taken(services, YESTERDAY - 3 * DAY)
    taken(services, YESTERDAY - 40 * DAY)

    assert on(services) == Outcomes(ok=2, proven=1, failed=1)
    assert on(services, YESTERDAY - 3 * DAY) == Outcomes(ok=1)
    assert on(services, YESTERDAY - 2 * DAY) == Outcomes()
    assert on(services, target="app") == Outcomes()


def test_a_pruned_backup_was_stored_and_is_neither_missed_nor_failed(services: Services) -> None:
    schedule_id = nightly(services, created_at=YESTERDAY - 10 * HOUR)
    at_three = YESTERDAY.replace(hour=3)
    a_job(services, at_three + timedelta(seconds=1), schedule_id=schedule_id)
    assert on(services) == Outcomes(removed=1)


def test_a_backup_and_its_job_are_counted_once(services: Services) -> None:
    a_job(services, id=taken(services))
    a_job(services, id=taken(services, status=BackupStatus.FAILED), state=JobState.FAILED)
    assert on(services) == Outcomes(ok=1, failed=1)


def test_jobs_that_failed_without_leaving_a_backup_are_not_stored_ones(services: Services) -> None:
    a_job(services, state=JobState.FAILED)
    a_job(services, state=JobState.CANCELLED)
    a_job(services, kind="prune")
    assert on(services) == Outcomes()


def test_instants_for_which_no_job_was_made_were_missed(services: Services) -> None:
    schedule_id = nightly(services)
    without = missed(services)
    assert without in (DAYS - 1, DAYS)  # tonight's may still come
    a_job(services, YESTERDAY.replace(hour=3, second=1), schedule_id=schedule_id, state=JobState.FAILED)
    assert missed(services) == without - 1
    assert on(services).missed == 0


def test_who_pauses_a_schedule_or_verifies_by_it_misses_nothing(services: Services) -> None:
    nightly(services, paused=True)
    nightly(services, verify_level="proven")
    assert missed(services) == 0


def test_a_schedule_that_was_changed_or_resumed_counts_from_then_on(services: Services) -> None:
    changed, resumed, jittered = nightly(services), nightly(services), nightly(services, created_at=YESTERDAY)
    services.schedules.change(jittered, ScheduleChange(jitter_seconds=5))
    services.schedules.change(changed, ScheduleChange(cron="0 4 * * *"))
    services.schedules.pause(resumed)
    services.schedules.resume(resumed)

    with services.database.snapshot() as session:
        since = {each: session.get_one(Schedule, each).unchanged_since for each in (changed, resumed, jittered)}
    assert since[jittered] is None
    assert since[changed]
    assert since[resumed]
    assert missed(services) <= 1


def test_a_run_that_was_left_out_for_another_backup_is_not_missed(services: Services) -> None:
    nightly(services)
    before, begun = missed(services), YESTERDAY.replace(hour=1)
    a_job(services, begun, finished_at=YESTERDAY.replace(hour=2))
    assert missed(services) == before
    a_job(services, begun, finished_at=YESTERDAY.replace(hour=5))
    assert (missed(services), on(services).missed) == (before - 1, 0)


def test_the_figures_of_a_day_are_of_all_targets_that_were_asked_for(services: Services) -> None:
    for target, seconds, size in (("shop", 10, GB), ("shop", 30, 2 * GB), ("app", 20, 3 * GB)):
        backup_id = a_backup(services.database, target, age=utcnow() - YESTERDAY, backup_size=size, raw_size=4 * GB)
        with services.database.transaction() as session:
            row = session.get_one(BackupLog, backup_id)
            row.finished_at = row.created_at + timedelta(seconds=seconds)
    taken(services, status=BackupStatus.FAILED, backup_size=0)

    history = services.history.of(["shop", "app"])

    [figures] = [each for each in history.figures if each.seconds is not None]
    assert figures.stored_bytes == 6 * GB
    assert figures.seconds == pytest.approx(20, abs=0.01)
    assert figures.bytes_per_second == pytest.approx(4 * GB / 20, rel=0.001)


def test_a_duration_does_not_count_how_long_a_backup_waited(services: Services) -> None:
    backup_id = taken(services, finished_at=YESTERDAY + HOUR)
    a_job(services, id=backup_id, started_at=YESTERDAY + HOUR - timedelta(seconds=5))
    [seconds] = [each.seconds for each in services.history.of(["shop"]).figures if each.seconds is not None]
    assert seconds == pytest.approx(5, abs=0.01)


def test_as_many_queries_for_many_targets_as_for_one(services: Services) -> None:
    def queries(targets: list[str]) -> int:
        seen: list[str] = []
        note = lambda *said: seen.append(said[2])  # noqa: E731
        event.listen(services.database.engine, "before_cursor_execute", note)
        services.history.of(targets)
        event.remove(services.database.engine, "before_cursor_execute", note)
        return len(seen)

    nightly(services)
    assert queries(["shop"]) == queries([f"t{number}" for number in range(100)])
