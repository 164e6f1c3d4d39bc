"""The queue of many machines: what it hands over, what it runs, and a jobs database that goes away."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hhh.core.config import QueueName
from hhh.core.database import Database
from hhh.jobs.procrastinate import ProcrastinateQueue, procrastinate_queue
from hhh.jobs.timing import Timing
from hhh.jobs.worker import working
from hhh.models import Job
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.own_databases import migrated
from support.postgres import PostgresServer, PrivatePostgres
from support.waiting import wait_until

pytestmark = pytest.mark.postgres

BRISK = Timing(tidy=0.2)
COUNT = "SELECT count(*) FROM procrastinate_jobs"


@pytest.fixture
def jobs(any_postgres: PostgresServer) -> Iterator[str]:
    """The name of an empty jobs database, dropped afterwards."""
    name = any_postgres.create_database()
    yield name
    any_postgres.drop_database(name)


@pytest.fixture
def services(tmp_path: Path, postgresql_database: Database, any_postgres: PostgresServer, jobs: str) -> Services:
    """Services with a target `source` that share their jobs with other machines."""
    return sharing(tmp_path, postgresql_database, any_postgres.url(jobs))


def sharing(folder: Path, database: Database, jobs_url: str) -> Services:
    own = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return services_with_a_target(folder, database, database_url=own, jobs_database_url=jobs_url)


def job(services: Services, job_id: str) -> Job:
    with services.database.snapshot() as session:
        return session.get_one(Job, job_id)


def wait_for(queue: ProcrastinateQueue, job_id: str) -> None:
    asyncio.run(asyncio.wait_for(queue.finished(job_id), timeout=30))


def asked(server: PostgresServer, database: str, query: str) -> Any:
    with server.connect(database) as connection:
        [answer] = connection.execute(query.encode()).fetchone() or (None,)
    return answer


def test_a_job_is_run_once_however_often_it_is_handed_over(
    services: Services, any_postgres: PostgresServer, jobs: str
) -> None:
    with procrastinate_queue(services, timing=BRISK) as queue:
        backup_id = queue.enqueue(services.backups.request("source"))
        for _ in range(3):
            queue.hand_over([backup_id, "of nobody"])
        wait_for(queue, backup_id)
        assert services.catalogue.get(backup_id).status == "success"
        wait_until(lambda: asked(any_postgres, jobs, COUNT) == 0, what="deliveries that are done with")
    assert (job(services, backup_id).state, job(services, backup_id).attempt) == ("success", 1)


def test_a_process_without_a_worker_only_hands_over(services: Services) -> None:
    with procrastinate_queue(services, works=False) as asking:
        backup_id = asking.enqueue(services.backups.request("source"))
        assert (job(services, backup_id).state, job(services, backup_id).worker) == ("queued", "")
        with procrastinate_queue(services, timing=BRISK):
            wait_for(asking, backup_id)
    assert services.catalogue.get(backup_id).status == "success"


def test_jobs_that_were_queued_before_are_run_without_any_delivery(services: Services) -> None:
    with working(services) as of_the_version_before:
        backup_id = of_the_version_before.create(services.backups.request("source"))
        of_the_version_before.release_queued()
    with procrastinate_queue(services, timing=BRISK) as queue:
        wait_for(queue, backup_id)
    assert services.catalogue.get(backup_id).status == "success"


@pytest.mark.parametrize("queues", [["backup"], ["verify"]])
def test_what_an_older_version_handed_over_is_run_by_whoever_takes_it(
    services: Services, any_postgres: PostgresServer, jobs: str, queues: list[QueueName]
) -> None:
    with procrastinate_queue(services, works=False) as waiting, working(services) as older:
        backup_id = older.create(services.backups.request("source"), shared=True)
        any_postgres.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args)"
            f" VALUES ('{services.identity.installation}', 'hhh.execute', '{backup_id}',"
            f""" '{{"job_id": "{backup_id}"}}')""",
            database=jobs,
        )
        with procrastinate_queue(taking(services, queues), timing=BRISK):
            if "backup" not in queues:
                wait_until(lambda: asked(any_postgres, jobs, COUNT) == 0, what="a worker that lets go of it")
                assert job(services, backup_id).state == "queued"
                with procrastinate_queue(taking(services, ["backup"]), timing=BRISK):
                    wait_for(waiting, backup_id)
            wait_for(waiting, backup_id)
    assert services.catalogue.get(backup_id).status == "success"


def taking(services: Services, queues: list[QueueName]) -> Services:
    """The same, of a machine that takes jobs of these queues alone."""
    return dataclasses.replace(services, settings=services.settings.model_copy(update={"worker_queues": queues}))


def test_nobody_waits_for_what_has_ended_or_never_was_or_when_the_process_stops(services: Services) -> None:
    with procrastinate_queue(services, timing=BRISK) as queue:
        wait_for(queue, "of nobody")
    wait_for(queue, "of nobody")


def test_who_goes_away_takes_nobody_along(services: Services) -> None:
    async def one_of_two_goes(queue: ProcrastinateQueue, backup_id: str) -> None:
        impatient = asyncio.create_task(queue.finished(backup_id))
        patient = asyncio.create_task(queue.finished(backup_id))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait_for(patient, timeout=30)

    with procrastinate_queue(services, timing=BRISK) as queue:
        backup_id = queue.enqueue(services.backups.request("source"))
        asyncio.run(one_of_two_goes(queue, backup_id))
    assert services.catalogue.get(backup_id).status == "success"


def test_what_a_dead_worker_had_taken_is_cleaned_away(
    services: Services, any_postgres: PostgresServer, jobs: str
) -> None:
    with procrastinate_queue(services, works=False):
        pass  # makes the tables
    any_postgres.execute(
        "WITH gone AS (INSERT INTO procrastinate_workers (last_heartbeat)"
        " VALUES (now() - interval '5 min') RETURNING id)"
        " INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id)"
        f" SELECT '{services.identity.installation}', 'hhh.execute', '{{\"job_id\": \"lost\"}}', 'doing', id FROM gone",
        database=jobs,
    )
    with procrastinate_queue(services, timing=BRISK):
        wait_until(lambda: asked(any_postgres, jobs, COUNT) == 0, what="a cleaned queue")


def test_a_job_is_accepted_while_the_jobs_database_is_away_and_run_when_it_is_back(
    tmp_path: Path, postgresql_database: Database, private_postgres: PrivatePostgres
) -> None:
    server = private_postgres()
    services = sharing(tmp_path, postgresql_database, server.url(server.create_database()))
    with procrastinate_queue(services, timing=BRISK) as queue:
        before = queue.enqueue(services.backups.request("source"))
        wait_for(queue, before)
        server.stop()
        backup_id = queue.enqueue(services.backups.request("source"))
        assert job(services, backup_id).state == "queued"
        server.start()
        wait_for(queue, backup_id)
    assert services.catalogue.get(backup_id).status == "success"


def test_two_installations_may_share_a_jobs_database(
    tmp_path: Path, services: Services, any_postgres: PostgresServer, jobs: str
) -> None:
    (tmp_path / "other").mkdir()
    name = any_postgres.create_database()
    with migrated(any_postgres.url(name)) as database:
        other = sharing(tmp_path / "other", database, any_postgres.url(jobs))
        with procrastinate_queue(other, works=False) as queue, procrastinate_queue(services, timing=BRISK) as ours:
            theirs = queue.enqueue(other.backups.request("source"))
            wait_for(ours, ours.enqueue(services.backups.request("source")))
            assert (
                asked(any_postgres, jobs, f"SELECT status FROM procrastinate_jobs WHERE queueing_lock='{theirs}'")
                == "todo"
            )
            with procrastinate_queue(other, timing=BRISK):
                wait_for(queue, theirs)
    any_postgres.drop_database(name)
