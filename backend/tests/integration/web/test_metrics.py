"""`/metrics`: what Prometheus's own parser reads, right after real backups, failures and proofs."""

from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.jobs.runtime import Jobs
from hhh.jobs.worker import working
from hhh.main import create_app
from hhh.models import AlertChannel, AlertDelivery, Role, Scope, WorkerRow
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services
from hhh.web.monitoring import Monitoring
from hhh.web.monitoring_app import monitoring_app
from support.local_services import services_with_a_target, settings_in
from support.proving import back_up
from support.recoverable import a_backup, a_verification
from support.scraping import OPENMETRICS, Scraped, scrape
from support.sign_in import make_user, sign_in
from support.token_rows import a_token


@pytest.fixture
def app(tmp_path: Path, sqlite_database: Database) -> FastAPI:
    return create_app(settings_in(tmp_path), sqlite_database)


@pytest.fixture
def services(app: FastAPI, tmp_path: Path, sqlite_database: Database) -> Services:
    """Of the application, with the target `source`."""
    services_with_a_target(tmp_path, sqlite_database)
    return app.state.services


@pytest.fixture
def watcher(app: FastAPI) -> Iterator[TestClient]:
    """A client of the separate port."""
    with TestClient(monitoring_app(app.state.monitoring)) as client:
        yield client


@pytest.fixture
def client(app: FastAPI, sqlite_database: Database) -> Iterator[TestClient]:
    """A client that is not signed in, of the running service."""
    make_user(sqlite_database)
    with TestClient(app) as client:
        yield client


def state_of(scraped: Scraped, target: str) -> str:
    [state] = [
        labels["state"]
        for labels in scraped.labels("hhh_target_state")
        if labels["target"] == target and scraped("hhh_target_state", **labels) == 1
    ]
    return state


def test_a_backup_is_measured_as_soon_as_it_is_stored(services: Services, watcher: TestClient) -> None:
    before = scrape(watcher)
    assert before("hhh_backup_last_success_timestamp_seconds", target="source") is None
    assert before("hhh_backups", target="source", status="success") is None

    stored = services.catalogue.get(back_up(services))

    after = scrape(watcher)
    begun = after("hhh_backup_last_success_timestamp_seconds", target="source")
    assert begun is not None
    assert int(begun) == int(stored.created_at.timestamp())
    assert after("hhh_backup_last_attempt_success", target="source") == 1
    assert after("hhh_backup_stored_bytes", target="source") == stored.stored_size
    assert after("hhh_backup_raw_bytes", target="source") == stored.raw_size
    assert after("hhh_backups", target="source", status="success") == 1
    assert after("hhh_backups_stored_bytes", target="source") == stored.stored_size
    assert after("hhh_storage_used_bytes", storage="default") == stored.stored_size
    assert after("hhh_storage_copies", storage="default") == 1
    seconds, rate = (after(f"hhh_backup_{name}", target="source") for name in ("duration_seconds", "bytes_per_second"))
    assert seconds is not None
    assert stored.raw_size is not None
    assert rate == pytest.approx(stored.raw_size / seconds)
    assert state_of(after, "source") == "unproven"


def test_a_backup_that_fails_leaves_the_last_good_one_and_says_so(
    services: Services, watcher: TestClient, tmp_path: Path
) -> None:
    back_up(services)
    good = scrape(watcher)
    (tmp_path / "source.db").write_bytes(b"no database, and long enough to be looked at as if it were one" * 100)
    with working(services) as worker:
        worker.execute(worker.create(services.backups.request("source")))

    failed = scrape(watcher)
    name = "hhh_backup_last_success_timestamp_seconds"
    assert failed(name, target="source") == good(name, target="source")
    assert failed("hhh_backup_last_attempt_success", target="source") == 0
    assert failed("hhh_backups", target="source", status="failed") == 1
    assert state_of(failed, "source") == "failing"


def test_a_proof_is_measured_as_soon_as_it_holds(services: Services, watcher: TestClient) -> None:
    backup_id = back_up(services)
    with working(services) as worker:
        worker.execute(worker.create(services.verifications.request(backup_id, "proven", requested_by="cli")))

    scraped = scrape(watcher)
    last = (scraped(f"hhh_backup_last_{kind}_timestamp_seconds", target="source") for kind in ("success", "proven"))
    assert len({*last}) == 1
    assert (scraped("hhh_restore_duration_seconds", target="source") or 0) > 0
    assert (scraped("hhh_restore_bytes_per_second", target="source") or 0) > 0
    assert state_of(scraped, "source") == "healthy"


def test_what_is_demanded_is_told_before_it_is_late(services: Services, watcher: TestClient) -> None:
    begun = utcnow() - timedelta(hours=1)
    backup_id = a_backup(services.database, "source")
    a_verification(services.database, backup_id, result={"restore_seconds": 2.5})
    services.targets.update("source", None, PolicyFields(backed_up_within_hours=24, proven_within_days=7), whole=False)
    scraped = scrape(watcher)
    assert scraped("hhh_backup_due_timestamp_seconds", target="source") == pytest.approx(
        (begun + timedelta(hours=24)).timestamp(), abs=60
    )
    assert scraped("hhh_proof_due_timestamp_seconds", target="source") == pytest.approx(
        (begun + timedelta(days=7)).timestamp(), abs=60
    )
    assert scraped("hhh_backup_due_timestamp_seconds", target="app") is None


def test_openmetrics_is_spoken_with_those_who_ask_for_it(services: Services, watcher: TestClient) -> None:
    back_up(services)
    plain, openmetrics = scrape(watcher), scrape(watcher, OPENMETRICS)
    assert openmetrics.text.endswith("# EOF\n")
    assert openmetrics("hhh_build_info", version=version("hhh-backup")) == 1
    for name in ("hhh_backup_stored_bytes", "hhh_backup_last_success_timestamp_seconds"):
        assert plain(name, target="source") == openmetrics(name, target="source")


def test_a_worker_may_be_called_what_its_operator_likes(services: Services, watcher: TestClient) -> None:
    name, now = 'a "quoted"\\\nname}', utcnow()
    alive = WorkerRow(id="1", name=name, host="h", pid=1, version="1", state="active", slots=1, queues="backup")
    alive.started_at = alive.heartbeat_at = now
    silent = WorkerRow(id="2", name=name, host="h", pid=2, version="1", state="active", slots=1, queues="backup")
    silent.started_at = silent.heartbeat_at = now - timedelta(minutes=5)
    with services.database.transaction() as session:
        session.add_all([alive, silent])

    scraped = scrape(watcher)
    assert scraped("hhh_worker_last_heartbeat_timestamp_seconds", worker=name, host="h") == now.timestamp()
    assert [scraped("hhh_workers", state=state) for state in ("active", "draining", "silent")] == [1, 0, 1]
    assert [scraped("hhh_queue_workers", queue=queue) for queue in ("backup", "restore")] == [1, 0]


def test_what_waits_is_counted_and_timed(services: Services, watcher: TestClient) -> None:
    with working(services) as worker:
        worker.create(services.backups.request("source"))
        scraped = scrape(watcher)
    assert scraped("hhh_jobs", kind="backup", state="queued") == 1
    assert scraped("hhh_jobs", kind="backup", state="running") == 0
    assert scraped("hhh_jobs", kind="restore", state="queued") == 0
    assert (scraped("hhh_job_oldest_queued_seconds", kind="backup") or 0) > 0
    assert scraped("hhh_job_oldest_queued_seconds", kind="verify") == 0


def test_a_channel_that_takes_no_alerts_is_told(services: Services, watcher: TestClient) -> None:
    now = utcnow()
    with services.database.transaction() as session:
        for name, error in (("ops", "Connection refused"), ("boss", None)):
            channel = AlertChannel(id=name, name=name, sealed_url="", enabled=True, created_at=now, last_error=error)
            session.add(channel)
        session.flush()
        for number, again in enumerate((now, None)):
            alert = AlertDelivery(id=str(number), channel_id="ops", kind="backup-failed", subject="source", attempts=1)
            alert.event, alert.title, alert.body = "begun", "source: backup failed", ""
            alert.created_at, alert.next_try_at = now, again
            session.add(alert)

    scraped = scrape(watcher)
    assert [scraped("hhh_alert_channel_failing", channel=each) for each in ("ops", "boss")] == [1, 0]
    assert [scraped("hhh_alert_messages_waiting", channel=each) for each in ("ops", "boss")] == [1, 0]


def test_without_its_database_the_service_tells_that_and_what_it_knows_itself(
    app: FastAPI, watcher: TestClient
) -> None:
    services: Services = app.state.services
    assert scrape(watcher)("hhh_own_database_up") == 1
    with services.database.transaction() as session:
        session.connection().exec_driver_sql("ALTER TABLE targets RENAME TO gone")
    scraped = scrape(watcher)
    assert scraped("hhh_own_database_up") == 0
    assert "hhh_target_state" not in scraped.families
    assert (scraped("process_resident_memory_bytes") or 0) > 0


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient, watcher: TestClient) -> None:
    sign_in(client)
    for path in ("/api/v1/targets/app", "/api/v1/targets/nobody", "/nothing/at/all/1", "/nothing/at/all/2"):
        client.get(path)
    client.request("MADEUP", "/healthz")
    scraped = scrape(watcher)
    count = "hhh_http_requests_total"
    assert scraped(count, method="GET", route="/api/v1/targets/{name}", status="200") == 1
    assert scraped(count, method="GET", route="/api/v1/targets/{name}", status="404") == 1
    assert scraped(count, method="GET", route="unknown", status="404") == 2
    assert {labels["method"] for labels in scraped.labels(count)} <= {"GET", "POST", "other"}
    assert not {labels["route"] for labels in scraped.labels(count)} & {"/api/v1/targets/app", "/nothing/at/all/1"}
    assert scraped("hhh_http_request_duration_seconds_count", method="GET", route="/api/v1/targets/{name}") == 2


def test_two_services_of_one_process_count_apart(client: TestClient, tmp_path: Path, watcher: TestClient) -> None:
    client.get("/healthz")
    other = create_app(settings_in(tmp_path / "other"), client.app.state.services.database)  # type: ignore[attr-defined]
    with TestClient(monitoring_app(other.state.monitoring)) as other_watcher:
        assert scrape(other_watcher).labels("hhh_http_requests_total") == []
    assert len(scrape(watcher).labels("hhh_http_requests_total")) == 1


def test_metrics_are_for_super_admins_and_tokens_that_may_read(client: TestClient, sqlite_database: Database) -> None:
    def asked(token: str = "") -> tuple[int, str]:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
        return answer.status_code, answer.json()["error"]["code"] if not answer.is_success else ""

    assert asked() == (403, "ERR_SUPERADMIN_REQUIRED")
    assert asked(a_token(sqlite_database, Scope.BACKUP_READ)) == (200, "")
    assert asked(a_token(sqlite_database, Scope.RESTORE_RUN)) == (403, "ERR_SCOPE_MISSING")
    assert asked("hhh_nonsense")[0] == 401
    assert "a token with the scope backup:read" in client.get("/metrics").json()["error"]["hint"]
    sign_in(client)
    assert asked() == (200, "")
    make_user(sqlite_database, email="member@example.com", role=Role.MEMBER)
    assert asked_by(client, "member@example.com") == 403


def asked_by(client: TestClient, email: str) -> int:
    client.cookies.clear()
    return sign_in(client, email=email).get("/metrics").status_code


def test_a_process_that_only_works_tells_of_itself_alone(services: Services) -> None:
    worker = Monitoring(services, Jobs(services), None)
    with TestClient(monitoring_app(worker)) as client:
        scraped = scrape(client)
    assert {name.partition("_")[0] for name in scraped.names} == {"hhh", "process"}
    assert [name for name in scraped.names if name.startswith("hhh")] == ["hhh_build_info"]
