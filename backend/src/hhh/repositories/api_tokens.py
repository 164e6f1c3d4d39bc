"""Rows of API tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, or_, select, update
from sqlalchemy.orm import Session

from hhh.models import ApiToken, Role, User

#: A token and whose it is.
Owned = tuple[ApiToken, User]


def add(session: Session, token: ApiToken) -> None:
    """Inserts a token."""
    session.add(token)
    session.flush()


def by_hash(session: Session, token_hash: str) -> Owned | None:
    """The token with that hash, revoked and expired ones included."""
    row = session.execute(_owned().where(ApiToken.token_hash == token_hash)).one_or_none()
    return None if row is None else (row[0], row[1])


def get(session: Session, token_id: str) -> Owned | None:
    """The token of that id."""
    row = session.execute(_owned().where(ApiToken.id == token_id)).one_or_none()
    return None if row is None else (row[0], row[1])


def live_by_name(session: Session, name: str, now: datetime) -> Owned | None:
    """The token of that name that is neither revoked nor expired; of two, the newer one."""
    query = _owned().where(ApiToken.name == name, *_live(now)).order_by(ApiToken.created_at.desc(), ApiToken.id)
    row = session.execute(query.limit(1)).one_or_none()
    return None if row is None else (row[0], row[1])


def newest_first(session: Session, *, limit: int, offset: int) -> Sequence[Owned]:
    """Tokens of everybody."""
    query = _owned().order_by(ApiToken.created_at.desc(), ApiToken.id).limit(limit).offset(offset)
    return [(row[0], row[1]) for row in session.execute(query)]


def live_among(session: Session, ids: Collection[str], role: Role, now: datetime) -> set[str]:
    """Those of the given tokens that are neither revoked nor expired, and whose owner has that role."""
    query = (
        select(ApiToken.id)
        .join(User, ApiToken.user_id == User.id)
        .where(ApiToken.id.in_(ids), *_live(now), User.role == role)
    )
    return {*session.scalars(query)}


def revoke(session: Session, token_id: str, now: datetime) -> bool:
    """Revokes a token; False if it was already."""
    statement = (
        update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ApiToken.id)
    )
    return session.scalar(statement) is not None


def see(session: Session, token_id: str, now: datetime, unless_since: datetime, address: str) -> None:
    """Notes that a token is used, and from where, unless that was noted since a moment."""
    session.execute(
        update(ApiToken)
        .where(ApiToken.id == token_id, or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < unless_since))
        .values(last_used_at=now, last_used_address=address)
    )


def _live(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ApiToken.revoked_at.is_(None), or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now)


def _owned() -> Select[ApiToken, User]:
    return select(ApiToken, User).join(User, ApiToken.user_id == User.id)
