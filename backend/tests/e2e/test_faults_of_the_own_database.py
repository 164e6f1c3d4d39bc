"""The service's own database out of date, out of reach, or refusing to record what was done."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backing_up import (
    BACKUPS,
    LOGS,
    STATS,
    TARGETS,
    TRIGGER,
    assert_failed,
    assert_stored,
    assert_totals_add_up,
    backup,
    hhh,
    register,
    scratch_leftovers,
    store_settings,
    stored_files,
    trigger,
    triggering,
    upload_of_a_dump,
    wait_for_end,
)
from support.faulty_proxy import FaultyS3
from support.postgres import PostgresServer, PrivatePostgres
from support.service import HEALTH, Service, ServiceFactory
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

Execute = Callable[[str], None]

#: SQL by kind of database, each statement run as a whole: the update to SUCCESS fails, and how to end that.
REFUSE_THE_UPDATE = {
    "sqlite": (
        (
            "CREATE TRIGGER refuse BEFORE UPDATE OF status ON backup_log WHEN new.status = 'SUCCESS' "
            "BEGIN SELECT RAISE(ABORT, 'the catalogue is closed'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the catalogue is closed'; END $$"
        ),
        (
            "CREATE TRIGGER refuse BEFORE UPDATE ON backup_log FOR EACH ROW WHEN (NEW.status = 'SUCCESS') "
            "EXECUTE FUNCTION refuse()"
        ),
    ),
}
#: The update is taken, and then the COMMIT fails.
REFUSE_THE_COMMIT = {
    "sqlite": (
        "CREATE TABLE nobody (id INTEGER PRIMARY KEY)",
        "CREATE TABLE refused (id INTEGER REFERENCES nobody DEFERRABLE INITIALLY DEFERRED)",
        (
            "CREATE TRIGGER refuse AFTER UPDATE OF status ON backup_log WHEN new.status = 'SUCCESS' "
            "BEGIN INSERT INTO refused VALUES (1); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the catalogue is closed'; END $$"
        ),
        (
            "CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON backup_log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
            "WHEN (NEW.status = 'SUCCESS') EXECUTE FUNCTION refuse()"
        ),
    ),
}
ALLOW = {"sqlite": "DROP TRIGGER refuse", "postgresql": "DROP TRIGGER refuse ON backup_log"}
SAID = {"sqlite": "FOREIGN KEY constraint failed", "postgresql": "the catalogue is closed"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.soak])])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of own database in turn."""
    return str(request.param)


@pytest.fixture
def own(kind: str, tmp_path: Path, any_postgres: PostgresServer) -> Iterator[tuple[dict[str, Any], Execute]]:
    """Settings of a service with an own database of that kind, and a way to change that database behind its back."""
    if kind == "sqlite":
        path = tmp_path / "own.db"
        yield {"database_url": f"sqlite:///{path}"}, lambda statement: _execute_sqlite(path, statement)
        return
    name = any_postgres.create_database()
    settings = {"database_url": any_postgres.url(name), "pg_bin_dir": any_postgres.bin_dir}
    yield settings, lambda statement: any_postgres.execute(statement, database=name)
    any_postgres.drop_database(name)


@pytest.mark.parametrize("refusal", [REFUSE_THE_UPDATE, REFUSE_THE_COMMIT], ids=["update", "commit"])
def test_a_backup_that_can_not_be_recorded_is_not_told_as_success(
    service_factory: ServiceFactory,
    own: tuple[dict[str, Any], Execute],
    kind: str,
    refusal: dict[str, tuple[str, ...]],
    scratch: Path,
) -> None:
    settings, execute = own
    service = service_factory(**settings, scratch_dir=scratch)
    with service.signed_in_client() as client:
        for statement in refusal[kind]:
            execute(statement)
        reason = assert_failed(trigger(client), client)
        assert ("the catalogue is closed" if refusal is REFUSE_THE_UPDATE else SAID[kind]) in reason
        assert "\n" not in reason
        assert stored_files(service) == scratch_leftovers(scratch) == []
        execute(ALLOW[kind])
        assert_stored(trigger(client))
        assert assert_totals_add_up(client)["failed_backups"] == 1
    assert len(stored_files(service)) == (3 if kind == "sqlite" else 4)


@pytest.mark.postgres
def test_an_own_database_that_is_gone_is_told_and_is_found_again(
    service_factory: ServiceFactory, private_postgres: PrivatePostgres
) -> None:
    server = private_postgres()
    service = service_factory(database_url=server.url(), pg_bin_dir=server.bin_dir)
    with service.signed_in_client() as client:
        assert_stored(trigger(client))
        server.kill_postmaster()
        _assert_each_says(client, "ERR_DATABASE_UNAVAILABLE", refused_at=server)
        server.start()
        assert_stored(trigger(client))
        assert client.get(STATS).json()["successful_backups"] == 2


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.s3
def test_an_own_database_that_dies_while_a_backup_is_stored(
    service_factory: ServiceFactory, private_postgres: PrivatePostgres, faulty_s3: FaultyS3, scratch: Path
) -> None:
    server = private_postgres()
    service = service_factory(
        **store_settings(faulty_s3), database_url=server.url(), pg_bin_dir=server.bin_dir, scratch_dir=scratch
    )
    with service.signed_in_client() as client, service.signed_in_client() as other:
        stall = faulty_s3.proxy.stall(where=lambda request: request.path.endswith(".sql.json"))
        with triggering(client) as waiting:
            stall.wait_for_hit()
            server.kill_postmaster()
            stall.release()
            answer = waiting.result()
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] in {"ERR_DATABASE_UNAVAILABLE", "ERR_BACKUP_FAILED"}
        assert scratch_leftovers(scratch) == []
        server.start()
        assert_stored(trigger(other))
        stats = assert_totals_add_up(other)
        assert (stats["total_backups"], stats["failed_backups"]) == (2, 1)
    kept = {key.rsplit("/", 1)[1].split(".sql")[0] for key in faulty_s3.bucket.keys()}  # noqa: SIM118  not a mapping
    assert kept == {stats["latest_backup"]["file"].removesuffix(".sql")}


@pytest.mark.postgres
@pytest.mark.s3
def test_backups_that_run_and_that_wait_outlast_an_outage_of_the_own_database(
    service_factory: ServiceFactory, private_postgres: PrivatePostgres, faulty_s3: FaultyS3, tmp_path: Path
) -> None:
    server = private_postgres()
    service = service_factory(**store_settings(faulty_s3), database_url=server.url())
    with service.signed_in_client() as client:
        make_sqlite_database(tmp_path / "source.db")
        names = [register(client, f"t{number}", f"sqlite:///{tmp_path / 'source.db'}") for number in range(5)]
        stall = faulty_s3.proxy.stall(where=upload_of_a_dump)
        accepted = [trigger(client, name, respond_async=True).json()["backup_id"] for name in names]
        stall.wait_for_hit(4)
        assert backup(client, accepted[4])["status"] == "queued"
        server.kill_postmaster()
        stall.release()
        wait_until(lambda: "own_database_away" in service.log(), what="a backup to be refused its record")
        server.start()
        assert {wait_for_end(client, each)["status"] for each in accepted} == {"success"}
        for name in names:
            assert_stored(trigger(client, name))


def test_pending_migrations_are_told_until_somebody_runs_them(
    service_factory: ServiceFactory, own: tuple[dict[str, Any], Execute]
) -> None:
    settings, _ = own
    service = service_factory(**settings, auto_migrate=False)
    with service.client() as client:
        _assert_each_says(client, "ERR_MIGRATIONS_PENDING")
        pending = hhh(service, "backup", "list")
        assert pending.returncode == 1
        assert "hhh migrate" in pending.stderr
        done = hhh(service, "migrate")
        assert (done.returncode, done.stderr) == (0, "")
        service.sign_in(client)
        assert_stored(trigger(client))
        assert assert_totals_add_up(client)["successful_backups"] == 1


@pytest.mark.soak
def test_a_database_of_a_newer_version_is_left_alone(service: Service) -> None:
    service.terminate()
    _execute_sqlite(service.data_dir / "hhh.db", "UPDATE alembic_version SET version_num = '9999'")
    for command in (["migrate"], ["serve"]):
        refused = hhh(service, *command)
        assert refused.returncode == 2
        assert "newer" in refused.stderr
        assert "Traceback" not in refused.stderr


def _assert_each_says(client: httpx.Client, code: str, *, refused_at: PostgresServer | None = None) -> None:
    expected: list[tuple[httpx.Response, int]] = [
        (client.post(TRIGGER), 500),
        (client.get(LOGS), 500),
        (client.get(STATS), 500),
        (client.get(BACKUPS), 503),
        (client.get(TARGETS), 503),
        (client.post("/api/v1/auth/login", json={"email": "a@example.com", "password": "x" * 12}), 503),
    ]
    for response, status in expected:
        answer: dict[str, Any] = response.json()
        assert (response.status_code, answer["error"]["code"]) == (status, code), response.request.url
        assert answer["detail"] == answer["error"]["message"]
        if refused_at:
            assert refused_at.password not in response.text
    with httpx.Client(base_url=client.base_url) as anybody:
        assert anybody.get(HEALTH).status_code == 200


def _execute_sqlite(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute(statement)
