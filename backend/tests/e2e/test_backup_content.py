"""What is in a backup, and the artifact itself, through the API of the running service and on the command line."""

import hashlib
import json
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest

from support.backing_up import assert_stored, backup, hhh, register, scratch_leftovers, trigger
from support.documentation import require_programs
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.service import Service
from support.session import current_session
from support.sqlite_data import make_sqlite_database

NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Setting:
    """A service, a client that is signed in, and a backup of a SQLite file."""

    service: Service
    client: httpx.Client
    source: Path
    identity_file: Path
    backup_id: str

    @property
    def path(self) -> str:
        return f"/api/v1/backups/{self.backup_id}"

    def resource(self) -> dict[str, Any]:
        return backup(self.client, self.backup_id)

    def stored(self) -> bytes:
        """The object, as it is in the store."""
        return self.stored_file().read_bytes()

    def stored_file(self) -> Path:
        key: str = self.resource()["copies"][0]["key"]
        return self.service.data_dir / "backups" / key


@pytest.fixture(scope="module")
def setting(any_postgres: PostgresServer) -> Iterator[Setting]:
    """A service that encrypts, and that has the identity."""
    folder = current_session().new_folder("backup-content")
    identity = pyrage.x25519.Identity.generate()
    identity_file = folder / "identity.txt"
    identity_file.write_text(f"# a key\n{identity}\n")
    scratch = folder / "scratch"
    scratch.mkdir()
    source = folder / "shop.db"
    make_sqlite_database(source)
    settings = {
        "age_recipients": str(identity.to_public()),
        "age_identity_file": identity_file,
        "scratch_dir": scratch,
        "pg_bin_dir": any_postgres.bin_dir,
    }
    with Service(folder, settings) as service, service.signed_in_client() as client:
        register(client, "shop", f"sqlite:///{source}")
        taken = assert_stored(trigger(client, "shop"))
        yield Setting(service, client, source, identity_file, taken["backup_id"])


@pytest.fixture
def damaged(setting: Setting) -> Iterator[Setting]:
    """The stored object has another last byte for the time of a test."""
    file, content = setting.stored_file(), setting.stored()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    yield setting
    file.write_bytes(content)


def test_what_is_stored_can_be_downloaded(setting: Setting) -> None:
    answer = setting.client.get(f"{setting.path}/download")

    assert answer.status_code == 200
    assert answer.content == setting.stored()
    digest = hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Accept-Ranges"] == "bytes"
    name = setting.stored_file().name
    assert name.endswith(".sql.1.zst.age")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


def test_what_was_backed_up_can_be_downloaded(setting: Setting, tmp_path: Path) -> None:
    answer = setting.client.get(f"{setting.path}/download", params={"form": "plain"})

    assert answer.status_code == 200
    assert answer.headers["ETag"] == f'"{setting.resource()["sha256"]}-plain"'
    assert answer.headers["Content-Length"] == str(setting.resource()["raw_size"])
    stem = setting.resource()["backup_file"].removesuffix(".sql")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{stem}.db"'
    (tmp_path / "copy.db").write_bytes(answer.content)
    assert dump_of(tmp_path / "copy.db") == dump_of(setting.source)


@pytest.mark.parametrize("form", ["stored", "plain"])
def test_a_download_goes_on_where_it_broke_off(setting: Setting, form: str) -> None:
    url = f"{setting.path}/download?form={form}"
    whole = setting.client.get(url)
    etag, half = whole.headers["ETag"], len(whole.content) // 2

    rest = setting.client.get(url, headers={"Range": f"bytes={half}-", "If-Range": etag})
    assert rest.status_code == 206
    assert rest.content == whole.content[half:]
    assert rest.headers["Content-Range"] == f"bytes {half}-{len(whole.content) - 1}/{len(whole.content)}"
    assert rest.headers["Content-Length"] == str(len(rest.content))
    assert rest.headers["ETag"] == etag
    assert setting.client.get(url, headers={"Range": "bytes=10-19"}).content == whole.content[10:20]
    assert setting.client.get(url, headers={"Range": "bytes=-5"}).content == whole.content[-5:]

    other = setting.client.get(url, headers={"Range": f"bytes={half}-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
    behind = setting.client.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert behind.status_code == 416
    assert behind.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    known = setting.client.get(url, headers={"If-None-Match": etag})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)


def test_damage_is_told_before_anything_comes_where_that_is_possible(damaged: Setting) -> None:
    for form in ("stored", "plain"):
        answer = damaged.client.get(f"{damaged.path}/download", params={"form": form})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ERR_RESTORE_UNSAFE")
        assert damaged.stored_file().name in answer.json()["detail"]


@pytest.mark.parametrize("what", ["contents", "download"])
def test_only_a_super_admin_gets_it(setting: Setting, what: str) -> None:
    with setting.service.client() as stranger:
        answer = stranger.get(f"{setting.path}/{what}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ERR_SUPERADMIN_REQUIRED")


@pytest.mark.parametrize("what", ["contents", "download"])
@pytest.mark.parametrize("backup_id", [NOBODY, "x", "%00"])
def test_what_nobody_knows_is_not_found(setting: Setting, what: str, backup_id: str) -> None:
    answer = setting.client.get(f"/api/v1/backups/{backup_id}/{what}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_NOT_FOUND")
    assert setting.client.get(f"{setting.path}/download?form=other").status_code == 422


def test_the_contents_of_a_sqlite_backup(setting: Setting) -> None:
    contents = setting.client.get(f"{setting.path}/contents").raise_for_status().json()

    with sqlite3.connect(setting.source) as source:
        names = [name for (name,) in source.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = {name: source.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    source.close()
    found = {table["name"]: table["rows"] for table in contents["tables"]}
    assert found == {name: rows[name] for name in found}
    assert found
    assert contents["engine"] == "sqlite"
    assert contents["raw_size"] == setting.resource()["raw_size"]
    assert contents["facts"]["quick_check"] == "ok"
    assert "tables" not in contents["facts"]


@pytest.mark.postgres
def test_the_contents_of_a_postgresql_backup(setting: Setting, any_postgres: PostgresServer) -> None:
    name = any_postgres.create_database()
    try:
        with any_postgres.connect(name) as connection:
            make_realistic_database(connection)
        register(setting.client, "shop-postgresql", any_postgres.url(name))
        taken = assert_stored(trigger(setting.client, "shop-postgresql"))
    finally:
        any_postgres.drop_database(name)

    contents = setting.client.get(f"/api/v1/backups/{taken['backup_id']}/contents").raise_for_status().json()
    assert contents["engine"] == "postgresql"
    assert all(table["definition"].startswith("CREATE") for table in contents["tables"])
    for table in contents["tables"]:
        assert any(f"TABLE {table['schema_name']}.{table['name']}," in entry for entry in contents["entries"])
    assert scratch_leftovers(Path(setting.service.environment["HHH_SCRATCH_DIR"])) == []

    plain = setting.client.get(f"/api/v1/backups/{taken['backup_id']}/download?form=plain")
    assert plain.content.startswith(b"PGDMP")
    assert plain.headers["Content-Disposition"].endswith('.dump"')
    told = hhh(setting.service, "backup", "peek", taken["backup_id"])
    assert told.returncode == 0, told.stderr
    assert contents["tables"][0]["name"] in told.stdout


def test_a_peek_tells_tables_and_rows(setting: Setting) -> None:
    told = hhh(setting.service, "backup", "peek", setting.backup_id)
    assert told.returncode == 0, told.stderr
    as_json = hhh(setting.service, "backup", "peek", setting.backup_id, "--json")

    assert json.loads(as_json.stdout) == setting.client.get(f"{setting.path}/contents").json()
    for table in json.loads(as_json.stdout)["tables"]:
        assert [table["name"], str(table["rows"])] in [line.split() for line in told.stdout.splitlines()]


def test_the_command_downloads_both_forms(setting: Setting, tmp_path: Path) -> None:
    require_programs("age", "zstd")
    stored, plain = tmp_path / "stored", tmp_path / "plain.db"

    for arguments in ((setting.backup_id, "--to", str(stored)), (setting.backup_id, "--plain", "--to", str(plain))):
        done = hhh(setting.service, "backup", "download", *arguments)
        assert done.returncode == 0, done.stderr

    assert stored.read_bytes() == setting.stored()
    script = f"set -o pipefail; age -d -i {setting.identity_file} {stored} | zstd -dq | cmp - {plain}"
    subprocess.run(["bash", "-c", script], check=True)
    assert dump_of(plain) == dump_of(setting.source)
    for file in (stored, plain):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.soak
def test_the_command_leaves_nothing_of_what_is_damaged_and_keeps_what_is_there(
    damaged: Setting, tmp_path: Path
) -> None:
    (tmp_path / "there").write_bytes(b"kept")
    for name in ("stored", "there"):
        for form in ((), ("--plain",)):
            done = hhh(damaged.service, "backup", "download", damaged.backup_id, *form, "--to", str(tmp_path / name))
            assert done.returncode == 1, done.stderr
            assert ("damaged" if name == "stored" else "exists") in done.stderr

    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("there", b"kept")]


@pytest.mark.soak
def test_without_the_identity_only_what_is_stored_can_be_had(setting: Setting, tmp_path: Path) -> None:
    without = {"HHH_AGE_IDENTITY_FILE": ""}
    stored = hhh(
        setting.service, "backup", "download", setting.backup_id, "--to", str(tmp_path / "stored"), environment=without
    )
    assert stored.returncode == 0, stored.stderr
    for arguments in (
        ("download", setting.backup_id, "--plain", "--to", str(tmp_path / "plain")),
        ("peek", setting.backup_id),
    ):
        done = hhh(setting.service, "backup", *arguments, environment=without)
        assert done.returncode == 1
        assert setting.service.environment["HHH_AGE_RECIPIENTS"] in done.stderr
        assert "HHH_AGE_IDENTITY_FILE" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["stored"]


def dump_of(file: Path) -> list[str]:
    """All of a SQLite file, as SQL."""
    connection = sqlite3.connect(f"file:{file}?immutable=1" if "shop" not in file.name else str(file), uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
