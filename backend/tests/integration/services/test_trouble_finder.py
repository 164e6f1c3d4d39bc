"""What the own database tells of what is wrong, on both databases."""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus, Installation, Job, JobKind, JobState, WorkerRow
from hhh.models import VerificationStatus as Status
from hhh.repositories import troubles as rows
from hhh.repositories import workers as worker_rows
from hhh.schemas.policy import PolicyFields
from hhh.services.container import Services
from hhh.services.repair import ADDED
from hhh.services.trouble_finder import TroubleFinder
from hhh.services.troubles import Found
from hhh.storages.registry import make_place
from support.local_services import services_with_a_target
from support.recoverable import HOUR, a_backup, a_verification

DAY = timedelta(days=1)
STORED, MISSING, UNDELETABLE = CopyStatus.STORED, CopyStatus.MISSING, CopyStatus.UNDELETABLE


@pytest.fixture
def services(own_database: Database, tmp_path: Path) -> Services:
    services = services_with_a_target(tmp_path, own_database, target="shop")
    make_place(services.settings.default_storage_url)
    return services


def found(services: Services) -> Mapping[tuple[str, str], Found]:
    """By kind and subject."""
    finder = TroubleFinder(services.settings, services.database, services.targets, services.stores, services.policies)
    return {(each.kind.value, each.subject): each for each in finder.look(utcnow()).found}


def add_target(services: Services, name: str, **policy: object) -> None:
    services.targets.add(name, f"sqlite:////nowhere/{name}.db", PolicyFields.model_validate(policy))


def say(services: Services, backup_id: str, store: str, error: str) -> None:
    with services.database.transaction() as session:
        session.get_one(BackupCopy, (backup_id, store)).error = error


def a_prune(services: Services, target: str, state: JobState, *, age: timedelta, error: str | None = None) -> None:
    ended = utcnow() - age
    with services.database.transaction() as session:
        job = Job(id=f"{target}-{age.total_seconds():.0f}", kind=JobKind.PRUNE, target=target, state=state, worker="")
        job.created_at = job.finished_at = job.lease_expires_at = ended
        job.error = error
        session.add(job)


def a_worker(services: Services, name: str, *, silent: timedelta, host: str, age: timedelta = DAY) -> None:
    now = utcnow()
    with services.database.transaction() as session:
        session.add(
            WorkerRow(
                id=name,
                name=name,
                host=host,
                pid=1,
                version="1",
                state="active",
                slots=1,
                queues="backup",
                started_at=now - age,
                heartbeat_at=now - silent,
            )
        )


def test_every_kind_is_found_and_only_where_it_is(services: Services) -> None:
    database = services.database
    assert found(services) == {}

    a_backup(database, "shop", age=2 * HOUR)
    a_backup(database, "shop", status=BackupStatus.FAILED, age=HOUR, error="pg_dump: error: gone")
    add_target(services, "late", backed_up_within_hours=3, proven_within_days=7)
    for age in range(9, 3, -1):
        a_backup(database, "late", age=timedelta(days=age), raw_size=50_000_000)
    add_target(services, "odd")
    for age in range(9, 3, -1):
        a_backup(database, "odd", age=timedelta(days=age), raw_size=50_000_000)
    a_backup(database, "odd", age=HOUR, raw_size=5_000_000)
    add_target(services, "bad")
    older = a_backup(database, "bad", age=2 * DAY, backup_file="older.sql")
    a_verification(database, a_backup(database, "bad", age=HOUR))
    a_verification(database, older, level="readable", status=Status.FAILED, error="checksum is wrong")
    lacking = a_backup(database, "shop", age=3 * HOUR, copies={"default": STORED, "nas": MISSING})
    say(services, lacking, "nas", "connection refused")
    added = a_backup(database, "shop", age=3 * HOUR, copies={"default": STORED, "new": MISSING})
    say(services, added, "new", ADDED)
    kept = a_backup(database, "shop", age=4 * HOUR, copies={"nas": UNDELETABLE}, deleted_at=utcnow())
    say(services, kept, "nas", "it is locked")
    a_prune(services, "bad", JobState.FAILED, age=HOUR, error="no store answers")
    a_prune(services, "odd", JobState.FAILED, age=2 * HOUR, error="no store answers")
    a_prune(services, "odd", JobState.SUCCESS, age=HOUR)
    a_worker(services, "silent", silent=HOUR / 2, host="a")
    a_worker(services, "alive", silent=timedelta(), host="b")

    told = found(services)
    assert {key: each.said for key, each in told.items()} == {
        ("backup-failed", "shop"): "pg_dump: error: gone",
        ("backup-overdue", "late"): "",
        ("proof-overdue", "late"): "",
        ("size-odd", "odd"): "",
        ("verification-failed", "bad"): "checksum is wrong",
        ("store-failing", "nas"): "connection refused",
        ("retention-stuck", "shop"): "it is locked",
        ("retention-stuck", "bad"): "no store answers",
        ("worker-lost", "silent"): "",
    }
    assert "older.sql" in told["verification-failed", "bad"].what


def test_a_fault_that_a_later_verification_outdates_is_none(services: Services) -> None:
    backup = a_backup(services.database, "shop")
    a_verification(services.database, backup, status=Status.FAILED, at=utcnow() - HOUR, error="it differs")
    assert [*found(services)] == [("verification-failed", "shop")]
    a_verification(services.database, backup)
    assert found(services) == {}


def test_a_dead_worker_is_lost_until_one_of_its_name_or_host_is_there(services: Services) -> None:
    def lost() -> list[str]:
        return [subject for kind, subject in found(services) if kind == "worker-lost"]

    for name in ("ended", "killed"):
        a_worker(services, name, silent=timedelta(), host="a")
    now = utcnow()
    with services.database.transaction() as session:
        worker_rows.remove(session, ["ended"])
        rows.note_lost(session, ["killed"], since=now - HOUR, until=now + HOUR, now=now)
        worker_rows.remove(session, ["killed"])
    assert lost() == ["killed"]
    a_worker(services, "older", silent=timedelta(), host="a")
    assert lost() == ["killed"]
    a_worker(services, "successor", silent=timedelta(), host="a", age=-HOUR)
    assert lost() == []


def test_a_store_whose_folder_is_gone_fails_once_there_should_be_something_in_it(services: Services) -> None:
    Path(services.settings.default_storage_url.removeprefix("file://")).rmdir()
    assert found(services) == {}
    a_backup(services.database, "shop")
    assert "is its disk mounted?" in found(services)["store-failing", "default"].said


def test_a_full_disk_is_told_by_the_setting(own_database: Database, tmp_path: Path) -> None:
    services = services_with_a_target(tmp_path, own_database, target="shop", store_full_percent=0.0001)
    make_place(services.settings.default_storage_url)
    assert [*found(services)] == [("store-nearly-full", "default")]


def test_the_services_own_database_is_overdue_like_any_other_once_it_is_not_backed_up_by_itself(
    services: Services,
) -> None:
    assert services.identity.installation
    assert ("backup-overdue", "app") not in found(services)
    with services.database.transaction() as session:
        session.scalars(select(Installation)).one().created_at = utcnow() - 3 * DAY
    trouble = found(services)["backup-overdue", "app"]
    assert trouble.what.endswith(": the service takes one by itself.")
    standing = services.recoverability.of("app")
    assert standing.state == "late"
    assert "the service by itself should have made another by" in standing.reasons[0]
    assert services.recoverability.states()["app"] == "late"
    a_backup(services.database, "app", age=24 * HOUR)
    assert ("backup-overdue", "app") not in found(services)
    with services.database.transaction() as session:
        session.scalars(select(BackupLog)).one().created_at = utcnow() - 26 * HOUR
    assert ("backup-overdue", "app") in found(services)
    never = services.settings.model_copy(update={"own_backup_hours": 0})
    assert ("backup-overdue", "app") not in found(dataclasses.replace(services, settings=never))
