"""`hhh catalogue`, where no server runs."""

import json
import shutil
import uuid
from pathlib import Path

from sqlalchemy import delete, update
from typer.testing import CliRunner, Result

from hhh.cli import catalogue as command
from hhh.core.clock import utcnow
from hhh.core.errors import InvalidInput, StorageUnavailable
from hhh.models import BackupCopy, BackupLog, BackupStatus, BackupTotals, Job, JobState
from hhh.services.container import Services


def rebuild(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, ["rebuild", *arguments])


def forget(services: Services) -> None:
    with services.database.transaction() as session:
        for table in (BackupCopy, BackupLog, Job):
            session.execute(delete(table))
        session.execute(update(BackupTotals).values(total=0, successful=0, failed=0, stored_bytes=0))


def test_what_was_done_is_told(services: Services) -> None:
    forget(services)

    result = rebuild()

    assert result.exit_code == 0, result.output
    assert "Manifests read in file://" in result.stdout
    assert "Added to the catalogue: 1, completed: 0, there before: 0, left out: 0." in result.stdout
    assert services.catalogue.stats().successful_backups == 1


def test_what_was_done_is_told_to_programs(services: Services) -> None:
    told = json.loads(rebuild("--json").stdout)

    assert told == {
        "storage": (services.settings.data_dir / "backups").as_uri(),
        "expected": 1,
        "of_others": 0,
        "added": 0,
        "completed": 0,
        "known": 1,
        "busy": 0,
        "removed": 0,
        "problems": [],
    }


def test_a_backup_whose_process_was_killed_before_it_was_recorded_is_stored(services: Services) -> None:
    killed = str(uuid.uuid4())
    (services.settings.data_dir / "workers").mkdir(exist_ok=True)
    (services.settings.data_dir / "workers" / f"{killed}.lock").touch()
    with services.database.transaction() as session:
        session.execute(delete(BackupCopy))
        session.execute(update(BackupLog).values(status=BackupStatus.RUNNING, finished_at=None, sha256=None))
        values = {"state": JobState.RUNNING, "worker": killed, "lease_expires_at": utcnow(), "finished_at": None}
        session.execute(update(Job).values(**values))
        session.execute(update(BackupTotals).values(total=0, successful=0, failed=0, stored_bytes=0))

    result = rebuild()

    assert "completed: 1" in result.stdout
    stats = services.catalogue.stats()
    assert (stats.total_backups, stats.successful_backups, stats.failed_backups) == (1, 1, 0)


def test_what_is_left_out_is_told_and_the_rest_is_done(services: Services) -> None:
    folder = services.settings.data_dir / "backups"
    (manifest,) = folder.rglob("*.sql.json")
    damaged = manifest.with_name("backup_20250101_120000.sql.json")
    damaged.write_bytes(manifest.read_bytes()[:-10])
    forget(services)

    result = rebuild()

    assert result.exit_code == 0
    assert "Added to the catalogue: 1" in result.stdout
    assert f"Left out: {damaged.relative_to(folder)}: " in result.stderr


def test_a_key_that_is_not_trusted_is_told_with_what_to_do(services: Services) -> None:
    key = services.identity.signing_key.public_key
    services.settings.signing_key_path.unlink()
    forget(services)

    result = rebuild()

    assert result.exit_code == 0
    assert f"Left out: 1 signed by the key {key}, which is not trusted here." in result.stderr
    assert f"HHH_TRUSTED_KEYS={key}" in result.stderr


def test_copies_in_another_store_have_its_address(services: Services, tmp_path: Path) -> None:
    elsewhere = Path("/tmp") / f"hhh-{uuid.uuid4().hex[:8]}"  # an address has room for 63 characters
    shutil.copytree(services.settings.data_dir / "backups", elsewhere)
    try:
        result = rebuild("--storage", elsewhere.as_uri())
    finally:
        shutil.rmtree(elsewhere)

    assert "completed: 1" in result.stdout
    (backup,) = services.catalogue.logs(limit=2, offset=0)
    copies = services.catalogue.get(backup.id).copies
    assert [copy.storage for copy in copies] == ["default", elsewhere.as_uri()]


def test_the_settings_store_by_its_address_is_the_default_one(services: Services) -> None:
    forget(services)

    rebuild("--storage", f"{(services.settings.data_dir / 'backups').as_uri()}/")

    (backup,) = services.catalogue.logs(limit=2, offset=0)
    assert [copy.storage for copy in services.catalogue.get(backup.id).copies] == ["default"]


def test_an_address_that_is_too_long_is_refused(services: Services) -> None:
    result = rebuild("--storage", f"file:///{'x' * 60}")

    assert isinstance(result.exception, InvalidInput)
    assert "HHH_STORAGE_URL" in str(result.exception)


def test_a_store_without_backups_is_told(services: Services) -> None:
    result = rebuild("--storage", "file:///nowhere")

    assert result.exit_code == 0
    assert "No manifest was found in file:///nowhere." in result.stdout


def test_a_store_that_can_not_be_read_is_an_error(services: Services) -> None:
    [known] = (services.settings.data_dir / "backups").glob("*/*/*.sql.json")
    known.with_name("backup_20250101_000000.sql.json").symlink_to("/proc/self/mem")  # what even root can't read

    result = rebuild()

    assert result.exit_code == 1
    assert isinstance(result.exception, StorageUnavailable)
