"""The catalogue comes back from a store, on each kind of own database."""

import contextlib
import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from hhh.artifacts.destinations import Destination
from hhh.artifacts.manifest import Manifest, StoredObject, parse_manifest, sign_manifest
from hhh.artifacts.naming import ArtifactKeys, backup_file_name
from hhh.core import signing
from hhh.core.database import Database
from hhh.core.errors import Cancelled, StorageUnavailable
from hhh.core.run import Unattended
from hhh.core.signed_json import sign
from hhh.core.signing import SigningKey
from hhh.jobs.worker import working
from hhh.models import BackupCopy, BackupLog, BackupStatus, BackupTotals, Job, JobState
from hhh.schemas.backup import BackupFilter, BackupResource
from hhh.services import rebuild as service
from hhh.services.container import Services, assemble
from hhh.services.rebuild import RebuildReport
from hhh.services.trust import trusted_keys
from hhh.storages.base import Storage
from hhh.storages.local import LocalStorage
from hhh.storages.registry import open_storage
from support.faulty_proxy import FaultyS3
from support.local_services import services_with_a_target, settings_in, storing_in
from support.own_databases import migrated

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def sqlite_services(tmp_path: Path, sqlite_database: Database) -> Services:
    return services_with_a_target(tmp_path, sqlite_database)


def take(services: Services, target: str = "source") -> str:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(target))
        worker.execute(backup_id)
    assert services.catalogue.get(backup_id).status == "success"
    return backup_id


def store(services: Services) -> LocalStorage:
    return LocalStorage(services.settings.data_dir / "backups")


def rebuild(
    services: Services, *, storage: Storage | None = None, name: str = "default", all_installations: bool = False
) -> RebuildReport:
    return service.rebuild(
        services.database,
        services.identity,
        Destination(name, storage or store(services)),
        trusted_keys=trusted_keys(services.settings, services.identity),
        all_installations=all_installations,
    )


def counted(report: RebuildReport) -> tuple[int, int, int, int, int]:
    return report.added, report.completed, report.known, report.busy, len(report.problems)


def everything(services: Services) -> list[BackupResource]:
    return services.catalogue.page(BackupFilter(), cursor=None, limit=200).items


def forget(services: Services) -> None:
    """As on a database that was made anew; the installation's id stays."""
    with services.database.transaction() as session:
        for table in (BackupCopy, BackupLog, Job):
            session.execute(delete(table))
        session.execute(update(BackupTotals).values(total=0, successful=0, failed=0, stored_bytes=0))


def manifest_of(services: Services, backup_id: str) -> Path:
    (path,) = (path for path in folder(services).rglob("*.sql.json") if backup_id in path.read_text())
    return path


def folder(services: Services) -> Path:
    return services.settings.data_dir / "backups"


# ------------------------------------------------------------------------------------------------- what comes back


def test_what_was_forgotten_comes_back_as_it_was(services: Services) -> None:
    backup_ids = {take(services) for _ in range(3)}
    before, stats = everything(services), services.catalogue.stats()
    forget(services)

    assert counted(rebuild(services)) == (3, 0, 0, 0, 0)

    assert {backup.id for backup in everything(services)} == backup_ids
    assert services.catalogue.stats().model_dump(exclude={"latest_backup"}) == stats.model_dump(
        exclude={"latest_backup"}
    )
    to_the_second = {"created_at", "finished_at", "duration_seconds"}
    as_they_were = {backup.id: backup.model_dump(exclude=to_the_second) for backup in before}
    assert {backup.id: backup.model_dump(exclude=to_the_second) for backup in everything(services)} == as_they_were
    for backup in everything(services):
        assert backup.created_at == next(each.created_at for each in before if each.id == backup.id).replace(
            microsecond=0
        )


def test_a_second_run_changes_nothing(services: Services) -> None:
    take(services)
    forget(services)
    rebuild(services)
    once, stats = everything(services), services.catalogue.stats()

    assert counted(rebuild(services)) == (0, 0, 1, 0, 0)

    assert everything(services) == once
    assert services.catalogue.stats() == stats


def test_what_is_there_is_left_as_it_is(services: Services) -> None:
    kept, forgotten = take(services), take(services)
    with services.database.transaction() as session:
        session.execute(update(BackupLog).values(pinned=True))
        session.execute(delete(BackupLog).where(BackupLog.id == forgotten))
        session.execute(delete(BackupCopy).where(BackupCopy.backup_id == forgotten))

    assert counted(rebuild(services)) == (1, 0, 1, 0, 0)

    assert {backup.id: backup.pinned for backup in everything(services)} == {kept: True, forgotten: False}


# ------------------------------------------------------------------------------------ rows that say something else


@pytest.mark.parametrize(
    ("status", "totals"),
    [
        (BackupStatus.RUNNING, (0, 0, 0)),
        (BackupStatus.QUEUED, (0, 0, 0)),
        (BackupStatus.FAILED, (1, 0, 1)),
        (BackupStatus.CANCELLED, (1, 0, 1)),
    ],
)
def test_a_backup_whose_process_was_killed_after_its_manifest_is_stored(
    services: Services, status: BackupStatus, totals: tuple[int, int, int]
) -> None:
    backup_id = take(services)
    was = services.catalogue.get(backup_id)
    set_back(services, backup_id, status, totals)

    assert counted(rebuild(services)) == (0, 1, 0, 0, 0)

    to_the_second = {"finished_at", "duration_seconds"}
    assert services.catalogue.get(backup_id).model_dump(exclude=to_the_second) == was.model_dump(exclude=to_the_second)
    stats = services.catalogue.stats()
    assert (stats.total_backups, stats.successful_backups, stats.failed_backups) == (1, 1, 0)
    assert stats.total_backup_size == was.stored_size
    assert counted(rebuild(services)) == (0, 0, 1, 0, 0)


def set_back(services: Services, backup_id: str, status: BackupStatus, totals: tuple[int, int, int]) -> None:
    """The catalogue as it is when the process died between manifest and commit."""
    ended = status in {BackupStatus.FAILED, BackupStatus.CANCELLED}
    with services.database.transaction() as session:
        session.execute(delete(BackupCopy))
        values = {"sha256": None, "raw_size": None, "manifest": None, "backup_size": 0, "error": "killed"}
        session.execute(update(BackupLog).values(status=status, finished_at=NOON if ended else None, **values))
        session.execute(update(Job).where(Job.id == backup_id).values(state=JobState.FAILED))
        total, successful, failed = totals
        session.execute(update(BackupTotals).values(total=total, successful=successful, failed=failed, stored_bytes=0))


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_a_backup_whose_job_has_not_ended_is_left_to_it(services: Services, state: JobState) -> None:
    backup_id = take(services)
    set_back(services, backup_id, BackupStatus.RUNNING, (0, 0, 0))
    with services.database.transaction() as session:
        session.execute(update(Job).values(state=state))

    assert counted(rebuild(services)) == (0, 0, 0, 1, 0)

    assert services.catalogue.get(backup_id).status == "running"
    assert services.catalogue.stats().total_backups == 0


def test_a_copy_in_another_store_is_added_to_the_backup(sqlite_services: Services, tmp_path: Path) -> None:
    backup_id = take(sqlite_services)
    elsewhere = copied(sqlite_services, tmp_path / "elsewhere")

    assert counted(rebuild(sqlite_services, storage=elsewhere, name=elsewhere.address)) == (0, 1, 0, 0, 0)

    copies = sqlite_services.catalogue.get(backup_id).copies
    assert [copy.storage for copy in copies] == ["default", elsewhere.address]
    assert len({(copy.key, copy.size, copy.sha256) for copy in copies}) == 1
    assert sqlite_services.catalogue.stats().total_backups == 1
    assert counted(rebuild(sqlite_services, storage=elsewhere, name=elsewhere.address)) == (0, 0, 1, 0, 0)


def copied(services: Services, place: Path) -> LocalStorage:
    shutil.copytree(folder(services), place)
    return LocalStorage(place)


# --------------------------------------------------------------------------------------------- what is left out


def test_a_damaged_manifest_is_told_and_left_out(sqlite_services: Services) -> None:
    take(sqlite_services)
    damaged = manifest_of(sqlite_services, take(sqlite_services))
    damaged.write_text(damaged.read_text().replace('"attempt": 1', '"attempt": 2'))
    forget(sqlite_services)

    report = rebuild(sqlite_services)

    assert counted(report) == (1, 0, 0, 0, 1)
    (problem,) = report.problems
    assert problem.key == damaged.relative_to(folder(sqlite_services)).as_posix()
    assert "changed after it was signed" in problem.reason
    assert problem.signed_by is None


def test_a_manifest_of_a_strange_key_is_told_and_left_out(sqlite_services: Services, tmp_path: Path) -> None:
    forged = manifest_of(sqlite_services, take(sqlite_services))
    key = signing.load_or_make(tmp_path / "strange.key")
    forged.write_bytes(sign_manifest(parse_manifest(forged.read_bytes(), None), key))
    forget(sqlite_services)

    report = rebuild(sqlite_services)

    assert counted(report) == (0, 0, 0, 0, 1)
    assert report.problems[0].signed_by == key.public_key
    assert key.public_key in report.problems[0].reason


@pytest.mark.parametrize("name", [b"\xff", b"d" * 240])
def test_a_manifest_in_a_folder_that_no_store_can_name_is_told_and_left_out(
    sqlite_services: Services, name: bytes
) -> None:
    services = sqlite_services
    take(services)
    strange = folder(services) / services.identity.installation / os.fsdecode(name)
    strange.mkdir()
    (strange / "backup_20250101_000000.sql.json").write_bytes(b"{}")
    report = rebuild(services)
    assert counted(report) == (0, 0, 1, 0, 1)
    assert ["can't hold the key" in problem.reason for problem in report.problems] == [True]
    assert services.sweep.look(repair=True).failed_stores == {}


def test_a_manifest_that_was_moved_is_told_and_left_out(sqlite_services: Services) -> None:
    moved = manifest_of(sqlite_services, take(sqlite_services))
    moved.rename(moved.with_name("backup_20200101_000000.sql.json"))
    forget(sqlite_services)

    report = rebuild(sqlite_services)

    assert counted(report) == (0, 0, 0, 0, 1)
    assert report.problems[0].signed_by is None


@pytest.mark.parametrize("pattern", ["*.zst", "*.facts.json"])
@pytest.mark.parametrize("fault", ["missing", "shorter"])
def test_a_manifest_without_its_objects_is_told_and_left_out(
    sqlite_services: Services, pattern: str, fault: str
) -> None:
    take(sqlite_services)
    (path,) = folder(sqlite_services).rglob(pattern)
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    forget(sqlite_services)

    report = rebuild(sqlite_services)

    assert counted(report) == (0, 0, 0, 0, 1)
    assert path.name in report.problems[0].reason
    assert ("is missing" if fault == "missing" else "instead of") in report.problems[0].reason
    assert everything(sqlite_services) == []


@pytest.mark.parametrize(
    "change",
    [
        {"backup_id": "x"},
        {"backup_id": "0" * 32},
        {"target": "n" * 64},
        {"target": "Source"},
        {"backup_file": f"backup_20250101_120000_{'1' * 60}.sql"},
        {"backup_file": "elsewhere/backup_20250101_120000.sql"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_signed_manifest_whose_names_do_not_fit_is_told_and_left_out(
    sqlite_services: Services, change: dict[str, Any]
) -> None:
    odd = stored_manifest(sqlite_services, **change)

    report = rebuild(sqlite_services)

    assert counted(report) == (0, 0, 0, 0, 1)
    assert report.problems[0].key == odd


@pytest.mark.parametrize(
    "change",
    [
        {"backup_file": "backup_\0.sql"},
        {"backup_file": "backup_\u202elqs.\r\n"},
        {"backup_file": ""},
        {"object": {"key": "../../elsewhere"}},
        {"object": {"key": "installation/source/a\r\nb"}},
    ],
    ids=["zero", "line break", "empty", "elsewhere", "line break in a key"],
)
def test_a_signed_manifest_with_names_that_nothing_can_hold_is_told_and_left_out(
    services: Services, change: dict[str, Any]
) -> None:
    odd, place = stored_manifest(services), store(services)
    document = json.loads(b"".join(place.read(odd)))
    for name, value in change.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    del document["signature"]
    place.delete(odd)
    place.create(odd, sign(document, services.identity.signing_key))

    report = rebuild(services)

    assert counted(report) == (0, 0, 0, 0, 1)
    assert report.problems[0].key == odd


# ------------------------------------------------------------------------------------------ other installations


def test_a_new_installation_takes_in_what_others_have_stored(sqlite_services: Services, tmp_path: Path) -> None:
    backup_ids = {take(sqlite_services), take(sqlite_services)}
    with new_installation(sqlite_services, tmp_path / "new") as new:
        assert counted(rebuild(new, storage=store(sqlite_services))) == (0, 0, 0, 0, 2)

        report = rebuild(trusting(new, sqlite_services.identity.signing_key), storage=store(sqlite_services))

        assert counted(report) == (2, 0, 0, 0, 0)
        assert {backup.id for backup in everything(new)} == backup_ids


def test_an_installation_with_backups_takes_in_those_of_others_only_when_asked(
    sqlite_services: Services, tmp_path: Path
) -> None:
    theirs = take(sqlite_services)
    with new_installation(sqlite_services, tmp_path / "new") as made:
        new = trusting(storing_in(made, store(sqlite_services)), sqlite_services.identity.signing_key)
        ours = take(new, "app")
        report = rebuild(new, storage=store(sqlite_services))
        assert counted(report) == (0, 0, 1, 0, 0)
        assert (report.expected, report.of_others) == (1, 1)

        report = rebuild(new, storage=store(sqlite_services), all_installations=True)

        assert counted(report) == (1, 0, 1, 0, 0)
        assert {backup.id for backup in everything(new)} == {ours, theirs}


def test_two_backups_of_one_name_are_both_taken_in(sqlite_services: Services) -> None:
    stored_manifest(sqlite_services)
    other = str(uuid.uuid4())
    stored_manifest(sqlite_services, installation=other)

    assert counted(rebuild(sqlite_services)) == (2, 0, 0, 0, 0)

    files = {backup.backup_file: backup.manifest for backup in everything(sqlite_services)}
    assert files.keys() == {"backup_20250101_120000.sql", "backup_20250101_120000_2.sql"}
    assert {manifest and manifest["backup_file"] for manifest in files.values()} == {"backup_20250101_120000.sql"}
    assert counted(rebuild(sqlite_services, all_installations=True)) == (0, 0, 2, 0, 0)


@contextlib.contextmanager
def new_installation(old: Services, place: Path) -> Iterator[Services]:
    """Another data folder, with another id and another signing key."""
    settings = settings_in(place)
    with migrated(settings.own_database_url) as database:
        new = assemble(settings, database)
        assert new.identity.installation != old.identity.installation
        yield new


def trusting(services: Services, key: SigningKey) -> Services:
    """The same services, with a key in HHH_TRUSTED_KEYS."""
    settings = services.settings.model_copy(update={"trusted_keys": [key.public_key]})
    return dataclasses.replace(services, settings=settings)


# ------------------------------------------------------------------------------------------------ many, and faults


def test_thousands_of_manifests_are_recorded_batch_by_batch(sqlite_services: Services) -> None:
    manifest = parse_manifest((folder(sqlite_services) / stored_manifest(sqlite_services)).read_bytes(), None)
    for number in range(1, 2_000):
        write_copy(sqlite_services, manifest, NOON + timedelta(seconds=number))
    told: list[tuple[int, int]] = []

    report = service.rebuild(
        sqlite_services.database,
        sqlite_services.identity,
        Destination("default", store(sqlite_services)),
        trusted_keys=trusted_keys(sqlite_services.settings, sqlite_services.identity),
        observe=lambda report: told.append((report.expected, sqlite_services.catalogue.stats().total_backups)),
    )

    assert counted(report) == (2_000, 0, 0, 0, 0)
    assert told == [(2_000, count) for count in range(service._BATCH, 2_001, service._BATCH)]


def write_copy(services: Services, manifest: Manifest, created_at: datetime) -> None:
    """The same backup under another name; not made durable, as a test has no use for that."""
    name = backup_file_name(created_at)
    objects = {}
    for field in ("object", "facts"):
        stored: StoredObject = getattr(manifest, field)
        objects[field] = stored.model_copy(update={"key": stored.key.replace(manifest.backup_file, name)})
        (folder(services) / objects[field].key).hardlink_to(folder(services) / stored.key)
    change = {"backup_id": str(uuid.uuid4()), "backup_file": name, "created_at": created_at, **objects}
    content = sign_manifest(manifest.model_copy(update=change), services.identity.signing_key)
    (folder(services) / manifest.installation / manifest.target / f"{name}.json").write_bytes(content)


def test_two_at_once_add_everything_once(services: Services) -> None:
    for number in range(30):
        stored_manifest(services, NOON + timedelta(seconds=number))

    with ThreadPoolExecutor(2) as crowd:
        reports = list(crowd.map(lambda _: rebuild(services, all_installations=True), range(2)))

    assert sum(report.added for report in reports) == 30
    assert services.catalogue.stats().total_backups == 30


def test_a_cancelled_one_keeps_what_it_has_added(sqlite_services: Services) -> None:
    for number in range(service._BATCH + 1):
        stored_manifest(sqlite_services, NOON + timedelta(seconds=number))

    with pytest.raises(Cancelled):
        service.rebuild(
            sqlite_services.database,
            sqlite_services.identity,
            Destination("default", store(sqlite_services)),
            trusted_keys=trusted_keys(sqlite_services.settings, sqlite_services.identity),
            run=CancelledAfter(1),
        )

    assert sqlite_services.catalogue.stats().total_backups == service._BATCH
    assert counted(rebuild(sqlite_services)) == (1, 0, service._BATCH, 0, 0)


class CancelledAfter(Unattended):
    """A run that is cancelled after some batches."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    def raise_if_cancelled(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Cancelled("It was cancelled")


@pytest.mark.s3
def test_a_store_that_goes_away_is_told_and_the_next_run_goes_on(
    sqlite_services: Services, faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in faulty_s3.bucket.environment().items():
        monkeypatch.setenv(name, value)
    storage = open_storage(faulty_s3.bucket.url("prefix"), retry_seconds=0.1)
    for number in range(3):
        stored_manifest(sqlite_services, NOON + timedelta(seconds=number), place=storage)
    fault = faulty_s3.proxy.answer(503, where=lambda request: request.path.endswith(".sql.json"))

    with pytest.raises(StorageUnavailable):
        rebuild(sqlite_services, storage=storage)

    assert fault.hits
    faulty_s3.proxy.clear()
    assert counted(rebuild(sqlite_services, storage=storage)) == (3, 0, 0, 0, 0)


# ----------------------------------------------------------------------------------------------------- manifests


def stored_manifest(
    services: Services, created_at: datetime = NOON, *, place: Storage | None = None, **change: str
) -> str:
    """A signed manifest of a backup without content, and its objects; the manifest's key."""
    names = {
        "installation": services.identity.installation,
        "target": "source",
        "backup_file": backup_file_name(created_at),
        "backup_id": str(uuid.uuid4()),
        **change,
    }
    keys = ArtifactKeys(names["installation"], names["target"], names["backup_file"], 1, encrypted=False)
    place = place or store(services)
    objects = {}
    for part, key in (("object", keys.object), ("facts", keys.facts)):
        with place.open_writer(key) as writer:
            writer.write(b"x")
        objects[part] = {"key": key, "size": 1, "sha256": "0" * 64, "raw_size": 1, "compression": None}
    moments = {"created_at": created_at, "finished_at": created_at}
    manifest = Manifest.model_validate(
        {
            **names,
            **{part: {**each, "encryption": None} for part, each in objects.items()},
            **moments,
            "attempt": 1,
            "engine": "sqlite",
            "recipients": (),
            "versions": {},
        }
    )
    place.create(keys.manifest, sign_manifest(manifest, services.identity.signing_key))
    return keys.manifest
