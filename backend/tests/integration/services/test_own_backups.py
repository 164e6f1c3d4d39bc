"""The service backs up its own database by itself, to every store, and nobody can forget it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InvalidInput
from hhh.jobs.worker import working
from hhh.models import Action, BackupLog, BackupStatus, Installation
from hhh.schemas.backup import BackupFilter
from hhh.schemas.policy import PolicyFields
from hhh.services import audit
from hhh.services.container import Services
from hhh.services.own_backups import OwnBackups
from support.local_services import services_with_a_target
from support.stored_rows import stored_backup_row

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    """Of an installation that is a week old."""
    return aged_services(tmp_path, own_database)


def aged_services(folder: Path, database: Database) -> Services:
    services = services_with_a_target(folder, database)
    assert services.identity.installation
    with database.transaction() as session:
        session.execute(update(Installation).values(created_at=utcnow() - 168 * HOUR))
    return services


def is_due(services: Services, hours: float = 24) -> bool:
    settings = Settings(own_backup_hours=hours)
    return OwnBackups(settings, services.database).is_due()


def backed_up(services: Services, at: datetime, status: BackupStatus = BackupStatus.SUCCESS) -> None:
    backup_id = stored_backup_row(services.database)
    with services.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(created_at=at, status=status))


@pytest.fixture
def done(services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[[Action, datetime], None]:
    """Has the audit log tell that something was done then."""

    def record(action: Action, at: datetime) -> None:
        monkeypatch.setattr("hhh.services.audit.utcnow", lambda: at)
        audit.record_alone(services.database, action, "shop")

    return record


def test_the_first_is_due_a_quarter_of_an_hour_after_the_first_start(services: Services) -> None:
    assert is_due(services)
    for age, expected in ((14 * MINUTE, False), (16 * MINUTE, True)):
        with services.database.transaction() as session:
            session.execute(update(Installation).values(created_at=utcnow() - age))
        assert is_due(services) is expected


def test_another_is_due_each_day_whoever_asked_for_the_one_before(services: Services) -> None:
    backed_up(services, utcnow() - 25 * HOUR)
    assert is_due(services)
    assert not is_due(services, hours=26)
    assert not is_due(services, hours=0)

    backed_up(services, utcnow() - 23 * HOUR)
    assert not is_due(services)


@pytest.mark.parametrize(("action", "expected"), [(Action.TARGET_ADD, True), (Action.BACKUP, False)])
def test_a_change_is_in_a_backup_within_a_quarter_of_an_hour(
    services: Services, done: Callable[[Action, datetime], None], action: Action, *, expected: bool
) -> None:
    backed_up(services, utcnow() - HOUR)
    done(action, utcnow() - 14 * MINUTE)
    assert not is_due(services)

    done(action, utcnow() - 16 * MINUTE)
    assert is_due(services) is expected

    backed_up(services, utcnow() - 15 * MINUTE)
    assert not is_due(services)


def test_one_that_failed_is_tried_again_after_an_hour(services: Services) -> None:
    backed_up(services, utcnow() - 30 * HOUR)
    backed_up(services, utcnow() - 61 * MINUTE, BackupStatus.FAILED)
    assert is_due(services)

    backed_up(services, utcnow() - 59 * MINUTE, BackupStatus.FAILED)
    assert not is_due(services)


def test_it_goes_to_every_store_also_to_one_that_was_added_and_without_one_that_is_down(
    sqlite_database: Database, tmp_path: Path
) -> None:
    services = aged_services(tmp_path, sqlite_database)
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())
    services.stores.add("gone", (tmp_path / "gone").as_uri())
    (tmp_path / "gone").rmdir()

    with working(services) as worker:
        for job_id in worker.create_due():  # as every worker does again and again
            worker.execute(job_id)

    (backup,) = services.catalogue.page(BackupFilter(), cursor=None, limit=10).items
    assert (backup.target, backup.status) == ("app", "success")
    assert not is_due(services)
    assert {copy.storage: copy.status for copy in backup.copies} == {
        "default": "stored",
        "offsite": "stored",
        "gone": "missing",
    }


def test_all_stores_by_name_are_all_of_them_and_fewer_are_what_was_chosen(services: Services, tmp_path: Path) -> None:
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())
    whole = PolicyFields(storages=["offsite", "default"])
    services.targets.update("app", None, whole, whole=False)
    services.stores.add("third", (tmp_path / "third").as_uri())
    assert services.policies.of("app").stores == ("default", "offsite", "third")
    assert services.policies.stores_without_own_backups() == []

    services.targets.update("app", None, PolicyFields(storages=["third"]), whole=False)

    assert services.policies.of("app").stores == ("third",)
    assert services.policies.stores_without_own_backups() == ["default", "offsite"]


def test_copies_that_must_be_are_counted_by_all_stores(services: Services, tmp_path: Path) -> None:
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())

    services.targets.update("app", None, PolicyFields(minimum_copies=2), whole=False)

    assert services.policies.of("app").minimum_copies == 2
    with pytest.raises(InvalidInput, match="3 copies can't be in 2 store"):
        services.targets.update("app", None, PolicyFields(minimum_copies=3), whole=False)


def test_a_store_can_be_removed_again(services: Services, tmp_path: Path) -> None:
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())

    services.stores.remove("offsite")

    assert services.policies.of("app").stores == ()
