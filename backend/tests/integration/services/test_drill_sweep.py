"""What killed drills left on the servers that policies name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.jobs.worker import working
from hhh.models import Policy
from hhh.services.container import Services
from hhh.services.drill_sweep import DrillSweep
from support.local_services import services_with_a_target
from support.logs import Log, log
from support.postgres import PostgresServer
from support.sweeping import take

__all__ = ["log"]

pytestmark = pytest.mark.postgres

LEFT = "hhh_drill_0123abcd"


@pytest.fixture
def services(tmp_path: Path, sqlite_database: Database, postgres: PostgresServer) -> Iterator[Services]:
    services = services_with_a_target(tmp_path, sqlite_database, pg_bin_dir=postgres.bin_dir)
    services.targets.add("prover", postgres.url("postgres"))
    with postgres.connect(autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {LEFT}")
    yield services
    with postgres.connect(autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {LEFT}")


def is_left(postgres: PostgresServer) -> bool:
    with postgres.connect(autocommit=True) as connection:
        return connection.execute("SELECT FROM pg_database WHERE datname = %s", [LEFT]).rowcount == 1


def name_for_drills(services: Services, name: str) -> None:
    with services.database.transaction() as session:
        session.merge(Policy(target="source", stores=[], retries=0, proof={"drill_target": name}, updated_at=utcnow()))


def test_only_servers_that_a_policy_names_are_looked_at_and_not_all_the_time(
    services: Services, postgres: PostgresServer
) -> None:
    sweep = DrillSweep(services.settings, services.database, services.targets, first=0)
    sweep.sweep("worker")
    assert is_left(postgres)
    name_for_drills(services, "prover")
    sweep.sweep("worker")
    assert is_left(postgres)

    DrillSweep(services.settings, services.database, services.targets, first=0).sweep("worker")

    assert not is_left(postgres)


def test_a_drill_on_a_server_looks_there_first(services: Services, postgres: PostgresServer) -> None:
    backup_id = take(services)
    name_for_drills(services, "prover")

    with working(services) as worker:
        worker.execute(worker.create(services.verifications.request(backup_id, "stored", requested_by="cli")))
        assert is_left(postgres)
        worker.execute(worker.create(services.verifications.request(backup_id, "proven", requested_by="cli")))

    assert not is_left(postgres)


def test_a_server_that_is_away_is_only_told_of(services: Services, log: Log) -> None:
    services.targets.add("away", "postgresql://nobody@127.0.0.1:1/none")
    name_for_drills(services, "away")

    DrillSweep(services.settings, services.database, services.targets, first=0).sweep("worker")

    [line] = log.lines("drills_not_swept")
    assert line["target"] == "away"
