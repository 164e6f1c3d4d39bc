"""Clocks that jump while jobs run: nobody who lives is given up, nobody who died is waited for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from hhh.core.errors import BackupInProgress
from hhh.core.run import Progress
from hhh.jobs.timing import Timing
from hhh.jobs.worker import Worker, working
from hhh.models import Job, JobState
from hhh.repositories import jobs as rows
from hhh.repositories.clock import Clock, ServerClock
from hhh.services.container import Services
from support.waiting import wait_until

BRISK = Timing(beat=0.05, watch=1, tidy=0.1)
HOUR = timedelta(hours=1)
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


@dataclass
class JumpingClock(ServerClock):
    """The time, and what somebody has set the clock to."""

    offset: timedelta = field(default_factory=timedelta)

    def now(self, session: Session) -> datetime:
        return super().now(session) + self.offset


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def worker(services: Services, clock: JumpingClock) -> Iterator[Worker]:
    with working(services, slots=1, timing=BRISK, clock=clock) as worker:
        yield worker


def job(services: Services, job_id: str) -> Job:
    with services.database.snapshot() as session:
        return session.get_one(Job, job_id)


@contextmanager
def running(services: Services, clock: Clock) -> Iterator[str]:
    """A job that a living worker runs until the block is left."""
    begun, may_end = threading.Event(), threading.Event()

    def hold(_: Progress) -> None:
        begun.set()
        may_end.wait()

    with working(services, timing=BRISK, clock=clock) as other:
        job_id = other.create(services.backups.request("source"))
        thread = threading.Thread(target=other.execute, args=(job_id, hold))
        thread.start()
        assert begun.wait(timeout=30)
        try:
            yield job_id
        finally:
            may_end.set()
            thread.join()


@JUMPS
def test_a_clock_that_is_set_gives_up_nobody_who_lives(
    services: Services, worker: Worker, clock: JumpingClock, jump: timedelta
) -> None:
    with running(services, clock) as job_id:
        clock.offset = jump
        worker.tidy()
        with pytest.raises(BackupInProgress):
            worker.create(services.backups.request("source"))

        def is_renewed() -> bool:
            worker.tidy()
            ahead = job(services, job_id).lease_expires_at - now(services, clock)
            return timedelta() < ahead <= BRISK.lease

        wait_until(is_renewed, what="a lease of the new time")
        assert job(services, job_id).state == JobState.RUNNING
    assert (job(services, job_id).state, job(services, job_id).attempt) == (JobState.SUCCESS, 1)


@JUMPS
def test_a_clock_that_is_set_makes_nobody_wait_for_the_dead(
    services: Services, worker: Worker, clock: JumpingClock, jump: timedelta
) -> None:
    job_id = of_a_dead_worker(services, worker)
    clock.offset = jump

    def is_taken_over() -> bool:
        worker.tidy()
        return job(services, job_id).state == JobState.QUEUED

    wait_until(is_taken_over, what="the job to be taken over")
    assert worker.adopt_queued() == [job_id]
    worker.attempt(job_id)
    assert (job(services, job_id).state, job(services, job_id).attempt) == (JobState.SUCCESS, 2)


def test_an_attempt_that_was_to_wait_until_an_hour_that_is_far_again_is_begun(
    services: Services, worker: Worker, clock: JumpingClock
) -> None:
    job_id = worker.create(services.backups.request("source"), shared=True)
    change(
        services, job_id, not_before=now(services, clock) + timedelta(minutes=5), lease_expires_at=now(services, clock)
    )
    assert worker.adopt_queued() == []
    clock.offset = -HOUR
    assert worker.adopt_queued() == [job_id]


def test_whoever_asks_anew_where_no_worker_lives_is_served_after_a_watch(services: Services) -> None:
    with working(services, timing=BRISK) as command:
        job_id = of_a_dead_worker(services, command)
        change(services, job_id, lease_expires_at=now(services, ServerClock()) - HOUR)
        again = command.create(services.backups.request("source"))
        command.execute(again)
    assert [job(services, each).state for each in (job_id, again)] == [JobState.FAILED, JobState.SUCCESS]


def of_a_dead_worker(services: Services, worker: Worker) -> str:
    """A running job of a machine that is gone."""
    job_id = worker.create(services.backups.request("source"))
    with services.database.transaction() as session:
        now = rows.server_time(session)
        claimed = rows.claim(session, job_id, worker="gone", lease_expires_at=now + BRISK.lease, now=now)
        assert claimed is not None
        services.backups.begin(session, claimed)
    return job_id


def change(services: Services, job_id: str, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def now(services: Services, clock: Clock) -> datetime:
    with services.database.snapshot() as session:
        return clock.now(session)
