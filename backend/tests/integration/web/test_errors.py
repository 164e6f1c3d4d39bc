"""Every error has one shape."""

import httpx
import pytest
from fastapi.testclient import TestClient

from hhh.core import errors
from hhh.core.errors import HHHError
from support.logs import Log
from support.sign_in import LOGIN


def error_of(answer: httpx.Response, status: int) -> dict:
    """The inner part, after checking the shape."""
    body = answer.json()
    assert answer.status_code == status
    assert set(body) == {"detail", "error"}
    assert body["detail"] == body["error"]["message"]
    assert body["error"]["request_id"] == answer.headers["x-request-id"]
    error: dict = body["error"]
    return error


def test_an_error_of_ours_tells_its_code_and_what_failed(client: TestClient) -> None:
    error = error_of(client.get("/backup-failed"), 500)

    assert error["code"] == "ERR_BACKUP_FAILED"
    assert error["message"] == "Backup failed: pg_dump failed with status 1: no such table"


def test_an_unknown_path_and_a_wrong_method_have_the_same_shape(client: TestClient) -> None:
    assert error_of(client.get("/nowhere"), 404)["code"] == "ERR_NOT_FOUND"
    wrong = client.post("/api/v1/auth/me")
    assert error_of(wrong, 405)["code"] == "ERR_METHOD_NOT_ALLOWED"
    assert wrong.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"email": "a@b"}',
        b'{"email": 1, "password": "x"}',
        b'{"email": "a@b", "password": ""}',
        b'{"email": "a@b", "password": "x", "extra": 1}',
        b'{"email": "a@b", "password": "x", "\\ud800": 1}',
        b'{"email": "\\ud800", "password": "x"}',
        b'{"email": "' + b"a" * 255 + b'", "password": "x"}',
        b'{"email": "a@b", "password": "' + b"x" * 1025 + b'"}',
        b'{"email": "\xff", "password": "x"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_does_not_fit_is_invalid_and_never_repeated(client: TestClient, body: bytes) -> None:
    answer = client.post(LOGIN, content=body, headers={"content-type": "application/json"})

    assert error_of(answer, 422)["code"] == "ERR_VALIDATION"
    assert len(answer.content) < 1000


def test_an_invalid_body_names_the_field_and_not_the_password(client: TestClient) -> None:
    answer = client.post(LOGIN, json={"password": {"hunter2": "hunter2"}})

    error = error_of(answer, 422)
    assert [field["loc"] for field in error["fields"]] == [["body", "email"], ["body", "password"]]
    assert "body.email: Field required" in error["message"]
    assert "hunter2" not in answer.text


def test_a_form_as_curl_sends_it_is_told_what_is_to_be_sent(client: TestClient) -> None:
    answer = client.post(LOGIN, data={"email": "a@b", "password": "hunter2"})

    assert error_of(answer, 422)["hint"] == "send a JSON object, with the header Content-Type: application/json"
    assert "hunter2" not in answer.text


def test_what_nobody_expected_is_logged_under_the_requests_id_and_not_told(client: TestClient, log: Log) -> None:
    answer = client.get("/unexpected", headers={"X-Request-ID": "find-me"})

    error = error_of(answer, 500)
    assert (error["code"], error["message"], error["request_id"]) == ("ERR_INTERNAL", "Internal error", "find-me")
    (logged,) = log.lines("request_failed")
    assert logged["request_id"] == "find-me"
    assert "RuntimeError" in logged["exception"]
    assert "hunter2" not in log.text
    assert [(line["path"], line["status"]) for line in log.lines("request")] == [("/unexpected", 500)]


def test_a_lost_database_is_503_but_on_the_runbooks_endpoints_500(client: TestClient) -> None:
    assert error_of(client.get("/database-gone"), 503)["code"] == "ERR_DATABASE_UNAVAILABLE"
    assert error_of(client.get("/api/v1/backups/logs"), 500)["code"] == "ERR_DATABASE_UNAVAILABLE"


def test_a_known_failure_is_one_line_in_the_log(client: TestClient, log: Log) -> None:
    client.get("/backup-failed")

    (logged,) = log.lines("request_failed")
    assert logged["error"] == "Backup failed: pg_dump failed with status 1: no such table"
    assert "exception" not in logged


def test_every_error_has_a_code_and_a_status_of_an_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HHHError)]

    assert len(kinds) > 20
    for kind in kinds:
        assert kind.code.startswith("ERR_")
        assert 400 <= kind.status < 600
