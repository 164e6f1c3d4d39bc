"""Rows of recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from hhh.models import RecoveryCode


def replace(session: Session, user_id: str, hashes: Sequence[str]) -> None:
    """Gives a user these, and takes all others."""
    remove_all(session, user_id)
    session.add_all([RecoveryCode(code_hash=each, user_id=user_id) for each in hashes])
    session.flush()


def use(session: Session, user_id: str, code_hash: str, now: datetime) -> bool:
    """Marks one as used; False if the user has none like it, or had used it."""
    statement = (
        update(RecoveryCode)
        .where(RecoveryCode.code_hash == code_hash, RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
        .values(used_at=now)
        .returning(RecoveryCode.code_hash)
    )
    return session.scalar(statement) is not None


def left(session: Session, user_id: str) -> int:
    """How many a user has that were not used."""
    query = select(func.count()).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return session.scalar(query) or 0


def remove_all(session: Session, user_id: str) -> None:
    """Removes those of a user."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
