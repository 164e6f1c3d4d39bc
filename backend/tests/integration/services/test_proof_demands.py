"""What is verified though nobody asks: what policies say, and a part of all copies each day."""

import uuid
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress
from hhh.jobs.worker import working
from hhh.models import BackupLog, BackupStatus
from hhh.schemas.backup import BackupFilter
from hhh.schemas.verification import VerificationFilter
from hhh.services.container import Services
from hhh.services.proof_demands import ProofDemands
from hhh.services.work import NewJob
from support.local_services import services_with_a_target

DAY = timedelta(days=1)


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def on_sqlite(tmp_path: Path, sqlite_database: Database) -> Services:
    return services_with_a_target(tmp_path, sqlite_database)


def write(services: Services, statement: str, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(text(statement), values)


def demands(services: Services, *, percent: float = 4, now: datetime | None = None) -> ProofDemands:
    settings = services.settings.model_copy(update={"read_back_percent": percent})
    return ProofDemands(settings, services.database, now=lambda: now or utcnow())


def put_backups(
    services: Services, count: int, *, age: timedelta, verify_due: str | None = None, target: str = "source"
) -> None:
    """Rows of stored backups of that age."""
    begun = utcnow() - age
    with services.database.transaction() as session:
        for number in range(count):
            session.add(
                BackupLog(
                    id=str(uuid.uuid4()),
                    target=target,
                    backup_file=f"backup_{number}_{age.days}.sql",
                    status=BackupStatus.SUCCESS,
                    created_at=begun,
                    finished_at=begun,
                    sha256="0" * 64,
                    verify_due=verify_due,
                    read_back_at=begun,
                )
            )
        session.execute(text("UPDATE backup_totals SET successful = successful + :count"), {"count": count})


def take(services: Services, new: NewJob, now: datetime) -> str:
    """Writes what a queue writes when it commits such a job; answers the id of its backup."""
    verification_id = str(uuid.uuid4())
    with services.database.transaction() as session:
        new.write(session, verification_id, now)
    return services.verifications.get(verification_id).backup_id


def test_what_a_policy_demands_is_asked_for_once_by_whoever_looks(services: Services) -> None:
    with working(services) as worker, working(services) as another:
        backup_id = worker.create(services.backups.request("source"))
        worker.execute(backup_id)
        assert services.verification_work.due() == []
        write(services, "UPDATE backup_log SET verify_due = 'stored'")
        [same] = demands(services).due()

        [verification_id] = worker.create_due()

        assert another.create_due() == []
        with pytest.raises(BackupInProgress):
            worker.create(same)
        worker.execute(verification_id)
    found = services.verifications.get(verification_id)
    assert (found.backup_id, found.level, found.requested_by) == (backup_id, "stored", "policy")
    assert found.status == "success"
    assert services.verification_work.due() == []


@pytest.mark.parametrize(
    ("here", "count"),
    [({}, 1), ({"jobs_database_url": SecretStr("postgresql://queue/x")}, 0), ({"worker_queues": ["backup"]}, 0)],
)
def test_what_others_may_see_to_is_not_demanded_of_this_process(
    on_sqlite: Services, here: dict[str, Any], count: int
) -> None:
    put_backups(on_sqlite, 1, age=DAY, verify_due="stored")
    demanded = ProofDemands(on_sqlite.settings.model_copy(update=here), on_sqlite.database)
    assert len(demanded.of("source")) == count
    with working(on_sqlite, slots=1):
        assert demanded.of("source") == []


def test_few_wait_at_once_however_many_are_due(on_sqlite: Services) -> None:
    for number in range(20):
        put_backups(on_sqlite, 1, age=DAY, verify_due="stored", target=f"target{number}")
    with working(on_sqlite) as worker:
        assert len(worker.create_due()) == 4
        assert worker.create_due() == []
    assert len(on_sqlite.verifications.page(VerificationFilter(), cursor=None, limit=50).items) == 4


def test_one_that_never_ends_does_not_take_the_slots_of_others(services: Services) -> None:
    put_backups(services, 3, age=DAY, verify_due="proven")
    put_backups(services, 1, age=2 * DAY, verify_due="proven", target="other")

    due = demands(services).due()

    assert [each.target for each in due] == ["other", "source"]
    assert [each.time_limit_seconds for each in due] == [72 * 3600] * 2
    first = [take(services, each, utcnow()) for each in due]
    assert demands(services).due() == []
    write(services, "UPDATE verifications SET status = 'inconclusive', finished_at = created_at")
    [next_one] = demands(services).due()
    assert next_one.target == "source"
    assert take(services, next_one, utcnow()) not in first


def test_a_new_backup_is_not_read_back_and_one_that_is_old_is(services: Services) -> None:
    put_backups(services, 1, age=4 * DAY)
    assert demands(services).due() == []
    assert demands(services, percent=0, now=utcnow() + 100 * DAY).due() == []

    [due] = demands(services, now=utcnow() + 26 * DAY).due()

    assert due.time_limit_seconds is None
    backup_id = take(services, due, utcnow() + 26 * DAY)
    [found] = services.verifications.page(VerificationFilter(backup_id=backup_id), cursor=None, limit=9).items
    assert (found.level, found.requested_by, found.status) == ("stored", "read-back", "queued")
    # Until it has ended, and a day later: one of one is read in 25 days.
    assert demands(services, now=utcnow() + 100 * DAY).due() == []
    write(services, "UPDATE verifications SET finished_at = created_at")
    assert demands(services, now=utcnow() + 27 * DAY).due() == []
    with pytest.raises(BackupInProgress):
        take(services, due, utcnow())


def test_one_that_somebody_verifies_or_that_is_being_removed_is_left_alone(on_sqlite: Services) -> None:
    put_backups(on_sqlite, 1, age=30 * DAY)
    [due] = demands(on_sqlite).due()
    write(on_sqlite, "UPDATE backup_log SET deleted_at = created_at")
    assert demands(on_sqlite).due() == []
    with pytest.raises(BackupInProgress):
        take(on_sqlite, due, utcnow())
    write(on_sqlite, "UPDATE backup_log SET deleted_at = NULL, manifest = '{}'")
    assert len(demands(on_sqlite).due()) == 1

    with working(on_sqlite) as worker:
        [backup] = on_sqlite.catalogue.page(BackupFilter(), cursor=None, limit=1).items
        worker.create(on_sqlite.verifications.request(backup.id, "stored", requested_by="cli"))

    assert demands(on_sqlite).due() == []


@pytest.mark.parametrize("age", [timedelta(0), 400 * DAY])
def test_all_are_read_within_a_month_and_each_day_no_more_than_the_percentage(
    on_sqlite: Services, age: timedelta
) -> None:
    put_backups(on_sqlite, 100, age=age)
    begun, read, last = utcnow(), Counter[int](), dict[str, int]()

    for hour in range(0, 30 * 24 + 1, 6):
        now = begun + timedelta(hours=hour)
        for new in demands(on_sqlite, now=now).due():
            last[take(on_sqlite, new, now)] = hour
            read[hour // 24] += 1
        write(on_sqlite, "UPDATE verifications SET finished_at = created_at WHERE finished_at IS NULL")

    assert len(last) == 100
    assert max(read.values()) <= 5
    assert sum(read.values()) <= 125
