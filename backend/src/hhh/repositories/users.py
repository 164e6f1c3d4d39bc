"""Rows of users."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hhh.models import Role, User


def add(session: Session, user: User) -> None:
    """Inserts at once, so that a taken e-mail raises `IntegrityError` here and costs this row only."""
    with session.begin_nested():
        session.add(user)


def by_email(session: Session, email: str, *, lock: bool = False) -> User | None:
    """The user of that normalised e-mail; with ``lock`` nobody changes it before this transaction ends."""
    query = select(User).where(User.email == email)
    return session.scalar(query.with_for_update() if lock else query)


def get(session: Session, user_id: str) -> User | None:
    """The user of that id."""
    return session.get(User, user_id)


def page_by_email(session: Session, *, after: str, limit: int) -> Sequence[User]:
    """Users in the order of e-mails, those that come after one."""
    return session.scalars(select(User).where(User.email > after).order_by(User.email).limit(limit)).all()


def remove(session: Session, user: User) -> None:
    """Removes a user; their sessions go with the row."""
    session.delete(user)
    session.flush()


def all_by_email(session: Session) -> Sequence[User]:
    """Everybody, in the order of e-mails."""
    return session.scalars(select(User).order_by(User.email)).all()


def has_super_admin(session: Session) -> bool:
    """Whether there is any."""
    return bool(session.scalar(select(func.count()).where(User.role == Role.SUPER_ADMIN)))


def lock_super_admins(session: Session) -> Sequence[User]:
    """All super admins, locked: of two who demote each other, the second waits and sees what the first did."""
    query = select(User).where(User.role == Role.SUPER_ADMIN).order_by(User.id).with_for_update()
    return session.scalars(query).all()
