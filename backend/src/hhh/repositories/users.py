"""Queries about users."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hhh.models import Role, User


class UserRepository:
    """The users of the own database, in the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, user: User) -> None:
        """Inserts at once, so that a taken e-mail raises `IntegrityError` here and costs this row only."""
        with self._session.begin_nested():
            self._session.add(user)

    def by_email(self, email: str, *, lock: bool = False) -> User | None:
        """The user of that normalised e-mail; with ``lock`` nobody changes it before this transaction ends."""
        query = select(User).where(User.email == email)
        return self._session.scalar(query.with_for_update() if lock else query)

    def all(self) -> Sequence[User]:
        """Everybody, by e-mail."""
        return self._session.scalars(select(User).order_by(User.email)).all()

    def has_super_admin(self) -> bool:
        """Whether there is any."""
        return bool(self._session.scalar(select(func.count()).where(User.role == Role.SUPER_ADMIN)))

    def lock_super_admins(self) -> Sequence[User]:
        """All super admins, locked: of two who demote each other, the second waits and sees what the first did."""
        query = select(User).where(User.role == Role.SUPER_ADMIN).order_by(User.id).with_for_update()
        return self._session.scalars(query).all()
