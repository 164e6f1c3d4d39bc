"""Rows of sessions and their refresh tokens."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from hhh.models import RefreshToken, Role, User, UserSession


def add(session: Session, user_session: UserSession, token: RefreshToken) -> None:
    """Starts a session with its first token."""
    session.add(user_session)
    session.flush()
    session.add(token)
    session.flush()


def add_token(session: Session, token: RefreshToken) -> None:
    """Adds the next token of a family."""
    session.add(token)
    session.flush()


def live_user(session: Session, session_id: str, user_id: str, now: datetime) -> User | None:
    """The user of a session that has neither ended nor expired."""
    query = (
        select(User)
        .join(UserSession, UserSession.user_id == User.id)
        .where(UserSession.id == session_id, User.id == user_id, UserSession.expires_at > now)
    )
    return session.scalar(query)


def live_among(session: Session, session_ids: Collection[str], role: Role, now: datetime) -> set[str]:
    """Those of the given sessions that have neither ended nor expired, and whose user has that role."""
    query = (
        select(UserSession.id)
        .join(User, UserSession.user_id == User.id)
        .where(UserSession.id.in_(session_ids), UserSession.expires_at > now, User.role == role)
    )
    return {*session.scalars(query)}


def of_token(session: Session, token_hash: str, *, lock: bool = False) -> tuple[UserSession, User] | None:
    """The session, and whose it is, that the token belongs to or belonged to before it was used.

    Args:
        session: a transaction.
        token_hash: of the token.
        lock: whether to make others wait that use a token of this family: one of them may be about to end it, and two
            that have locked a token each would wait for each other.
    """
    query = (
        select(UserSession, User)
        .join(RefreshToken, RefreshToken.session_id == UserSession.id)
        .join(User, User.id == UserSession.user_id)
        .where(RefreshToken.token_hash == token_hash)
    )
    row = session.execute(query.with_for_update(of=UserSession) if lock else query).one_or_none()
    return None if row is None else (row[0], row[1])


def of_unused_token(session: Session, token_hash: str) -> tuple[UserSession, User] | None:
    """As `of_token`, of one that was not used."""
    query = (
        select(UserSession, User)
        .join(RefreshToken, RefreshToken.session_id == UserSession.id)
        .join(User, User.id == UserSession.user_id)
        .where(RefreshToken.token_hash == token_hash, RefreshToken.used_at.is_(None))
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


def use_token(session: Session, token_hash: str, now: datetime) -> bool:
    """Marks the token as used; False if it was already. Of two at the same time, one gets True."""
    statement = (
        update(RefreshToken)
        .where(RefreshToken.token_hash == token_hash, RefreshToken.used_at.is_(None))
        .values(used_at=now)
        .returning(RefreshToken.token_hash)
    )
    return session.scalar(statement) is not None


def end(session: Session, session_id: str) -> None:
    """Ends a session and its whole family; no-op if it has ended."""
    session.execute(delete(UserSession).where(UserSession.id == session_id))


def end_all_of(session: Session, user_id: str) -> None:
    """Ends all sessions of a user."""
    session.execute(delete(UserSession).where(UserSession.user_id == user_id))


def prune(session: Session, now: datetime) -> None:
    """Deletes what has expired, and leaves what another transaction is deleting."""
    expired = select(UserSession.id).where(UserSession.expires_at <= now).with_for_update(skip_locked=True)
    session.execute(delete(UserSession).where(UserSession.id.in_(expired)))
