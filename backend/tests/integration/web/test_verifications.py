"""`/api/v1/verifications` over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hhh.core.database import Database
from hhh.main import create_app
from support.local_services import settings_in
from support.sign_in import EMAIL, make_user, sign_in
from support.waiting import wait_until

BACKUPS, VERIFICATIONS = "/api/v1/backups", "/api/v1/verifications"
NOBODY = "5f1f2f0e-0000-4000-8000-000000000000"


@pytest.fixture
def client(tmp_path: Path, sqlite_database: Database) -> Iterator[TestClient]:
    make_user(sqlite_database)
    with TestClient(create_app(settings_in(tmp_path), sqlite_database)) as client:
        yield sign_in(client)


def back_up(client: TestClient) -> str:
    answer = client.post(f"{BACKUPS}/trigger").raise_for_status().json()
    backup_id: str = answer["backup_id"]
    return backup_id


def ask(client: TestClient, backup_id: str, level: str = "stored") -> str:
    answer = client.post(f"{BACKUPS}/{backup_id}/verify", json={"level": level})
    assert answer.status_code == 202, answer.text
    verification_id: str = answer.json()["verification_id"]
    return verification_id


def ended(client: TestClient, verification_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"{VERIFICATIONS}/{verification_id}").raise_for_status().json()
        return found if found["finished_at"] else {}

    return wait_until(look, seconds=60, what="the end of the verification")


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_verification_is_asked_for_followed_and_told_with_its_backup(client: TestClient) -> None:
    backup_id = back_up(client)
    assert client.get(f"{BACKUPS}/{backup_id}").json()["verified"] is None

    accepted = client.post(f"{BACKUPS}/{backup_id}/verify", json={"level": "stored"})

    verification_id = accepted.json()["verification_id"]
    assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
    assert accepted.headers["Location"] == f"{VERIFICATIONS}/{verification_id}"
    stream = client.get(f"{VERIFICATIONS}/{verification_id}/events").text
    assert stream.rpartition("event: ")[2].startswith("end\n")
    assert '"kind":"verify"' in stream
    assert '"status":"success"' in stream
    found = ended(client, verification_id)
    assert (found["status"], found["level"], found["reached"], found["progress"]) == (
        "success",
        "stored",
        "stored",
        None,
    )
    assert (found["backup_id"], found["target"], found["requested_by"]) == (backup_id, "app", EMAIL)
    assert found["duration_seconds"] >= 0
    verified = client.get(f"{BACKUPS}/{backup_id}").json()["verified"]
    assert (verified["level"], verified["at"]) == ("stored", found["finished_at"])


def test_without_a_body_it_is_the_highest_level(client: TestClient) -> None:
    accepted = client.post(f"{BACKUPS}/{back_up(client)}/verify")

    assert client.get(accepted.headers["Location"]).json()["level"] == "proven"


def test_pages_are_narrowed(client: TestClient) -> None:
    backup_id = back_up(client)
    first, second = ask(client, backup_id), ask(client, backup_id)
    ended(client, first)
    ended(client, second)

    def ids(**narrowed: str | int) -> list[str]:
        answer = client.get(VERIFICATIONS, params=narrowed)
        return [each["id"] for each in answer.raise_for_status().json()["items"]]

    assert ids() == ids(target="app", backup_id=backup_id, status="success") == [second, first]
    assert ids(level="stored", target="app") == ids(level="stored", status="success") == [second, first]
    assert ids(level="proven") == ids(level="readable", backup_id=backup_id) == []
    assert ids(target="other") == ids(backup_id=NOBODY) == ids(status="inconclusive") == []
    page = client.get(VERIFICATIONS, params={"limit": 1}).json()
    assert ids(limit=1, cursor=page["next_cursor"]) == [first]


def test_what_can_not_be_asked_for_is_refused(client: TestClient) -> None:
    backup_id = back_up(client)
    ended(client, ask(client, backup_id))

    assert refused(client.post(f"{BACKUPS}/{NOBODY}/verify")) == (404, "ERR_NOT_FOUND")
    assert refused(client.post(f"{BACKUPS}/{backup_id}/verify", json={"level": "good"})) == (422, "ERR_VALIDATION")
    assert refused(client.post(f"{BACKUPS}/{backup_id}/verify", json={"more": 1})) == (422, "ERR_VALIDATION")
    assert refused(client.get(VERIFICATIONS, params={"status": "good"})) == (422, "ERR_VALIDATION")
    assert refused(client.get(VERIFICATIONS, params={"cursor": "x"})) == (422, "ERR_VALIDATION")
    for path in (NOBODY, f"{NOBODY}/events", "no-id"):
        assert refused(client.get(f"{VERIFICATIONS}/{path}")) == (404, "ERR_NOT_FOUND")
    assert refused(client.post(f"{VERIFICATIONS}/{NOBODY}/cancel")) == (404, "ERR_NOT_FOUND")


def test_one_that_has_ended_can_not_be_cancelled(client: TestClient) -> None:
    verification_id = ask(client, back_up(client))
    ended(client, verification_id)

    answer = client.post(f"{VERIFICATIONS}/{verification_id}/cancel")

    assert refused(answer) == (409, "ERR_ALREADY_ENDED")
    assert "The verification has ended already: it is success" in answer.json()["detail"]


def test_a_failed_backup_has_nothing_to_verify(client: TestClient, tmp_path: Path) -> None:
    client.post("/api/v1/targets", json={"name": "gone", "url": f"sqlite:///{tmp_path}/gone.db"}).raise_for_status()
    assert client.post(f"{BACKUPS}/trigger", json={"target": "gone"}).status_code == 500
    [failed] = client.get(BACKUPS, params={"target": "gone"}).json()["items"]

    answer = client.post(f"{BACKUPS}/{failed['id']}/verify")

    assert refused(answer) == (422, "ERR_VALIDATION")
    assert "The backup is failed: there is nothing to verify" in answer.json()["detail"]


def test_only_a_super_admin_with_the_token_may_ask(client: TestClient) -> None:
    path = f"{BACKUPS}/{back_up(client)}/verify"
    token = client.headers.pop("X-CSRF-Token")

    assert refused(client.post(path)) == (403, "ERR_CSRF_INVALID")

    client.headers["X-CSRF-Token"] = token
    client.cookies.clear()
    assert refused(client.get(VERIFICATIONS)) == (403, "ERR_SUPERADMIN_REQUIRED")
