"""The doctor tells whether the service could be brought back today."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import BackupCopy, BackupLog, Installation, WorkerRow
from hhh.schemas.policy import PolicyFields
from hhh.schemas.schedule import ScheduleRequest
from hhh.services.container import Services
from hhh.services.doctor_own import own_database as look
from support.local_services import services_with_a_target
from support.stored_rows import stored_backup_row

DAY = timedelta(days=1)


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    services = services_with_a_target(tmp_path, own_database)
    services.identity.agree()
    with own_database.transaction() as session:
        session.execute(update(Installation).values(created_at=utcnow() - 10 * DAY))
    return services


def wrong(services: Services) -> dict[str, str]:
    return {each.subject: each.detail for each in look(services) if not each.ok}


def test_where_every_store_has_a_backup_and_keys_are_right_all_is_well(services: Services) -> None:
    stored_backup_row(services.database)

    assert wrong(services) == {}
    assert "they go to default" in " ".join(each.detail for each in look(services))


def test_a_store_that_has_none_or_an_old_one_or_is_left_out_is_told(services: Services, tmp_path: Path) -> None:
    services.stores.add("offsite", (tmp_path / "offsite").as_uri())
    stored_backup_row(services.database)
    assert wrong(services) == {
        "own database's backups in offsite": "the newest is of never; see `hhh backup list --target app`, "
        "and does any worker run?"
    }

    with services.database.transaction() as session:
        session.execute(update(BackupLog).values(created_at=utcnow() - 3 * DAY))
        session.execute(update(BackupCopy).values(storage="offsite"))
    services.targets.update("app", None, PolicyFields(storages=["offsite"]), whole=False)

    told = wrong(services)
    assert f"the newest is of {utcnow() - 3 * DAY:%Y-%m-%d}" in told["own database's backups in offsite"]
    assert "leaves this store out" in told["own database's backups in default"]


def test_that_none_is_taken_by_itself_is_told_unless_a_schedule_takes_them(
    tmp_path: Path, own_database: Database
) -> None:
    services = services_with_a_target(tmp_path, own_database, own_backup_hours=0)
    assert "HHH_OWN_BACKUP_HOURS=0" in wrong(services)["own database's backups"]

    services.schedules.add(ScheduleRequest(target="app", cron="0 3 * * *"))

    assert wrong(services) == {}


def test_a_key_that_is_not_the_installations_is_told(services: Services) -> None:
    (services.settings.data_dir / "signing.key").unlink()

    assert "There is no signing key" in wrong(services)["recovery keys"]


def test_a_worker_of_another_version_is_told(services: Services) -> None:
    now = utcnow()
    row = WorkerRow(id="1", name="night", host="db7", pid=1, version="0.0.9", state="active", slots=1, queues="backup")
    row.started_at = row.heartbeat_at = now
    with services.database.transaction() as session:
        session.add(row)

    assert wrong(services)["versions"].startswith("night on db7 is of 0.0.9")
