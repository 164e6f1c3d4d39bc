"""Rows of failed attempts to sign in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from hhh.models import LoginFailure


def add(session: Session, failure: LoginFailure) -> None:
    """Counts an attempt."""
    session.add(failure)
    session.flush()


def forget(session: Session, failure_id: str) -> None:
    """Takes an attempt back."""
    session.execute(delete(LoginFailure).where(LoginFailure.id == failure_id))


def of_account(session: Session, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
    """How many others of its account are newer than ``since``, and when the oldest of them was."""
    return _others(session, failure, LoginFailure.account == failure.account, since)


def of_address(session: Session, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
    """How many others from its address are newer than ``since``, and when the oldest of them was."""
    return _others(session, failure, LoginFailure.address == failure.address, since)


def prune(session: Session, before: datetime) -> None:
    """Deletes older ones, and leaves those that another transaction is deleting."""
    old = select(LoginFailure.id).where(LoginFailure.created_at <= before).with_for_update(skip_locked=True)
    session.execute(delete(LoginFailure).where(LoginFailure.id.in_(old)))


def _others(
    session: Session, failure: LoginFailure, alike: ColumnElement[bool], since: datetime
) -> tuple[int, datetime | None]:
    query = select(func.count(), func.min(LoginFailure.created_at)).where(
        alike, LoginFailure.created_at > since, LoginFailure.id != failure.id
    )
    count, oldest = session.execute(query).one()
    return count, oldest
