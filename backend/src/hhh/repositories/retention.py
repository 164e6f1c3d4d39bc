"""Rows of backups as retention sees them: what counts, what is protected, and what is being removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, literal, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, defer, selectinload

from hhh.core.clock import utcnow
from hhh.core.database import UtcDateTime
from hhh.models import (
    BackupCopy,
    BackupLog,
    BackupStatus,
    CopyStatus,
    Job,
    JobKind,
    Policy,
    Restore,
    Verification,
    VerificationStatus,
)
from hhh.models.backup_log import DELETED
from hhh.models.job import ACTIVE_UPKEEP, UNFINISHED
from hhh.models.policy import PRUNE_DUE
from hhh.repositories import job_logs
from hhh.repositories.copies import IS_IN_A_STORE
from hhh.repositories.levels import reaches

#: The level of a backup that a restore drill has proven.
PROVEN = "proven"
#: How many targets one look for due work answers.
_AT_ONCE = 100

#: Stands in no name of a store.
_BETWEEN = " "

#: The names of the stores that have a copy, with `_BETWEEN` between them; None: none.
_STORES = (
    select(func.aggregate_strings(BackupCopy.storage, _BETWEEN))
    .where(BackupCopy.backup_id == BackupLog.id, BackupCopy.status == CopyStatus.STORED)
    .scalar_subquery()
)


def _speaking_against() -> tuple[type[Verification], ColumnElement[bool]]:
    """A verification, and that it speaks against its backup, which has passed none of that level since."""
    against, passed = aliased(Verification), aliased(Verification)
    passed_since = exists().where(
        passed.backup_id == against.backup_id,
        passed.status == VerificationStatus.SUCCESS,
        tuple_(passed.created_at, passed.id) > tuple_(against.created_at, against.id),
        reaches(passed.level, against.level),
    )
    return against, and_(against.refuted, ~passed_since)


def _is_refuted() -> ColumnElement[bool]:
    against, is_so = _speaking_against()
    return exists().where(against.backup_id == BackupLog.id, is_so)


#: Whether a verification speaks against what a backup holds, and it has passed none of that level since. A bad copy
#: does not while another store has a good one. `hhh.services.recoverability` asks the same, and of bad copies too.
IS_REFUTED = _is_refuted()

#: Backups of which a verification waits or runs.
_HAS_VERIFICATION: ColumnElement[bool] = exists().where(
    Verification.backup_id == BackupLog.id, Job.id == Verification.id, Job.state.in_(UNFINISHED)
)
_VERIFYING = or_(BackupLog.verify_due.is_not(None), _HAS_VERIFICATION)


class Candidate(NamedTuple):
    """A successful backup, as far as it is needed to decide on it; there may be tens of thousands."""

    id: str
    backup_file: str
    created_at: datetime
    #: Bytes of its object.
    size: int
    pinned: bool
    #: Whether a restore drill has proven it.
    proven: bool
    #: Whether any store has a copy.
    stored: bool
    #: See `IS_REFUTED`.
    refuted: bool
    #: Whether a restore of it waits or runs.
    being_restored: bool
    #: Whether a verification of it waits or runs, or is to be asked for since its target's policy says so.
    being_verified: bool
    #: The names of the stores that have a copy.
    stores: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it can be counted on; of what is being verified nobody knows yet."""
        return self.stored and not self.refuted and not self.being_verified


def candidates(session: Session, target: str) -> Sequence[Candidate]:
    """The successful backups of a target that are not being removed, newest first; reads no manifest."""
    restoring, verifying, refuted = _being_restored(session), _being_verified(session), _refuted(session, target)
    columns = (
        BackupLog.id,
        BackupLog.backup_file,
        BackupLog.created_at,
        BackupLog.backup_size,
        BackupLog.pinned,
        BackupLog.verified_level,
        BackupLog.verify_due,
        _STORES,
    )
    statement = select(*columns).where(*_successful_of(target))
    found = session.execute(statement.order_by(BackupLog.created_at.desc(), BackupLog.id.desc()))
    # There are thousands of backups, and a few combinations of stores.
    split = cache(_names)
    return [
        Candidate(
            backup_id,
            file,
            created_at,
            size,
            pinned,
            level == PROVEN,
            stores is not None,
            backup_id in refuted,
            being_restored=backup_id in restoring,
            being_verified=verify_due is not None or backup_id in verifying,
            stores=split(stores),
        )
        for backup_id, file, created_at, size, pinned, level, verify_due, stores in found
    ]


def newest_stored(session: Session, target: str) -> str | None:
    """The id of the newest backup of a target that some store has a copy of; None if there is none."""
    has_begun = BackupLog.created_at <= literal(utcnow(), UtcDateTime())
    statement = select(BackupLog.id).where(*_successful_of(target), IS_IN_A_STORE, has_begun)
    return session.scalar(statement.order_by(BackupLog.created_at.desc(), BackupLog.id.desc()).limit(1))


def has_any(session: Session, target: str) -> bool:
    """Whether a target, registered or not, has a backup of any state."""
    return session.scalar(select(BackupLog.id).where(BackupLog.target == target).limit(1)) is not None


def locked(session: Session, backup_id: str) -> BackupLog | None:
    """A backup that is not being removed, with its copies, without its manifest; nobody else changes it meanwhile."""
    statement = select(BackupLog).where(BackupLog.id == backup_id, BackupLog.deleted_at.is_(None))
    statement = statement.options(selectinload(BackupLog.copies), defer(BackupLog.manifest, raiseload=True))
    return session.scalar(statement.with_for_update())


def hold(session: Session, backup_id: str) -> bool:
    """Whether a backup is there and not being removed, and will be so until this transaction ends."""
    statement = select(BackupLog.id).where(BackupLog.id == backup_id, BackupLog.deleted_at.is_(None))
    return session.scalar(statement.with_for_update(read=True)) is not None


def pin(session: Session, backup_id: str, *, pinned: bool) -> None:
    """Pins a backup, or no longer."""
    session.execute(update(BackupLog).where(BackupLog.id == backup_id).values(pinned=pinned))


def is_being_restored(session: Session, backup_id: str) -> bool:
    """Whether a restore of that backup waits or runs."""
    return backup_id in _being_restored(session)


def is_being_verified(session: Session, backup_id: str) -> bool:
    """Whether a verification of that backup waits or runs."""
    return session.scalar(select(BackupLog.id).where(BackupLog.id == backup_id, _HAS_VERIFICATION)) is not None


def is_refuted(session: Session, backup_id: str) -> bool:
    """Whether a verification speaks against what that backup holds: see `IS_REFUTED`."""
    return session.scalar(select(BackupLog.id).where(BackupLog.id == backup_id, IS_REFUTED)) is not None


def good_newer(session: Session, row: BackupLog, *, count: int) -> bool:
    """Whether so many good backups of its target are newer than this one."""
    statement = _newer(row, IS_IN_A_STORE, ~IS_REFUTED, ~_VERIFYING).order_by(BackupLog.created_at, BackupLog.id)
    return session.scalar(statement.offset(count - 1).limit(1)) is not None


def proven_newer(session: Session, row: BackupLog) -> bool:
    """Whether a good, proven backup of its target is newer than this one."""
    statement = _newer(row, IS_IN_A_STORE, ~IS_REFUTED, ~_VERIFYING, BackupLog.verified_level == PROVEN)
    return session.scalar(statement.limit(1)) is not None


# ------------------------------------------------------------------------------------------------- being removed


def being_removed(session: Session, target: str) -> Sequence[BackupLog]:
    """The backups of a target that are being removed, with their copies, without their manifests, oldest first."""
    statement = select(BackupLog).where(BackupLog.target == target, DELETED)
    statement = statement.options(selectinload(BackupLog.copies), defer(BackupLog.manifest, raiseload=True))
    return session.scalars(statement.order_by(BackupLog.created_at, BackupLog.id)).all()


def due_removals(session: Session, target: str, *, now: datetime) -> Sequence[str]:
    """The ids of a target's backups whose removal is to go on, oldest first."""
    statement = select(BackupLog.id).where(BackupLog.target == target, DELETED, BackupLog.removal_due_at <= now)
    return session.scalars(statement.order_by(BackupLog.created_at, BackupLog.id)).all()


def get_removed(session: Session, backup_id: str) -> BackupLog | None:
    """A backup that is being removed, with its manifest and its copies."""
    statement = select(BackupLog).where(BackupLog.id == backup_id, BackupLog.deleted_at.is_not(None))
    return session.scalar(statement.options(selectinload(BackupLog.copies)))


def try_removals_now(session: Session, target: str, *, now: datetime) -> None:
    """Lets the removal of all that is being removed of a target go on."""
    session.execute(update(BackupLog).where(BackupLog.target == target, DELETED).values(removal_due_at=now))


def postpone_removal(session: Session, backup_id: str, *, until: datetime) -> None:
    """Lets a removal that left something rest."""
    session.execute(update(BackupLog).where(BackupLog.id == backup_id, DELETED).values(removal_due_at=until))


def note_undeletable(session: Session, backup_id: str, storage: str, error: str) -> None:
    """Writes why a copy of a backup that is being removed is still there."""
    session.execute(
        update(BackupCopy)
        .where(BackupCopy.backup_id == backup_id, BackupCopy.storage == storage)
        .values(status=CopyStatus.UNDELETABLE, error=error)
    )


def forget_copy(session: Session, backup_id: str, storage: str) -> None:
    """Removes the row of a copy that is gone."""
    session.execute(delete(BackupCopy).where(BackupCopy.backup_id == backup_id, BackupCopy.storage == storage))


def forget(session: Session, backup_id: str, *, keeping: Sequence[str]) -> bool:
    """Removes the row of a backup that is being removed, unless it has a copy in any but the given stores.

    Args:
        session: of a transaction.
        backup_id: of the backup.
        keeping: names of stores; copies there hold up nothing, and go with the row.
    """
    copies = session.scalars(
        select(BackupCopy).where(BackupCopy.backup_id == backup_id, BackupCopy.storage.not_in(keeping))
    )
    if copies.first() is not None:
        return False
    gone = select(BackupLog.id).where(BackupLog.id == backup_id, DELETED)
    job_logs.forget(session, gone)
    session.execute(delete(BackupCopy).where(BackupCopy.backup_id == backup_id))
    session.execute(delete(BackupLog).where(BackupLog.id.in_(gone)).execution_options(synchronize_session=False))
    return True


# --------------------------------------------------------------------------------------------------- what is due


def mark_prune_due(session: Session, target: str, *, now: datetime) -> None:
    """Notes that a target with a retention is to be pruned."""
    session.execute(
        update(Policy).where(Policy.target == target, Policy.retention.is_not(None)).values(prune_due_at=now)
    )


def postpone_prune(session: Session, target: str, *, until: datetime) -> None:
    """Lets a prune that failed rest."""
    session.execute(update(Policy).where(Policy.target == target, PRUNE_DUE).values(prune_due_at=until))


def prune_due_at(session: Session, target: str) -> datetime | None:
    """When a target is to be pruned; None where nothing is to be looked at."""
    return session.scalar(select(Policy.prune_due_at).where(Policy.target == target))


def mark_pruned(session: Session, target: str, *, due_at: datetime | None) -> None:
    """Notes that a target was pruned, unless another backup was taken since `prune_due_at` answered this."""
    session.execute(
        update(Policy).where(Policy.target == target, Policy.prune_due_at == due_at).values(prune_due_at=None)
    )


def targets_to_prune(session: Session, *, now: datetime) -> Sequence[str]:
    """Some targets that are to be pruned, or of which a removal is to go on, and that no prune waits or runs for."""
    pruned = select(Policy.target).where(PRUNE_DUE, Policy.prune_due_at <= now, ~_prune_of(Policy.target))
    removed = select(BackupLog.target).where(DELETED, BackupLog.removal_due_at <= now, ~_prune_of(BackupLog.target))
    due = session.scalars(pruned.order_by(Policy.prune_due_at).limit(_AT_ONCE)).all()
    left = session.scalars(removed.order_by(BackupLog.removal_due_at).limit(_AT_ONCE)).all()
    return list(dict.fromkeys([*due, *left]))


def _prune_of(target: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return select(Job.id).where(ACTIVE_UPKEEP, Job.kind == JobKind.PRUNE, Job.target == target).exists()


def _being_restored(session: Session) -> set[str | None]:
    statement = select(Restore.backup_id).join(Job, Job.id == Restore.id)
    statement = statement.where(Job.kind == JobKind.RESTORE, Job.state.in_(UNFINISHED), Restore.undo_of.is_(None))
    return set(session.scalars(statement))


def _being_verified(session: Session) -> set[str]:
    statement = select(Verification.backup_id).join(Job, Job.id == Verification.id)
    return set(session.scalars(statement.where(Job.state.in_(UNFINISHED))))


def _refuted(session: Session, target: str) -> set[str]:
    against, is_so = _speaking_against()
    return set(session.scalars(select(against.backup_id).where(against.target == target, is_so)))


def _names(stores: str | None) -> tuple[str, ...]:
    return tuple(sorted(stores.split(_BETWEEN))) if stores is not None else ()


def _successful_of(target: str) -> tuple[ColumnElement[bool], ...]:
    return BackupLog.target == target, BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None)


def _newer(row: BackupLog, *conditions: ColumnElement[bool]) -> Select[str]:
    """What was begun while a clock was wrong, in the future, is newer than nothing."""
    position = tuple_(literal(row.created_at, UtcDateTime()), literal(row.id))
    is_newer = tuple_(BackupLog.created_at, BackupLog.id) > position
    has_begun = BackupLog.created_at <= literal(utcnow(), UtcDateTime())
    return select(BackupLog.id).where(*_successful_of(row.target), is_newer, has_begun, *conditions)
