"""Schedules become jobs: one for each instant, whoever ticks, whatever the clock does, and whatever is wrong beside."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, event, select, update
from sqlalchemy.orm import Session

from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable
from hhh.jobs import creation
from hhh.jobs.ticker import Ticker
from hhh.models import Job, JobKind, JobState, Policy, Schedule, Target
from hhh.schemas.schedule import ScheduleChange, ScheduleRequest, ScheduleResource
from hhh.schemas.verification import Level
from hhh.services.container import Services
from hhh.services.schedules import job_id_of
from support.local_services import services_with_a_target
from support.sweeping import take

_HOUR = timedelta(hours=1)


class Hand:
    """A clock that is set, and the queue's end of a ticker: keeps what is handed over."""

    def __init__(self, services: Services, database: Database | None = None) -> None:
        self.time = datetime.now(UTC)
        self.handed_over: list[str] = []
        self.ticker = Ticker(services, database or services.database, self._take, clock=self)

    def now(self, session: Session) -> datetime:
        return self.time

    def tick(self, at: datetime | None = None) -> list[str]:
        """Ticks, at a time if one is given; the ids that were handed over by that."""
        self.time = at or self.time
        before = len(self.handed_over)
        self.ticker.tick()
        return self.handed_over[before:]

    def _take(self, job_ids: Sequence[str]) -> None:
        self.handed_over += job_ids


@pytest.fixture
def hand(services: Services) -> Hand:
    return Hand(services)


def add(
    services: Services,
    target: str = "source",
    cron: str = "@hourly",
    jitter: int = 0,
    verify: Level | None = None,
) -> ScheduleResource:
    return services.schedules.add(ScheduleRequest(target=target, cron=cron, jitter_seconds=jitter, verify=verify))


def job(services: Services, job_id: str) -> Job:
    with services.database.snapshot() as session:
        found = session.get(Job, job_id)
    assert found is not None
    return found


def all_jobs(services: Services) -> list[Job]:
    with services.database.snapshot() as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def end(services: Services, *job_ids: str) -> None:
    with services.database.transaction() as session:
        session.execute(update(Job).where(Job.id.in_(job_ids)).values(state=JobState.SUCCESS))


def test_a_due_schedule_becomes_one_queued_job_and_is_planned_again(services: Services, hand: Hand) -> None:
    schedule = add(services)
    [instant, following, *_] = schedule.next_runs
    assert hand.tick(instant - timedelta(seconds=1)) == []
    begun = hand.tick(instant + timedelta(seconds=1))
    assert begun == [job_id_of(schedule.id, instant)]
    made = job(services, begun[0])
    assert (made.kind, made.target, made.state, made.worker) == (JobKind.BACKUP, "source", JobState.QUEUED, "")
    assert (made.schedule_id, made.created_at) == (schedule.id, hand.time)
    assert services.catalogue.get(begun[0]).status == "queued"
    after = services.schedules.get(schedule.id)
    assert (after.next_run_at, after.last_run_at, after.last_job_id) == (following, instant, begun[0])
    assert hand.tick() == []


def test_missed_runs_are_caught_up_once_under_the_instant_that_was_planned(services: Services, hand: Hand) -> None:
    schedule = add(services)
    missed = schedule.next_runs[0]
    begun = hand.tick(missed + timedelta(days=3, minutes=20))
    assert begun == [job_id_of(schedule.id, missed)]
    after = services.schedules.get(schedule.id)
    assert (after.last_run_at, after.next_run_at) == (missed, missed + timedelta(days=3, hours=1))
    assert hand.tick() == []


def test_a_clock_that_is_set_forward_has_one_run(services: Services, hand: Hand) -> None:
    instant = add(services).next_runs[0]
    assert len(hand.tick(instant + 5 * _HOUR)) == 1
    assert hand.tick(instant + 5 * _HOUR + timedelta(seconds=1)) == []


def test_a_clock_that_is_set_back_an_hour_has_no_second_run(services: Services, hand: Hand) -> None:
    schedule = add(services)
    instant, following = schedule.next_runs[:2]
    end(services, *hand.tick(instant + timedelta(minutes=1)))
    for minutes in range(-59, 60, 7):
        assert hand.tick(instant + timedelta(minutes=minutes)) == []
        services.schedules.change(schedule.id, ScheduleChange())  # it looks at its own clock, which is earlier still
    assert hand.tick(following) == [job_id_of(schedule.id, following)]


def test_what_a_clock_planned_that_was_years_ahead_is_planned_anew(services: Services, hand: Hand) -> None:
    schedule = add(services)
    instant, following = schedule.next_runs[:2]
    hand.tick(instant + timedelta(days=800))
    assert services.schedules.get(schedule.id).next_run_at == instant + timedelta(days=800, hours=1)
    right = Hand(services)
    assert right.tick(instant + timedelta(minutes=5)) == []
    assert services.schedules.get(schedule.id).next_run_at == following
    end(services, *hand.handed_over)
    assert right.tick(following) == [job_id_of(schedule.id, following)]


def test_what_is_due_is_not_forgotten_by_a_clock_that_is_set_back(services: Services, hand: Hand) -> None:
    schedule = add(services)
    [instant, *_] = schedule.next_runs
    with services.database.transaction() as session:
        session.execute(update(Schedule).values(updated_at=instant + 3 * _HOUR))
    assert hand.tick(instant + timedelta(minutes=1)) == [job_id_of(schedule.id, instant)]


def test_a_run_is_left_out_while_the_one_before_has_not_ended(services: Services, hand: Hand) -> None:
    schedule = add(services)
    first, second, third = schedule.next_runs[:3]
    [running] = hand.tick(first)
    assert hand.tick(second) == []
    after = services.schedules.get(schedule.id)
    assert (after.last_skipped_at, after.last_run_at, after.last_job_id) == (second, first, running)
    assert after.last_skipped_reason == "A backup of the target was still queued"
    end(services, running)
    assert hand.tick(third) == [job_id_of(schedule.id, third)]


def test_two_schedules_of_one_target_at_one_instant_make_one_backup(services: Services, hand: Hand) -> None:
    instant = add(services).next_runs[0]
    add(services, cron="0 0-23 * * *")
    assert len(hand.tick(instant)) == len(all_jobs(services)) == 1
    reasons = {each.last_skipped_reason for each in services.schedules.page(limit=10)}
    assert reasons == {None, "A backup of the target was still queued"}


def test_what_is_wrong_with_one_schedule_stops_no_other(services: Services, hand: Hand) -> None:
    for name in ("alpha", "beta", "gamma", "delta", "zeta"):
        services.targets.add(name, "sqlite:////srv/none.db")
        add(services, name)
    spoil(services)
    begun = hand.tick(datetime.now(UTC) + 2 * _HOUR)
    assert {job(services, each).target for each in begun} == {"gamma", "delta", "zeta"}
    schedules = {each.target: each for each in services.schedules.page(limit=10)}
    assert "No target is named 'alpha'" in str(schedules["alpha"].last_skipped_reason)
    assert "can't be opened" in str(schedules["beta"].last_skipped_reason)
    assert "Atlantis" in str(schedules["delta"].last_skipped_reason)
    assert [name for name, each in schedules.items() if each.next_run_at is None] == ["delta"]
    assert hand.tick() == []


def spoil(services: Services) -> None:
    """One target is removed, one sealed with a lost key; a policy names no store there is; a time zone was renamed."""
    now = datetime.now(UTC)
    with services.database.transaction() as session:
        session.execute(delete(Target).where(Target.name == "alpha"))
        session.execute(update(Target).where(Target.name == "beta").values(sealed_url="no seal"))
        session.add(Policy(target="gamma", stores=["none"], retries=2, updated_at=now))
        session.execute(update(Schedule).where(Schedule.target == "delta").values(time_zone="Lost/Atlantis"))


def test_retries_and_time_limit_are_those_of_the_target_s_policy(services: Services, hand: Hand) -> None:
    with services.database.transaction() as session:
        now = datetime.now(UTC)
        session.add(Policy(target="source", stores=[], retries=7, time_limit_seconds=90, updated_at=now))
    [instant, *_] = add(services).next_runs
    made = job(services, hand.tick(instant)[0])
    assert (made.retries_left, made.time_limit_seconds) == (7, 90)


def test_an_instant_that_has_its_job_already_has_no_second_one(services: Services, hand: Hand) -> None:
    schedule = add(services)
    [instant, following, *_] = schedule.next_runs
    [made] = hand.tick(instant)
    end(services, made)
    with services.database.transaction() as session:  # as a database that was brought back knows nothing of it
        session.execute(
            update(Schedule).values(planned_at=instant, next_run_at=instant, last_run_at=None, last_job_id=None)
        )
    hand.tick(instant + timedelta(minutes=1))
    assert [each.id for each in all_jobs(services)] == [made]
    assert job(services, made).state == JobState.SUCCESS
    assert services.schedules.get(schedule.id).next_run_at == following


def test_a_due_verification_is_asked_for_of_the_newest_backup(services: Services, hand: Hand) -> None:
    take(services)
    newest = take(services)
    schedule = add(services, verify="proven")
    [instant, following, *_] = schedule.next_runs
    begun = hand.tick(instant)
    assert begun == [job_id_of(schedule.id, instant)]
    made = job(services, begun[0])
    assert (made.kind, made.target, made.state, made.schedule_id) == (
        JobKind.VERIFY,
        "source",
        JobState.QUEUED,
        schedule.id,
    )
    asked = services.verifications.get(begun[0])
    assert (asked.backup_id, asked.level, asked.status, asked.requested_by) == (newest, "proven", "queued", "schedule")
    after = services.schedules.get(schedule.id)
    assert (after.next_run_at, after.last_run_at, after.last_job_id) == (following, instant, begun[0])
    assert hand.tick() == []


def test_a_verification_is_left_out_while_there_is_nothing_to_verify(services: Services, hand: Hand) -> None:
    schedule = add(services, verify="stored")
    instant, following = schedule.next_runs[:2]
    assert hand.tick(instant) == []
    after = services.schedules.get(schedule.id)
    assert (after.last_skipped_at, after.last_skipped_reason) == (instant, "Nothing to verify yet")
    assert (after.last_run_at, after.last_job_id, after.next_run_at) == (None, None, following)
    take(services)
    assert hand.tick(following) == [job_id_of(schedule.id, following)]


def test_backups_and_verifications_of_one_target_are_in_nobody_s_way(services: Services, hand: Hand) -> None:
    take(services)
    schedules = [add(services), add(services, verify="proven"), add(services, verify="stored")]
    [instant, *_] = schedules[0].next_runs
    begun = hand.tick(instant)
    assert sorted(begun) == sorted(job_id_of(each.id, instant) for each in schedules)
    assert sorted(job(services, each).kind for each in begun) == [JobKind.BACKUP, JobKind.VERIFY, JobKind.VERIFY]


def test_verifications_of_a_schedule_do_not_pile_up(services: Services, hand: Hand) -> None:
    take(services)
    schedule = add(services, verify="stored")
    first, second, third = schedule.next_runs[:3]
    [waiting] = hand.tick(first)
    assert hand.tick(second) == []
    after = services.schedules.get(schedule.id)
    assert (after.last_skipped_at, after.last_job_id) == (second, waiting)
    assert after.last_skipped_reason == "A verification of the target was still queued"
    end(services, waiting)
    assert hand.tick(third) == [job_id_of(schedule.id, third)]


def test_an_instant_that_has_its_verification_already_has_no_second_one(services: Services, hand: Hand) -> None:
    take(services)
    schedule = add(services, verify="stored")
    [instant, following, *_] = schedule.next_runs
    [made] = hand.tick(instant)
    with services.database.transaction() as session:  # as a database that was brought back knows nothing of it
        session.execute(update(Schedule).values(planned_at=instant, next_run_at=instant, last_run_at=None))
    hand.tick(instant + timedelta(minutes=1))
    assert [each.id for each in all_jobs(services) if each.kind == JobKind.VERIFY] == [made]
    after = services.schedules.get(schedule.id)
    assert (after.next_run_at, after.last_skipped_reason) == (following, None)


def test_paused_ones_are_left_alone(services: Services, hand: Hand) -> None:
    schedule = add(services)
    services.schedules.pause(schedule.id)
    assert hand.tick(schedule.next_runs[4]) == []


def test_a_tick_that_fails_leaves_everything_as_it_was(services: Services, hand: Hand) -> None:
    [instant, *_] = add(services).next_runs

    def fail(session: Session) -> None:
        raise RuntimeError("the process ends here")

    event.listen(Session, "before_commit", fail)
    try:
        with pytest.raises(RuntimeError):
            hand.tick(instant)
    finally:
        event.remove(Session, "before_commit", fail)
    assert (all_jobs(services), hand.handed_over) == ([], [])
    assert len(hand.tick(instant)) == 1


def test_what_could_not_be_handed_over_waits_for_any_worker(services: Services, hand: Hand) -> None:
    [hand.time, *_] = add(services).next_runs

    def refuse(_: Sequence[str]) -> None:
        raise DatabaseUnavailable("the jobs database does not answer")

    with pytest.raises(DatabaseUnavailable):
        Ticker(services, services.database, refuse, clock=hand).tick()
    [waiting] = all_jobs(services)
    assert (waiting.state, waiting.worker) == (JobState.QUEUED, "")
    assert waiting.lease_expires_at < hand.time + timedelta(minutes=1)


def test_tickers_that_tick_at_once_make_one_job_of_each_instant(services: Services) -> None:
    targets = [f"target-{number:02}" for number in range(60)]
    for name in targets:
        services.targets.add(name, "sqlite:////srv/none.db")
        add(services, name)
    instants = services.schedules.page(limit=1)[0].next_runs
    url = services.database.url.render_as_string(hide_password=False)
    with ExitStack() as opened, ThreadPoolExecutor(4) as crowd:
        databases = [opened.enter_context(closing(Database(url))) for _ in range(4)]
        hands = [Hand(services, database) for database in databases]
        for instant in instants[:3]:
            together = threading.Barrier(len(hands))

            def tick(hand: Hand, instant: datetime = instant, together: threading.Barrier = together) -> list[str]:
                together.wait()
                return hand.tick(instant)

            begun = [job_id for ids in crowd.map(tick, hands) for job_id in ids]
            assert len(begun) == len(set(begun))
            waiting = [each for each in all_jobs(services) if each.state == JobState.QUEUED]
            assert sorted(each.id for each in waiting) == sorted(begun)
            assert [each.target for each in sorted(waiting, key=lambda each: each.target)] == targets
            end(services, *begun)
    assert {each.last_run_at for each in services.schedules.page(limit=100)} == {instants[2]}
    assert {each.last_skipped_at for each in services.schedules.page(limit=100)} == {None}


@pytest.mark.postgres
def test_a_trigger_in_the_same_moment_leaves_one_backup_and_a_reason(
    tmp_path: Path, postgresql_database: Database
) -> None:
    """The ticker has looked and seen no job; on SQLite nobody can write in between."""
    services = services_with_a_target(tmp_path, postgresql_database)
    schedule = add(services)
    [instant, *_] = schedule.next_runs

    def trigger(session: Session, *_: object) -> None:
        if any(isinstance(row, Job) and row.schedule_id for row in session.new):
            with services.database.transaction() as another:
                new = services.backups.request("source")
                creation.insert(another, new, instant, worker="", lease_expires_at=instant)

    event.listen(Session, "before_flush", trigger)
    try:
        assert Hand(services).tick(instant) == []
    finally:
        event.remove(Session, "before_flush", trigger)
    after = services.schedules.get(schedule.id)
    assert (after.last_skipped_reason, after.last_job_id) == ("A backup of the target was still queued", None)
    assert len(all_jobs(services)) == 1


def test_a_tick_with_nothing_due_waits_for_nobody_who_writes(services: Services, hand: Hand) -> None:
    add(services)
    hand.tick()
    with services.database.transaction() as writing:
        writing.execute(update(Schedule).values(updated_at=hand.time))
        assert hand.tick() == []
