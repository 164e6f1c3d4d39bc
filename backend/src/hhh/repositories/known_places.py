"""Rows of addresses that users have signed in from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from hhh.models import KnownPlace


def has(session: Session, user_id: str, address: str, since: datetime) -> bool:
    """Whether the user has signed in from there since then."""
    query = select(
        exists().where(KnownPlace.user_id == user_id, KnownPlace.address == address, KnownPlace.seen_at > since)
    )
    return bool(session.scalar(query))


def see(session: Session, user_id: str, address: str, now: datetime) -> None:
    """Notes a sign-in; to be called by who has locked the user."""
    session.merge(KnownPlace(user_id=user_id, address=address, seen_at=now))
    session.flush()


def keep_newest(session: Session, user_id: str, most: int) -> None:
    """Deletes all of a user but so many; to be called by who has locked the user."""
    newest = (
        select(KnownPlace.address)
        .where(KnownPlace.user_id == user_id)
        .order_by(KnownPlace.seen_at.desc(), KnownPlace.address)
        .limit(most)
    )
    session.execute(delete(KnownPlace).where(KnownPlace.user_id == user_id, KnownPlace.address.not_in(newest)))


def prune(session: Session, before: datetime) -> None:
    """Deletes older ones, and leaves those that another transaction is deleting."""
    old = (
        select(KnownPlace.user_id, KnownPlace.address)
        .where(KnownPlace.seen_at <= before)
        .with_for_update(skip_locked=True)
    )
    for user_id, address in session.execute(old).all():
        session.execute(delete(KnownPlace).where(KnownPlace.user_id == user_id, KnownPlace.address == address))
