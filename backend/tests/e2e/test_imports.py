"""Dumps that were made elsewhere, taken in on the command line and used through the running service."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backing_up import BACKUPS, STATS, assert_totals_add_up, backup, hhh, scratch_leftovers
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.postgres_dumps import dump_by_hand
from support.service import Service
from support.session import current_session
from support.sqlite_data import make_sqlite_database


@pytest.fixture(scope="module")
def service(any_postgres: PostgresServer) -> Iterator[Service]:
    """One for all tests, that has PostgreSQL's programs."""
    folder = current_session().new_folder("imports")
    (folder / "scratch").mkdir()
    with Service(folder, {"scratch_dir": folder / "scratch", "pg_bin_dir": any_postgres.bin_dir}) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.signed_in_client() as client:
        yield client


def taken_in(service: Service, client: httpx.Client, file: Path, target: str) -> dict[str, Any]:
    """Imports a file; answers the resource."""
    done = hhh(service, "backup", "import", str(file), "--target", target, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert backup(client, answer["id"]) == answer
    return answer


def sql_of(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.mark.soak
def test_a_sqlite_file_becomes_a_backup_like_any_other(service: Service, client: httpx.Client, tmp_path: Path) -> None:
    rows = make_sqlite_database(tmp_path / "foreign ü.db")
    before = client.get(STATS).json()

    first = taken_in(service, client, tmp_path / "foreign ü.db", "legacy")
    second = taken_in(service, client, tmp_path / "foreign ü.db", "legacy")

    assert (first["target"], first["status"], first["manifest"]["engine"]) == ("legacy", "success", "sqlite")
    assert first["backup_file"] != second["backup_file"]
    assert any(warning.startswith("imported: ") for warning in first["manifest"]["warnings"])
    assert {"hhh", "sqlite"} <= first["manifest"]["versions"].keys()
    after = assert_totals_add_up(client)
    assert after["successful_backups"] == before["successful_backups"] + 2

    contents = client.get(f"{BACKUPS}/{first['id']}/contents").json()
    assert {table["name"]: table["rows"] for table in contents["tables"]} == rows
    restored = tmp_path / "restored.db"
    done = hhh(service, "restore", first["id"], "--target", "app", "--to", str(restored))
    assert done.returncode == 0, done.stderr
    assert sql_of(restored) == sql_of(tmp_path / "foreign ü.db")


@pytest.mark.postgres
def test_a_dump_of_postgresql_becomes_a_backup_like_any_other(
    service: Service, client: httpx.Client, any_postgres: PostgresServer, tmp_path: Path
) -> None:
    name = any_postgres.create_database()
    with any_postgres.connect(name) as connection:
        make_realistic_database(connection)
    dump_by_hand(any_postgres, name, tmp_path / "foreign.dump")
    any_postgres.drop_database(name)

    taken = taken_in(service, client, tmp_path / "foreign.dump", "legacy-postgresql")

    assert (taken["status"], taken["manifest"]["engine"]) == ("success", "postgresql")
    assert any(warning.startswith("imported: ") for warning in taken["manifest"]["warnings"])
    assert taken["manifest"]["versions"]["tool"].startswith(f"pg_dump {any_postgres.major}")
    assert taken["manifest"]["versions"]["server"].startswith(f"{any_postgres.major}")
    plain = client.get(f"{BACKUPS}/{taken['id']}/download", params={"form": "plain"})
    assert plain.content == (tmp_path / "foreign.dump").read_bytes()
    contents = client.get(f"{BACKUPS}/{taken['id']}/contents").raise_for_status().json()
    assert contents["tables"]
    assert contents["facts"]["large_objects"]["count"] == 1
    assert scratch_leftovers(service.folder / "scratch") == []


def test_plain_sql_is_refused_as_wrong_usage(service: Service, tmp_path: Path) -> None:
    (tmp_path / "dump.sql").write_text("-- PostgreSQL database dump\n\\! touch owned\n")

    done = hhh(service, "backup", "import", str(tmp_path / "dump.sql"), "--target", "legacy")

    assert (done.returncode, "plain SQL is not taken" in done.stderr) == (2, True)
