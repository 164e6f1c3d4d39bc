"""Rows of failed attempts to sign in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, not_, or_, select, update
from sqlalchemy.orm import Session

from hhh.models import LoginFailure

#: How places begin that are known to be the account's own; no address does.
KNOWN, DEVICE, SESSION = "known ", "device ", "session "
_IS_KNOWN = or_(*(LoginFailure.address.startswith(each) for each in (KNOWN, DEVICE, SESSION)))


def add(session: Session, failure: LoginFailure) -> None:
    """Counts an attempt."""
    session.add(failure)
    session.flush()


def forget(session: Session, *failure_ids: str) -> None:
    """Takes attempts back."""
    session.execute(delete(LoginFailure).where(LoginFailure.id.in_(failure_ids)))


def touch(session: Session, *failure_ids: str) -> None:
    """Writes them as they are."""
    same = {LoginFailure.expires_at: LoginFailure.expires_at}
    session.execute(update(LoginFailure).where(LoginFailure.id.in_(failure_ids)).values(same))


def of_source(session: Session, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
    """How many others of its account come from its place and are newer than ``since``, and when the oldest was."""
    alike = (LoginFailure.account == failure.account, LoginFailure.address == failure.address)
    return _others(session, failure, since, *alike)


def of_account(session: Session, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
    """The same, from all places that are not known to be the account's own."""
    return _others(session, failure, since, LoginFailure.account == failure.account, not_(_IS_KNOWN))


def of_address(session: Session, failure: LoginFailure, since: datetime) -> tuple[int, datetime | None]:
    """The same, from its address, of whatever account."""
    return _others(session, failure, since, LoginFailure.address == failure.address)


def prune(session: Session, now: datetime) -> None:
    """Deletes those that no longer count, and leaves those that another transaction is deleting."""
    old = select(LoginFailure.id).where(LoginFailure.expires_at <= now).with_for_update(skip_locked=True)
    session.execute(delete(LoginFailure).where(LoginFailure.id.in_(old)))


def _others(
    session: Session, failure: LoginFailure, since: datetime, *alike: ColumnElement[bool]
) -> tuple[int, datetime | None]:
    query = select(func.count(), func.min(LoginFailure.created_at)).where(
        *alike, LoginFailure.created_at > since, LoginFailure.id != failure.id
    )
    count, oldest = session.execute(query).one()
    return count, oldest
