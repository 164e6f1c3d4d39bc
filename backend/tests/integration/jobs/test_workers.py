"""Who is listed as a worker, and for how long."""

import pytest
from sqlalchemy import update

from hhh.core.errors import NotFound
from hhh.jobs.embedded import embedded_queue
from hhh.jobs.timing import Timing
from hhh.jobs.worker import working
from hhh.models import Job, JobKind, JobState, WorkerRow
from hhh.repositories import jobs as rows
from hhh.services.container import Services
from hhh.services.workers import LEASE
from support.waiting import wait_until

BRISK = Timing(lease=LEASE / 100, beat=0.02)


def test_a_worker_is_listed_with_what_it_runs_until_it_ends(services: Services) -> None:
    with working(services, slots=3, label="night shift", timing=Timing(beat=0.02)) as worker:
        job_id = worker.create(services.backups.request("source"))
        with services.database.transaction() as session:
            now = rows.server_time(session)
            assert rows.claim(session, job_id, worker=worker.name, lease_expires_at=now + LEASE, now=now)
        [listed] = services.workers.list()
        assert (listed.id, listed.name, listed.slots) == (worker.name, "night shift", 3)
        assert (listed.state, listed.alive) == ("active", True)
        assert [each.model_dump() for each in listed.running] == [{"id": job_id, "kind": "backup", "target": "source"}]
        worker.drain()
        wait_until(lambda: services.workers.list()[0].state == "draining", what="the worker to tell that it drains")
    assert services.workers.list() == []


def test_a_queue_lists_itself_by_its_host_unless_told_otherwise(sqlite_services: Services) -> None:
    with embedded_queue(sqlite_services):
        [listed] = sqlite_services.workers.list()
        assert listed.name == f"{listed.host}:{listed.pid}"
        assert listed.slots == sqlite_services.settings.worker_slots


def test_a_command_that_runs_its_own_job_alone_is_not_listed(sqlite_services: Services) -> None:
    with working(sqlite_services):
        assert sqlite_services.workers.list() == []


def test_a_worker_that_was_forgotten_comes_back_with_its_next_sign_of_life(services: Services) -> None:
    with working(services, slots=1, timing=BRISK), working(services) as another:
        [before] = services.workers.list()
        with services.database.transaction() as session:
            session.execute(update(WorkerRow).values(heartbeat_at=before.heartbeat_at - 200 * LEASE))
        another.tidy()
        [after] = wait_until(services.workers.list, what="the worker to be listed again")
        assert (after.id, after.started_at) == (before.id, before.started_at)
        assert after.alive


def test_one_that_is_silent_is_listed_as_such(services: Services) -> None:
    with working(services, slots=1):
        with services.database.transaction() as session:
            session.execute(update(WorkerRow).values(heartbeat_at=rows.server_time(session) - 2 * LEASE))
        assert not services.workers.list()[0].alive


def test_a_job_of_another_kind_or_of_nobody_is_not_cancelled(services: Services) -> None:
    with working(services) as worker:
        job_id = worker.create(services.backups.request("source"))
        for kind, wanted in ((JobKind.RESTORE, job_id), (JobKind.BACKUP, "none")):
            with pytest.raises(NotFound):
                services.cancelling.cancel(wanted, kind)
        worker.execute(job_id)
    assert services.cancelling.cancel(job_id, JobKind.BACKUP) is JobState.SUCCESS
    with services.database.snapshot() as session:
        assert not session.get_one(Job, job_id).cancel_requested
