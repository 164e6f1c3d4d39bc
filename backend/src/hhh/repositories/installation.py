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


def signing_key(session: Session) -> str | None:
    """The public key that all machines sign with; None where none has told yet."""
    return session.scalar(select(Installation.signing_key))


def program_version(session: Session) -> str | None:
    """The version of the program that the installation is of; None where none has told yet."""
    return session.scalar(select(Installation.program_version))


def create_installation(session: Session) -> str:
    """Writes the row; the primary key lets only one process win."""
    row = Installation(singleton=1, id=str(uuid.uuid4()), created_at=utcnow())
    session.add(row)
    session.flush()
    return row.id


def get(session: Session, *, locked: bool = False) -> Installation:
    """The row, which must be there; locked, so that others who ask for it so wait until the transaction ends."""
    asked = select(Installation)
    return session.scalars(asked.with_for_update() if locked else asked).one()
