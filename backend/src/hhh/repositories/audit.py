"""Rows of the audit log. There are none that change or delete an event: the database refuses that as well."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from hhh.models import AuditEvent, AuditHead


def lock_head(session: Session) -> AuditHead:
    """The end of the chain; nobody else adds to it until the transaction ends."""
    # Read anew: what the session has of it may be older than the lock.
    query = select(AuditHead).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one()


def add(session: Session, event: AuditEvent) -> None:
    """Writes an event."""
    session.add(event)
    session.flush()
