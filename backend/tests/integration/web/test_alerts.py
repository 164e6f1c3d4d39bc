"""`/api/v1/alerts` over HTTP, and what the running service tells by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hhh.core.database import Database
from hhh.main import create_app
from support.local_services import settings_in
from support.receivers import WebHook, a_web_hook
from support.sign_in import make_user, sign_in
from support.waiting import wait_until

ALERTS, CHANNELS = "/api/v1/alerts", "/api/v1/alerts/channels"
SECRET = "s3cret-of-the-hook"


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with a_web_hook() as hook:
        yield hook


@pytest.fixture
def client(tmp_path: Path, sqlite_database: Database) -> Iterator[TestClient]:
    make_user(sqlite_database)
    with TestClient(create_app(settings_in(tmp_path), sqlite_database)) as client:
        yield sign_in(client)


def test_a_failed_backup_is_told_within_moments_and_not_at_the_next_round(
    client: TestClient, hook: WebHook, tmp_path: Path
) -> None:
    client.post(CHANNELS, json={"name": "hook", "url": hook.url(SECRET)}).raise_for_status()
    client.post("/api/v1/targets", json={"name": "shop", "url": f"sqlite:///{tmp_path}/none.db"}).raise_for_status()
    assert client.post("/api/v1/backups/trigger", json={"target": "shop"}).status_code == 500
    wait_until(lambda: hook.titles == ["HHH Backup: shop: backup failed"], seconds=30, what="the message")

    present = client.get(ALERTS).json()
    assert present["looked_at"] is not None
    [trouble] = present["troubles"]
    assert (trouble["kind"], trouble["subject"], trouble["target"]) == ("backup-failed", "shop", "shop")
    delivered = wait_until(
        lambda: [each for each in client.get(f"{ALERTS}/deliveries").json() if each["status"] == "delivered"],
        what="the record of it",
    )
    assert (delivered[0]["channel"], delivered[0]["event"], delivered[0]["attempts"]) == ("hook", "begun", 1)
    assert client.get(f"{ALERTS}/deliveries?undelivered=true").json() == []


def test_a_channel_lives_from_its_creation_to_its_end(client: TestClient, hook: WebHook) -> None:
    created = client.post(CHANNELS, json={"name": "hook", "url": hook.url(SECRET), "targets": ["prod-*"]})
    assert created.status_code == 201
    channel = created.json()
    assert created.headers["Location"] == f"{CHANNELS}/{channel['id']}"
    assert channel["url"] == f"json://127.0.0.1:{hook.port}/***"
    assert (channel["kinds"], channel["targets"], channel["enabled"]) == (None, ["prod-*"], True)
    assert client.get(f"{CHANNELS}/hook").json() == client.get(CHANNELS).json()[0] == channel

    assert client.post(f"{CHANNELS}/hook/test").json() == {"name": "hook", "ok": True, "error": None}
    assert hook.titles == ["HHH Backup: a test"]
    channel = client.get(f"{CHANNELS}/hook").json()
    assert channel["last_delivered_at"] is not None
    changed = client.patch(f"{CHANNELS}/{channel['id']}", json={"kinds": ["size-odd"], "enabled": False}).json()
    assert changed == channel | {"kinds": ["size-odd"], "enabled": False}
    assert client.patch(f"{CHANNELS}/hook", json={"kinds": None}).json()["kinds"] is None

    assert client.delete(f"{CHANNELS}/hook").status_code == 204
    assert client.get(f"{CHANNELS}/hook").status_code == 404
    assert client.post(f"{CHANNELS}/hook/test").status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "ops", "url": "dbus://"}, 422),
        ({"name": "ops", "url": "json://"}, 422),
        ({"name": "Ops!", "url": "json://127.0.0.1:9/"}, 422),
        ({"name": "ops", "url": "json://127.0.0.1:9/", "kinds": ["nothing"]}, 422),
        ({"name": "ops", "url": "json://127.0.0.1:9/", "targets": [""]}, 422),
        ({"name": "ops", "url": "json://127.0.0.1:9/\u0000"}, 422),
    ],
)
def test_what_cannot_be_used_is_refused(client: TestClient, body: dict[str, object], code: int) -> None:
    answer = client.post(CHANNELS, json=body)
    assert answer.status_code == code, answer.text
    assert client.get(CHANNELS).json() == []


def test_a_name_is_taken_once(client: TestClient) -> None:
    body = {"name": "ops", "url": "json://127.0.0.1:9/"}
    assert client.post(CHANNELS, json=body).status_code == 201
    assert "exists already" in client.post(CHANNELS, json=body).json()["detail"]
    assert client.get(f"{CHANNELS}/%00").status_code == 404
