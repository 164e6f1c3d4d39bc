"""Rows of verifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, literal, select, tuple_
from sqlalchemy.orm import Session

from hhh.core.database import UtcDateTime
from hhh.models import Verification, VerificationStatus
from hhh.repositories.backups import Position
from hhh.schemas.verification import VerificationFilter

#: Those that have not ended.
_UNDER_WAY = (VerificationStatus.QUEUED, VerificationStatus.RUNNING)
#: As `VerificationLine` has them.
_LINE = (
    Verification.id,
    Verification.backup_id,
    Verification.target,
    Verification.backup_file,
    Verification.level,
    Verification.reached,
    Verification.status,
    Verification.requested_by,
    Verification.created_at,
    Verification.started_at,
    Verification.finished_at,
    Verification.error,
    Verification.result["restore_seconds"].as_float(),
)


@dataclass(frozen=True, slots=True)
class VerificationLine:
    """A verification without all that it found."""

    id: str
    backup_id: str
    target: str
    backup_file: str
    level: str
    #: The highest level that it reached.
    reached: str | None
    status: str
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    #: Of the restore into a throw-away database.
    restore_seconds: float | None


def add(session: Session, row: Verification) -> None:
    """Writes a new verification."""
    session.add(row)


def get(session: Session, verification_id: str) -> Verification | None:
    """The verification of that id."""
    return session.get(Verification, verification_id)


def page_before(
    session: Session, narrowed: VerificationFilter, *, position: Position | None, limit: int
) -> Sequence[Verification]:
    """Verifications older than a position, newest first."""
    statement = _narrowed(select(Verification), narrowed)
    return session.scalars(_newest_first(statement, position).limit(limit)).all()


def ended_before(
    session: Session, narrowed: VerificationFilter, *, position: Position | None, limit: int
) -> Sequence[VerificationLine]:
    """Those of `page_before` that have ended, without what they found, which may be large."""
    statement = _narrowed(select(*_LINE), narrowed)
    if narrowed.status is None:
        statement = statement.where(Verification.status.not_in(_UNDER_WAY))
    rows = session.execute(_newest_first(statement, position).limit(limit))
    return [VerificationLine(*row) for row in rows]


def under_way(session: Session, narrowed: VerificationFilter, *, limit: int) -> Sequence[VerificationLine]:
    """Those that wait or run, the oldest first; running ones before all others."""
    under_way = select(*_LINE).where(Verification.status.in_(_UNDER_WAY))
    statement = _narrowed(under_way, narrowed, by_index=False)
    running_first = (Verification.status != VerificationStatus.RUNNING, Verification.created_at, Verification.id)
    return [VerificationLine(*row) for row in session.execute(statement.order_by(*running_first).limit(limit))]


def asked_since(session: Session, since: datetime, *, requested_by: str) -> int:
    """How many were asked for by somebody since then."""
    counted = select(func.count()).where(Verification.created_at > since, Verification.requested_by == requested_by)
    return session.scalar(counted) or 0


def _narrowed(statement: Select[Any], narrowed: VerificationFilter, *, by_index: bool = True) -> Select[Any]:
    """One condition is looked up in its index, the one that leaves the least: SQLite can't tell, and takes any."""
    by_status, by_level = (Verification.status, narrowed.status), (Verification.level, narrowed.level)
    # Most have succeeded.
    last = (by_level, by_status) if narrowed.status == VerificationStatus.SUCCESS else (by_status, by_level)
    for column, wanted in (
        (Verification.backup_id, narrowed.backup_id),
        (Verification.target, narrowed.target),
        *last,
    ):
        if wanted is not None:
            statement = statement.where((column if by_index else column.concat("")) == wanted)
            by_index = False
    return statement


def _newest_first(statement: Select[Any], position: Position | None) -> Select[Any]:
    """From a position on; as the indexes have it."""
    if position is not None:
        statement = statement.where(
            tuple_(Verification.created_at, Verification.id)
            < tuple_(literal(position.created_at, UtcDateTime()), literal(position.id))
        )
    return statement.order_by(Verification.created_at.desc(), Verification.id.desc())
