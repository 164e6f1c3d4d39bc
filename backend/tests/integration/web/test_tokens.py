"""API tokens over HTTP: `/api/v1/tokens`, and what programs may do with them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, select

from hhh.core.database import Database
from hhh.main import create_app
from hhh.models import ApiToken, AuditEvent, LoginFailure, UserSession
from support.local_services import settings_in
from support.logs import Log
from support.sign_in import EMAIL, PASSWORD, make_user, sign_in
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until

TOKENS, TARGETS, ME = "/api/v1/tokens", "/api/v1/targets", "/api/v1/auth/me"


class Person:
    """A super admin who is signed in, and makes tokens for programs."""

    def __init__(self, app: FastAPI, client: TestClient) -> None:
        self.app, self.client = app, client

    def make(self, name: str, *scopes: str, **more: Any) -> dict[str, Any]:
        """A token, as it was answered."""
        answer = self.client.post(TOKENS, json={"name": name, "scopes": scopes, **more})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def program(self, token: str, *, address: str = "192.0.2.7") -> TestClient:
        """Whoever calls with it, without cookies."""
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"}, client=(address, 50_000))


@pytest.fixture
def person(tmp_path: Path, sqlite_database: Database, log: Log) -> Iterator[Person]:
    make_user(sqlite_database)
    app = create_app(settings_in(tmp_path, trusted_proxies="192.0.2.100"), sqlite_database)
    with TestClient(app) as client:
        yield Person(app, sign_in(client))


def test_a_token_lives_from_its_creation_to_its_end(person: Person) -> None:
    until = "2099-12-31T18:00:00+02:00"
    answer = person.client.post(TOKENS, json={"name": "ci", "scopes": ["verify:run"], "expires_at": until})
    made = answer.json()
    path = f"{TOKENS}/{made['id']}"
    assert (answer.status_code, answer.headers["Location"]) == (201, path)
    assert (made["name"], made["scopes"], made["owner"], made["networks"]) == ("ci", ["verify:run"], EMAIL, [])
    assert made["expires_at"] == "2099-12-31T16:00:00+00:00"
    assert made["token"].startswith(made["prefix"])
    token = made.pop("token")
    assert person.client.get(path).json() == person.client.get(TOKENS).json()[0] == made

    program = person.program(token)
    assert program.get(ME).json()["email"] == EMAIL
    assert program.get(ME).json()["scopes"] == ["verify:run"]

    assert person.client.delete(path).status_code == 204
    assert person.client.delete(path).status_code == 204
    refused = program.get(ME)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert person.client.get(path).json()["state"] == "revoked"
    assert person.client.get(f"{TOKENS}/nothing").status_code == 404


def test_a_session_that_is_older_than_a_quarter_of_an_hour_makes_a_token_with_the_password_alone(
    person: Person, sqlite_database: Database
) -> None:
    with sqlite_database.transaction() as session:
        row = session.scalars(select(UserSession)).one()
        row.created_at -= timedelta(minutes=16)

    def asked(**more: str) -> tuple[int, str]:
        answer = person.client.post(TOKENS, json={"name": "ci", "scopes": ["admin"], **more})
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    assert asked() == (403, "ERR_PASSWORD_REQUIRED")
    with sqlite_database.snapshot() as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.seq.desc()).limit(1)).one()
    assert (event.action, "ERR_PASSWORD_REQUIRED" in event.detail) == ("access.refused", True)
    assert [asked(current_password="a guess") for _ in range(11)] == [
        *[(401, "ERR_INVALID_CREDENTIALS")] * 10,
        (429, "ERR_RATE_LIMITED"),
    ]
    assert person.client.get(TOKENS).json() == []
    with sqlite_database.transaction() as session:
        session.execute(delete(LoginFailure))
    assert asked(current_password=PASSWORD) == (201, "")
    assert PASSWORD not in person.client.get(TOKENS).text


def test_what_can_not_be_is_refused(person: Person) -> None:
    admin: dict[str, object] = {"name": "ci", "scopes": ["admin"]}
    bodies: list[dict[str, object]] = [
        {"name": "ci"},
        admin | {"scopes": []},
        admin | {"scopes": ["backup:write"]},
        admin | {"name": ""},
        admin | {"name": "x" * 101},
        admin | {"name": "a\0b"},
        admin | {"expires_at": "2001-01-01T00:00:00Z"},
        admin | {"expires_at": "2099-01-01T00:00:00"},
        admin | {"networks": ["10.0.0.0/99"]},
        admin | {"owner": "somebody@example.com"},
    ]

    answers = [person.client.post(TOKENS, json=body) for body in bodies]

    assert [answer.status_code for answer in answers] == [422] * len(bodies)
    assert {answer.json()["error"]["code"] for answer in answers} == {"ERR_VALIDATION"}
    assert person.client.get(TOKENS).json() == []


def test_what_a_program_does_is_written_down_with_its_token(person: Person, sqlite_database: Database) -> None:
    program = person.program(person.make("deploy", "admin")["token"])

    program.post(TARGETS, json={"name": "shop", "url": "postgresql://db.example.com/shop"}).raise_for_status()

    with sqlite_database.snapshot() as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.seq.desc()).limit(1)).one()
    assert (event.actor_kind, event.actor, event.token, event.address) == ("token", EMAIL, "deploy", "192.0.2.7")


def test_no_token_makes_or_widens_one_but_an_admins_ends_it(person: Person, sqlite_database: Database) -> None:
    admin = person.make("admin", "admin")
    program = person.program(admin["token"])

    refused = program.post(TOKENS, json={"name": "another", "scopes": ["admin"]})

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ERR_SESSION_REQUIRED")
    with sqlite_database.snapshot() as session:
        event = session.scalars(select(AuditEvent).order_by(AuditEvent.seq.desc()).limit(1)).one()
    assert (event.token, event.action, "ERR_SESSION_REQUIRED" in event.detail) == ("admin", "access.refused", True)
    assert [each["name"] for each in program.get(TOKENS).json()] == ["admin"]
    assert program.delete(f"{TOKENS}/{admin['id']}").status_code == 204
    assert program.get(TOKENS).status_code == 401


def test_a_missing_scope_is_named(person: Person) -> None:
    answer = person.program(person.make("reader", "backup:read")["token"]).post("/api/v1/backups/trigger")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["scope"]) == (403, "ERR_SCOPE_MISSING", "backup:run")
    assert error["message"] == "The token lacks the scope backup:run"


def test_a_schedule_is_run_by_a_token_for_what_it_does(person: Person, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db", megabytes=0.02)
    person.client.post(TARGETS, json={"name": "shop", "url": f"sqlite:///{tmp_path}/shop.db"}).raise_for_status()
    backing_up, verifying = (
        person.client.post("/api/v1/schedules", json={"target": "shop", "cron": "0 3 * * *", **what}).json()["id"]
        for what in ({}, {"verify": "stored"})
    )
    person.client.post("/api/v1/backups/trigger", json={"target": "shop"}).raise_for_status()
    runner, verifier = (person.program(person.make(scope, scope)["token"]) for scope in ("backup:run", "verify:run"))

    answers = [
        program.post(f"/api/v1/schedules/{schedule}/run").status_code
        for program in (runner, verifier)
        for schedule in (backing_up, verifying)
    ]

    assert answers == [202, 403, 403, 202]


def test_a_program_follows_a_backup_and_downloads_it(person: Person, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db", megabytes=0.02)
    person.client.post(TARGETS, json={"name": "shop", "url": f"sqlite:///{tmp_path}/shop.db"}).raise_for_status()
    program = person.program(person.make("all", "backup:read", "backup:run", "restore:run")["token"])

    answer = program.post("/api/v1/backups/trigger", json={"target": "shop"})

    backup = f"/api/v1/backups/{answer.json()['backup_id']}"
    assert "event: end" in program.get(f"{backup}/events").text
    downloaded = program.get(f"{backup}/download")
    assert len(downloaded.content) == program.get(backup).json()["stored_size"]
    assert "Set-Cookie" not in answer.headers


def test_where_a_token_is_used_counts_as_trusted_proxies_tell(person: Person) -> None:
    token = person.make("office", "backup:read", networks=["198.51.100.0/24", "2001:db8::/32"])["token"]
    proxy, liar = person.program(token, address="192.0.2.100"), person.program(token, address="192.0.2.101")

    def asked(program: TestClient, address: str) -> int:
        return program.get(TARGETS, headers={"X-Forwarded-For": address}).status_code

    assert asked(proxy, "198.51.100.3") == asked(proxy, "::ffff:198.51.100.3") == asked(proxy, "2001:db8::1") == 200
    assert asked(proxy, "203.0.113.9") == asked(proxy, "198.51.100.3, 203.0.113.9") == 403
    assert asked(liar, "198.51.100.3") == 403
    refused = liar.get(TARGETS).json()["error"]
    assert (refused["code"], refused["message"]) == (
        "ERR_NETWORK_NOT_ALLOWED",
        "The token is not for use from 192.0.2.101",
    )


def test_the_last_use_is_known_though_no_request_waits_to_write_it(
    person: Person, tmp_path: Path, sqlite_database: Database
) -> None:
    made = person.make("cron", "backup:read")
    program = person.program(made["token"])
    # Somebody holds the database: whoever wrote now would wait for them.
    with closing(Database(str(sqlite_database.url))) as other, other.transaction() as session:
        session.execute(select(func.count(ApiToken.id)))
        assert program.get(TARGETS).status_code == 200

    def used() -> dict[str, Any] | None:
        found: dict[str, Any] = person.client.get(f"{TOKENS}/{made['id']}").json()
        return found if found["last_used_at"] else None

    found: dict[str, Any] | None = wait_until(used, seconds=60, what="the last use of a token")
    assert found is not None
    assert found["last_used_address"] == "192.0.2.7"


def test_guesses_are_logged_but_fill_no_audit_log(person: Person, sqlite_database: Database, log: Log) -> None:
    def events() -> int:
        with sqlite_database.snapshot() as session:
            return session.scalar(select(func.count(AuditEvent.seq))) or 0

    before, guess = events(), f"hhh_{'A' * 43}"

    for _ in range(3):
        assert person.program(guess).get(TARGETS).status_code == 401

    assert events() == before
    assert len(log.lines("api_token_refused")) == 3
    assert guess[12:] not in log.text


def test_the_token_is_in_no_line_of_the_log(person: Person, log: Log) -> None:
    token = person.make("ci", "admin")["token"]

    person.program(token).get(f"{TARGETS}/{token}")
    person.program(token).get(TARGETS, headers={"X-Request-ID": "of-a-token"})

    assert "of-a-token" in log.text
    assert token not in log.text
