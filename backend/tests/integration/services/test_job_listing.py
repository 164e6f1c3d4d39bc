"""Jobs of all kinds as they are listed, on both databases: what runs, what waits for what, what upkeep has ended."""

import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import AlreadyEnded, NotFound
from hhh.models import Job, JobKind, JobState, Verification, VerificationStatus
from hhh.schemas.verification import VerificationFilter
from hhh.services.container import Services, assemble
from hhh.services.job_listing import WaitsFor
from support.local_services import settings_in


@pytest.fixture
def services(tmp_path: Path, own_database: Database) -> Services:
    """Services without any worker."""
    return assemble(settings_in(tmp_path), own_database)


def add_job(services: Services, kind: JobKind, state: JobState, target: str = "source", *, minutes: int = 0) -> str:
    """The id of a job that was asked for so many minutes ago, and began and ended at once."""
    at = utcnow() - timedelta(minutes=minutes)
    job = Job(id=str(uuid.uuid4()), kind=kind, target=target, state=state, worker="w", created_at=at)
    job.lease_expires_at = at + timedelta(seconds=30)
    job.started_at = at if state != JobState.QUEUED else None
    job.finished_at = at if state not in (JobState.QUEUED, JobState.RUNNING) else None
    with services.database.transaction() as session:
        session.add(job)
    return job.id


def add_verification(services: Services, status: VerificationStatus, minutes: int, **result: float) -> str:
    at = utcnow() - timedelta(minutes=minutes)
    row = Verification(id=str(uuid.uuid4()), backup_id=str(uuid.uuid4()), target="source", backup_file="b.sql")
    row.level, row.status, row.requested_by, row.result = "proven", status, "cli", result or None
    row.created_at = row.backup_created_at = at
    row.finished_at = None if status in (VerificationStatus.QUEUED, VerificationStatus.RUNNING) else at
    with services.database.transaction() as session:
        session.add(row)
    return row.id


def test_jobs_are_listed_by_what_becomes_of_them(services: Services) -> None:
    older = add_job(services, JobKind.VERIFY, JobState.QUEUED, minutes=2)
    newer = add_job(services, JobKind.VERIFY, JobState.QUEUED, minutes=1)
    runs = add_job(services, JobKind.SWEEP, JobState.RUNNING, "*")
    pruned = add_job(services, JobKind.PRUNE, JobState.SUCCESS, minutes=9)
    repaired = add_job(services, JobKind.REPAIR, JobState.FAILED, minutes=8)
    add_job(services, JobKind.BACKUP, JobState.SUCCESS)

    listed = services.job_listing.list()

    assert [job.id for job in listed.waiting] == [older, newer]
    assert {job.waits_for for job in listed.waiting} == {WaitsFor.TAKER}
    assert listed.waiting_total == 2
    assert [job.id for job in listed.running] == [runs]
    assert [job.id for job in listed.ended_upkeep] == [repaired, pruned]


def test_any_of_them_is_cancelled_by_its_id(services: Services) -> None:
    waits = add_job(services, JobKind.REPAIR, JobState.QUEUED)
    runs = add_job(services, JobKind.SWEEP, JobState.RUNNING, "*")
    ended = add_job(services, JobKind.PRUNE, JobState.SUCCESS)

    assert services.job_listing.cancel(waits) == JobState.CANCELLED
    assert services.job_listing.cancel(runs) == JobState.RUNNING
    assert services.job_listing.list().running[0].cancel_requested
    with pytest.raises(AlreadyEnded):
        services.job_listing.cancel(ended)
    with pytest.raises(NotFound):
        services.job_listing.cancel("no-id")


def test_verifications_that_have_ended_are_told_without_what_they_found(services: Services) -> None:
    proven = add_verification(services, VerificationStatus.SUCCESS, 3, restore_seconds=41.5)
    failed = add_verification(services, VerificationStatus.FAILED, 2)
    waits = add_verification(services, VerificationStatus.QUEUED, 9)
    runs = add_verification(services, VerificationStatus.RUNNING, 1)

    def ids(narrowed: VerificationFilter, cursor: str | None = None, limit: int = 9) -> list[str]:
        return [each.id for each in services.verifications.history(narrowed, cursor=cursor, limit=limit).items]

    every = VerificationFilter()
    assert ids(every) == [failed, proven]
    assert ids(every, services.verifications.history(every, cursor=None, limit=1).next_cursor) == [proven]
    assert services.verifications.history(every, cursor=None, limit=2).next_cursor is None
    assert [each.restore_seconds for each in services.verifications.history(every, cursor=None, limit=9).items] == [
        None,
        41.5,
    ]
    for status, found in ((VerificationStatus.SUCCESS, [proven]), (VerificationStatus.FAILED, [failed])):
        assert ids(VerificationFilter(target="source", status=status, level="proven")) == found
        assert ids(VerificationFilter(status=status, level="stored")) == []
    assert ids(VerificationFilter(target="no name\0")) == []
    assert [each.line.id for each in services.verifications.under_way(every)] == [runs, waits]
    assert services.verifications.under_way(VerificationFilter(level="stored")) == []
