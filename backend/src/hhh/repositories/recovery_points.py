"""The moments that a target can be taken back to: its stored backups, newest first, without their manifests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, literal, select, tuple_
from sqlalchemy.orm import Session

from hhh.core.database import UtcDateTime
from hhh.models import BackupLog, BackupStatus
from hhh.repositories.backups import Position
from hhh.repositories.copies import IS_IN_A_STORE
from hhh.repositories.retention import IS_REFUTED, PROVEN


class Point(NamedTuple):
    """A stored backup as somebody sees it who chooses one."""

    id: str
    target: str
    backup_file: str
    #: The moment of its snapshot.
    created_at: datetime
    #: Bytes as stored.
    stored_size: int
    #: Bytes of the dump.
    raw_size: int | None
    #: The highest level of proof that it reached.
    level: str | None
    pinned: bool
    #: Whether any store has a copy that is good as far as is known.
    is_stored: bool
    #: See `hhh.repositories.retention.IS_REFUTED`.
    is_refuted: bool

    @property
    def is_proven(self) -> bool:
        """Whether a restore has proven it, and nothing speaks against it since."""
        return self.level == PROVEN and self.is_good

    @property
    def is_good(self) -> bool:
        """Whether nothing is known against it."""
        return self.is_stored and not self.is_refuted


def before(
    session: Session, target: str, *, until: datetime | None, position: Position | None, limit: int
) -> Sequence[Point]:
    """Points of a target, newest first.

    Args:
        session: to read with.
        target: its name.
        until: none that is later.
        position: only those that are older than this one.
        limit: at most so many.
    """
    statement = _points(BackupLog.target == target, BackupLog.status == BackupStatus.SUCCESS)
    if until is not None:
        statement = statement.where(BackupLog.created_at <= _moment(until))
    if position is not None:
        place = tuple_(BackupLog.created_at, BackupLog.id)
        statement = statement.where(place < tuple_(_moment(position.created_at), literal(position.id)))
    return [Point._make(row) for row in session.execute(statement.limit(limit))]


def newest_proven(session: Session, target: str, *, until: datetime) -> Point | None:
    """The newest one not later than that which a restore has proven, and nothing has refuted since."""
    past = BackupLog.created_at <= _moment(until)
    # Not by its status as well, which SQLite would look up instead: among all that are stored.
    statement = _points(
        BackupLog.target == target, BackupLog.verified_level == PROVEN, past, IS_IN_A_STORE, ~IS_REFUTED
    )
    found = session.execute(statement.limit(1)).one_or_none()
    return Point._make(found) if found else None


def one(session: Session, backup_id: str) -> Point | None:
    """A stored backup by its id; None if there is no such one, or it is being removed."""
    found = session.execute(_points(BackupLog.id == backup_id, BackupLog.status == BackupStatus.SUCCESS)).one_or_none()
    return Point._make(found) if found else None


def engine(session: Session, backup_id: str) -> str | None:
    """Of which kind of database a backup is, by its manifest."""
    return session.scalar(select(BackupLog.manifest["engine"].as_string()).where(BackupLog.id == backup_id))


def _points(*conditions: ColumnElement[bool]) -> Select[tuple[object, ...]]:
    statement = select(
        BackupLog.id,
        BackupLog.target,
        BackupLog.backup_file,
        BackupLog.created_at,
        BackupLog.backup_size,
        BackupLog.raw_size,
        BackupLog.verified_level,
        BackupLog.pinned,
        IS_IN_A_STORE,
        IS_REFUTED,
    ).where(BackupLog.deleted_at.is_(None), *conditions)
    return statement.order_by(BackupLog.created_at.desc(), BackupLog.id.desc())  # type: ignore[return-value]


def _moment(at: datetime) -> ColumnElement[datetime]:
    return literal(at, UtcDateTime())
