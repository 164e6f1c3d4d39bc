"""Sign-in over HTTP: what is answered, which cookies are set."""

import http.cookiejar
import shutil
import subprocess
from collections.abc import Iterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path

import httpx
import jwt
import pytest
from fastapi.testclient import TestClient

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.security import derive_key
from hhh.models import Role
from hhh.services import users
from support.sign_in import EMAIL, LOGIN, PASSWORD, TRIGGER, expire_access_token, make_user, sign_in, web_app

REFRESH, LOGOUT, ME, HEALTH = (f"/api/v1/auth/{name}" for name in ("refresh", "logout", "me", "health"))
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
FOURTEEN_DAYS = str(14 * 24 * 3600)


def cookies_of(answer: httpx.Response) -> "dict[str, Morsel[str]]":
    found: dict[str, Morsel[str]] = {}
    for header in answer.headers.get_list("set-cookie"):
        found.update(SimpleCookie(header))
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_sign_in_answers_who_it_is_and_sets_three_cookies(client: TestClient) -> None:
    answer = client.post(LOGIN, json=CREDENTIALS)

    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "email", "role"}
    assert (answer.json()["email"], answer.json()["role"]) == (EMAIL, "SUPER_ADMIN")
    cookies = cookies_of(answer)
    assert set(cookies) == {"hhh_at", "hhh_rt", "hhh_csrf"}
    for name, cookie in cookies.items():
        assert cookie["httponly"] == ("" if name == "hhh_csrf" else True)
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("lax", "/", "")
        assert cookie["max-age"] == FOURTEEN_DAYS
        assert not cookie["secure"]


def test_outside_dev_cookies_are_for_https_only(settings: Settings, sqlite_database: Database) -> None:
    make_user(sqlite_database)
    production = settings.model_copy(update={"env": "production", "secret_key": settings.secret_key})
    with TestClient(web_app(production, sqlite_database), base_url="https://testserver") as client:
        answer = client.post(LOGIN, json=CREDENTIALS)

    assert all(cookie["secure"] for cookie in cookies_of(answer).values())
    assert "max-age" in answer.headers["strict-transport-security"]


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(client: TestClient) -> None:
    wrong = client.post(LOGIN, json={**CREDENTIALS, "password": "wrong"})
    unknown = client.post(LOGIN, json={**CREDENTIALS, "email": "nobody@example.com"})

    for answer in (wrong, unknown):
        assert code(answer) == (401, "ERR_INVALID_CREDENTIALS")
        assert "set-cookie" not in answer.headers
    assert wrong.json()["detail"] == unknown.json()["detail"]


def test_a_form_of_another_site_can_not_sign_in(client: TestClient) -> None:
    form = client.post(LOGIN, data=CREDENTIALS)
    text = client.post(LOGIN, content='{"email": "a@b", "password": "c"}', headers={"content-type": "text/plain"})
    untyped = client.post(LOGIN, content=b'{"email": "a@b", "password": "c"}')

    for answer in (form, text, untyped):
        assert code(answer) == (422, "ERR_VALIDATION")


def test_the_eleventh_failure_has_to_wait(client: TestClient) -> None:
    for _ in range(10):
        client.post(LOGIN, json={**CREDENTIALS, "password": "wrong"})

    answer = client.post(LOGIN, json=CREDENTIALS)

    assert code(answer) == (429, "ERR_RATE_LIMITED")
    assert 0 < int(answer.headers["retry-after"]) <= 900


def test_me_is_whoever_is_signed_in(client: TestClient) -> None:
    assert code(client.get(ME)) == (401, "ERR_INVALID_CREDENTIALS")

    sign_in(client)

    assert client.get(ME).json()["email"] == EMAIL


def test_a_role_is_read_anew_for_each_request(client: TestClient, sqlite_database: Database) -> None:
    make_user(sqlite_database, email="admin@example.com", role=Role.ADMIN)
    sign_in(client, email="admin@example.com")

    assert code(client.post(TRIGGER)) == (403, "ERR_SUPERADMIN_REQUIRED")
    with sqlite_database.transaction() as session:
        users.set_role(session, email="admin@example.com", role=Role.SUPER_ADMIN)
    assert client.post(TRIGGER).status_code == 200


@pytest.mark.parametrize("token", [None, "garbage", "a.b.c", '"', "%00"])
def test_without_a_session_the_backup_endpoints_say_what_the_runbook_says(
    client: TestClient, token: str | None
) -> None:
    headers = {} if token is None else {"cookie": f"hhh_at={token}"}

    answer = client.get("/api/v1/backups/stats", headers=headers)

    assert code(answer) == (403, "ERR_SUPERADMIN_REQUIRED")
    assert answer.json()["detail"] == "Super Admin access required"
    assert client.get(ME, headers=headers).status_code == 401


def test_a_token_signed_with_another_key_is_nobody(client: TestClient, signed_in: TestClient) -> None:
    claims = jwt.decode(signed_in.cookies["hhh_at"], options={"verify_signature": False})
    forged = jwt.encode(claims, derive_key(b"guessed", "access-tokens"), algorithm="HS256")

    answer = client.get("/api/v1/backups/stats", headers={"cookie": f"hhh_at={forged}"})

    assert code(answer) == (403, "ERR_SUPERADMIN_REQUIRED")


def test_an_expired_access_token_asks_for_a_refresh_which_helps(signed_in: TestClient, settings: Settings) -> None:
    expire_access_token(signed_in, settings)

    assert code(signed_in.post(TRIGGER)) == (401, "ERR_SESSION_EXPIRED")
    assert code(signed_in.get(ME)) == (401, "ERR_SESSION_EXPIRED")
    refreshed = signed_in.post(REFRESH)

    assert refreshed.json()["email"] == EMAIL
    assert set(cookies_of(refreshed)) == {"hhh_at", "hhh_rt", "hhh_csrf"}
    signed_in.headers["X-CSRF-Token"] = signed_in.cookies["hhh_csrf"]
    assert signed_in.post(TRIGGER).status_code == 200


def test_the_csrf_token_from_before_a_refresh_stays_good(signed_in: TestClient) -> None:
    before = signed_in.cookies["hhh_csrf"]
    signed_in.post(REFRESH)

    answer = signed_in.get(ME)
    answer = signed_in.post(
        TRIGGER, headers={"X-CSRF-Token": before, "cookie": cookie_header(signed_in, hhh_csrf=before)}
    )

    assert answer.status_code == 200


def test_a_replayed_refresh_token_ends_the_session_for_everybody(signed_in: TestClient) -> None:
    stolen = signed_in.cookies["hhh_rt"]
    signed_in.post(REFRESH).raise_for_status()
    signed_in.headers["X-CSRF-Token"] = signed_in.cookies["hhh_csrf"]
    assert signed_in.get(ME).status_code == 200

    replay = signed_in.post(REFRESH, headers={"cookie": cookie_header(signed_in, hhh_rt=stolen)})

    assert code(replay) == (401, "ERR_SESSION_EXPIRED")
    assert code(signed_in.get(ME)) == (401, "ERR_SESSION_EXPIRED")
    assert code(signed_in.post(TRIGGER)) == (401, "ERR_SESSION_EXPIRED")
    assert code(signed_in.post(REFRESH)) == (401, "ERR_SESSION_EXPIRED")
    assert sign_in(signed_in).get(ME).status_code == 200


def test_a_refresh_without_a_session_says_so(client: TestClient) -> None:
    assert code(client.post(REFRESH)) == (401, "ERR_SESSION_EXPIRED")


def test_the_refresh_token_alone_is_enough_to_go_on(signed_in: TestClient) -> None:
    signed_in.cookies.delete("hhh_at", domain="testserver.local", path="/")
    signed_in.get(HEALTH)
    signed_in.headers["X-CSRF-Token"] = signed_in.cookies["hhh_csrf"]

    assert signed_in.post(REFRESH).status_code == 200
    assert signed_in.get(ME).status_code == 200


def test_after_signing_out_the_access_token_is_dead_at_once(signed_in: TestClient) -> None:
    kept = cookie_header(signed_in)

    answer = signed_in.post(LOGOUT)

    assert answer.status_code == 204
    assert {name: cookie["max-age"] for name, cookie in cookies_of(answer).items()} == {
        "hhh_at": "0",
        "hhh_rt": "0",
        "hhh_csrf": FOURTEEN_DAYS,
    }
    assert set(signed_in.cookies) == {"hhh_csrf"}
    assert code(signed_in.get(ME, headers={"cookie": kept})) == (401, "ERR_SESSION_EXPIRED")
    assert code(signed_in.get("/api/v1/backups/stats")) == (403, "ERR_SUPERADMIN_REQUIRED")


def test_signing_out_without_a_session_is_a_no_op(client: TestClient) -> None:
    assert client.post(LOGOUT).status_code == 204


def test_signing_out_works_with_an_expired_access_token(signed_in: TestClient, settings: Settings) -> None:
    refresh_token = signed_in.cookies["hhh_rt"]
    expire_access_token(signed_in, settings)

    assert signed_in.post(LOGOUT).status_code == 204
    assert code(signed_in.post(REFRESH, headers={"cookie": f"hhh_rt={refresh_token}"})) == (403, "ERR_CSRF_INVALID")


def test_health_says_ok_and_hands_out_a_token_for_scripts(client: TestClient) -> None:
    answer = client.get(HEALTH)

    assert answer.json() == {"status": "ok"}
    (cookie,) = cookies_of(answer).values()
    assert (cookie.key, cookie["httponly"], cookie["path"]) == ("hhh_csrf", "", "/")


@pytest.fixture
def signed_in_by_curls_jar(client: TestClient, tmp_path: Path) -> Iterator[http.cookiejar.MozillaCookieJar]:
    """The cookies as curl keeps them in a file, after health and login."""
    jar = http.cookiejar.MozillaCookieJar(tmp_path / "cookies.txt")
    with httpx.Client(
        transport=client._transport, base_url="http://localhost.local:8000", cookies=jar, trust_env=False
    ) as curl:
        curl.get(HEALTH)
        curl.post(LOGIN, json=CREDENTIALS).raise_for_status()
        curl.get(HEALTH)
        jar.save(ignore_discard=True)
        yield jar


@pytest.mark.skipif(shutil.which("awk") is None, reason="needs awk")
def test_a_cookie_jar_has_one_csrf_line_that_the_runbooks_grep_finds(
    signed_in_by_curls_jar: http.cookiejar.MozillaCookieJar,
) -> None:
    command = f"grep hhh_csrf {signed_in_by_curls_jar.filename} | awk '{{print $7}}'"
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout

    assert found.split() == [cookie.value for cookie in signed_in_by_curls_jar if cookie.name == "hhh_csrf"]
    assert len(found.split()) == 1


def cookie_header(client: TestClient, **instead: str) -> str:
    """The client's cookies as a header, some of them exchanged."""
    return "; ".join(f"{name}={value}" for name, value in {**dict(client.cookies), **instead}.items())
