"""`/api/v1/recoverability` and reports of verifications over HTTP."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hhh.core.database import Database
from hhh.main import create_app
from hhh.models import VerificationStatus
from support.local_services import settings_in
from support.recoverable import a_backup, a_verification
from support.sign_in import make_user, sign_in


@pytest.fixture
def anybody(tmp_path: Path, sqlite_database: Database) -> Iterator[TestClient]:
    make_user(sqlite_database)
    with TestClient(create_app(settings_in(tmp_path), sqlite_database)) as client:
        yield client


@pytest.fixture
def client(anybody: TestClient) -> TestClient:
    return sign_in(anybody)


@pytest.fixture
def proven(sqlite_database: Database) -> str:
    """The id of a verification."""
    return a_verification(sqlite_database, a_backup(sqlite_database), result={"restore_seconds": 2.5})


def test_each_database_tells_how_it_stands(client: TestClient, sqlite_database: Database, proven: str) -> None:
    client.post("/api/v1/targets", json={"name": "shop", "url": "postgresql://db.example.com/shop"}).raise_for_status()
    client.patch("/api/v1/targets/app", json={"proven_within_days": 7}).raise_for_status()

    listed = client.get("/api/v1/recoverability").json()

    assert [(each["target"], each["state"]) for each in listed] == [("shop", "unproven"), ("app", "healthy")]
    one = client.get("/api/v1/targets/app/recoverability").json()
    assert one | {"rpo_seconds": 0} == listed[1] | {"rpo_seconds": 0}
    assert (one["last_proven"]["verification_id"], one["rto_seconds"], one["reasons"]) == (proven, 2.5, [])
    assert one["next_proof_due_at"].endswith("+00:00")

    a_backup(sqlite_database, age=timedelta(), status="FAILED", error="disk full")  # type: ignore[arg-type]
    assert client.get("/api/v1/targets/app/recoverability").json()["state"] == "failing"


def test_an_unknown_database_is_not_found(client: TestClient) -> None:
    for name in ("nobody", "%00"):
        answer = client.get(f"/api/v1/targets/{name}/recoverability")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_NOT_FOUND")


def test_nobody_sees_them_without_a_session(anybody: TestClient, proven: str) -> None:
    paths = ("recoverability", "targets/app/recoverability", f"verifications/{proven}/report")
    assert {anybody.get(f"/api/v1/{path}").status_code for path in paths} == {403}


def test_a_report_is_the_signed_json_itself(client: TestClient, proven: str) -> None:
    answer = client.get(f"/api/v1/verifications/{proven}/report")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="proof-report-{proven}.json"'
    assert json.loads(answer.content)["signature"]["algorithm"] == "ed25519"
    assert answer.content.endswith(b"}\n")


def test_a_page_may_use_its_own_style_and_nothing_else(client: TestClient, proven: str) -> None:
    answer = client.get(f"/api/v1/verifications/{proven}/report?format=html")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_has_no_report_says_why(client: TestClient, sqlite_database: Database) -> None:
    cancelled = a_verification(sqlite_database, a_backup(sqlite_database), status=VerificationStatus.CANCELLED)
    answer = client.get(f"/api/v1/verifications/{cancelled}/report")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "ERR_VALIDATION")
    assert client.get("/api/v1/verifications/x/report").status_code == 404
    assert client.get(f"/api/v1/verifications/{cancelled}/report?format=pdf").status_code == 422
