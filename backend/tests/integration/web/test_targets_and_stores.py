"""`/api/v1/targets` and `/api/v1/storages` over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hhh.core.database import Database
from hhh.main import create_app
from support.local_services import settings_in
from support.s3 import S3Bucket
from support.sign_in import make_user, sign_in
from support.sqlite_data import make_sqlite_database

TARGETS, STORAGES = "/api/v1/targets", "/api/v1/storages"
BAD = '{"private_key": "s3cret", "private_key_id": "1", "client_email": "x"}'
URL = "postgresql://reader:s3cret@db.example.com/shop"


@pytest.fixture
def client(tmp_path: Path, sqlite_database: Database) -> Iterator[TestClient]:
    make_user(sqlite_database)
    with TestClient(create_app(settings_in(tmp_path), sqlite_database)) as client:
        yield sign_in(client)


def test_a_target_lives_from_its_creation_to_its_end(client: TestClient, tmp_path: Path) -> None:
    client.post(STORAGES, json={"name": "other", "url": f"file://{tmp_path}/other"}).raise_for_status()
    policy = {"storages": ["default", "other"], "minimum_copies": 1, "retention": {"daily": 7}}
    created = client.post(TARGETS, json={"name": "shop", "url": URL, **policy})
    assert (created.status_code, created.headers["Location"]) == (201, f"{TARGETS}/shop")
    assert created.json() == client.get(f"{TARGETS}/shop").json() == client.get(TARGETS).json()[1]
    assert created.json()["url"] == "postgresql://reader:***@db.example.com/shop"
    assert created.json()["storages"] == ["default", "other"]

    patched = client.patch(f"{TARGETS}/shop", json={"url": created.json()["url"], "retries": 0}).json()
    assert (patched["retries"], patched["storages"], patched["retention"]["daily"]) == (0, ["default", "other"], 7)
    put = client.put(f"{TARGETS}/shop", json={"time_limit_seconds": 60}).json()
    assert (put["retries"], put["storages"], put["retention"], put["url"]) == (2, ["default"], None, patched["url"])

    removed = client.delete(f"{TARGETS}/shop")
    assert removed.json() == {"name": "shop", "backups_kept": 0, "policy_kept": False, "schedules_removed": []}
    assert client.get(f"{TARGETS}/shop").status_code == 404


def test_what_is_demanded_of_the_backups_of_a_target_stands_flat_in_its_policy(client: TestClient) -> None:
    demands = {"verify_after_backup": "proven", "fingerprint": "full", "assertions": ["SELECT true"]}
    created = client.post(TARGETS, json={"name": "shop", "url": URL, **demands, "drill_target": "shop"}).json()
    ages = {"proven_within_days": 7, "backed_up_within_hours": 26}
    patched = client.patch(f"{TARGETS}/shop", json=ages).json()
    assert patched == created | ages | {"updated_at": patched["updated_at"]}
    assert {name: patched[name] for name in demands} == demands
    put = client.put(f"{TARGETS}/shop", json={"fingerprint": "sampled"}).json()
    assert (put["fingerprint"], put["assertions"], put["drill_target"], put["proven_within_days"]) == (
        "sampled",
        [],
        None,
        None,
    )


def test_a_schedule_verifies_and_a_run_of_it_by_hand_answers_where_the_verification_is(
    client: TestClient,
) -> None:
    added = client.post("/api/v1/schedules", json={"target": "app", "cron": "@weekly", "verify": "stored"})
    assert (added.status_code, added.json()["verify"], added.json()["last_verified_at"]) == (201, "stored", None)
    path = f"/api/v1/schedules/{added.json()['id']}"
    nothing = client.post(f"{path}/run")
    assert (nothing.status_code, nothing.json()["error"]["message"]) == (404, "Nothing to verify yet")
    client.post("/api/v1/backups/trigger").raise_for_status()

    begun = client.post(f"{path}/run")

    assert begun.status_code == 202
    assert begun.headers["Location"] == f"/api/v1/verifications/{begun.json()['verification_id']}"
    assert begun.json()["status"] == "queued"
    assert client.patch(path, json={"cron": "@daily"}).json()["verify"] == "stored"
    assert client.patch(path, json={"verify": None}).json()["verify"] is None
    assert "backup_id" in client.post(f"{path}/run").json()


def test_a_store_lives_from_its_creation_to_its_end(client: TestClient, s3: S3Bucket) -> None:
    options = {
        "access_key_id": s3.access_key_id,
        "secret_access_key": s3.secret_access_key,
        "endpoint_url": s3.endpoint,
        "region": None,
    }
    created = client.post(STORAGES, json={"name": "remote", "url": s3.url("p"), "options": options})
    assert (created.status_code, created.headers["Location"]) == (201, f"{STORAGES}/remote")
    assert created.json()["secrets"] == ["secret_access_key"]
    assert created.json()["options"] == {"access_key_id": s3.access_key_id, "endpoint_url": s3.endpoint}
    assert created.json() == client.get(f"{STORAGES}/remote").json() == client.get(STORAGES).json()[1]

    tested = client.post(f"{STORAGES}/remote/test").json()
    assert (tested["ok"], tested["error"], tested["steps"][0]["name"]) == (True, None, "write")
    for answer in (
        client.patch(f"{STORAGES}/remote", json={"options": {"region": "eu-1"}}),
        client.put(f"{STORAGES}/remote", json={"url": s3.url("q")}),
    ):
        assert answer.status_code == 200
        assert s3.secret_access_key not in answer.text
    assert client.post(f"{STORAGES}/remote/test").json()["ok"] is True
    refused = client.patch(f"{STORAGES}/remote", json={"options": {"endpoint_url": "https://evil.example.com"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "ERR_VALIDATION")

    removed = client.delete(f"{STORAGES}/remote")
    assert removed.json() == {"name": "remote", "copies_forgotten": 0, "backups_forgotten": 0}
    assert client.get(f"{STORAGES}/remote").status_code == 404


def test_both_kinds_of_test_answer_alike_where_they_fail(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    client.post(TARGETS, json={"name": "bad", "url": f"sqlite:///{tmp_path}/missing.db"}).raise_for_status()
    client.post(STORAGES, json={"name": "bad", "url": f"file://{tmp_path}/file/x"}).raise_for_status()
    make_sqlite_database(tmp_path / "good.db", megabytes=0.02)
    client.post(TARGETS, json={"name": "good", "url": f"sqlite:///{tmp_path}/good.db"}).raise_for_status()
    for path in (TARGETS, STORAGES):
        bad = client.post(f"{path}/bad/test")
        assert (bad.status_code, bad.json()["ok"], bool(bad.json()["error"])) == (200, False, True)
        assert client.post(f"{path}/none/test").status_code == 404
    good = client.post(f"{TARGETS}/good/test").json()
    assert (good["ok"], good["description"]) == (True, "SQLite, 3 tables")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", TARGETS, {"name": "app", "url": "sqlite:////x.db"}, 422, "ERR_VALIDATION"),
        ("POST", TARGETS, {"name": "x", "url": "sqlite:////x.db", "retries": -1}, 422, "ERR_VALIDATION"),
        ("POST", TARGETS, {"name": "x", "url": "sqlite:////x.db", "storages": ["none"]}, 422, "ERR_VALIDATION"),
        ("PATCH", f"{TARGETS}/app", {"url": "sqlite:////x.db"}, 422, "ERR_VALIDATION"),
        ("PATCH", f"{TARGETS}/app", {"verify_after_backup": "certain"}, 422, "ERR_VALIDATION"),
        ("PATCH", f"{TARGETS}/app", {"assertions": ["SELECT '\0s3cret'"]}, 422, "ERR_VALIDATION"),
        ("PATCH", f"{TARGETS}/app", {"drill_target": "none"}, 422, "ERR_VALIDATION"),
        ("POST", "/api/v1/schedules", {"target": "app", "cron": "@daily", "verify": "x"}, 422, "ERR_VALIDATION"),
        ("PATCH", f"{TARGETS}/app", {"name": "x"}, 422, "ERR_VALIDATION"),
        ("PATCH", f"{TARGETS}/none", {"retries": 1}, 404, "ERR_NOT_FOUND"),
        ("DELETE", f"{TARGETS}/app", None, 422, "ERR_VALIDATION"),
        ("GET", f"{TARGETS}/%00", None, 404, "ERR_NOT_FOUND"),
        (
            "POST",
            STORAGES,
            {"name": "x", "url": "s3://b", "options": {"acces_key_id": "s3cret"}},
            422,
            "ERR_VALIDATION",
        ),
        ("POST", STORAGES, {"name": "x", "url": "s3://u:s3cret@b"}, 422, "ERR_VALIDATION"),
        ("POST", STORAGES, {"name": "x", "url": "s3://b", "options": {"region": ["s3cret"]}}, 422, "ERR_VALIDATION"),
        (
            "POST",
            STORAGES,
            {"name": "x", "url": "gs://b", "options": {"service_account_key": BAD}},
            422,
            "ERR_VALIDATION",
        ),
        ("PATCH", f"{STORAGES}/default", {"url": "s3://b"}, 422, "ERR_VALIDATION"),
        ("DELETE", f"{STORAGES}/default", None, 422, "ERR_VALIDATION"),
        ("DELETE", f"{STORAGES}/none?copies=burn", None, 422, "ERR_VALIDATION"),
        ("GET", f"{STORAGES}/%ED%A0%80", None, 404, "ERR_NOT_FOUND"),
    ],
)
def test_what_can_not_be_is_refused_without_repeating_secrets(
    client: TestClient, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "s3cret" not in answer.text


def test_what_is_in_use_is_409(client: TestClient, tmp_path: Path) -> None:
    client.post(STORAGES, json={"name": "other", "url": f"file://{tmp_path}/other"}).raise_for_status()
    client.patch(f"{TARGETS}/app", json={"storages": ["other"]}).raise_for_status()
    client.post("/api/v1/backups/trigger").raise_for_status()
    client.post(TARGETS, json={"name": "server", "url": URL}).raise_for_status()
    client.patch(f"{TARGETS}/app", json={"drill_target": "server"}).raise_for_status()
    drilled_on = client.delete(f"{TARGETS}/server")
    named = client.delete(f"{STORAGES}/other?copies=forget")
    client.patch(f"{TARGETS}/app", json={"storages": ["default"]}).raise_for_status()
    only = client.delete(f"{STORAGES}/other?copies=forget")
    unsaid = client.delete(f"{STORAGES}/other")
    for answer in (drilled_on, named, only, unsaid):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ERR_IN_USE")
    forgotten = client.delete(f"{STORAGES}/other?copies=forget-backups").json()
    assert (forgotten["copies_forgotten"], forgotten["backups_forgotten"]) == (1, 1)
    assert list((tmp_path / "other").rglob("backup_*.json"))


def test_only_a_super_admin_with_a_csrf_token_may(client: TestClient, tmp_path: Path) -> None:
    del client.headers["X-CSRF-Token"]
    for path in (TARGETS, STORAGES):
        assert client.post(path, json={"name": "x", "url": f"sqlite:///{tmp_path}/x.db"}).status_code == 403
    client.cookies.clear()
    for path in (TARGETS, STORAGES):
        assert client.get(path).json()["error"]["code"] == "ERR_SUPERADMIN_REQUIRED"
