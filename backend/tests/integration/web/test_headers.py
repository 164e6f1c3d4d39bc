"""Request ids, security headers, CORS, addresses behind proxies."""

import re

import pytest
from fastapi.testclient import TestClient

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from support.sign_in import web_app

HEALTH = "/api/v1/auth/health"


def test_a_request_gets_an_id(client: TestClient) -> None:
    one, other = (client.get(HEALTH).headers["x-request-id"] for _ in range(2))

    assert re.fullmatch(r"[0-9a-f]{32}", one)
    assert one != other


def test_a_request_may_bring_its_id(client: TestClient) -> None:
    assert client.get(HEALTH, headers={"X-Request-ID": "Trace-1.a_b"}).headers["x-request-id"] == "Trace-1.a_b"


@pytest.mark.parametrize("sent", ["", "a b", "a\tb", "<script>", "x" * 65, "ü", 'a"b'])
def test_an_id_that_does_not_belong_in_a_log_is_replaced(client: TestClient, sent: str) -> None:
    answer = client.get(HEALTH, headers={"X-Request-ID": sent.encode("latin-1")})

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/sign-in/", "/api/v1/targets/", "/healthz/"])
def test_no_answer_leads_to_a_host_that_the_client_names(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)

    assert (answer.status_code, "location" in answer.headers) == (404, False)


@pytest.mark.parametrize("path", [HEALTH, "/nowhere", "/unexpected"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers


def test_no_other_origin_is_allowed_unless_set(client: TestClient) -> None:
    answer = client.get(HEALTH, headers={"origin": "https://console.example.com"})

    assert "access-control-allow-origin" not in answer.headers


def test_an_origin_of_the_settings_may_ask_with_cookies(settings: Settings, sqlite_database: Database) -> None:
    allowed = settings.model_copy(update={"cors_origins": ["https://console.example.com"]})
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "x-csrf-token"}
    with TestClient(web_app(allowed, sqlite_database)) as client:
        ours = client.options(HEALTH, headers={"origin": "https://console.example.com", **preflight})
        foreign = client.options(HEALTH, headers={"origin": "https://evil.example.com", **preflight})

    assert ours.headers["access-control-allow-origin"] == "https://console.example.com"
    assert ours.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cors_origins", "*"),
        ("cors_origins", "console.example.com"),
        ("cors_origins", "https://console.example.com/"),
        ("cors_origins", "null"),
        ("trusted_proxies", "*"),
        ("trusted_proxies", "10.0.0.0/8x"),
        ("trusted_proxies", "proxy.example.com"),
    ],
)
def test_a_setting_of_the_wrong_form_is_refused_by_name(
    settings: Settings, sqlite_database: Database, setting: str, value: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"HHH_{setting.upper()} holds '{re.escape(value)}'"):
        web_app(settings.model_copy(update={setting: [value]}), sqlite_database)


def addresses(settings: Settings, database: Database, client: tuple[str, int], forwarded: str) -> str:
    with TestClient(web_app(settings, database), client=client) as http:
        answer: str = http.get("/address", headers={"X-Forwarded-For": forwarded}).json()
    return answer


def test_what_a_client_says_of_its_address_is_not_believed(settings: Settings, sqlite_database: Database) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": ["10.0.0.0/8"]})

    assert addresses(settings, sqlite_database, ("127.0.0.1", 1), "203.0.113.9") == "127.0.0.1"
    assert addresses(trusting, sqlite_database, ("192.0.2.1", 1), "203.0.113.9") == "192.0.2.1"


def test_a_trusted_proxys_word_counts_up_to_the_first_that_is_not_trusted(
    settings: Settings, sqlite_database: Database
) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": ["10.0.0.0/8", "192.0.2.5"]})

    assert addresses(trusting, sqlite_database, ("10.1.1.1", 1), "203.0.113.9") == "203.0.113.9"
    assert addresses(trusting, sqlite_database, ("10.1.1.1", 1), "1.1.1.1, 203.0.113.9, 192.0.2.5") == "203.0.113.9"
