"""Queries about sessions, refresh tokens and failed attempts to sign in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from hhh.models import LoginFailure, RefreshToken, User, UserSession


class SessionRepository:
    """Sessions and their refresh tokens, in the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, user_session: UserSession, token: RefreshToken) -> None:
        """Starts a session with its first token."""
        self._session.add(user_session)
        self._session.flush()
        self._session.add(token)
        self._session.flush()

    def add_token(self, token: RefreshToken) -> None:
        """Adds the next token of a family."""
        self._session.add(token)
        self._session.flush()

    def live_user(self, session_id: str, user_id: str, now: datetime) -> User | None:
        """The user of a session that has neither ended nor expired."""
        query = (
            select(User)
            .join(UserSession, UserSession.user_id == User.id)
            .where(UserSession.id == session_id, User.id == user_id, UserSession.expires_at > now)
        )
        return self._session.scalar(query)

    def of_token(self, token_hash: str) -> tuple[UserSession, User] | None:
        """The session, and whose it is, that the token belongs to or belonged to before it was used."""
        query = (
            select(UserSession, User)
            .join(RefreshToken, RefreshToken.session_id == UserSession.id)
            .join(User, User.id == UserSession.user_id)
            .where(RefreshToken.token_hash == token_hash)
        )
        row = self._session.execute(query).one_or_none()
        return None if row is None else (row[0], row[1])

    def use_token(self, token_hash: str, now: datetime) -> bool:
        """Marks the token as used; False if it was already. Of two at the same time, one gets True."""
        statement = (
            update(RefreshToken)
            .where(RefreshToken.token_hash == token_hash, RefreshToken.used_at.is_(None))
            .values(used_at=now)
            .returning(RefreshToken.token_hash)
        )
        return self._session.scalar(statement) is not None

    def end(self, session_id: str) -> None:
        """Ends a session and its whole family; no-op if it has ended."""
        self._session.execute(delete(UserSession).where(UserSession.id == session_id))

    def end_all_of(self, user_id: str) -> None:
        """Ends all sessions of a user."""
        self._session.execute(delete(UserSession).where(UserSession.user_id == user_id))

    def prune(self, now: datetime) -> None:
        """Deletes what has expired, and leaves what another transaction is deleting."""
        expired = select(UserSession.id).where(UserSession.expires_at <= now).with_for_update(skip_locked=True)
        self._session.execute(delete(UserSession).where(UserSession.id.in_(expired)))


class LoginFailureRepository:
    """Failed attempts to sign in, in the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, failure: LoginFailure) -> None:
        """Counts an attempt."""
        self._session.add(failure)
        self._session.flush()

    def forget(self, failure_id: str) -> None:
        """Takes an attempt back."""
        self._session.execute(delete(LoginFailure).where(LoginFailure.id == failure_id))

    def of_account(self, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
        """How many others of its account are newer than ``since``, and when the oldest of them was."""
        return self._others(failure, LoginFailure.account == failure.account, since)

    def of_address(self, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
        """How many others from its address are newer than ``since``, and when the oldest of them was."""
        return self._others(failure, LoginFailure.address == failure.address, since)

    def _others(
        self, failure: LoginFailure, alike: ColumnElement[bool], since: datetime
    ) -> tuple[int, datetime | None]:
        query = select(func.count(), func.min(LoginFailure.created_at)).where(
            alike, LoginFailure.created_at > since, LoginFailure.id != failure.id
        )
        count, oldest = self._session.execute(query).one()
        return count, oldest

    def prune(self, before: datetime) -> None:
        """Deletes older ones, and leaves those that another transaction is deleting."""
        old = select(LoginFailure.id).where(LoginFailure.created_at <= before).with_for_update(skip_locked=True)
        self._session.execute(delete(LoginFailure).where(LoginFailure.id.in_(old)))
