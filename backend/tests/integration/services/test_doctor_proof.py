"""What the doctor says where backups are to be verified: whether anybody does it, and has what that takes."""

import socket
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import Lacking
from hhh.engines.base import Workplace
from hhh.engines.postgresql.proving import PostgresqlProver
from hhh.models import Job, JobKind, JobState, WorkerRow, WorkerState
from hhh.schemas.policy import PolicyFields
from hhh.schemas.schedule import ScheduleRequest
from hhh.services.container import Services, assemble
from hhh.services.doctor import examine, examine_upkeep
from hhh.services.doctor_findings import Finding
from support.local_services import services_with_a_target, settings_in
from support.postgres_server import PostgresServer

PROVEN = PolicyFields(verify_after_backup="proven")


@pytest.fixture
def services(tmp_path: Path, sqlite_database: Database) -> Services:
    """Services that know a SQLite database as `source`, and of no worker."""
    return services_with_a_target(tmp_path, sqlite_database)


def of_drills(services: Services) -> Sequence[Finding]:
    return [found for found in examine(services) if found.subject.startswith("drills")]


def of_jobs(services: Services) -> dict[str, str]:
    return {found.subject: found.detail for found in examine_upkeep(services) if found.subject.endswith(" jobs")}


def add_worker(services: Services, queues: str, host: str = "elsewhere") -> None:
    now = utcnow()
    row = WorkerRow(id=str(uuid.uuid4()), name="w", host=host, pid=7, version="1", state=WorkerState.ACTIVE, slots=1)
    row.queues, row.started_at, row.heartbeat_at = queues, now, now
    with services.database.transaction() as session:
        session.add(row)


def with_programs(folder: Path, server: PostgresServer, *names: str) -> Path:
    """A folder with some of the server's programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(server.bin_dir / name)
    return folder


def proving_postgresql(tmp_path: Path, database: Database, server: PostgresServer, *programs: str) -> Services:
    """Services with a PostgreSQL database that is to be proven, and these programs of its server."""
    pg_bin_dir = with_programs(tmp_path / "bin", server, "pg_dump", *programs)
    services = assemble(settings_in(tmp_path, pg_bin_dir=pg_bin_dir), database)
    services.targets.add("shop", server.url(), PROVEN)
    return services


def test_programs_that_a_drill_lacks_are_told_before_it_is_needed(
    tmp_path: Path, sqlite_database: Database, postgres18: PostgresServer
) -> None:
    [found] = of_drills(proving_postgresql(tmp_path, sqlite_database, postgres18))

    assert (found.subject, found.ok) == ("drills of shop", False)
    assert "no initdb, postgres 18 here" in found.detail
    assert "install postgresql-18" in found.detail


def test_programs_that_are_here_are_told_as_well(
    tmp_path: Path, sqlite_database: Database, postgres18: PostgresServer
) -> None:
    [found] = of_drills(proving_postgresql(tmp_path, sqlite_database, postgres18, "initdb", "postgres"))

    assert (found.subject, found.ok) == ("drills of shop", True)
    assert found.detail.startswith(str(tmp_path / "bin" / "initdb"))


def test_a_server_that_is_no_release_yet_has_a_major_as_well(tmp_path: Path) -> None:
    with pytest.raises(Lacking, match="no initdb, postgres 99 here"):
        PostgresqlProver().needs("99beta1", Workplace(tmp_path))


@pytest.mark.parametrize(
    "changed", [PolicyFields(verify_after_backup="readable"), PolicyFields(drill_target="shop")], ids=["less", "named"]
)
def test_where_no_server_is_made_for_it_none_has_to_be_here(
    tmp_path: Path, sqlite_database: Database, postgres18: PostgresServer, changed: PolicyFields
) -> None:
    services = proving_postgresql(tmp_path, sqlite_database, postgres18)
    services.targets.update("shop", None, changed, whole=False)
    assert of_drills(services) == []


def test_where_other_machines_do_the_drills_they_are_named(
    tmp_path: Path, sqlite_database: Database, postgres18: PostgresServer
) -> None:
    services = proving_postgresql(tmp_path, sqlite_database, postgres18)
    add_worker(services, "verify", host="prover-1")
    [found] = of_drills(services)
    assert (found.subject, found.ok) == ("drills", True)
    assert found.detail.startswith("they are done on prover-1")

    add_worker(services, "verify", host=socket.gethostname())
    assert [each.ok for each in of_drills(services)] == [False]


def test_drills_of_sqlite_take_nothing_more(services: Services) -> None:
    services.targets.update("source", None, PROVEN, whole=False)
    assert of_drills(services) == []


def by_rule(services: Services) -> None:
    services.targets.update("source", None, PROVEN, whole=False)


def by_age(services: Services) -> None:
    services.targets.update("source", None, PolicyFields(proven_within_days=7), whole=False)


def by_schedule(services: Services) -> None:
    services.schedules.add(ScheduleRequest(target="source", cron="0 3 * * *", verify="stored"))


@pytest.mark.parametrize("ask", [by_rule, by_age, by_schedule])
def test_that_nobody_verifies_what_is_to_be_verified_is_told(
    services: Services, ask: Callable[[Services], None]
) -> None:
    assert of_jobs(services) == {}
    ask(services)
    add_worker(services, "backup,restore,upkeep")

    told = of_jobs(services)

    assert [*told] == ["verify jobs"]
    assert told["verify jobs"].startswith("rules or schedules have backups of 1 target verified, and no living worker")
    add_worker(services, "verify")
    assert of_jobs(services) == {}


def test_a_schedule_that_is_paused_asks_for_nothing(services: Services) -> None:
    schedule = services.schedules.add(ScheduleRequest(target="source", cron="0 3 * * *", verify="proven"))
    services.schedules.pause(schedule.id)
    assert of_jobs(services) == {}


def test_jobs_that_wait_and_that_nobody_takes_are_told(services: Services) -> None:
    add_worker(services, "restore,verify,upkeep")
    now = utcnow()
    job = Job(id=str(uuid.uuid4()), kind=JobKind.BACKUP, target="source", state=JobState.QUEUED, worker="")
    job.created_at, job.lease_expires_at = now, now + timedelta(seconds=25)
    with services.database.transaction() as session:
        session.add(job)

    assert [*of_jobs(services)] == ["backup jobs"]
    assert of_jobs(services)["backup jobs"].startswith("1 job waits, and no living worker takes them")
