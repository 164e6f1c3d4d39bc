"""Rows of verifications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, literal, select, tuple_
from sqlalchemy.orm import Session

from hhh.core.database import UtcDateTime
from hhh.models import Verification
from hhh.repositories.backups import Position
from hhh.schemas.verification import VerificationFilter


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
    statement = select(Verification)
    for column, wanted in (
        (Verification.target, narrowed.target),
        (Verification.backup_id, narrowed.backup_id),
        (Verification.status, narrowed.status),
    ):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if position is not None:
        statement = statement.where(
            tuple_(Verification.created_at, Verification.id)
            < tuple_(literal(position.created_at, UtcDateTime()), literal(position.id))
        )
    newest_first = statement.order_by(Verification.created_at.desc(), Verification.id.desc())
    return session.scalars(newest_first.limit(limit)).all()


def asked_since(session: Session, since: datetime, *, requested_by: str) -> int:
    """How many were asked for by somebody since then."""
    counted = select(func.count()).where(Verification.created_at > since, Verification.requested_by == requested_by)
    return session.scalar(counted) or 0
