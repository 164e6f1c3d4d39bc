"""The one row that says who this service is."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.models import Installation


def installation_id(session: Session) -> str | None:
    """The id, or None on a new database."""
    return session.scalar(select(Installation.id))


def create_installation(session: Session) -> str:
    """Writes the row; the primary key lets only one process win."""
    row = Installation(singleton=1, id=str(uuid.uuid4()), created_at=utcnow())
    session.add(row)
    session.flush()
    return row.id
