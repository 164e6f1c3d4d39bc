"""`/healthz` and `/readyz`: what a load balancer goes by, and what nobody learns from it."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import event, text

from hhh import migrations
from hhh.core.database import Database
from hhh.jobs.runtime import Jobs
from hhh.main import create_app
from hhh.services.container import assemble
from hhh.web.monitoring_app import monitoring_app
from hhh.web.readiness import Readiness
from support.local_services import settings_in
from support.waiting import wait_until

READY = (200, {"status": "ready", "missing": []})


def asked(client: TestClient) -> tuple[int, object]:
    answer = client.get("/readyz")
    return answer.status_code, answer.json()


def lacking(*names: str) -> tuple[int, object]:
    return 503, {"status": "not-ready", "missing": [*names]}


def now(readiness: Readiness) -> list[str]:
    """What is missing, asked for by itself."""
    return [*asyncio.run(readiness.now()).missing]


@pytest.fixture
def app(tmp_path: Path, sqlite_database: Database) -> FastAPI:
    return create_app(settings_in(tmp_path), sqlite_database)


@pytest.fixture
def new_readiness(app: FastAPI) -> Iterator[Callable[[], Readiness]]:
    """Makes one that has not looked yet, for the application's parts."""
    jobs = Jobs(app.state.services)
    yield lambda: Readiness(app.state.services.database, jobs, fresh=0)
    jobs.stop()


def test_a_running_service_is_ready_and_nobody_need_sign_in(app: FastAPI) -> None:
    with TestClient(app) as client:
        assert asked(client) == READY
        assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ok"})
        assert {client.post(path).status_code for path in ("/healthz", "/readyz", "/metrics")} == {405}


def test_health_asks_nothing(app: FastAPI, sqlite_database: Database) -> None:
    statements: list[object] = []
    event.listen(sqlite_database.engine, "begin", statements.append)
    with TestClient(monitoring_app(app.state.monitoring)) as client:
        assert client.get("/healthz").status_code == 200
        assert statements == []
        assert client.get("/readyz").status_code == 200
        assert len(statements) > 0


def test_a_database_that_is_gone_is_named_and_not_described(
    app: FastAPI, sqlite_database: Database, tmp_path: Path
) -> None:
    file = sqlite_database.file
    assert file is not None
    sqlite_database.close()
    shutil.move(file, tmp_path / "aside")
    file.mkdir()
    with TestClient(monitoring_app(app.state.monitoring)) as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == lacking("own_database")
    assert str(tmp_path) not in answer.text


def test_pending_migrations_are_named_until_somebody_has_run_them(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with contextlib.closing(Database(settings.own_database_url)) as database:
        app = create_app(settings, database)
        with TestClient(app) as client:
            assert asked(client) == lacking("migrations", "queue")
            migrations.upgrade(database)
            # Though nobody has asked for the queue: a load balancer sends nobody before.
            wait_until(lambda: asked(client) == READY, seconds=30, what="a service that is ready")


def test_a_database_of_a_newer_version_is_not_ours_to_work_with(
    new_readiness: Callable[[], Readiness], sqlite_database: Database
) -> None:
    with sqlite_database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert now(new_readiness()) == ["migrations", "queue"]


def test_a_queue_that_can_not_be_started_is_named(tmp_path: Path, sqlite_database: Database) -> None:
    nothing_listens = "postgresql://nobody@127.0.0.1:1/jobs"
    settings = settings_in(tmp_path).model_copy(update={"jobs_database_url": SecretStr(nothing_listens)})
    jobs = Jobs(assemble(settings, sqlite_database))
    assert now(Readiness(sqlite_database, jobs)) == ["queue"]


def test_a_process_that_is_stopping_is_not_ready(
    new_readiness: Callable[[], Readiness], app: FastAPI, sqlite_database: Database
) -> None:
    with TestClient(app) as client:
        assert asked(client) == READY
        app.state.jobs.stop()
        assert asked(client) == lacking("queue")
        assert client.get("/healthz").status_code == 200


def test_a_writer_that_takes_its_time_keeps_nobody_from_being_ready(
    new_readiness: Callable[[], Readiness], sqlite_database: Database
) -> None:
    readiness = new_readiness()
    assert now(readiness) == []
    with sqlite_database.transaction() as session:
        session.execute(text("UPDATE backup_totals SET total = 1"))
        assert now(readiness) == []


@pytest.mark.postgres
def test_a_database_that_does_not_answer_is_not_waited_for_and_asked_once(
    tmp_path: Path, postgresql_database: Database
) -> None:
    services = assemble(settings_in(tmp_path), postgresql_database)
    jobs = Jobs(services)
    readiness = Readiness(postgresql_database, jobs, patience=0.2, fresh=0)
    begun: list[object] = []
    event.listen(postgresql_database.engine, "begin", begun.append)
    with postgresql_database.transaction() as session:
        session.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        begun.clear()
        with ThreadPoolExecutor(20) as pool:
            found = [*pool.map(lambda _: now(readiness), range(20))]
        assert found == [["own_database"]] * 20
        assert len(begun) == 1
    wait_until(lambda: now(readiness) == [], seconds=30, what="a process that is ready again")
    jobs.stop()
