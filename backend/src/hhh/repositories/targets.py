"""Rows of registered targets."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from hhh.models import Target


def find(session: Session, name: str) -> Target | None:
    """The target of that name."""
    return session.scalar(select(Target).where(Target.name == name))


def all_by_name(session: Session) -> Sequence[Target]:
    """Every registered target, in the order of names."""
    return session.scalars(select(Target).order_by(Target.name)).all()
