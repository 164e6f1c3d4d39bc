"""One dump in several stores: what the catalogue says of each, and what is read where one is not good."""

import contextlib
from pathlib import Path

import pytest
from sqlalchemy import text

from hhh.artifacts.naming import is_manifest
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import NotFound
from hhh.core.run import Progress, Unattended
from hhh.jobs.worker import working
from hhh.models import Policy
from hhh.schemas.backup import BackupResource
from hhh.schemas.restore import RestoreRequest
from hhh.services.container import Services
from hhh.services.downloads import Form
from support.backing_up import files_below
from support.local_services import services_with_a_target


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return with_stores(services_with_a_target(tmp_path, own_database, store_stall_seconds=1), tmp_path)


@pytest.fixture
def sqlite_services(tmp_path: Path, sqlite_database: Database) -> Services:
    return with_stores(services_with_a_target(tmp_path, sqlite_database, store_stall_seconds=1), tmp_path)


def with_stores(services: Services, folder: Path, *, minimum: int | None = 1) -> Services:
    """The target goes to three stores."""
    for name in ("second", "third"):
        services.stores.add(name, (folder / name).as_uri())
    set_policy(services, ["default", "second", "third"], minimum)
    return services


def set_policy(services: Services, stores: list[str], minimum: int | None) -> None:
    with services.database.transaction() as session:
        session.merge(Policy(target="source", stores=stores, minimum_copies=minimum, retries=0, updated_at=utcnow()))


def folders(services: Services) -> dict[str, Path]:
    data = services.settings.data_dir
    return {"default": data / "backups", "second": data.parent / "second", "third": data.parent / "third"}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def back_up(services: Services) -> BackupResource:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request("source"))
        worker.execute(backup_id)
    return services.catalogue.get(backup_id)


def repair(services: Services, *, new_stores: bool = False) -> tuple[str, str | None]:
    with working(services) as worker:
        job_id = worker.create(services.repair.request("source", new_stores=new_stores))
        worker.execute(job_id)
    state, error = services.repair.outcome(job_id)
    return state.value, error


def states(backup: BackupResource) -> dict[str, str]:
    return {copy.storage: copy.status for copy in backup.copies}


def break_store(folder: Path) -> None:
    """A file where the folder should be: nothing can be written or read there."""
    folder.rename(folder.with_name(f"{folder.name}-away"))
    folder.touch()


def mend_store(folder: Path) -> None:
    """The folder is back, as it was."""
    folder.unlink()
    folder.with_name(f"{folder.name}-away").rename(folder)


def test_a_backup_is_the_same_in_all_stores_of_the_policy(services: Services) -> None:
    backup = back_up(services)

    found = [contents(folder) for folder in folders(services).values()]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3
    assert states(backup) == {"default": "stored", "second": "stored", "third": "stored"}
    assert {(copy.size, copy.sha256) for copy in backup.copies} == {(backup.stored_size, backup.sha256)}


def test_a_store_that_is_down_is_missing_with_its_error_and_repaired_later(services: Services) -> None:
    down = folders(services)["second"]
    break_store(down)

    backup = back_up(services)

    assert backup.status == "success"
    assert states(backup) == {"default": "stored", "second": "missing", "third": "stored"}
    [missing] = [copy for copy in backup.copies if copy.status == "missing"]
    assert missing.error is not None
    assert "The store's folder failed" in missing.error
    assert repair(services)[0] == "failed"
    assert states(services.catalogue.get(backup.id))["second"] == "missing"

    mend_store(down)
    assert repair(services) == ("success", None)

    repaired = services.catalogue.get(backup.id)
    assert states(repaired)["second"] == "stored"
    assert [copy.error for copy in repaired.copies] == [None] * 3
    assert contents(down) == contents(folders(services)["default"])


def test_what_is_due_is_asked_for_by_itself_and_not_again_at_once(sqlite_services: Services) -> None:
    services = sqlite_services
    break_store(folders(services)["second"])
    assert services.repair.due() == []
    backup = back_up(services)
    mend_store(folders(services)["second"])

    with working(services) as worker:
        [job_id] = worker.create_due()
        worker.execute(job_id)
        assert worker.create_due() == []

    assert states(services.catalogue.get(backup.id))["second"] == "stored"
    assert services.repair.due() == []


def test_too_few_stores_fail_the_backup_and_leave_nothing(services: Services) -> None:
    set_policy(services, ["default", "second", "third"], 3)
    break_store(folders(services)["second"])

    backup = back_up(services)

    assert (backup.status, backup.copies) == ("failed", [])
    assert files_below(folders(services)["default"]) == files_below(folders(services)["third"]) == []


def test_a_store_that_is_not_known_any_more_is_a_missing_copy(sqlite_services: Services) -> None:
    set_policy(sqlite_services, ["default", "gone"], 1)

    backup = back_up(sqlite_services)

    assert states(backup) == {"default": "stored", "gone": "missing"}
    assert sqlite_services.repair.due() == []
    assert repair(sqlite_services)[0] == "failed"


def test_stores_that_a_target_gets_later_are_filled_when_that_is_asked_for(services: Services) -> None:
    set_policy(services, ["default"], 1)
    backups = [back_up(services) for _ in range(2)]
    set_policy(services, ["default", "second"], 1)

    assert repair(services) == ("success", None)
    assert [states(services.catalogue.get(each.id)) for each in backups] == [{"default": "stored"}] * 2
    assert repair(services, new_stores=True) == ("success", None)

    for each in backups:
        assert states(services.catalogue.get(each.id)) == {"default": "stored", "second": "stored"}
    assert contents(folders(services)["second"]) == contents(folders(services)["default"])


def damage(folder: Path) -> None:
    """Change one byte of the dump."""
    [name] = [each for each in files_below(folder) if each.endswith(".zst")]
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)


def test_a_damaged_source_is_marked_and_made_again_from_a_good_one(services: Services) -> None:
    break_store(folders(services)["third"])
    backup = back_up(services)
    mend_store(folders(services)["third"])
    damage(folders(services)["default"])

    assert repair(services) == ("success", None)

    assert set(states(services.catalogue.get(backup.id)).values()) == {"stored"}
    found = [contents(folder) for folder in folders(services).values()]
    assert found[0] == found[1] == found[2]


def test_without_a_good_source_nothing_is_made_and_every_copy_says_why(sqlite_services: Services) -> None:
    services = sqlite_services
    break_store(folders(services)["third"])
    backup = back_up(services)
    mend_store(folders(services)["third"])
    damage(folders(services)["default"])
    damage(folders(services)["second"])

    state, error = repair(services)

    assert state == "failed"
    assert error is not None
    assert "No good copy" in error
    assert set(states(services.catalogue.get(backup.id)).values()) == {"missing"}
    assert files_below(folders(services)["third"]) == []


def test_a_repair_that_ended_anywhere_is_gone_on_with(sqlite_services: Services) -> None:
    services = sqlite_services
    break_store(folders(services)["third"])
    backup = back_up(services)
    third = folders(services)["third"]
    mend_store(third)
    whole = contents(folders(services)["default"])
    # As many objects as a repair that was killed may have left; the last one is the manifest, without a row.
    for count in range(len(whole) + 1):
        for name in sorted(whole, key=is_manifest)[:count]:
            (third / name).parent.mkdir(parents=True, exist_ok=True)
            (third / name).write_bytes(whole[name])
        with services.database.transaction() as session:
            session.execute(text("UPDATE backup_copies SET status = 'missing' WHERE storage = 'third'"))

        assert repair(services) == ("success", None)

        assert contents(third) == whole
        assert states(services.catalogue.get(backup.id))["third"] == "stored"


def test_a_backup_that_is_removed_while_it_is_repaired_leaves_no_copy(sqlite_services: Services) -> None:
    services = sqlite_services
    break_store(folders(services)["third"])
    backup = back_up(services)
    mend_store(folders(services)["third"])

    def remove(progress: Progress) -> None:
        if progress.raw_bytes:
            with contextlib.suppress(NotFound):  # the first piece was enough
                services.deletion.delete(backup.id, by="test", force=backup.backup_file)

    with working(services) as worker:
        worker.execute(worker.create(services.repair.request("source")), remove)

    with pytest.raises(NotFound):
        services.catalogue.get(backup.id)
    assert files_below(folders(services)["third"]) == []


def download(services: Services, backup: BackupResource, path: Path) -> bytes:
    services.downloads.open(backup.id, Form.PLAIN).save(path, Unattended())
    return path.read_bytes()


@pytest.mark.parametrize("fault", ["damaged", "gone", "down"])
def test_what_reads_a_backup_reads_the_next_good_copy(sqlite_services: Services, tmp_path: Path, fault: str) -> None:
    services = sqlite_services
    backup = back_up(services)
    whole = download(services, backup, tmp_path / "whole")
    default = folders(services)["default"]
    if fault == "damaged":
        damage(default)
    else:
        for name in files_below(default):
            (default / name).unlink()
        if fault == "down":
            break_store(default)

    assert download(services, backup, tmp_path / "again") == whole
    assert services.contents.of(backup.id).tables
    with working(services) as worker:
        asked = RestoreRequest(backup_id=backup.id, mode="new", destination=str(tmp_path / "restored.db"))
        new = services.restores.request(asked, requested_by="cli", address="")
        restore_id = worker.create(new)
        worker.execute(restore_id)
    assert services.restores.get(restore_id).error is None
    assert (tmp_path / "restored.db").exists()
