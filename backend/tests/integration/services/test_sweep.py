"""What a store has and the catalogue has not, and the other way round: told and repaired, and no good copy is lost."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import StorageUnavailable
from hhh.jobs.worker import working
from hhh.models import BackupCopy, BackupLog, BackupTotals, CopyStatus, Installation, Job, JobKind, JobState, Policy
from hhh.services.container import Services, assemble
from hhh.services.sweep_report import FindingKind
from hhh.storages.base import ObjectInfo
from hhh.storages.local import LocalStorage
from hhh.storages.registry import open_storage
from support import uploading_process
from support.backing_up import files_below
from support.local_services import services_with_a_target, storing_in
from support.piped import Piped
from support.s3 import S3Bucket
from support.sweeping import (
    NOBODYS,
    SOURCE,
    OfAnotherTime,
    age,
    everything_in,
    folder,
    found,
    key_of,
    left_over,
    look,
    sweeping_in,
    take,
)
from support.waiting import wait_until

DAYS = timedelta(days=2)


@pytest.fixture
def services(tmp_path: Path, sqlite_database: Database) -> Services:
    return services_with_a_target(tmp_path, sqlite_database)


@pytest.fixture
def s3_services(tmp_path: Path, sqlite_database: Database, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Storing in a bucket, with a safe age of nearly nothing: what is written there can't be made old."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return services_with_a_target(
        tmp_path, sqlite_database, storage_url=s3.url("some/prefix"), sweep_safe_hours=0.000_001
    )


def manifest_of(services: Services, backup_id: str) -> Path:
    (path,) = (path for path in folder(services).rglob("*.sql.json") if backup_id in path.read_text())
    return path


def object_of(services: Services, backup_id: str, store: Path | None = None) -> Path:
    (copy, *_) = services.catalogue.get(backup_id).copies
    return (store or folder(services)) / copy.key


def status_of(services: Services, backup_id: str, store: str = "default") -> str:
    copies = {copy.storage: copy.status for copy in services.catalogue.get(backup_id).copies}
    return copies[store]


def forget(services: Services, backup_id: str) -> None:
    with services.database.transaction() as session:
        session.execute(delete(BackupCopy).where(BackupCopy.backup_id == backup_id))
        session.execute(delete(BackupLog).where(BackupLog.id == backup_id))
        session.execute(delete(Job).where(Job.id == backup_id))
        session.execute(update(BackupTotals).values(total=0, successful=0, failed=0, stored_bytes=0))


def with_a_second_store(services: Services, tmp_path: Path) -> Path:
    second = tmp_path / "second"
    services.stores.add("second", second.as_uri())
    with services.database.transaction() as session:
        session.add(Policy(target=SOURCE, stores=["default", "second"], retries=0, updated_at=utcnow()))
    return second


# ------------------------------------------------------------------------------------------------- nothing to find


def test_where_all_is_well_nothing_is_found_and_nothing_changes(services: Services) -> None:
    take(services)
    age(folder(services))
    before = everything_in(folder(services))

    assert found(look(services, repair=False)) == []
    assert found(look(services)) == []

    assert everything_in(folder(services)) == before


# ------------------------------------------------------------------------------------------ objects without manifest


def test_what_an_attempt_left_is_told_and_then_removed(services: Services) -> None:
    take(services)
    names = [f"{NOBODYS}.{rest}" for rest in ("1.zst", "1.facts.json", "2.zst.age", "2.schema.dump.zst.age")]
    left = [left_over(services, name) for name in names]
    before = everything_in(folder(services))
    expected = [key_of(services, path) for path in sorted(left)]

    told = look(services, repair=False)

    assert found(told) == [("object_without_manifest", key, False) for key in expected]
    assert everything_in(folder(services)) == before

    assert found(look(services)) == [("object_without_manifest", key, True) for key in expected]

    assert everything_in(folder(services)).keys() == before.keys() - set(expected)
    assert found(look(services)) == []


@pytest.mark.s3
def test_what_an_attempt_left_in_a_bucket_is_removed(s3_services: Services, s3: S3Bucket) -> None:
    take(s3_services)
    kept = s3.keys()
    key = f"{s3_services.identity.installation}/{SOURCE}/{NOBODYS}.1.zst"
    s3.write(f"some/prefix/{key}", b"half")
    # Times there are of whole seconds.
    told = wait_until(lambda: found(look(s3_services, repair=False)), what="the object to be older than nothing")
    assert told == [("object_without_manifest", key, False)]
    assert s3.keys() == sorted([*kept, f"some/prefix/{key}"])

    assert found(look(s3_services)) == [("object_without_manifest", key, True)]

    assert s3.keys() == kept


def test_what_is_younger_than_the_safe_age_is_left_alone(services: Services) -> None:
    young = left_over(services, hours=23.9)

    report = look(services)

    assert (found(report), report.left_alone) == ([], 1)
    assert young.exists()


@pytest.mark.parametrize("since_now", [False, True], ids=["behind all the time", "ahead since now"])
def test_what_is_old_by_one_of_the_clocks_alone_is_left_alone(services: Services, *, since_now: bool) -> None:
    young = left_over(services, hours=0.1)
    # Behind, the object looks two days old to us. Ahead, the store says that it is two days later.
    storage = OfAnotherTime(folder(services), DAYS if since_now else -DAYS, since_now=since_now)
    report = look(sweeping_in(services, storage))

    assert (found(report), report.left_alone) == ([], 1)
    assert young.exists()


def test_what_is_of_another_installation_is_left_alone(services: Services) -> None:
    take(services)
    others = left_over(services, installation="b6f2c1de-0000-4000-8000-000000000000")
    unfinished = others.with_name(".hhh-unfinished-0123456789abcdef")
    unfinished.write_bytes(b"")
    age(unfinished)

    assert found(look(services)) == []

    assert others.exists()
    assert unfinished.exists()


def test_backups_of_another_installation_that_the_catalogue_has_are_looked_at_and_what_is_left_there_stays(
    services: Services,
) -> None:
    backup_id = take(services)
    others = left_over(services)
    with services.database.transaction() as session:
        session.execute(update(Installation).values(id="b6f2c1de-0000-4000-8000-000000000000"))
    services.identity.forget()
    assert found(look(services)) == []
    assert others.exists()

    object_of(services, backup_id).unlink()

    kinds = {finding.kind for finding in look(services).findings}
    assert kinds == {FindingKind.COPY_INCOMPLETE, FindingKind.BACKUP_LOST}


def test_what_an_earlier_attempt_left_beside_a_good_backup_is_removed_and_the_backup_is_not(services: Services) -> None:
    backup_id = take(services)
    good = everything_in(folder(services)).keys()
    file = services.catalogue.get(backup_id).backup_file
    late = left_over(services, f"{file}.7.zst")
    age(folder(services))

    assert found(look(services)) == [("object_without_manifest", key_of(services, late), True)]

    assert everything_in(folder(services)).keys() == good


@pytest.mark.parametrize("untrusted", [False, True], ids=["damaged", "of an unknown key"])
def test_a_manifest_that_can_not_be_used_protects_its_objects(services: Services, *, untrusted: bool) -> None:
    backup_id = take(services)
    manifest, stored = manifest_of(services, backup_id), object_of(services, backup_id)
    if untrusted:
        services.settings.signing_key_path.unlink()
        services = assemble(services.settings, services.database)
    else:
        manifest.write_text("{}")
    forget(services, backup_id)
    age(folder(services))

    for _ in range(2):
        assert found(look(services)) == [("manifest_unusable", key_of(services, manifest), False)]

    assert manifest.exists()
    assert stored.exists()


def test_a_manifest_that_comes_after_the_listing_protects_its_objects(services: Services) -> None:
    backup_id = take(services)
    manifest, stored = manifest_of(services, backup_id), object_of(services, backup_id)
    content = manifest.read_bytes()
    forget(services, backup_id)
    manifest.unlink()
    age(folder(services))

    class Late(LocalStorage):
        def head(self, key: str) -> ObjectInfo:
            manifest.write_bytes(content)
            return super().head(key)

    report = look(sweeping_in(services, Late(folder(services))))

    assert (found(report), report.left_alone) == ([], 2)
    assert stored.exists()


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_objects_of_a_backup_that_is_under_way_are_left_alone_whatever_their_age(
    services: Services, state: JobState
) -> None:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(SOURCE))
        with services.database.transaction() as session:
            session.execute(update(Job).values(state=state))
        path = left_over(services, f"{services.catalogue.get(backup_id).backup_file}.1.zst")

        report = look(services)

        assert (found(report), report.left_alone) == ([], 1)
        with services.database.transaction() as session:
            session.execute(update(Job).values(state=JobState.QUEUED))
        services.cancelling.cancel(backup_id, JobKind.BACKUP)

    assert found(look(services)) == [("object_without_manifest", key_of(services, path), True)]


def test_a_sweep_in_the_middle_of_a_backup_does_it_no_harm(services: Services) -> None:
    # Everything is old enough at once: only the backup's job speaks for its objects.
    hasty = services.settings.model_copy(update={"sweep_safe_hours": 1e-9})

    class Swept(LocalStorage):
        def create(self, key: str, content: bytes) -> None:
            reports.append(services.sweep.__class__(hasty, *parts).look(repair=True))
            super().create(key, content)

    reports: list[object] = []
    parts = (services.database, services.identity, services.stores, services.pruning)
    swept = Swept(folder(services))
    backup_id = take(storing_in(services, swept))

    (report,) = reports
    assert found(report) == []  # type: ignore[arg-type]
    assert report.left_alone == 2  # type: ignore[attr-defined]
    assert object_of(services, backup_id).exists()
    assert found(look(services)) == []


def test_objects_that_a_repair_needs_or_makes_are_left_alone(services: Services, tmp_path: Path) -> None:
    second = with_a_second_store(services, tmp_path)
    backup_id = take(services)
    manifest = next(second.rglob("*.sql.json"))
    manifest.unlink()
    age(second)
    with services.database.transaction() as session:
        session.execute(
            update(BackupCopy).where(BackupCopy.storage == "second").values(status=CopyStatus.MISSING, error="down")
        )

    assert found(look(services)) == []

    assert object_of(services, backup_id, second).exists()


def test_what_is_no_object_of_a_backup_is_told_and_left_alone(services: Services) -> None:
    readme = left_over(services, "README.txt")

    for _ in range(2):
        assert found(look(services)) == [("unknown_object", key_of(services, readme), False)]

    assert readme.exists()


def test_what_a_store_keeps_is_told_and_the_rest_goes_on(services: Services, tmp_path: Path) -> None:
    kept = left_over(services, f"{NOBODYS}.1.facts.json")
    gone = left_over(services, f"{NOBODYS}.1.zst")

    class Keeping(LocalStorage):
        def delete(self, key: str) -> None:
            if key.endswith(".facts.json"):
                raise StorageUnavailable("403 Forbidden")
            super().delete(key)

    report = look(sweeping_in(services, Keeping(folder(services))))

    assert found(report) == [
        ("store_failed", key_of(services, kept), False),
        ("object_without_manifest", key_of(services, gone), True),
    ]
    assert report.findings[0].detail == "403 Forbidden"


# --------------------------------------------------------------------------------------------- manifests without row


def test_a_backup_that_the_catalogue_has_not_is_told_and_then_added(tmp_path: Path, own_database: Database) -> None:
    services = services_with_a_target(tmp_path, own_database)
    forgotten, known = take(services), take(services)
    with services.database.transaction() as session:
        session.execute(delete(BackupCopy).where(BackupCopy.backup_id == forgotten))
        session.execute(delete(BackupLog).where(BackupLog.id == forgotten))
    age(folder(services))
    before, key = everything_in(folder(services)), key_of(services, manifest_of(services, forgotten))

    assert found(look(services, repair=False)) == [("manifest_without_row", key, False)]
    with services.database.snapshot() as session:
        assert session.scalars(select(BackupLog.id)).all() == [known]

    assert found(look(services)) == [("manifest_without_row", key, True)]

    assert services.catalogue.get(forgotten).status == "success"
    assert everything_in(folder(services)) == before
    assert found(look(services)) == []


# ------------------------------------------------------------------------------------------------ rows without object


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_an_incomplete_copy_is_marked_and_made_again_from_another(
    tmp_path: Path, own_database: Database, damage: str
) -> None:
    services = services_with_a_target(tmp_path, own_database)
    second = with_a_second_store(services, tmp_path)
    backup_id = take(services)
    take(services)
    path = object_of(services, backup_id, second)
    content = path.read_bytes()
    path.unlink()
    if damage == "short":
        path.write_bytes(content[:-1])

    assert found(look(services, repair=False)) == [("copy_incomplete", backup_id, False)]
    assert status_of(services, backup_id, "second") == "stored"

    assert found(look(services)) == [("copy_incomplete", backup_id, True)]
    assert status_of(services, backup_id, "second") == "missing"
    assert found(look(services)) == []

    with working(services) as worker:
        worker.execute(worker.create(services.repair.request(SOURCE)))
    assert status_of(services, backup_id, "second") == "stored"
    assert path.read_bytes() == content
    assert found(look(services)) == []


def test_a_backup_without_any_whole_copy_is_told_and_its_row_is_kept(services: Services) -> None:
    backup_id = take(services)
    object_of(services, backup_id).unlink()
    left = files_below(folder(services))

    told = look(services, repair=False)
    assert found(told) == [("copy_incomplete", backup_id, False), ("backup_lost", backup_id, False)]
    assert found(look(services)) == [("copy_incomplete", backup_id, True), ("backup_lost", backup_id, False)]
    assert found(look(services)) == [("backup_lost", backup_id, False)]

    assert services.catalogue.get(backup_id).status == "success"
    assert files_below(folder(services)) == left


def test_a_backup_whose_copies_are_all_incomplete_is_lost(services: Services, tmp_path: Path) -> None:
    second = with_a_second_store(services, tmp_path)
    backup_id = take(services)
    for store in (folder(services), second):
        object_of(services, backup_id, store).unlink()

    expected = [FindingKind.COPY_INCOMPLETE, FindingKind.COPY_INCOMPLETE, FindingKind.BACKUP_LOST]
    assert [each.kind for each in look(services, repair=False).findings] == expected
    assert [each.kind for each in look(services).findings] == expected


@pytest.mark.parametrize("undamaged", [True, False])
def test_the_only_copy_is_taken_back_when_it_is_there_again_and_undamaged(
    services: Services, *, undamaged: bool
) -> None:
    backup_id = take(services)
    path = object_of(services, backup_id)
    content = path.read_bytes()
    path.unlink()
    look(services)
    path.write_bytes(content if undamaged else bytes(len(content)))

    assert found(look(services, repair=False))[0] == ("copy_found", backup_id, False)
    assert status_of(services, backup_id) == "missing"
    report = look(services)

    assert found(report) == [("copy_found", backup_id, True) if undamaged else ("backup_lost", backup_id, False)]
    assert status_of(services, backup_id) == ("stored" if undamaged else "missing")


def test_a_manifest_that_alone_is_gone_is_written_again_from_the_catalogue(services: Services) -> None:
    backup_id = take(services)
    manifest, before = manifest_of(services, backup_id), manifest_of(services, backup_id).read_bytes()
    manifest.unlink()
    age(folder(services))

    assert found(look(services, repair=False)) == [("copy_without_manifest", backup_id, False)]
    assert not manifest.exists()

    assert found(look(services)) == [("copy_without_manifest", backup_id, True)]

    assert manifest.read_bytes() == before
    assert status_of(services, backup_id) == "stored"
    assert found(look(services)) == []


def test_a_store_that_shows_nothing_at_all_is_not_believed(services: Services) -> None:
    backup_ids = [take(services), take(services)]
    elsewhere = folder(services).with_name("elsewhere")
    folder(services).rename(elsewhere)  # as a disk that is not mounted

    assert found(look(services)) == [("store_empty", "", False)]

    assert {status_of(services, backup_id) for backup_id in backup_ids} == {"stored"}
    shutil.rmtree(folder(services), ignore_errors=True)
    elsewhere.rename(folder(services))
    assert found(look(services)) == []


def test_a_store_that_shows_next_to_nothing_is_believed_only_by_hand(services: Services) -> None:
    before = [take(services) for _ in range(4)]
    folder(services).rename(folder(services).with_name("elsewhere"))  # as a disk that is not mounted
    take(services)  # in the folder below it

    for repair in (False, True):
        report = look(services, repair=repair)
        assert found(report) == [("store_empty", "", False)]
        assert "of 5 backup(s)" in report.findings[0].detail
    assert {status_of(services, backup_id) for backup_id in before} == {"stored"}

    by_hand = services.sweep.look(repair=True, believe=True)

    assert by_hand.counts[FindingKind.COPY_INCOMPLETE] == 4
    assert {status_of(services, backup_id) for backup_id in before} == {"missing"}


def test_a_store_that_lacks_some_copies_is_believed(services: Services) -> None:
    backup_ids = [take(services) for _ in range(5)]
    object_of(services, backup_ids[0]).unlink()
    object_of(services, backup_ids[1]).unlink()

    assert look(services).counts[FindingKind.COPY_INCOMPLETE] == 2


def test_a_backup_that_ends_while_the_store_is_listed_is_whole(services: Services) -> None:
    class Backing(LocalStorage):
        """Lists what there was before a backup."""

        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            before = [*super().list(prefix)]
            take(services)
            return iter(before)

    take(services)
    assert found(look(sweeping_in(services, Backing(folder(services))))) == []


# ------------------------------------------------------------------------------------------------ unfinished uploads


def test_files_of_killed_writes_are_dropped_and_young_ones_are_not(services: Services) -> None:
    take(services)
    place = folder(services) / services.identity.installation / SOURCE
    old, young = (place / f".hhh-unfinished-{number:016x}" for number in range(2))
    for path in (old, young):
        path.write_bytes(b"half")
    age(old)

    assert found(look(services, repair=False)) == [("unfinished_upload", key_of(services, old), False)]
    assert old.exists()
    report = look(services)

    assert (found(report), report.left_alone) == ([("unfinished_upload", key_of(services, old), True)], 1)
    assert (old.exists(), young.exists()) == (False, True)
    with working(services) as worker:
        age(young)
        worker.create(services.backups.request(SOURCE))
        assert found(look(services)) == []
    assert young.exists()


def killed_upload(s3: S3Bucket, key: str) -> None:
    """An upload whose process is killed in the middle."""
    with Piped(uploading_process.__file__, s3.url("some/prefix"), key, environment=s3.environment()) as process:
        assert process.stdout.readline() == b"under way\n"
        process.kill()


@pytest.mark.s3
def test_uploads_of_killed_processes_are_dropped(s3_services: Services, s3: S3Bucket) -> None:
    services, others = s3_services, "b6f2c1de-0000-4000-8000-000000000000"
    backup_id = take(services)
    keys = [f"{owner}/{SOURCE}/{NOBODYS}.1.zst" for owner in (services.identity.installation, others)]
    for key in keys:
        killed_upload(s3, key)
    in_bucket = [f"some/prefix/{key}" for key in keys]
    assert sorted(s3.unfinished_uploads()) == sorted(in_bucket)

    assert found(look(services, repair=False)) == [("unfinished_upload", keys[0], False)]
    with working(services) as worker:
        job_id = worker.create(services.backups.request(SOURCE))
        assert found(look(services)) == []
        services.cancelling.cancel(job_id, JobKind.BACKUP)
    assert sorted(s3.unfinished_uploads()) == sorted(in_bucket)

    assert found(look(services)) == [("unfinished_upload", keys[0], True)]

    assert s3.unfinished_uploads() == [in_bucket[1]]
    assert found(look(services)) == []
    assert services.catalogue.get(backup_id).copies[0].status == "stored"


@pytest.mark.s3
def test_uploads_are_asked_for_with_the_credentials_of_the_store(
    services: Services, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "access_key_id": s3.access_key_id,
        "secret_access_key": s3.secret_access_key,
        "endpoint_url": s3.endpoint,
    }
    killed_upload(s3, "a/b")
    with monkeypatch.context() as environment:
        for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_PROFILE": "nobody"}.items():
            environment.setenv(name, value)

        storage = open_storage(s3.url("some/prefix"), options=options)
        (upload,) = storage.unfinished("a")
        assert upload.key == "a/b"
        for _ in range(2):  # what has ended is no error
            storage.drop(upload)
        assert [*storage.unfinished()] == []
    assert s3.unfinished_uploads() == []


# ---------------------------------------------------------------------------------------------------- several stores


def test_a_store_that_does_not_answer_is_told_and_the_others_are_swept(services: Services, tmp_path: Path) -> None:
    second = with_a_second_store(services, tmp_path)
    backup_id = take(services)
    gone = second / left_over(services).relative_to(folder(services))
    gone.write_bytes(b"half")
    age(gone)

    class Down(LocalStorage):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise StorageUnavailable(f"503 of {prefix}")

    report = look(sweeping_in(services, Down(folder(services))))

    reason = f"503 of {services.identity.installation}"
    assert report.failed_stores == {"default": reason}
    assert found(report) == [
        ("store_failed", "", False),
        ("object_without_manifest", key_of(services, gone, second), True),
    ]
    assert not gone.exists()
    assert status_of(services, backup_id) == "stored"


def test_two_sweeps_at_once_do_each_thing_at_least_once_and_no_harm(services: Services) -> None:
    backup_id, lost = take(services), take(services)
    good = everything_in(folder(services)).keys()
    manifest_of(services, lost).unlink()
    left = [left_over(services, f"{NOBODYS}.{number}.zst") for number in range(1, 30)]

    with ThreadPoolExecutor(2) as threads:
        reports = [*threads.map(look, [services, services])]

    assert not any(path.exists() for path in left)
    assert everything_in(folder(services)).keys() == good
    assert {subject for report in reports for _, subject, _ in found(report)} >= {
        key_of(services, path) for path in left
    }
    assert not any(report.failed_stores for report in reports)
    assert found(look(services)) == []
    assert {status_of(services, each) for each in (backup_id, lost)} == {"stored"}


def test_a_finding_says_what_is_wrong_to_a_reader_of_json(services: Services) -> None:
    left_over(services)
    (finding,) = look(services, repair=False).findings
    assert json.loads(json.dumps(finding.kind)) == "object_without_manifest"
    assert finding.store == "default"
    assert finding.detail == "No manifest names it, and it is older than 24 hours"
