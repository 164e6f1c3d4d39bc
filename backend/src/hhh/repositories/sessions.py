"""Rows of sessions and their refresh tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
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


def live(session: Session, session_id: str, user_id: str, now: datetime) -> tuple[UserSession, User] | None:
    """A session that has neither ended nor expired, and whose it is."""
    query = (
        select(UserSession, User)
        .join(User, UserSession.user_id == User.id)
        .where(UserSession.id == session_id, User.id == user_id, UserSession.expires_at > now)
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


def user_of(session: Session, session_id: str) -> User | None:
    """Whose a session is that has not ended."""
    return session.scalar(
        select(User).join(UserSession, UserSession.user_id == User.id).where(UserSession.id == session_id)
    )


def seen_last(session: Session, user_id: str, now: datetime, *, limit: int) -> Sequence[UserSession]:
    """Live sessions of a user, the one that was seen last first."""
    seen = func.coalesce(UserSession.last_seen_at, UserSession.created_at)
    query = (
        select(UserSession)
        .where(UserSession.user_id == user_id, UserSession.expires_at > now)
        .order_by(seen.desc(), UserSession.id)
        .limit(limit)
    )
    return session.scalars(query).all()


def see(session: Session, session_id: str, now: datetime, since: datetime) -> None:
    """Notes that a session was seen, unless somebody has since then."""
    is_older = or_(UserSession.last_seen_at.is_(None), UserSession.last_seen_at <= since)
    session.execute(update(UserSession).where(UserSession.id == session_id, is_older).values(last_seen_at=now))


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


def end_of(session: Session, user_id: str, session_id: str) -> bool:
    """Ends a session of that user; False if it is none of theirs."""
    statement = (
        delete(UserSession)
        .where(UserSession.id == session_id, UserSession.user_id == user_id)
        .returning(UserSession.id)
    )
    return session.scalar(statement) is not None


def end_all_of(session: Session, user_id: str, *, but: str | None = None) -> int:
    """Ends all sessions of a user, but that one; how many."""
    statement = delete(UserSession).where(UserSession.user_id == user_id).returning(UserSession.id)
    return len(session.scalars(statement.where(UserSession.id != but) if but else statement).all())


def prune(session: Session, now: datetime) -> None:
    """Deletes what has expired, and leaves what another transaction is deleting."""
    expired = select(UserSession.id).where(UserSession.expires_at <= now).with_for_update(skip_locked=True)
    session.execute(delete(UserSession).where(UserSession.id.in_(expired)))
