"""The commands that recover one backup by hand do so: they are run here as they are told, by a shell of its own."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest
from sqlalchemy import update

from hhh.artifacts.manifest import parse_manifest, sign_manifest
from hhh.core.database import Database
from hhh.core.errors import ManifestInvalid, NotFound
from hhh.jobs.worker import working
from hhh.models import BackupCopy, BackupLog, CopyStatus
from hhh.schemas.policy import PolicyFields
from hhh.schemas.recovery import RecoveryCommands
from hhh.services.container import Services
from support.documentation import require_programs
from support.local_services import services_with_a_target
from support.postgres import PostgresServer
from support.postgres_data import make_realistic_database
from support.restoring import content
from support.s3 import S3Bucket
from support.stored_rows import stored_backup_row

#: A folder that a careless shell would take for more than a name.
HOSTILE = "a 'store' \"of\" $(touch pwned) `touch pwned`;touch pwned #\n&"


@dataclass(frozen=True)
class Shell:
    """Somebody with a shell, in a folder of their own that is their home as well."""

    folder: Path

    def run(
        self, commands: RecoveryCommands, environment: Mapping[str, str] | None = None, *, store: str = "default"
    ) -> str:
        """What the commands print; AssertionError if any of them fails."""
        [fetch] = [copy.commands for copy in commands.copies if copy.storage == store]
        script = "set -e\n" + (fetch or "") + "".join(step.commands for step in commands.steps)
        known = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **(environment or {})}
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=known, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    require_programs("bash", "zstd", "sha256sum", "sqlite3", "age")
    folder = tmp_path / "home"
    folder.mkdir()
    return Shell(folder)


@pytest.fixture
def encryption(shell: Shell) -> Mapping[str, Any]:
    """Settings that have backups encrypted for whoever has the shell."""
    identity = pyrage.x25519.Identity.generate()
    (shell.folder / "hhh-backup.key").write_text(f"{identity}\n")
    return {"age_recipients": str(identity.to_public())}


def back_up(services: Services, target: str = "source") -> str:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(target))
        worker.execute(backup_id)
    found = services.catalogue.get(backup_id)
    assert found.status == "success", found.error
    return backup_id


def store_in(services: Services, *names: str) -> None:
    services.targets.update("source", None, PolicyFields(storages=[*names]), whole=False)


def change_copy(services: Services, backup_id: str, store: str = "default", **values: object) -> None:
    with services.database.transaction() as session:
        its = BackupCopy.backup_id == backup_id, BackupCopy.storage == store
        session.execute(update(BackupCopy).where(*its).values(**values))


def change_manifest(services: Services, backup_id: str, manifest: dict[str, Any]) -> None:
    with services.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(manifest=manifest))


def test_a_sqlite_backup_comes_back(tmp_path: Path, sqlite_database: Database, shell: Shell) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    printed = shell.run(services.recovery_commands.of(back_up(services)))

    assert printed.count(": OK\n") == 2
    assert printed.splitlines()[-1] == "ok"
    assert content(shell.folder / "recovered/restored.db") == content(tmp_path / "source.db")


def test_an_encrypted_sqlite_backup_comes_back_from_a_store_of_a_hostile_name(
    tmp_path: Path, sqlite_database: Database, shell: Shell, encryption: Mapping[str, Any]
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database, **encryption)
    services.stores.add("odd", (tmp_path / HOSTILE).as_uri())
    store_in(services, "odd")
    commands = services.recovery_commands.of(back_up(services))
    printed = shell.run(commands, store="odd")

    assert printed.splitlines()[-1] == "ok"
    assert content(shell.folder / "recovered/restored.db") == content(tmp_path / "source.db")
    assert not [*tmp_path.rglob("pwned")]
    assert any(encryption["age_recipients"] in program for program in commands.needs)


@pytest.mark.postgres
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_postgresql_backup_comes_back(
    is_encrypted: bool,
    tmp_path: Path,
    sqlite_database: Database,
    any_postgres: PostgresServer,
    shell: Shell,
    encryption: Mapping[str, Any],
) -> None:
    server, name = any_postgres, any_postgres.create_database()
    with server.connect(name) as connection:
        make_realistic_database(connection)
    more = encryption if is_encrypted else {}
    services = services_with_a_target(tmp_path, sqlite_database, pg_bin_dir=server.bin_dir, **more)
    services.targets.add("shop", server.url(name))
    server.drop_database("restored")
    try:
        environment = server.environment() | {"PATH": f"{server.bin_dir}:{os.environ['PATH']}"}
        shell.run(services.recovery_commands.of(back_up(services, "shop")), environment)

        count = "SELECT count(*), sum(id) FROM orders"
        with server.connect(name) as one, server.connect("restored") as other:
            assert other.execute(count).fetchone() == one.execute(count).fetchone()
    finally:
        server.drop_database("restored")
        server.drop_database(name)


@pytest.mark.s3
def test_a_backup_in_an_object_store_comes_back_with_the_credentials_of_whoever_asks(
    tmp_path: Path, sqlite_database: Database, shell: Shell, s3: S3Bucket
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    secret = s3.secret_access_key
    options = {"access_key_id": s3.access_key_id, "secret_access_key": secret, "region": s3.region}
    services.stores.add("offsite", s3.url("some/prefix"), options | {"endpoint_url": s3.endpoint})
    store_in(services, "offsite")
    commands = services.recovery_commands.of(back_up(services))

    fetch = commands.copies[0].commands or ""
    assert secret not in fetch
    told = [shlex.split(line) for line in fetch.splitlines()[1:]]
    assert [line[:3] for line in told] == [["aws", "s3", "cp"]] * 3
    assert {line[3].removeprefix(f"s3://{s3.name}/") for line in told} == set(s3.keys())
    assert all(line[5:] == ["--endpoint-url", s3.endpoint, "--region", s3.region] for line in told)
    if shutil.which("aws"):  # no test of ours needs it otherwise
        printed = shell.run(commands, s3.environment(), store="offsite")
        assert printed.splitlines()[-1] == "ok"


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        (
            "az://container/a%20prefix",
            {"account_name": "somebody", "account_key": "c2VjcmV0"},
            "az storage blob download --account-name somebody --container-name=container --name='a prefix/",
        ),
        ("gs://bucket", {}, "gcloud storage cp gs://bucket/"),
    ],
)
def test_other_object_stores_are_read_by_their_own_tools(
    url: str, options: dict[str, str], expected: str, tmp_path: Path, sqlite_database: Database
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    backup_id = back_up(services)
    services.stores.add("offsite", url, options)
    change_copy(services, backup_id, storage="offsite")
    [copy] = services.recovery_commands.of(backup_id).copies

    assert (copy.commands or "").splitlines()[1].startswith(expected)
    assert "c2VjcmV0" not in (copy.commands or "")


def test_an_object_of_a_hostile_name_is_a_file_like_any_other(
    tmp_path: Path, sqlite_database: Database, shell: Shell
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    backup_id = back_up(services)
    manifest = parse_manifest(json.dumps(services.catalogue.get(backup_id).manifest).encode(), None)
    key = f"-rf {HOSTILE}\nHASHES"
    store = tmp_path / "data/backups"
    shutil.copy(store / manifest.object.key, store / key)
    stored = manifest.object.model_copy(update={"key": key})
    signed = sign_manifest(manifest.model_copy(update={"object": stored}), services.identity.signing_key)
    change_manifest(services, backup_id, json.loads(signed))

    assert shell.run(services.recovery_commands.of(backup_id)).splitlines()[-1] == "ok"
    assert not [*tmp_path.rglob("pwned")]


def test_a_store_that_is_not_known_any_more_is_told_with_the_key(tmp_path: Path, sqlite_database: Database) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    backup_id = back_up(services)
    change_copy(services, backup_id, storage="gone")
    [copy] = services.recovery_commands.of(backup_id).copies

    assert copy.commands is None
    assert services.catalogue.get(backup_id).copies[0].key in copy.note


def test_a_copy_that_is_missing_is_not_fetched_while_there_is_another(
    tmp_path: Path, sqlite_database: Database
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())
    store_in(services, "default", "offsite")
    backup_id = back_up(services)
    change_copy(services, backup_id, "default", status=CopyStatus.MISSING)
    assert [copy.storage for copy in services.recovery_commands.of(backup_id).copies] == ["offsite"]

    change_copy(services, backup_id, "offsite", status=CopyStatus.MISSING)
    assert len(services.recovery_commands.of(backup_id).copies) == 2


def test_what_holds_nothing_or_is_damaged_has_no_commands(tmp_path: Path, sqlite_database: Database) -> None:
    services = services_with_a_target(tmp_path, sqlite_database)
    with pytest.raises(NotFound):
        services.recovery_commands.of(stored_backup_row(services.database))
    backup_id = back_up(services)
    change_manifest(services, backup_id, {"format": "hhh-backup-manifest"})
    with pytest.raises(ManifestInvalid):
        services.recovery_commands.of(backup_id)
