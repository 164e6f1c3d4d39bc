"""Rows of the catalogue and its totals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session, defer, selectinload

from hhh.core.database import UtcDateTime
from hhh.models import BackupLog, BackupStatus, BackupTotals
from hhh.models.backup_log import FINISHED
from hhh.repositories.retention import PROVEN
from hhh.schemas.backup import BackupFilter, BackupSort

_Row = TypeVar("_Row")
_BY_SIZE = frozenset({BackupSort.LARGEST, BackupSort.SMALLEST})
_FALLING = frozenset({BackupSort.NEWEST, BackupSort.LARGEST})
#: A manifest is larger than all the rest of its row.
_WITHOUT_MANIFEST = defer(BackupLog.manifest, raiseload=True)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the catalogue, ordered by time."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class SizePosition:
    """A place among the backups that are stored, ordered by size."""

    #: Bytes.
    size: int
    id: str


def get(session: Session, backup_id: str) -> BackupLog | None:
    """The backup of that id, with its copies; None also if it is being removed."""
    row = session.get(BackupLog, backup_id, options=[selectinload(BackupLog.copies)])
    return row if row is not None and row.deleted_at is None else None


def among(session: Session, backup_ids: Collection[str]) -> Sequence[BackupLog]:
    """Those of the given backups that the catalogue has, with their copies, without their manifests.

    Also those that are being removed: whoever finds their objects must not take them for new.
    """
    statement = select(BackupLog).where(BackupLog.id.in_(backup_ids))
    return session.scalars(statement.options(selectinload(BackupLog.copies), _WITHOUT_MANIFEST)).all()


def is_empty(session: Session) -> bool:
    """Whether no backup was ever begun."""
    return session.scalar(select(BackupLog.id).limit(1)) is None


def add(session: Session, row: BackupLog) -> None:
    """Writes a new backup."""
    session.add(row)


def first_free_file(session: Session, target: str, names: Iterable[str]) -> str:
    """The first of these file names that no backup of the target has.

    Each is looked up by itself: no index finds names by how they begin in every collation, and a target may have a
    million of them.
    """
    return next(name for name in names if not _has_file(session, target, name))


def taken_files(session: Session, files: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the given pairs of target and file name that a backup has."""
    column = tuple_(BackupLog.target, BackupLog.backup_file)
    found = session.execute(select(BackupLog.target, BackupLog.backup_file).where(column.in_(files)))
    return {(target, file) for target, file in found}


def finished_page(session: Session, *, limit: int, offset: int) -> Sequence[BackupLog]:
    """Finished backups, newest first, without their manifests.

    The page's ids are looked up in the index alone, and only their rows are read: skipping 10,000 rows reads none.
    """
    page = _newest_first(select(BackupLog.id).where(FINISHED)).limit(limit).offset(offset).subquery()
    statement = select(BackupLog).join(page, BackupLog.id == page.c.id).options(_WITHOUT_MANIFEST)
    return session.scalars(_newest_first(statement)).all()


def newest_successful(session: Session) -> BackupLog | None:
    """The newest backup that is stored, without its manifest."""
    statement = select(BackupLog).where(BackupLog.status == BackupStatus.SUCCESS, BackupLog.deleted_at.is_(None))
    statement = statement.options(_WITHOUT_MANIFEST)
    return session.scalar(_newest_first(statement).limit(1))


def page_after(
    session: Session,
    narrowed: BackupFilter,
    *,
    sort: BackupSort = BackupSort.NEWEST,
    position: Position | SizePosition | None,
    limit: int,
    with_manifests: bool = True,
) -> Sequence[BackupLog]:
    """Backups that come after a position, in that order, with their copies.

    As in `finished_page`, ids are looked up in an index that has all that listings are narrowed by.

    Args:
        session: reads.
        narrowed: which ones.
        sort: their order; by size there are only those that are stored.
        position: of the last one before, in the same order.
        limit: how many at the most.
        with_manifests: whether to read them; they are larger than all the rest.
    """
    found = select(BackupLog.id).where(BackupLog.deleted_at.is_(None), *_narrowing(narrowed, position))
    if sort in _BY_SIZE:
        found = found.where(BackupLog.backup_size > 0)
    if position is not None:
        found = found.where(_comes_after(position, sort))
    page = _in_order(found, sort).limit(limit).subquery()
    statement = select(BackupLog).join(page, BackupLog.id == page.c.id).options(selectinload(BackupLog.copies))
    if not with_manifests:
        statement = statement.options(_WITHOUT_MANIFEST)
    return session.scalars(_in_order(statement, sort)).all()


def totals(session: Session) -> BackupTotals:
    """The totals over finished backups."""
    return session.scalars(select(BackupTotals)).one()


def add_to_totals(session: Session, *, status: BackupStatus, stored_bytes: int) -> None:
    """Counts a backup that finishes in this transaction."""
    succeeded = int(status is BackupStatus.SUCCESS)
    session.execute(
        update(BackupTotals).values(
            total=BackupTotals.total + 1,
            successful=BackupTotals.successful + succeeded,
            failed=BackupTotals.failed + 1 - succeeded,
            stored_bytes=BackupTotals.stored_bytes + stored_bytes,
        )
    )


def take_from_totals(session: Session, *, status: BackupStatus, stored_bytes: int) -> None:
    """Counts a finished backup no longer, since this transaction begins to remove it."""
    succeeded = int(status is BackupStatus.SUCCESS)
    session.execute(
        update(BackupTotals).values(
            total=BackupTotals.total - 1,
            successful=BackupTotals.successful - succeeded,
            failed=BackupTotals.failed - 1 + succeeded,
            stored_bytes=BackupTotals.stored_bytes - stored_bytes,
        )
    )


def lock_totals(session: Session) -> None:
    """Lets nobody else change the totals before this transaction ends."""
    session.execute(select(BackupTotals.singleton).with_for_update())


def add_found_to_totals(session: Session, *, new: int, not_failed: int, stored_bytes: int) -> None:
    """Counts stored backups that were found.

    Args:
        session: of the transaction that writes their rows.
        new: how many were not counted before.
        not_failed: how many were counted as failed.
        stored_bytes: of both together.
    """
    session.execute(
        update(BackupTotals).values(
            total=BackupTotals.total + new,
            successful=BackupTotals.successful + new + not_failed,
            failed=BackupTotals.failed - not_failed,
            stored_bytes=BackupTotals.stored_bytes + stored_bytes,
        )
    )


def _newest_first(statement: Select[_Row]) -> Select[_Row]:
    return _in_order(statement, BackupSort.NEWEST)


def _in_order(statement: Select[_Row], sort: BackupSort) -> Select[_Row]:
    columns = (BackupLog.backup_size if sort in _BY_SIZE else BackupLog.created_at, BackupLog.id)
    return statement.order_by(*(column.desc() if sort in _FALLING else column for column in columns))


def _narrowing(narrowed: BackupFilter, position: Position | SizePosition | None) -> Iterator[ColumnElement[bool]]:
    if narrowed.target is not None:
        yield BackupLog.target == narrowed.target
    if narrowed.status is not None:
        yield BackupLog.status == narrowed.status
    if narrowed.pinned is not None:
        yield BackupLog.pinned.is_(narrowed.pinned)
    if narrowed.proven is not None:
        proven = BackupLog.verified_level == PROVEN
        yield proven if narrowed.proven else or_(BackupLog.verified_level.is_(None), ~proven)
    # Where the position says more already, SQLite would look up these in the index instead of it.
    at = position.created_at if isinstance(position, Position) else None
    if narrowed.created_from is not None and not (at and at > narrowed.created_from):
        yield BackupLog.created_at >= narrowed.created_from
    if narrowed.created_before is not None and not (at and at < narrowed.created_before):
        yield BackupLog.created_at < narrowed.created_before


def _comes_after(position: Position | SizePosition, sort: BackupSort) -> ColumnElement[bool]:
    # As a row value, which both databases look up in an index; put together with OR, neither does.
    if isinstance(position, Position):
        row, place = tuple_(BackupLog.created_at, BackupLog.id), literal(position.created_at, UtcDateTime())
    else:
        row, place = tuple_(BackupLog.backup_size, BackupLog.id), literal(position.size, BigInteger())
    there = tuple_(place, literal(position.id))
    return row < there if sort in _FALLING else row > there


def _has_file(session: Session, target: str, name: str) -> bool:
    found = select(BackupLog.id).where(BackupLog.target == target, BackupLog.backup_file == name)
    return session.scalar(found) is not None
