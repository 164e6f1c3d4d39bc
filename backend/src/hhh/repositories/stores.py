"""Rows of registered stores, and of the copies in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, delete, exists, func, literal_column, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from hhh.models import BackupCopy, BackupLog, BackupStatus, BackupTotals, CopyStatus, Store
from hhh.repositories import job_logs


def find(session: Session, name: str) -> Store | None:
    """The store of that name."""
    return session.scalar(select(Store).where(Store.name == name))


def all_by_name(session: Session) -> Sequence[Store]:
    """Every registered store, in the order of names."""
    return session.scalars(select(Store).order_by(Store.name)).all()


def names(session: Session) -> Sequence[str]:
    """The names of all registered stores, in their order."""
    return session.scalars(select(Store.name).order_by(Store.name)).all()


def known_among(session: Session, names: Collection[str]) -> frozenset[str]:
    """Those of the names that a store has; none of these stores goes before this transaction ends."""
    found = select(Store.name).where(Store.name.in_(names)).with_for_update(read=True)
    return frozenset(session.scalars(found))


@dataclass(frozen=True, slots=True)
class CopyCounts:
    """What is in a store, as far as the catalogue knows."""

    #: Copies of backups that are not being removed.
    copies: int
    #: Backups that are stored there and in no other store.
    only_there: int


def count_copies(session: Session, store: str) -> CopyCounts:
    """Counts what is in a store."""
    copies = (
        select(func.count())
        .select_from(BackupCopy)
        .join(BackupLog, BackupLog.id == BackupCopy.backup_id)
        .where(BackupCopy.storage == store, BackupLog.deleted_at.is_(None))
    )
    only = select(func.count()).select_from(BackupLog).where(_only_in(store))
    return CopyCounts(copies=session.scalar(copies) or 0, only_there=session.scalar(only) or 0)


def missing_copies(session: Session) -> Mapping[str, int]:
    """By name of a store: how many copies it lacks, without the stores that lack none."""
    # As `hhh.models.backup_log.MISSING`, which has the index.
    counted = select(BackupCopy.storage, func.count()).where(BackupCopy.status == literal_column("'missing'"))
    return {name: int(count) for name, count in session.execute(counted.group_by(BackupCopy.storage))}


def forget_backups_only_in(session: Session, store: str) -> int:
    """Removes from the catalogue, and from its totals, the backups that are in no other store; returns how many."""
    session.execute(select(BackupTotals.singleton).with_for_update())
    counted = select(func.count(), func.coalesce(func.sum(BackupLog.backup_size), 0)).where(_only_in(store))
    [(count, stored_bytes)] = session.execute(counted)
    job_logs.forget(session, select(BackupLog.id).where(_only_in(store)))
    session.execute(delete(BackupLog).where(_only_in(store)).execution_options(synchronize_session=False))
    session.execute(
        update(BackupTotals).values(
            total=BackupTotals.total - count,
            successful=BackupTotals.successful - count,
            stored_bytes=BackupTotals.stored_bytes - int(stored_bytes),
        )
    )
    return int(count)


def forget_copies(session: Session, store: str) -> int:
    """Removes the rows of all copies in a store; returns how many."""
    removed = session.execute(
        delete(BackupCopy).where(BackupCopy.storage == store).execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", removed).rowcount


def remove(session: Session, store: Store) -> None:
    """Removes a store; what is in it stays."""
    session.delete(store)


def _only_in(store: str) -> ColumnElement[bool]:
    here, other = aliased(BackupCopy), aliased(BackupCopy)
    stored_here = exists().where(
        here.backup_id == BackupLog.id, here.storage == store, here.status == CopyStatus.STORED
    )
    stored_elsewhere = exists().where(
        other.backup_id == BackupLog.id, other.storage != store, other.status == CopyStatus.STORED
    )
    of_use = (BackupLog.status == BackupStatus.SUCCESS) & BackupLog.deleted_at.is_(None)
    return of_use & stored_here & ~stored_elsewhere
