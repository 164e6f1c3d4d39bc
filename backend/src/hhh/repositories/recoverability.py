"""What the catalogue and the records of verifications tell of targets: of any number of them in one look.

Every query finds in an index what it looks for: the newest backups of a target, whatever the size of the catalogue.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CTE, ColumnElement, ScalarSelect, String, column, exists, func, literal, select, values
from sqlalchemy.orm import Session, load_only

from hhh.core.database import UtcDateTime
from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus, Schedule, Verification
from hhh.models.verification import CONCLUDED
from hhh.repositories.batches import in_batches
from hhh.repositories.retention import IS_REFUTED, PROVEN

_IN_A_STORE = exists().where(BackupCopy.backup_id == BackupLog.id, BackupCopy.status == CopyStatus.STORED)
_SHOWN = load_only(
    BackupLog.backup_file,
    BackupLog.status,
    BackupLog.created_at,
    BackupLog.finished_at,
    BackupLog.verified_at,
    BackupLog.error,
)


@dataclass(frozen=True, slots=True)
class Newest:
    """The ids of those backups of a target that tell how it stands; None where there is none."""

    #: That was stored.
    stored: str | None
    #: That a store has.
    good: str | None
    #: That a store has, and a restore has proven, and no verification has refuted since.
    proven: str | None
    #: That failed.
    failed: str | None
    #: That ended, well or not.
    ended: str | None
    #: That was stored, and is dated after now.
    ahead: str | None

    @property
    def ids(self) -> frozenset[str]:
        """All of them."""
        every = (self.stored, self.good, self.proven, self.failed, self.ended, self.ahead)
        return frozenset(each for each in every if each is not None)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The newest verification of a backup at one level that came to one result."""

    id: str
    backup_id: str
    level: str
    status: str
    #: Whether it speaks against what the backup holds, and not against one of its copies alone.
    refuted: bool
    created_at: datetime
    finished_at: datetime | None
    error: str | None
    restore_seconds: float | None
    restore_bytes_per_second: float | None


def newest(session: Session, targets: Collection[str], *, until: datetime) -> Mapping[str, Newest]:
    """By target: its newest backups, without those that are being removed.

    Args:
        session: to read with.
        targets: their names.
        until: a backup that is dated later counts as none.
    """
    there = BackupLog.deleted_at.is_(None)
    past = BackupLog.created_at <= literal(until, UtcDateTime())
    success = BackupLog.status == BackupStatus.SUCCESS
    # Not `success` as well, which SQLite would look up instead: among all that are stored.
    proven = BackupLog.verified_level == PROVEN
    found = {}
    for some in in_batches(targets):
        asked = values(column("name", String(63)), name="asked").data([(name,) for name in some]).cte("asked")
        statement = select(
            asked.c.name,
            _newest(asked, success, there, past),
            _newest(asked, success, there, past, _IN_A_STORE),
            _newest(asked, proven, there, past, _IN_A_STORE, ~IS_REFUTED),
            _newest(asked, BackupLog.status == BackupStatus.FAILED, there, past),
            _newest(asked, BackupLog.finished_at.is_not(None), there, past),
            _newest(asked, success, there, ~past),
        )
        found.update({name: Newest(*ids) for name, *ids in session.execute(statement)})
    return found


def _newest(asked: CTE, *conditions: ColumnElement[bool]) -> ScalarSelect[str]:
    found = select(BackupLog.id).where(BackupLog.target == asked.c.name, *conditions)
    return found.order_by(BackupLog.created_at.desc(), BackupLog.id.desc()).limit(1).scalar_subquery()


def backups(session: Session, ids: Collection[str]) -> Mapping[str, BackupLog]:
    """By id: backups, without what is not told of them here."""
    found: dict[str, BackupLog] = {}
    for some in in_batches(ids):
        statement = select(BackupLog).where(BackupLog.id.in_(some)).options(_SHOWN)
        found.update({row.id: row for row in session.scalars(statement)})
    return found


def lacking_copies(session: Session, backup_ids: Collection[str]) -> Collection[str]:
    """Those of the given backups that are missing in a store where they should be."""
    found: set[str] = set()
    for some in in_batches(backup_ids):
        lacking = BackupCopy.backup_id.in_(some), BackupCopy.status != CopyStatus.STORED
        found.update(session.scalars(select(BackupCopy.backup_id).where(*lacking)))
    return found


def conclusions(session: Session, backup_ids: Collection[str]) -> Sequence[Conclusion]:
    """The newest verification of each backup, level and result, but for those that were cancelled."""
    found: list[Conclusion] = []
    for some in in_batches(backup_ids):
        # What was found may be large: only rows that are answered are opened.
        place = func.row_number().over(
            partition_by=(Verification.backup_id, Verification.level, Verification.status, Verification.refuted),
            order_by=(Verification.created_at.desc(), Verification.id.desc()),
        )
        ranked = (
            select(Verification.id, place.label("place"))
            .where(Verification.backup_id.in_(some), Verification.status.in_(CONCLUDED))
            .subquery()
        )
        statement = (
            select(
                Verification.id,
                Verification.backup_id,
                Verification.level,
                Verification.status,
                Verification.refuted,
                Verification.created_at,
                Verification.finished_at,
                Verification.error,
                Verification.result["restore_seconds"].as_float(),
                Verification.result["restore_bytes_per_second"].as_float(),
            )
            .join(ranked, ranked.c.id == Verification.id)
            .where(ranked.c.place == 1)
        )
        found += [Conclusion(*row) for row in session.execute(statement)]
    return found


def schedules_of_backups(session: Session, targets: Collection[str]) -> Sequence[Schedule]:
    """The schedules of targets that have something planned, but for those of verifications."""
    found: list[Schedule] = []
    for some in in_batches(targets):
        planned = Schedule.planned_at.is_not(None) & Schedule.verify_level.is_(None)
        found += session.scalars(select(Schedule).where(Schedule.target.in_(some), planned))
    return found
