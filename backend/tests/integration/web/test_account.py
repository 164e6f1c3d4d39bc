"""One's own account over HTTP: second factor, sessions, password; and users, for super admins."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from hhh.api.rest.v1 import account, user
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import Action, AuditEvent, Role, UserSession
from hhh.services.last_seen import LastSeen
from support.second_factor import code_at, with_second_factor
from support.sign_in import EMAIL, LOGIN, PASSWORD, TRIGGER, make_user, sign_in, web_app
from support.waiting import wait_until

ME, FACTOR, SESSIONS, USERS = (
    f"/api/v1/{path}" for path in ("auth/me", "auth/second-factor", "auth/sessions", "users")
)
ANOTHER = "another long password"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
NOW = {"current_password": PASSWORD}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def app_of(settings: Settings, database: Database) -> FastAPI:
    app = web_app(settings, database)
    app.include_router(account.router)
    app.include_router(user.router)
    return app


@pytest.fixture
def app(settings: Settings, sqlite_database: Database) -> FastAPI:
    make_user(sqlite_database)
    return app_of(settings, sqlite_database)


@pytest.fixture
def root(app: FastAPI) -> Iterator[TestClient]:
    """The super admin, signed in."""
    with TestClient(app) as client:
        yield sign_in(client)


@pytest.fixture
def member(app: FastAPI, sqlite_database: Database) -> TestClient:
    """Somebody without any right, signed in."""
    make_user(sqlite_database, email="ann@example.com", role=Role.MEMBER)
    return sign_in(TestClient(app), email="ann@example.com")


def delete(client: TestClient, path: str, body: dict[str, str]) -> httpx.Response:
    return client.request("DELETE", path, json=body)


# ------------------------------------------------------------------------------------------------------ second factor


def test_a_second_factor_is_set_up_asked_for_and_taken_away(root: TestClient, app: FastAPI) -> None:
    assert code(root.post(FACTOR, json={"current_password": "wrong"})) == (401, "ERR_INVALID_CREDENTIALS")
    begun = root.post(FACTOR, json=NOW)
    assert begun.status_code == 201
    secret = begun.json()["secret"]
    assert begun.json()["uri"].startswith("otpauth://totp/HHH%20Backup:root%40example.com?")
    assert root.get(ME).json()["second_factor"] is False
    moment = utcnow()
    confirmed = root.post(f"{FACTOR}/confirm", json={"code": code_at(secret, moment)})
    assert len(confirmed.json()["recovery_codes"]) == 10
    assert root.get(ME).json()["second_factor"] is True

    other = TestClient(app)
    assert code(other.post(LOGIN, json=CREDENTIALS)) == (401, "ERR_SECOND_FACTOR_REQUIRED")
    assert code(other.post(LOGIN, json={**CREDENTIALS, "password": "wrong"})) == (401, "ERR_INVALID_CREDENTIALS")
    assert code(other.post(LOGIN, json={**CREDENTIALS, "code": "000000"})) == (401, "ERR_INVALID_CREDENTIALS")
    following = code_at(secret, moment + timedelta(seconds=30))
    let_in = other.post(LOGIN, json={**CREDENTIALS, "code": following})
    assert (let_in.status_code, {*let_in.json()}) == (200, {"id", "email", "role"})

    spare = confirmed.json()["recovery_codes"]
    renewed = root.post(f"{FACTOR}/recovery-codes", json={**NOW, "code": spare[0]}).json()["recovery_codes"]
    assert not {*renewed} & {*spare}
    assert code(delete(root, FACTOR, {**NOW, "code": spare[1]})) == (401, "ERR_INVALID_CREDENTIALS")
    assert delete(root, FACTOR, {**NOW, "code": renewed[0]}).status_code == 204
    assert TestClient(app).post(LOGIN, json=CREDENTIALS).status_code == 200


def test_what_makes_no_sense_is_told(root: TestClient) -> None:
    assert code(root.post(f"{FACTOR}/confirm", json={"code": "000000"})) == (422, "ERR_VALIDATION")
    assert code(delete(root, FACTOR, {**NOW, "code": "000000"})) == (404, "ERR_NOT_FOUND")
    assert code(root.post(f"{FACTOR}/confirm", json={"code": ""})) == (422, "ERR_VALIDATION")
    assert code(root.post(f"{FACTOR}/confirm", json={"code": "x" * 41})) == (422, "ERR_VALIDATION")


def test_an_answer_to_a_missing_code_has_nothing_that_a_page_goes_on_with(
    client: TestClient, settings: Settings, sqlite_database: Database
) -> None:
    row = make_user(sqlite_database, email="ann@example.com")
    with_second_factor(sqlite_database, settings, row, now=datetime.now(UTC))

    answer = client.post(LOGIN, json={"email": "ann@example.com", "password": PASSWORD})

    assert {*answer.json()["error"]} == {"code", "message", "request_id", "hint"}
    assert "set-cookie" not in answer.headers


def test_where_it_is_required_super_admins_without_one_can_only_set_it_up(
    settings: Settings, sqlite_database: Database
) -> None:
    make_user(sqlite_database)
    make_user(sqlite_database, email="ann@example.com", role=Role.ADMIN)
    strict = settings.model_copy(update={"require_second_factor": True})
    with TestClient(app_of(strict, sqlite_database)) as root:
        sign_in(root)
        assert code(root.post(TRIGGER)) == code(root.get(USERS)) == (403, "ERR_SECOND_FACTOR_REQUIRED")
        with sqlite_database.snapshot() as session:
            refused = select(AuditEvent.subject).where(AuditEvent.action == Action.REFUSED)
            assert [*session.scalars(refused)] == [f"POST {TRIGGER}", f"GET {USERS}"]
        assert root.get(ME).status_code == root.get(SESSIONS).status_code == 200
        secret = root.post(FACTOR, json=NOW).json()["secret"]
        root.post(f"{FACTOR}/confirm", json={"code": code_at(secret, utcnow())}).raise_for_status()
        assert root.post(TRIGGER).status_code == 200

    with TestClient(app_of(strict, sqlite_database)) as admin:
        sign_in(admin, email="ann@example.com")
        assert code(admin.post(TRIGGER)) == (403, "ERR_SUPERADMIN_REQUIRED")


# ----------------------------------------------------------------------------------------------------------- sessions


def test_sessions_are_listed_with_where_they_are_and_ended(app: FastAPI, root: TestClient) -> None:
    phone = TestClient(app, headers={"User-Agent": "a\x1b[31mphone " + "x" * 300})
    sign_in(phone)

    listed = root.get(SESSIONS).json()

    assert {*listed[0]} == {"id", "created_at", "last_seen_at", "expires_at", "address", "client", "current"}
    assert sorted(each["current"] for each in listed) == [False, True]
    there = next(each for each in listed if not each["current"])
    assert there["address"] == "testclient"
    assert there["client"].startswith("a␛[31mphone xxx")
    assert len(there["client"]) == 254
    assert root.delete(f"{SESSIONS}/{there['id']}").status_code == 204
    assert code(phone.get(ME)) == (401, "ERR_SESSION_EXPIRED")
    assert code(root.delete(f"{SESSIONS}/{there['id']}")) == (404, "ERR_NOT_FOUND")

    sign_in(phone)
    assert root.delete(SESSIONS).json() == {"ended": 1}
    assert [each["current"] for each in root.get(SESSIONS).json()] == [True]


def test_of_very_many_sessions_those_that_were_seen_last_are_listed_and_all_are_ended(
    root: TestClient, sqlite_database: Database
) -> None:
    with sqlite_database.transaction() as session:
        mine = session.scalars(select(UserSession)).one()
        mine.created_at = mine.last_seen_at = utcnow()
        before = mine.created_at - timedelta(hours=1)
        for at in range(250):
            row = UserSession(id=str(uuid.UUID(int=at)), user_id=mine.user_id, created_at=before)
            row.expires_at = mine.expires_at
            session.add(row)

    listed = root.get(SESSIONS).json()

    assert (len(listed), listed[0]["current"]) == (200, True)
    assert root.delete(SESSIONS).json() == {"ended": 250}


def test_nobody_ends_or_sees_sessions_of_others(root: TestClient, member: TestClient) -> None:
    (mine,) = root.get(SESSIONS).json()
    (theirs,) = member.get(SESSIONS).json()

    assert mine["id"] != theirs["id"]
    for session_id in (mine["id"], "x", "a%00b"):
        assert code(member.delete(f"{SESSIONS}/{session_id}")) == (404, "ERR_NOT_FOUND")
    assert member.delete(SESSIONS).json() == {"ended": 0}
    assert root.get(ME).status_code == 200


def test_when_a_session_was_seen_is_written_aside_and_not_each_time(
    app: FastAPI, root: TestClient, sqlite_database: Database
) -> None:
    app.state.last_seen = LastSeen(sqlite_database)
    begun = seen(sqlite_database)
    root.get(ME)
    an_hour_ago = utcnow() - timedelta(hours=1)
    set_seen(sqlite_database, an_hour_ago)

    with sqlite_database.transaction():  # nobody else can write now, and no request waits for that
        assert root.get(ME).status_code == 200
    wait_until(lambda: seen(sqlite_database) > an_hour_ago, seconds=20, what="the moment to be written")

    assert seen(sqlite_database) >= begun
    app.state.last_seen.close()
    set_seen(sqlite_database, an_hour_ago)
    assert root.get(ME).status_code == 200


def test_a_session_that_was_seen_lately_costs_no_write(
    app: FastAPI, root: TestClient, sqlite_database: Database
) -> None:
    app.state.last_seen = LastSeen(sqlite_database)
    begun = seen(sqlite_database)
    root.get(ME)
    app.state.last_seen.close()

    assert seen(sqlite_database) == begun


def seen(database: Database) -> datetime:
    with database.snapshot() as session:
        found = session.scalars(select(UserSession.last_seen_at)).one()
    assert found is not None
    return found


def set_seen(database: Database, moment: datetime) -> None:
    with database.transaction() as session:
        session.scalars(select(UserSession)).one().last_seen_at = moment


# ----------------------------------------------------------------------------------------------------------- password


def test_ones_own_password_is_changed_by_whoever_knows_it_and_ends_the_other_sessions(
    app: FastAPI, member: TestClient
) -> None:
    other = sign_in(TestClient(app), email="ann@example.com")
    path = "/api/v1/auth/password"
    wrong = {"current_password": "wrong", "new_password": ANOTHER}
    common = {"current_password": PASSWORD, "new_password": "Ann.Example.Com!"}

    assert code(member.post(path, json=wrong)) == (401, "ERR_INVALID_CREDENTIALS")
    assert code(member.post(path, json=common)) == (422, "ERR_VALIDATION")
    assert member.post(path, json={**common, "new_password": ANOTHER}).status_code == 204

    assert member.get(ME).status_code == 200
    assert code(other.get(ME)) == (401, "ERR_SESSION_EXPIRED")
    sign_in(other, email="ann@example.com", password=ANOTHER)


# -------------------------------------------------------------------------------------------------------------- users


def test_users_are_made_changed_listed_and_removed(root: TestClient, app: FastAPI) -> None:
    ann = {"email": "Ann@example.com", "password": ANOTHER, **NOW}
    made = root.post(USERS, json=ann)

    assert made.status_code == 201
    assert {*made.json()} == {"id", "email", "role", "second_factor", "created_at"}
    where = made.headers["Location"]
    assert root.get(where).json() == made.json()
    assert [each["email"] for each in root.get(USERS).json()] == ["ann@example.com", EMAIL]
    assert [each["email"] for each in root.get(USERS, params={"after": "b"}).json()] == [EMAIL]
    assert len(root.get(USERS, params={"limit": 1}).json()) == 1

    there = sign_in(TestClient(app), email="ann@example.com", password=ANOTHER)
    assert root.patch(where, json={"role": "ADMIN", **NOW}).json()["role"] == "ADMIN"
    assert there.get(ME).json()["role"] == "ADMIN"
    assert root.delete(f"{where}/sessions").json() == {"ended": 1}
    assert root.patch(where, json={"password": "yet another password", **NOW}).status_code == 200
    sign_in(there, email="ann@example.com", password="yet another password")
    assert delete(root, where, NOW).status_code == 204
    assert code(root.get(where)) == (404, "ERR_NOT_FOUND")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"current_password": "wrong"}, (401, "ERR_INVALID_CREDENTIALS")),
        ({"password": "password1234"}, (422, "ERR_VALIDATION")),
        ({"email": "no e-mail"}, (422, "ERR_VALIDATION")),
        ({"email": EMAIL}, (422, "ERR_VALIDATION")),
        ({"role": "ROOT"}, (422, "ERR_VALIDATION")),
        ({"more": "x"}, (422, "ERR_VALIDATION")),
    ],
)
def test_no_user_is_made_of_what_will_not_do(
    root: TestClient, changed: dict[str, str], expected: tuple[int, str]
) -> None:
    body = {"email": "ann@example.com", "password": ANOTHER, **NOW, **changed}

    assert code(root.post(USERS, json=body)) == expected
    assert len(root.get(USERS).json()) == 1


def test_the_last_super_admin_and_whoever_asks_stay(root: TestClient) -> None:
    me = f"{USERS}/{root.get(ME).json()['id']}"

    assert code(delete(root, me, NOW)) == (422, "ERR_VALIDATION")
    assert code(root.patch(me, json={"role": "MEMBER", **NOW})) == (422, "ERR_VALIDATION")
    assert root.get(ME).json()["role"] == "SUPER_ADMIN"


def test_users_are_for_super_admins(member: TestClient) -> None:
    for method, path in (("GET", USERS), ("POST", USERS), ("DELETE", f"{USERS}/x"), ("DELETE", f"{USERS}/x/sessions")):
        assert code(member.request(method, path, json={})) == (403, "ERR_SUPERADMIN_REQUIRED")
