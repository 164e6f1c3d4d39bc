"""Mutating requests with session cookies need the CSRF token of that session."""

import anyio
import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.web.csrf import CsrfProtection, CsrfTokens
from hhh.web.forms import FORM
from support.sign_in import EMAIL, LOGIN, PASSWORD, TRIGGER, sign_in, web_app

HEALTH = "/api/v1/auth/health"
LOGOUT = "/api/v1/auth/logout"


def is_refused(answer: httpx.Response) -> bool:
    if answer.status_code != 403 or answer.json()["error"]["code"] != "ERR_CSRF_INVALID":
        return False
    assert answer.json()["detail"] == "CSRF validation failed"
    return True


def plant(client: TestClient, token: str) -> None:
    """Cookie and header alike, as somebody can do who may set cookies for this host."""
    client.cookies.set("hhh_csrf", token, domain="testserver.local", path="/")
    client.headers["X-CSRF-Token"] = token


def test_with_its_token_a_request_passes(signed_in: TestClient) -> None:
    assert signed_in.post(TRIGGER).json() == {"success": True}


def test_without_the_header_it_is_refused(signed_in: TestClient) -> None:
    del signed_in.headers["X-CSRF-Token"]

    assert is_refused(signed_in.post(TRIGGER))
    assert is_refused(signed_in.post(TRIGGER, headers={"X-CSRF-Token": ""}))


def test_without_the_cookie_it_is_refused(signed_in: TestClient) -> None:
    signed_in.cookies.delete("hhh_csrf", domain="testserver.local", path="/")

    assert is_refused(signed_in.post(TRIGGER))


def test_an_empty_cookie_and_an_empty_header_are_no_token(signed_in: TestClient) -> None:
    plant(signed_in, "")

    assert is_refused(signed_in.post(TRIGGER))


def test_a_tampered_token_is_refused(signed_in: TestClient) -> None:
    token = signed_in.cookies["hhh_csrf"]

    for tampered in (token[:-1], token + "x", token.swapcase(), "." + token):
        assert is_refused(signed_in.post(TRIGGER, headers={"X-CSRF-Token": tampered}))
        plant(signed_in, tampered)
        assert is_refused(signed_in.post(TRIGGER))
        plant(signed_in, token)


def test_a_token_beyond_ascii_is_refused_like_any_other(signed_in: TestClient) -> None:
    assert is_refused(signed_in.post(TRIGGER, headers={"X-CSRF-Token": "tökén".encode("latin-1")}))


def test_the_token_of_another_session_is_foreign(signed_in: TestClient) -> None:
    with TestClient(signed_in.app) as attacker:
        foreign = sign_in(attacker).cookies["hhh_csrf"]
    plant(signed_in, foreign)

    assert is_refused(signed_in.post(TRIGGER))


def test_a_token_from_before_the_session_is_refused_within_it(signed_in: TestClient) -> None:
    with TestClient(signed_in.app) as anybody:
        anybody.get(HEALTH)
        unbound = anybody.cookies["hhh_csrf"]
    plant(signed_in, unbound)

    assert is_refused(signed_in.post(TRIGGER))


def test_a_token_of_another_installation_is_refused(signed_in: TestClient) -> None:
    plant(signed_in, CsrfTokens(b"another secret").issue(None))

    assert is_refused(signed_in.post(TRIGGER))


def test_health_hands_out_the_bound_token_again(signed_in: TestClient) -> None:
    signed_in.get(HEALTH)
    signed_in.headers["X-CSRF-Token"] = signed_in.cookies["hhh_csrf"]

    assert signed_in.post(TRIGGER).status_code == 200


def test_sign_in_is_exempt_also_with_old_cookies(signed_in: TestClient) -> None:
    del signed_in.headers["X-CSRF-Token"]

    assert signed_in.post(LOGIN, json={"email": EMAIL, "password": PASSWORD}).status_code == 200


def test_without_session_cookies_no_token_is_asked_for(client: TestClient) -> None:
    answer = client.post(TRIGGER)

    assert answer.json()["error"]["code"] == "ERR_SUPERADMIN_REQUIRED"


@pytest.mark.parametrize("cookie", ["hhh_at=garbage", "hhh_rt=garbage", "hhh_at=; hhh_rt="])
def test_cookies_that_look_like_a_session_need_a_token_too(client: TestClient, cookie: str) -> None:
    assert is_refused(client.post(TRIGGER, headers={"cookie": cookie}))
    assert is_refused(client.post(LOGOUT, headers={"cookie": cookie}))


def test_with_only_the_refresh_token_the_csrf_token_must_be_of_its_session(signed_in: TestClient) -> None:
    with TestClient(signed_in.app) as attacker:
        foreign = sign_in(attacker).cookies["hhh_csrf"]
    mine, refresh_token = signed_in.cookies["hhh_csrf"], signed_in.cookies["hhh_rt"]

    def refresh(token: str) -> httpx.Response:
        cookies = f"hhh_at=garbage; hhh_rt={refresh_token}; hhh_csrf={token}"
        return signed_in.post("/api/v1/auth/refresh", headers={"cookie": cookies, "X-CSRF-Token": token})

    assert is_refused(refresh(foreign))
    assert refresh(mine).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "UNKNOWN"])
@pytest.mark.parametrize("path", [TRIGGER, "/address", "/nowhere", "/api/v1/auth/login/", "/api/v1/auth/me"])
def test_no_route_can_forget_it_not_even_one_that_is_not_there(signed_in: TestClient, method: str, path: str) -> None:
    del signed_in.headers["X-CSRF-Token"]

    assert is_refused(signed_in.request(method, path))


def test_a_host_header_with_a_path_in_it_exempts_nothing(signed_in: TestClient) -> None:
    del signed_in.headers["X-CSRF-Token"]

    assert is_refused(signed_in.post(TRIGGER, headers={"host": f"testserver.local{LOGIN}?"}))


def test_reading_needs_no_token(signed_in: TestClient) -> None:
    del signed_in.headers["X-CSRF-Token"]

    assert signed_in.get("/api/v1/auth/me").status_code == 200
    assert signed_in.get("/api/v1/backups/stats").status_code == 200


def test_the_refusal_reaches_scripts_of_allowed_origins(settings: Settings, sqlite_database: Database) -> None:
    allowed = settings.model_copy(update={"cors_origins": ["https://console.example.com"]})
    with TestClient(web_app(allowed, sqlite_database)) as client:
        answer = client.post(TRIGGER, headers={"cookie": "hhh_at=x", "origin": "https://console.example.com"})

    assert is_refused(answer)
    assert answer.headers["access-control-allow-origin"] == "https://console.example.com"
    assert answer.headers["access-control-allow-credentials"] == "true"


def test_the_form_of_a_page_has_its_token_among_its_fields(signed_in: TestClient) -> None:
    token = signed_in.headers.pop("X-CSRF-Token")

    assert signed_in.post("/address", data={"csrf_token": token, "a": "b"}).status_code == 200
    assert is_refused(signed_in.post("/address", data={"csrf_token": token + "x"}))
    assert is_refused(signed_in.post("/address", data={"a": "b"}))
    assert is_refused(signed_in.post("/address", json={"csrf_token": token}))
    assert is_refused(signed_in.post(f"/address?csrf_token={token}"))


def test_the_last_of_several_tokens_of_a_form_counts(signed_in: TestClient) -> None:
    token = signed_in.headers.pop("X-CSRF-Token")

    assert is_refused(signed_in.post("/address", data={"csrf_token": [token, "x"]}))


def test_the_form_of_a_page_needs_a_token_without_a_session_too(client: TestClient) -> None:
    assert is_refused(client.post("/address", data={"a": "b"}))
    client.get(HEALTH)
    assert client.post("/address", data={"csrf_token": client.cookies["hhh_csrf"]}).status_code == 200


def test_a_form_on_a_page_of_another_site_is_refused_as_far_as_the_browser_tells(signed_in: TestClient) -> None:
    for site, is_ours in {"same-origin": True, "none": True, "same-site": False, "cross-site": False}.items():
        answer = signed_in.post("/address", headers={"Sec-Fetch-Site": site})
        assert (answer.status_code == 200) is is_ours


def test_scripts_of_allowed_origins_use_the_api_from_other_sites(signed_in: TestClient) -> None:
    assert signed_in.post(TRIGGER, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_client_that_leaves_while_its_form_is_read_is_not_answered() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(f"nobody is there: {message}")

    async def application(*_: object) -> None:
        raise AssertionError("there is no form")

    scope = {"type": "http", "method": "POST", "path": "/address", "headers": [(b"content-type", FORM.encode())]}
    anyio.run(CsrfProtection(application), scope, receive, send)
