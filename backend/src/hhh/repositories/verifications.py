"""Rows of verifications."""

from __future__ import annotations

from sqlalchemy.orm import Session

from hhh.models import Verification


def add(session: Session, row: Verification) -> None:
    """Writes a new verification."""
    session.add(row)


def get(session: Session, verification_id: str) -> Verification | None:
    """The verification of that id."""
    return session.get(Verification, verification_id)
