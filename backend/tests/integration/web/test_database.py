"""The request's transaction, and what is answered while there is no database to have one in."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from hhh import migrations
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.services import users
from support.ports import LOOPBACK, free_port
from support.sign_in import LOGIN, TRIGGER, make_user, sign_in, web_app

CREDENTIALS = {"email": "a@b", "password": "x"}


def emails(database: Database) -> set[str]:
    with database.snapshot() as session:
        return {user.email for user in users.list_users(session)}


def test_a_request_that_fails_leaves_nothing(client: TestClient, sqlite_database: Database) -> None:
    assert client.get("/add-then-fail").status_code == 422

    assert "dropped@example.com" not in emails(sqlite_database)


def test_an_error_that_keeps_changes_is_answered_after_the_commit(
    client: TestClient, sqlite_database: Database
) -> None:
    assert client.get("/add-then-expire").status_code == 401

    assert "kept@example.com" in emails(sqlite_database)


@contextlib.contextmanager
def failing_commits(database: Database) -> Iterator[None]:
    """As if the disk were full by the time of the commit."""

    def fail(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA no_such_function(")

    event.listen(database.engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(database.engine, "commit", fail)


def test_a_commit_that_fails_is_never_told_as_success(signed_in: TestClient, sqlite_database: Database) -> None:
    before = signed_in.cookies["hhh_rt"]

    with failing_commits(sqlite_database):
        answer = signed_in.post("/api/v1/auth/refresh")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "ERR_DATABASE_UNAVAILABLE"
    assert signed_in.cookies["hhh_rt"] == before
    assert signed_in.post("/api/v1/auth/refresh").status_code == 200


@pytest.fixture
def old_database(settings: Settings) -> Iterator[Database]:
    """One that nobody has migrated."""
    with contextlib.closing(Database(settings.own_database_url)) as database:
        yield database


def test_with_pending_migrations_every_answer_that_needs_the_database_says_so(
    settings: Settings, old_database: Database
) -> None:
    with TestClient(web_app(settings, old_database)) as client:
        legacy = [client.post(TRIGGER), client.get("/api/v1/backups/stats")]
        others = [
            client.post(LOGIN, json=CREDENTIALS),
            client.get("/api/v1/auth/me"),
            client.post("/api/v1/auth/refresh"),
            client.post("/api/v1/auth/logout"),
        ]

    assert [answer.status_code for answer in legacy] == [500] * 2
    assert [answer.status_code for answer in others] == [503] * 4
    assert {answer.json()["error"]["code"] for answer in legacy + others} == {"ERR_MIGRATIONS_PENDING"}


def test_once_the_migrations_were_run_beside_it_the_service_works(settings: Settings, old_database: Database) -> None:
    with TestClient(web_app(settings, old_database)) as client:
        assert client.get("/api/v1/auth/me").status_code == 503
        migrations.upgrade(old_database)
        make_user(old_database)

        assert sign_in(client).post(TRIGGER).status_code == 200


def test_health_answers_without_a_database(settings: Settings) -> None:
    url = f"postgresql://nobody@{LOOPBACK}:{free_port()}/nothing"
    with contextlib.closing(Database(url)) as gone, TestClient(web_app(settings, gone)) as client:
        client.cookies.set("hhh_rt", "x")
        health, me = client.get("/api/v1/auth/health"), client.get("/api/v1/auth/me")

    assert (health.status_code, "hhh_csrf" in health.cookies) == (200, True)
    assert me.json()["error"]["code"] == "ERR_DATABASE_UNAVAILABLE"
    assert me.status_code == 503
