"""`/api/v1/backups` over HTTP: how they are listed, and the commands that recover one by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hhh.core.database import Database
from hhh.main import create_app
from support.local_services import settings_in
from support.sign_in import make_user, sign_in
from support.stored_rows import stored_backup_row

BACKUPS = "/api/v1/backups"
NOBODY = "5f1f2f0e-0000-4000-8000-000000000000"


@pytest.fixture
def client(tmp_path: Path, sqlite_database: Database) -> Iterator[TestClient]:
    make_user(sqlite_database)
    with TestClient(create_app(settings_in(tmp_path), sqlite_database)) as client:
        yield sign_in(client)


def listed(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get(BACKUPS, params=query).raise_for_status().json()["items"]
    return items


def test_backups_are_listed_as_asked_for(client: TestClient, sqlite_database: Database) -> None:
    small, large = (stored_backup_row(sqlite_database, size=size) for size in (5, 9))
    client.post(f"{BACKUPS}/{small}/pin").raise_for_status()

    assert [each["id"] for each in listed(client, sort="largest")] == [large, small]
    assert [each["id"] for each in listed(client, sort="oldest", pinned="false")] == [large]
    assert [each["id"] for each in listed(client, pinned="true", proven="false")] == [small]
    assert listed(client, proven="true") == []
    page = client.get(BACKUPS, params={"sort": "smallest", "limit": 1}).json()
    assert [each["id"] for each in listed(client, sort="smallest", cursor=page["next_cursor"])] == [large]


@pytest.mark.parametrize("query", ["sort=odd", "proven=perhaps", "limit=0", "limit=201", "created_from=2025-01-01"])
def test_what_no_listing_knows_is_refused_by_name(client: TestClient, query: str) -> None:
    answer = client.get(f"{BACKUPS}?{query}")

    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["loc"] == ["query", query.partition("=")[0]]


def test_a_cursor_of_another_order_is_refused(client: TestClient, sqlite_database: Database) -> None:
    for _ in range(2):
        stored_backup_row(sqlite_database)
    by_size = client.get(f"{BACKUPS}?limit=1&sort=largest").json()["next_cursor"]
    by_time = client.get(f"{BACKUPS}?limit=1").json()["next_cursor"]

    assert client.get(f"{BACKUPS}?cursor={by_size}").status_code == 422
    assert client.get(f"{BACKUPS}?sort=largest&cursor={by_time}").status_code == 422


def test_a_backup_tells_how_long_it_took(client: TestClient) -> None:
    backup_id = client.post(f"{BACKUPS}/trigger").json()["backup_id"]

    assert client.get(f"{BACKUPS}/{backup_id}").json()["duration_seconds"] > 0


def test_the_commands_that_recover_one_are_told(client: TestClient) -> None:
    backup_id = client.post(f"{BACKUPS}/trigger").json()["backup_id"]
    told = client.get(f"{BACKUPS}/{backup_id}/recovery-commands").raise_for_status().json()

    assert [copy["storage"] for copy in told["copies"]] == ["default"]
    assert "sha256sum -c" in told["steps"][0]["commands"]
    assert client.get(f"{BACKUPS}/{NOBODY}/recovery-commands").status_code == 404
