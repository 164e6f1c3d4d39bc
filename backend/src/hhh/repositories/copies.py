"""Rows of copies: those that are missing, and what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, exists, func, insert, literal, literal_column, null, select, update
from sqlalchemy.orm import Session

from hhh.models import BackupCopy, BackupLog, BackupStatus, CopyStatus

#: As `hhh.models.backup_log.MISSING`, where another table has a column of that name.
_MISSING = BackupCopy.status == literal_column("'missing'")
#: What a copy may be missing of: a backup that is stored, and not being removed.
_THERE = (BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None))
#: Whether any store has a copy of a backup.
IS_IN_A_STORE: ColumnElement[bool] = exists().where(
    BackupCopy.backup_id == BackupLog.id, BackupCopy.status == CopyStatus.STORED
)


def targets_with_missing(session: Session, stores: Collection[str]) -> Sequence[str]:
    """The targets that lack copies in one of these stores."""
    statement = select(BackupLog.target).join(BackupCopy).where(_MISSING, BackupCopy.storage.in_(stores), *_THERE)
    return session.scalars(statement.distinct().order_by(BackupLog.target)).all()


def stores_with_missing(session: Session) -> Sequence[str]:
    """The names of all stores that lack copies, also of those that are not known any more."""
    return session.scalars(select(BackupCopy.storage).where(_MISSING).distinct()).all()


def backups_with_missing(session: Session, target: str) -> Sequence[str]:
    """The ids of the target's backups that lack a copy, the newest first."""
    lacking = select(BackupCopy.backup_id).where(_MISSING)
    statement = select(BackupLog.id).where(BackupLog.id.in_(lacking), BackupLog.target == target, *_THERE)
    return session.scalars(statement.order_by(BackupLog.created_at.desc(), BackupLog.id.desc())).all()


def count_missing(session: Session, target: str, *, most: int) -> int:
    """How many copies of the target's backups are missing; no more than so many are counted."""
    # Of all copies, few are missing; joined, SQLite would go through the backups of the target.
    of_target = select(BackupLog.id).where(BackupLog.id == BackupCopy.backup_id, BackupLog.target == target, *_THERE)
    found = select(BackupCopy.backup_id).where(_MISSING, of_target.exists()).limit(most)
    return session.scalar(select(func.count()).select_from(found.subquery())) or 0


def count_all_missing(session: Session, *, most: int) -> int:
    """How many copies are missing; no more than so many are counted."""
    # By a join, SQLite would begin with all backups that are stored.
    there = select(BackupLog.id).where(BackupLog.id == BackupCopy.backup_id, *_THERE).exists()
    found = select(BackupCopy.backup_id).where(_MISSING, there).limit(most)
    return session.scalar(select(func.count()).select_from(found.subquery())) or 0


def copies_of(session: Session, target: str, status: CopyStatus) -> Sequence[tuple[str, str]]:
    """The file of the backup and the store of each copy in this state, the newest first."""
    statement = select(BackupLog.backup_file, BackupCopy.storage).join(BackupCopy)
    statement = statement.where(BackupLog.target == target, BackupCopy.status == status, *_THERE)
    ordered = statement.order_by(BackupLog.created_at.desc(), BackupLog.id.desc(), BackupCopy.storage)
    return [(file, storage) for file, storage in session.execute(ordered)]


def add_missing(session: Session, target: str, storage: str, reason: str) -> None:
    """Has the store lack a copy of every backup of the target that it was never to have."""
    has_row = select(BackupCopy.backup_id).where(BackupCopy.backup_id == BackupLog.id, BackupCopy.storage == storage)
    some_copy = (
        select(BackupCopy.key)
        .where(BackupCopy.backup_id == BackupLog.id)
        .order_by(BackupCopy.storage)
        .limit(1)
        .scalar_subquery()
    )
    wanted = select(
        BackupLog.id,
        literal(storage),
        some_copy,
        literal(CopyStatus.MISSING.value),
        BackupLog.backup_size,
        BackupLog.sha256,
        literal(reason),
    ).where(BackupLog.target == target, ~has_row.exists(), some_copy.is_not(null()), *_THERE)
    columns = ["backup_id", "storage", "key", "status", "size", "sha256", "error"]
    session.execute(insert(BackupCopy).from_select(columns, wanted))


def set_status(session: Session, backup_id: str, storage: str, status: CopyStatus, error: str | None) -> None:
    """Writes what became of a copy; nothing where it is being removed."""
    values: dict[str, object] = {"status": status, "error": error}
    if status is CopyStatus.MISSING:
        values["read_at"] = None  # what is made in its place was never read back
    session.execute(
        update(BackupCopy)
        .where(
            BackupCopy.backup_id == backup_id,
            BackupCopy.storage == storage,
            BackupCopy.status != CopyStatus.UNDELETABLE,
        )
        .values(**values)
    )
