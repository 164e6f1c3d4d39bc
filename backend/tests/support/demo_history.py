"""A month of backups in the catalogue, of which no object is anywhere."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hhh.core.database import Database
from hhh.models import (
    BackupCopy,
    BackupLog,
    BackupStatus,
    CopyStatus,
    Job,
    JobKind,
    JobState,
    Verification,
    VerificationStatus,
)
from hhh.repositories import backups
from hhh.schemas.facts import TableFacts
from hhh.schemas.restore import Difference
from hhh.schemas.verification import CheckedCopy, VerificationResult

_COMPRESSED = 0.29
_BYTES_PER_SECOND = 140e6
#: For facts, and for the store to agree.
_BEGINNING_SECONDS = 2
_RESTORED_PER_SECOND = 90e6
_JOB_STATES = {
    BackupStatus.SUCCESS: JobState.SUCCESS,
    BackupStatus.FAILED: JobState.FAILED,
    BackupStatus.CANCELLED: JobState.CANCELLED,
}


@dataclass(frozen=True)
class Course:
    """What was done with one target."""

    target: str
    #: Bytes of its dump, at the end of the month.
    raw_size: float
    every: timedelta
    #: When it was backed up first and last, before now.
    since: timedelta = timedelta(days=30)
    until: timedelta = timedelta(hours=1)
    stores: tuple[str, ...] = ("default",)
    #: Which of them, counted from the oldest, failed, and why.
    failed: dict[int, str] = field(default_factory=dict)
    cancelled: frozenset[int] = frozenset()
    missed: frozenset[int] = frozenset()
    #: Each so many of them was proven; 0: none.
    proven_each: int = 0


def write(database: Database, course: Course, now: datetime) -> list[str]:
    """Adds it to the catalogue; the ids of the backups, the oldest first."""
    with database.transaction() as session:
        made = [*backups_of(course, now)]
        session.add_all(row for rows in made for row in rows)
        for backup, *_ in made:
            status = BackupStatus(backup.status)
            backups.add_to_totals(session, status=status, stored_bytes=backup.backup_size)
        return [backup.id for backup, *_ in made]


def backups_of(course: Course, now: datetime) -> Iterator[tuple[BackupLog, *tuple[Job | Verification, ...]]]:
    """Each of its backups, the oldest first, with the rows of what was done for it."""
    count = int((course.since - course.until) / course.every) + 1
    for number in range(count):
        begun = now - course.until - (count - 1 - number) * course.every
        if number not in course.missed:
            yield _backup(course, number, begun.replace(microsecond=0), number / count)


def a_difference(database: Database, backup_id: str, now: datetime) -> str:
    """A drill of a backup that found other rows than there were; its id."""
    with database.transaction() as session:
        row = session.get_one(BackupLog, backup_id)
        found = VerificationResult(
            reached="readable",
            copies=[CheckedCopy(storage="default", status="good", size=row.backup_size)],
            differences=[
                Difference(name="rows of public.orders", expected="1,204,118", found="1,204,097"),
                Difference(name="definition of view public.revenue_by_month", expected="present", found="missing"),
            ],
            compared=["14 tables, 2,310,442 rows", "9 sequences", "31 indexes"],
            place="a throw-away PostgreSQL 16.4",
            restore_seconds=(row.raw_size or 0) / _RESTORED_PER_SECOND,
            raw_bytes=row.raw_size,
        )
        said = "What was restored differs from the source: rows of public.orders (expected 1,204,118, found 1,204,097)"
        verification = _verification(row, now, found, status=VerificationStatus.FAILED, error=said)
        session.add(verification)
        return verification.id


def _backup(
    course: Course, number: int, begun: datetime, grown: float
) -> tuple[BackupLog, *tuple[Job | Verification, ...]]:
    status = BackupStatus.SUCCESS
    if number in course.failed:
        status = BackupStatus.FAILED
    if number in course.cancelled:
        status = BackupStatus.CANCELLED
    # It grows through the month, and not evenly.
    raw_size = int(course.raw_size * (0.7 + 0.3 * grown) * (1 + (number * 37 % 11) / 200))
    took = timedelta(seconds=(_BEGINNING_SECONDS + raw_size / _BYTES_PER_SECOND) * (1 + (number * 53 % 7) / 20))
    row = BackupLog(id=str(uuid.uuid4()), target=course.target, backup_file=f"backup_{begun:%Y%m%d_%H%M%S}.sql")
    row.status, row.created_at, row.finished_at, row.pinned = status, begun, begun + took, number == 0
    row.error, row.backup_size = course.failed.get(number), 0
    job = _job(row, begun, begun + took)
    if status is not BackupStatus.SUCCESS:
        return row, job
    _store(row, course, raw_size)
    if course.proven_each and number % course.proven_each == 0:
        return row, job, _proof(row, course)
    return row, job


def _store(row: BackupLog, course: Course, raw_size: int) -> None:
    row.raw_size, row.backup_size = raw_size, int(raw_size * _COMPRESSED)
    row.sha256 = hashlib.sha256(row.id.encode()).hexdigest()
    row.copies = [
        BackupCopy(
            storage=store,
            key=f"9a1f/{course.target}/{row.backup_file}.1.zst",
            status=CopyStatus.STORED,
            size=row.backup_size,
            sha256=row.sha256,
        )
        for store in course.stores
    ]


def _job(row: BackupLog, begun: datetime, ended: datetime) -> Job:
    return Job(
        id=row.id,
        kind=JobKind.BACKUP,
        target=row.target,
        state=_JOB_STATES[BackupStatus(row.status)],
        attempt=1,
        worker="",
        lease_expires_at=ended,
        error=row.error,
        created_at=begun,
        started_at=begun,
        finished_at=ended,
    )


def _proof(row: BackupLog, course: Course) -> Verification:
    assert row.finished_at is not None
    assert row.raw_size is not None
    seconds = row.raw_size / _RESTORED_PER_SECOND
    found = VerificationResult(
        reached="proven",
        copies=[CheckedCopy(storage=store, status="good", size=row.backup_size) for store in course.stores],
        compared=["14 tables, 2,310,442 rows", "31 indexes"],
        tables=[TableFacts(schema_name="public", name="orders", rows=1_204_118)],
        place="a throw-away PostgreSQL 16.4",
        restored_from="default",
        restore_seconds=seconds,
        raw_bytes=row.raw_size,
        restore_bytes_per_second=_RESTORED_PER_SECOND,
    )
    ended = row.finished_at + timedelta(seconds=seconds + 5)
    row.verified_level, row.verified_at = "proven", ended
    return _verification(row, ended, found)


def _verification(
    row: BackupLog,
    ended: datetime,
    found: VerificationResult,
    *,
    status: VerificationStatus = VerificationStatus.SUCCESS,
    error: str | None = None,
) -> Verification:
    begun = ended - timedelta(seconds=(found.restore_seconds or 0) + 3)
    return Verification(
        id=str(uuid.uuid4()),
        backup_id=row.id,
        target=row.target,
        backup_file=row.backup_file,
        backup_created_at=row.created_at,
        level="proven",
        reached=found.reached,
        status=status,
        requested_by="schedule",
        created_at=begun,
        started_at=begun,
        finished_at=ended,
        refuted=status is VerificationStatus.FAILED,
        result=found.model_dump(mode="json"),
        error=error,
    )
