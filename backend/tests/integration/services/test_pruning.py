"""Backups that rules drop or people delete go from the catalogue and from every store, on each kind of database."""

import dataclasses
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from hhh.artifacts.destinations import Destination
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import BackupInProgress, BackupProtected, Cancelled, InUse, InvalidInput, NotFound
from hhh.core.run import Unattended
from hhh.jobs.worker import working
from hhh.models import (
    BackupCopy,
    BackupLog,
    BackupStatus,
    Job,
    JobKind,
    JobState,
    Policy,
    Verification,
    VerificationStatus,
)
from hhh.schemas.backup import BackupFilter
from hhh.schemas.policy import PolicyFields
from hhh.schemas.restore import RestoreRequest
from hhh.schemas.retention import Retention
from hhh.schemas.verification import Level
from hhh.services import catalogue, rebuild, removal
from hhh.services.catalogue import Outcome
from hhh.services.container import Services
from hhh.services.deletion import Deletion
from hhh.services.pruning import Pruning
from hhh.services.removal import Removal
from hhh.services.stores import StoreService
from hhh.services.trust import trusted_keys
from hhh.services.work import Attempt, Failure
from hhh.storages.base import Storage
from hhh.storages.local import LocalStorage
from support.backing_up import files_below
from support.faulty_proxy import FaultyS3, Request
from support.local_services import services_with_a_target
from support.s3 import S3Bucket

SOURCE = "source"
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    return services_with_a_target(tmp_path, own_database)


@pytest.fixture
def sqlite_services(tmp_path: Path, sqlite_database: Database) -> Services:
    return services_with_a_target(tmp_path, sqlite_database)


def take(services: Services, target: str = SOURCE) -> str:
    with working(services) as worker:
        backup_id = worker.create(services.backups.request(target))
        worker.execute(backup_id)
    assert services.catalogue.get(backup_id).status == "success"
    return backup_id


def keep(services: Services, rules: Retention | None, target: str = SOURCE) -> None:
    with services.database.transaction() as session:
        retention = rules.model_dump(exclude_none=True) if rules else None
        session.merge(Policy(target=target, stores=[], retries=0, retention=retention, updated_at=utcnow()))


def prune(services: Services, target: str = SOURCE) -> None:
    with working(services) as worker:
        job_id = worker.create(services.pruning.request(target))
        worker.execute(job_id)
    assert services.pruning.outcome(job_id) == (JobState.SUCCESS, None)


def stored(services: Services) -> list[str]:
    return files_below(services.settings.data_dir / "backups")


def row_of(services: Services, backup_id: str) -> BackupLog | None:
    """Also one with a tombstone."""
    with services.database.snapshot() as session:
        return session.get(BackupLog, backup_id)


def mark(services: Services, backup_id: str, **values: Any) -> None:
    with services.database.transaction() as session:
        session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(values))


def totals(services: Services) -> tuple[int, int, int, int]:
    stats = services.catalogue.stats()
    return stats.total_backups, stats.successful_backups, stats.failed_backups, stats.total_backup_size


def recounted(services: Services) -> tuple[int, int, int, int]:
    """The totals, from the rows themselves."""
    with services.database.snapshot() as session:
        found = session.scalars(select(BackupLog).where(BackupLog.deleted_at.is_(None))).all()
    ended = [row for row in found if row.finished_at is not None]
    good = [row for row in ended if row.status == BackupStatus.SUCCESS]
    return len(ended), len(good), len(ended) - len(good), sum(row.backup_size for row in good)


def made_up(
    services: Services, *, at: datetime, status: BackupStatus = BackupStatus.SUCCESS, target: str = SOURCE
) -> str:
    """A finished backup in the catalogue alone."""
    backup_id = str(uuid.uuid4())
    copy = BackupCopy(storage="default", key="nothing", status="stored", size=7, sha256="0" * 64)
    succeeded = status is BackupStatus.SUCCESS
    outcome = Outcome(status, at, stored_size=7 if succeeded else 0, copies=[copy] if succeeded else [])
    with services.database.transaction() as session:
        catalogue.begin(session, backup_id, target=target, created_at=at)
        session.flush()
        catalogue.finish(session, backup_id, outcome)
    return backup_id


def verified(
    services: Services,
    backup_id: str,
    status: VerificationStatus,
    level: Level = "proven",
    *,
    at: datetime = NOON,
    refuted: bool = False,
) -> None:
    """A verification of a backup that has ended, in the catalogue alone."""
    backup = services.catalogue.get(backup_id)
    with services.database.transaction() as session:
        session.add(
            Verification(
                id=str(uuid.uuid4()),
                backup_id=backup_id,
                target=backup.target,
                backup_file=backup.backup_file,
                backup_created_at=backup.created_at,
                level=level,
                status=status,
                requested_by="cli",
                created_at=at,
                finished_at=at,
                refuted=refuted,
            )
        )


def refute(services: Services, backup_id: str, level: Level = "proven", *, at: datetime = NOON) -> None:
    verified(services, backup_id, VerificationStatus.FAILED, level, at=at, refuted=True)


def on(services: Services, storage: Storage) -> Services:
    """The same services, but what is removed is removed there."""
    stores = StoreService(services.settings, services.database, storage)
    pruning = Pruning(services.database, services.targets, stores, services.policies, services.deletion)
    return dataclasses.replace(services, stores=stores, pruning=pruning)


# ------------------------------------------------------------------------------------------------------- the rules


def test_what_the_rules_drop_is_gone_from_catalogue_totals_and_store(services: Services) -> None:
    backup_ids = [take(services) for _ in range(3)]
    keep(services, Retention(keep_last=1))
    prune(services)
    kept = services.catalogue.get(backup_ids[2])
    assert [row_of(services, backup_id) for backup_id in backup_ids[:2]] == [None, None]
    assert len(stored(services)) == 3
    assert all(name.split("/")[-1].startswith(kept.backup_file) for name in stored(services))
    assert totals(services) == (1, 1, 0, kept.stored_size)


def test_a_plan_tells_each_backup_and_the_rule_and_changes_nothing(sqlite_services: Services) -> None:
    services = sqlite_services
    older, newer = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in (0, 1))
    plan = services.pruning.plan(SOURCE, Retention(keep_last=1))
    assert [(each.backup_id, each.keep, each.reasons) for each in plan.backups] == [
        (newer, True, ["newest good", "last 1 of 1"]),
        (older, False, ["no rule keeps it"]),
    ]
    assert (plan.saved, plan.kept, plan.dropped, plan.dropped_bytes) == (False, 1, 1, 7)
    assert services.pruning.plan(SOURCE).model_dump(include={"saved", "rules", "kept", "dropped"}) == {
        "saved": True,
        "rules": None,
        "kept": 2,
        "dropped": 0,
    }
    assert totals(services) == (2, 2, 0, 14)


def test_failed_and_cancelled_backups_count_for_nothing_and_stay_as_a_record(sqlite_services: Services) -> None:
    services = sqlite_services
    old, good = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in (0, 1))
    ended = [
        made_up(services, at=NOON + timedelta(hours=2), status=BackupStatus.FAILED),
        made_up(services, at=NOON + timedelta(hours=3), status=BackupStatus.CANCELLED),
    ]
    keep(services, Retention(keep_last=1, hourly=1, maximum_age_days=1))
    assert [each.backup_id for each in services.pruning.plan(SOURCE).backups] == [good, old]
    services.deletion.drop(old, by="rule", minimum_kept=1)
    assert not any(services.deletion.drop(backup_id, by="rule", minimum_kept=1) for backup_id in [good, *ended])
    assert totals(services) == (3, 1, 2, 7) == recounted(services)


def test_each_target_has_its_own_rules_and_its_own_newest(sqlite_services: Services) -> None:
    services = sqlite_services
    other = made_up(services, at=NOON, target="other")
    mine = made_up(services, at=NOON + timedelta(hours=1))
    assert [each.backup_id for each in services.pruning.plan("other").backups] == [other]
    assert not services.deletion.drop(other, by="rule", minimum_kept=1)
    assert not services.deletion.drop(mine, by="rule", minimum_kept=1)


def test_a_target_that_was_removed_is_still_pruned_and_one_that_never_was_is_not_found(
    sqlite_services: Services,
) -> None:
    made_up(sqlite_services, at=NOON, target="removed")
    assert sqlite_services.pruning.plan("removed").kept == 1
    for name in ("never", "", "\0", "A"):
        with pytest.raises(NotFound):
            sqlite_services.pruning.plan(name)


# ------------------------------------------------------------------------------------------------------- the floor


@pytest.mark.parametrize(
    ("protected", "reason"),
    [({"pinned": True}, "pinned"), ({"verified_level": "proven"}, "newest proven")],
    ids=["pinned", "newest proven"],
)
def test_what_became_protected_since_the_decision_is_not_dropped(
    services: Services, protected: dict[str, Any], reason: str
) -> None:
    old, newer = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in (0, 1))
    mark(services, old, **protected)
    assert not services.deletion.drop(old, by="rule", minimum_kept=1)
    with pytest.raises(BackupProtected, match=reason) as refused:
        services.deletion.delete(old, by="me", force=None)
    assert refused.value.details == {"reasons": [reason]}
    mark(services, newer, pinned=False, verified_level="proven")
    mark(services, old, pinned=False)
    assert services.deletion.drop(old, by="rule", minimum_kept=1)


def test_so_many_good_ones_as_the_rules_say_stay(services: Services) -> None:
    backup_ids = [made_up(services, at=NOON + timedelta(hours=hour)) for hour in range(4)]
    dropped = [services.deletion.drop(backup_id, by="rule", minimum_kept=3) for backup_id in backup_ids]
    assert dropped == [True, False, False, False]


@pytest.mark.parametrize("gone", ["*.zst", ".json"])
def test_nothing_is_dropped_for_a_backup_that_only_the_catalogue_has(services: Services, gone: str) -> None:
    kept, newest = take(services), take(services)
    keep(services, Retention(keep_last=1))
    file = services.catalogue.get(newest).backup_file
    for path in (services.settings.data_dir / "backups").rglob(f"{file}{gone}"):
        path.unlink()
    with working(services) as worker:
        job_id = worker.create(services.pruning.request(SOURCE))
        worker.execute(job_id)
    state, error = services.pruning.outcome(job_id)
    assert state is JobState.FAILED
    assert file in (error or "")
    assert [row.id for row in services.catalogue.page(BackupFilter(), cursor=None, limit=9).items] == [newest, kept]
    services.sweep.look(repair=True)  # the one is found to be lost, the other complete
    prune(services)
    assert row_of(services, newest) is not None
    assert (row_of(services, kept) is not None) is (gone == "*.zst")


def test_a_backup_of_a_clock_that_was_ahead_is_not_the_newest_for_years(services: Services) -> None:
    ahead, older, newest = take(services), take(services), take(services)
    mark(services, ahead, created_at=utcnow() + timedelta(days=365))
    keep(services, Retention(keep_last=1))
    prune(services)
    assert [row_of(services, each) is not None for each in (ahead, older, newest)] == [True, False, True]
    with pytest.raises(BackupProtected):
        services.deletion.delete(newest, by="root", force=None)


def test_a_backup_whose_copies_are_all_missing_is_not_the_newest_good_one(services: Services) -> None:
    good, lost = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in (0, 1))
    with services.database.transaction() as session:
        session.execute(update(BackupCopy).where(BackupCopy.backup_id == lost).values(status="missing"))
    assert [each.reasons for each in services.pruning.plan(SOURCE).backups] == [
        ["lost: no store has a copy"],
        ["newest good", "no rule drops it"],
    ]
    assert not services.deletion.drop(good, by="rule", minimum_kept=1)
    assert services.deletion.delete(lost, by="me", force=None) == SOURCE


def test_a_backup_that_failed_its_verification_is_not_the_newest_good_one_nor_the_newest_proven(
    services: Services,
) -> None:
    oldest, proven, newest = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in range(3))
    for backup_id in (oldest, proven):
        mark(services, backup_id, verified_level="proven")
    refute(services, proven)
    refute(services, newest)
    assert [each.reasons for each in services.pruning.plan(SOURCE, Retention(keep_last=1)).backups] == [
        ["failed its verification"],
        ["failed its verification"],
        ["newest good", "newest proven", "last 1 of 1"],
    ]
    assert not services.deletion.drop(oldest, by="rule", minimum_kept=1)
    with pytest.raises(BackupProtected) as refused:
        services.deletion.delete(oldest, by="me", force=None)
    assert refused.value.reasons == ("newest good", "newest proven")
    assert services.deletion.delete(newest, by="me", force=None) == SOURCE


@pytest.mark.parametrize(
    ("status", "refuted"),
    [
        (VerificationStatus.FAILED, False),  # one of its copies is damaged, and another is good
        (VerificationStatus.INCONCLUSIVE, False),
        (VerificationStatus.CANCELLED, False),
    ],
)
def test_what_was_found_of_a_copy_or_not_at_all_does_not_speak_against_the_backup(
    sqlite_services: Services, status: VerificationStatus, refuted: bool
) -> None:
    services = sqlite_services
    older, newest = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in range(2))
    verified(services, newest, status, refuted=refuted)
    assert services.pruning.plan(SOURCE).backups[0].reasons == ["newest good", "no rule drops it"]
    assert services.deletion.drop(older, by="rule", minimum_kept=1)


@pytest.mark.parametrize(
    ("failed", "passed", "hours_later", "good"),
    [
        ("proven", "proven", 1, True),
        ("proven", "readable", 1, False),
        ("readable", "proven", 1, True),
        ("stored", "stored", 1, True),
        ("readable", "stored", 1, False),
        ("proven", "proven", -1, False),
    ],
)
def test_a_backup_counts_again_once_it_has_passed_what_it_failed(
    services: Services, failed: Level, passed: Level, hours_later: int, good: bool
) -> None:
    older, newest = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in range(2))
    refute(services, newest, failed)
    verified(services, newest, VerificationStatus.SUCCESS, passed, at=NOON + timedelta(hours=hours_later))
    verified(services, older, VerificationStatus.SUCCESS, at=NOON + timedelta(hours=9))
    assert ("newest good" in services.pruning.plan(SOURCE).backups[0].reasons) is good
    assert services.deletion.drop(older, by="rule", minimum_kept=1) is good


def test_what_rules_drop_goes_though_the_newest_failed_its_verification(services: Services) -> None:
    oldest, good, refuted = take(services), take(services), take(services)
    refute(services, refuted)
    keep(services, Retention(keep_last=1))
    prune(services)
    assert [row_of(services, each) is not None for each in (oldest, good, refuted)] == [False, True, True]


# ------------------------------------------------------------------------------------------------ pinned and deleted


def test_a_pinned_backup_is_kept_until_it_is_unpinned(services: Services) -> None:
    old, _ = take(services), take(services)
    keep(services, Retention(keep_last=1))
    services.deletion.pin(old, pinned=True)
    services.deletion.pin(old, pinned=True)
    prune(services)
    assert services.catalogue.get(old).pinned
    services.deletion.pin(old, pinned=False)
    prune(services)
    assert row_of(services, old) is None


def test_what_holds_nothing_can_not_be_pinned(sqlite_services: Services) -> None:
    failed = made_up(sqlite_services, at=NOON, status=BackupStatus.FAILED)
    with pytest.raises(InvalidInput, match="failed"):
        sqlite_services.deletion.pin(failed, pinned=True)
    for backup_id in (str(uuid.uuid4()), "x", "\0"):
        with pytest.raises(NotFound):
            sqlite_services.deletion.pin(backup_id, pinned=True)


def test_the_last_good_backup_is_deleted_only_by_its_name(services: Services) -> None:
    backup_id = take(services)
    file = services.catalogue.get(backup_id).backup_file
    with pytest.raises(BackupProtected, match=f"newest good.*{file}"):
        services.deletion.delete(backup_id, by="me", force=None)
    with pytest.raises(InvalidInput, match="not the file"):
        services.deletion.delete(backup_id, by="me", force="backup_20250101_120000.sql")
    assert services.deletion.delete(backup_id, by="me", force=file) == SOURCE
    assert totals(services) == (0, 0, 0, 0)
    removed = services.pruning.remove(backup_id)
    assert removed is not None
    assert (removed.left, removed.unknown) == ([], [])
    assert (stored(services), row_of(services, backup_id)) == ([], None)
    with pytest.raises(NotFound):
        services.deletion.delete(backup_id, by="me", force=file)
    assert services.pruning.remove(backup_id) is None


def test_a_backup_that_is_being_taken_is_to_be_cancelled_first(sqlite_services: Services) -> None:
    with working(sqlite_services) as worker:
        backup_id = worker.create(sqlite_services.backups.request(SOURCE))
        with pytest.raises(BackupInProgress, match="queued"):
            sqlite_services.deletion.delete(backup_id, by="me", force=None)
        worker.execute(backup_id)


def test_the_row_of_a_failed_backup_is_deleted_without_force(services: Services) -> None:
    failed = made_up(services, at=NOON, status=BackupStatus.FAILED)
    services.deletion.delete(failed, by="me", force=None)
    assert totals(services) == (0, 0, 0, 0)
    services.pruning.remove(failed)
    assert row_of(services, failed) is None


def test_what_has_a_tombstone_is_in_no_listing_no_total_no_restore_and_no_rebuild(services: Services) -> None:
    gone, kept = take(services), take(services)
    asked = services.restores.request(_asked(gone), requested_by="cli", address="cli")
    services.deletion.delete(gone, by="me", force=None)

    assert [each.id for each in services.catalogue.page(BackupFilter(), cursor=None, limit=9).items] == [kept]
    assert [each.id for each in services.catalogue.logs(limit=9, offset=0)] == [kept]
    assert totals(services) == recounted(services)
    for read in (services.catalogue.get, services.contents.of):
        with pytest.raises(NotFound):
            read(gone)
    with pytest.raises(NotFound):
        services.restores.request(_asked(gone), requested_by="cli", address="cli")
    with working(services) as worker, pytest.raises(NotFound):
        worker.create(asked)

    report = rebuild.rebuild(
        services.database,
        services.identity,
        services.stores.find("default"),
        trusted_keys=trusted_keys(services.settings, services.identity),
    )
    assert (report.added, report.completed, report.known, report.removed) == (0, 0, 1, 1)
    with pytest.raises(NotFound):
        services.catalogue.get(gone)
    assert totals(services) == recounted(services)


def test_the_newest_backup_of_stats_is_one_that_is_still_there(sqlite_services: Services) -> None:
    services = sqlite_services
    for hour in (0, 1):
        made_up(services, at=NOON + timedelta(hours=hour))
    services.deletion.delete(newest := _newest(services), by="me", force=services.catalogue.get(newest).backup_file)
    latest = services.catalogue.stats().latest_backup
    assert latest is not None
    assert latest.created_at == NOON


def test_what_is_being_restored_is_neither_dropped_nor_deleted_by_force(services: Services) -> None:
    old, _ = take(services), take(services)
    keep(services, Retention(keep_last=1))
    file = services.catalogue.get(old).backup_file
    with working(services) as worker:
        restore_id = worker.create(services.restores.request(_asked(old), requested_by="cli", address="cli"))
        assert services.pruning.plan(SOURCE).backups[-1].reasons == ["being restored"]
        prune(services)
        assert not services.deletion.drop(old, by="rule", minimum_kept=1)
        with pytest.raises(InUse, match="being restored"):
            services.deletion.delete(old, by="me", force=file)
        worker.execute(restore_id)
    assert services.restores.get(restore_id).status == "success"
    prune(services)
    assert row_of(services, old) is None


def test_a_backup_that_is_being_verified_is_neither_dropped_nor_deleted(services: Services) -> None:
    old, _ = take(services), take(services)
    keep(services, Retention(keep_last=1))
    file = services.catalogue.get(old).backup_file
    with working(services) as worker:
        verification_id = worker.create(services.verifications.request(old, "stored", requested_by="cli"))
        assert services.pruning.plan(SOURCE).backups[-1].reasons == ["being verified"]
        prune(services)
        assert not services.deletion.drop(old, by="rule", minimum_kept=1)
        with pytest.raises(InUse, match="being verified"):
            services.deletion.delete(old, by="me", force=file)
        worker.execute(verification_id)
    assert services.verifications.get(verification_id).status == "success"
    prune(services)
    assert row_of(services, old) is None


def demand(services: Services, **demands: object) -> None:
    policy = PolicyFields.model_validate({"retention": {"keep_last": 1}, **demands})
    services.targets.update(SOURCE, None, policy, whole=True)


def verify_what_is_due(services: Services) -> list[str]:
    with working(services) as worker:
        verification_ids = [worker.create(new) for new in services.verification_work.demanded(SOURCE)]
        for each in verification_ids:
            worker.execute(each)
    return [services.verifications.get(each).status for each in verification_ids]


@pytest.mark.parametrize(
    ("assertion", "status", "dropped"),
    [("SELECT true", "success", True), ("SELECT false", "failed", False), ("SELECT lacking(1)", "inconclusive", True)],
)
def test_a_backup_that_is_to_be_verified_takes_the_place_of_no_good_one_before_it_was(
    sqlite_services: Services, assertion: str, status: str, dropped: bool
) -> None:
    services = sqlite_services
    old = take(services)
    demand(services, verify_after_backup="proven", assertions=[assertion])
    newest = take(services)
    prune(services)
    assert [each.reasons for each in services.pruning.plan(SOURCE).backups] == [
        ["being verified"],
        ["newest good", "last 1 of 1"],
    ]
    assert not services.deletion.drop(old, by="rule", minimum_kept=1)
    assert not services.deletion.drop(newest, by="rule", minimum_kept=1)
    assert services.pruning.due() == []

    assert verify_what_is_due(services) == [status]

    (due,) = services.pruning.due()
    with working(services) as worker:
        worker.execute(worker.create(due))
    assert (row_of(services, old) is None) is dropped
    assert row_of(services, newest) is not None


def test_a_verification_that_nobody_s_policy_asked_for_makes_no_prune_due(sqlite_services: Services) -> None:
    """When backups stop, no rule is applied, however often what is there is verified."""
    services = sqlite_services
    backup_id = take(services)
    keep(services, Retention(maximum_age_days=1))
    with working(services) as worker:
        worker.execute(worker.create(services.verifications.request(backup_id, "stored", requested_by="schedule")))
    assert services.pruning.due() == []


# ------------------------------------------------------------------------------------------------- when it is done


def test_a_backup_of_a_target_with_rules_makes_a_prune_due_and_the_prune_ends_that(services: Services) -> None:
    keep(services, None)
    take(services)
    assert services.pruning.due() == []
    keep(services, Retention(keep_last=1))
    take(services)
    (due,) = services.pruning.due()
    assert (due.kind, due.target) == (JobKind.PRUNE, SOURCE)
    with working(services) as worker:
        job_id = worker.create(due)
        assert services.pruning.due() == []  # it waits already
        worker.execute(job_id)
    assert totals(services)[0] == 1
    assert services.pruning.due() == []


def test_a_backup_that_ends_while_its_target_is_pruned_makes_a_further_prune_due(
    sqlite_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = sqlite_services
    keep(services, Retention(keep_last=1))
    made_up(services, at=NOON)
    take(services)
    drop = Deletion.drop

    def drop_while_another_ends(self: Deletion, backup_id: str, *, by: str, minimum_kept: int) -> bool:
        made_up(services, at=NOON + timedelta(hours=2))
        return drop(self, backup_id, by=by, minimum_kept=minimum_kept)

    monkeypatch.setattr(Deletion, "drop", drop_while_another_ends)
    prune(services)
    assert [new.target for new in services.pruning.due()] == [SOURCE]


def test_a_prune_that_failed_is_due_again_after_a_while(sqlite_services: Services) -> None:
    services = sqlite_services
    keep(services, Retention(keep_last=1))
    made_up(services, at=NOON)
    (due,) = services.pruning.due()
    with working(services) as worker:
        job_id = worker.create(due)

        class Ended(Unattended):
            def raise_if_cancelled(self) -> None:
                raise Cancelled("The prune was cancelled")

        with pytest.raises(Cancelled):
            services.pruning.perform(Attempt(job_id, 1, SOURCE, worker.name), Ended())
        with services.database.transaction() as session:
            services.pruning.record_failure(
                session, job_id, Failure(JobState.FAILED, "it failed", "ERR_INTERNAL"), utcnow()
            )
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.FAILED))
    assert services.pruning.due() == []
    assert services.pruning.is_due(SOURCE)


def test_without_a_new_backup_no_rule_is_applied(sqlite_services: Services) -> None:
    """An outage drops nothing: a removal that goes on is no reason to look at ages."""
    services = sqlite_services
    kept, gone = (made_up(services, at=NOON + timedelta(hours=hour)) for hour in (0, 1))
    made_up(services, at=NOON + timedelta(hours=2))
    keep(services, Retention(maximum_age_days=1))
    services.deletion.delete(gone, by="me", force=None)
    with working(services) as worker:
        worker.execute(worker.create(services.pruning.removals_of(SOURCE)))
    assert services.catalogue.get(kept).status == "success"


# ------------------------------------------------------------------------------------------ stores that keep things


@pytest.fixture
def s3_services(
    s3: S3Bucket, tmp_path: Path, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    yield services_with_a_target(tmp_path, sqlite_database, storage_url=s3.url())
    s3.client().delete_bucket_policy(Bucket=s3.name)


def forbid_deletion(bucket: S3Bucket, keys: str) -> None:
    """As a bucket's policy does, or credentials that may only write."""
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"}
    statement["Resource"] = f"arn:aws:s3:::{bucket.name}/{keys}"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    bucket.client().put_bucket_policy(Bucket=bucket.name, Policy=policy)


@pytest.mark.s3
def test_one_object_that_can_not_be_removed_stops_nothing_else_and_is_tried_again(
    s3_services: Services, s3: S3Bucket
) -> None:
    services = s3_services
    stuck, gone, kept = (services.catalogue.get(take(services)) for _ in range(3))
    keep(services, Retention(keep_last=1))
    forbid_deletion(s3, f"*{stuck.backup_file}.1.zst")
    prune(services)

    left = [key for key in s3.keys("") if kept.backup_file not in key]
    assert [key.split("/")[-1] for key in left] == [f"{stuck.backup_file}.1.zst"]
    assert row_of(services, gone.id) is None
    (removal,) = services.pruning.plan(SOURCE).removals
    assert (removal.backup_id, removal.deleted_by) == (stuck.id, "retention: no rule keeps it")
    (copy,) = removal.copies
    assert (copy.storage, copy.status) == ("default", "undeletable")
    assert "AccessDenied" in str(copy.error)
    assert totals(services) == (1, 1, 0, kept.stored_size)
    assert services.pruning.due() == []  # it rests

    s3.client().delete_bucket_policy(Bucket=s3.name)
    prune(services)
    assert len(s3.keys()) == 3
    assert row_of(services, stuck.id) is None


@pytest.mark.s3
def test_an_object_stays_with_a_manifest_that_can_not_be_removed(s3_services: Services, s3: S3Bucket) -> None:
    take(s3_services), take(s3_services)
    before = s3.keys()
    keep(s3_services, Retention(keep_last=1))
    forbid_deletion(s3, "*.json")
    prune(s3_services)
    assert s3.keys() == before
    assert totals(s3_services)[0] == 1


@pytest.mark.s3
def test_with_credentials_that_only_write_backups_go_on_and_what_stays_is_told(
    s3_services: Services, s3: S3Bucket
) -> None:
    forbid_deletion(s3, "*")
    keep(s3_services, Retention(keep_last=1))
    for _ in range(3):
        take(s3_services)
        prune(s3_services)
    assert len(s3.keys()) == 9
    assert totals(s3_services)[0] == 1
    plan = s3_services.pruning.plan(SOURCE)
    assert (plan.kept, plan.dropped, len(plan.removals)) == (1, 0, 2)


@pytest.mark.s3
def test_under_object_lock_what_is_dropped_is_hidden_and_its_versions_stay(
    s3: S3Bucket, tmp_path: Path, sqlite_database: Database, locked_bucket: S3Bucket
) -> None:
    services = services_with_a_target(tmp_path, sqlite_database, storage_url=locked_bucket.url())
    take(services)
    lock_everything(locked_bucket)
    take(services)
    keep(services, Retention(keep_last=1))
    prune(services)
    assert len(locked_bucket.keys()) == 3
    assert services.pruning.plan(SOURCE).removals == []
    versions = locked_bucket.client().list_object_versions(Bucket=locked_bucket.name)
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (6, 3)


@pytest.fixture
def locked_bucket(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    """A bucket with Object Lock, as S3 gives it: with versions."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = dataclasses.replace(s3, name=f"locked-{uuid.uuid4().hex[:12]}")
    client = bucket.client()
    client.create_bucket(Bucket=bucket.name, ObjectLockEnabledForBucket=True)
    yield bucket
    found = client.list_object_versions(Bucket=bucket.name)
    for each in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        client.delete_object(
            Bucket=bucket.name, Key=each["Key"], VersionId=each["VersionId"], BypassGovernanceRetention=True
        )
    client.delete_bucket(Bucket=bucket.name)


def lock_everything(bucket: S3Bucket) -> None:
    until = {"Mode": "GOVERNANCE", "RetainUntilDate": utcnow() + timedelta(days=1)}
    for key in bucket.keys(""):
        bucket.client().put_object_retention(Bucket=bucket.name, Key=key, Retention=until)


def _refuses_to_delete(request: Request) -> bool:
    return "delete" in request.query or request.method == "DELETE"


@pytest.mark.s3
def test_a_store_that_is_down_is_asked_once_in_a_run(
    faulty_s3: FaultyS3, tmp_path: Path, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in faulty_s3.bucket.environment().items():
        monkeypatch.setenv(name, value)
    services = services_with_a_target(tmp_path, sqlite_database, storage_url=faulty_s3.bucket.url())
    for _ in range(3):
        take(services)
    keep(services, Retention(keep_last=1))
    faulty_s3.proxy.answer(403, where=_refuses_to_delete)
    monkeypatch.setattr(removal, "_PATIENCE_SECONDS", -1)  # as if the answer had taken long
    prune(services)
    assert faulty_s3.proxy.count(_refuses_to_delete) == 1
    assert [each.copies[0].status for each in services.pruning.plan(SOURCE).removals] == ["undeletable"] * 2


class KilledError(BaseException):
    """What no code of ours catches."""


class Deadly(LocalStorage):
    """A folder whose user is killed at one of its removals, before or after it was done."""

    def __init__(self, root: Path, *, at: int, after: bool) -> None:
        super().__init__(root)
        self._left = at
        self._after = after

    def delete(self, key: str) -> None:
        if self._left == 0 and not self._after:
            raise KilledError
        super().delete(key)
        if self._left == 0:
            raise KilledError
        self._left -= 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_killed_at_any_removal_the_next_prune_goes_on_where_it_was(
    sqlite_services: Services, at: int, after: bool
) -> None:
    services = sqlite_services
    for _ in range(3):
        take(services)
    keep(services, Retention(keep_last=1))
    deadly = on(services, Deadly(services.settings.data_dir / "backups", at=at, after=after))
    with working(deadly) as worker:
        job_id = worker.create(deadly.pruning.request(SOURCE))
        with pytest.raises(KilledError):
            deadly.pruning.perform(Attempt(job_id, 0, SOURCE, worker.name), Unattended())
        with services.database.transaction() as session:  # as whoever finds its worker dead does
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.FAILED))
    assert totals(services) == recounted(services)
    assert services.pruning.due()
    prune(services)
    assert len(stored(services)) == 3
    assert totals(services)[0] == 1 == recounted(services)[0]
    with services.database.snapshot() as session:
        assert len(session.scalars(select(BackupLog)).all()) == 1


def test_a_copy_in_a_store_that_is_no_longer_known_holds_up_nothing_and_is_told(services: Services) -> None:
    backup_id = take(services)
    with services.database.transaction() as session:
        session.add(BackupCopy(backup_id=backup_id, storage="sold", key="k", status="stored", size=1, sha256="0" * 64))
    services.deletion.delete(backup_id, by="me", force=services.catalogue.get(backup_id).backup_file)
    removed = Removal(services.database, services.stores, Unattended()).remove(backup_id)
    assert removed is not None
    assert (removed.left, removed.unknown) == ([], ["sold"])
    assert (stored(services), row_of(services, backup_id)) == ([], None)


def test_every_known_store_is_emptied(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup_id = take(services)
    root = services.settings.data_dir / "backups"
    second = tmp_path / "second"
    for name in stored(services):
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).write_bytes((root / name).read_bytes())
    with services.database.transaction() as session:
        session.add(
            BackupCopy(backup_id=backup_id, storage="second", key="k", status="missing", size=1, sha256="0" * 64)
        )
    known = {"default": services.stores.find("default"), "second": Destination("second", LocalStorage(second))}
    monkeypatch.setattr(StoreService, "find", lambda _self, name: known[name])
    services.deletion.delete(backup_id, by="me", force=services.catalogue.get(backup_id).backup_file)
    services.pruning.remove(backup_id)
    assert (stored(services), files_below(second), row_of(services, backup_id)) == ([], [], None)


@pytest.mark.parametrize("of_another", [False, True], ids=["changed", "of another backup"])
def test_a_wrong_manifest_in_the_catalogue_names_nothing_that_may_be_removed(
    sqlite_services: Services, *, of_another: bool
) -> None:
    services = sqlite_services
    victim, changed = take(services), take(services)
    document = services.catalogue.get(victim).manifest or {}
    mark(services, changed, manifest=document if of_another else {**document, "backup_id": changed})
    before = stored(services)
    services.deletion.delete(changed, by="me", force=services.catalogue.get(changed).backup_file)
    removed = services.pruning.remove(changed)
    assert removed is not None
    assert "can't be used" in removed.left[0].error
    assert stored(services) == before


# ------------------------------------------------------------------------------------------------------- many at once


def test_totals_stay_exact_while_backups_end_and_others_are_dropped(services: Services) -> None:
    old = [made_up(services, at=NOON + timedelta(minutes=number)) for number in range(30)]

    def end(number: int) -> None:
        status = (BackupStatus.SUCCESS, BackupStatus.FAILED)[number % 2]
        made_up(services, at=NOON + timedelta(hours=1, minutes=number), status=status, target=f"t{number}")

    def drop(backup_id: str) -> bool:
        return services.deletion.drop(backup_id, by="rule", minimum_kept=3)

    with ThreadPoolExecutor(8) as crowd:
        ends = [crowd.submit(end, number) for number in range(30)]
        drops = list(crowd.map(drop, [*old, *old]))
        for each in ends:
            each.result()
    assert sum(drops) == 27
    assert totals(services) == (33, 18, 15, 18 * 7) == recounted(services)


def _asked(backup_id: str) -> RestoreRequest:
    destination = f"/tmp/restored-{uuid.uuid4().hex}.db"
    return RestoreRequest(backup_id=backup_id, mode="new", destination=destination, dry_run=True)


def _newest(services: Services) -> str:
    return services.catalogue.page(BackupFilter(), cursor=None, limit=1).items[0].id
