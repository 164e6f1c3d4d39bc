"""Rows of the audit log. There are none that change or delete an event: the database refuses that as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Select, Table, func, insert, or_, select
from sqlalchemy.orm import Session

from hhh.models import Action, AuditEvent, AuditHead, Result

#: Events that are read at once where all are: a log may be larger than the memory.
_BATCH = 1000
_TABLE = cast("Table", AuditEvent.__table__)
_COLUMNS = tuple(_TABLE.columns.keys())


@dataclass(frozen=True, slots=True)
class Head:
    """An end of the chain, as it is now or as somebody noted it elsewhere."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


#: Where the first event follows on.
NO_EVENT = Head(0, "")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are asked for; None: any."""

    #: The e-mail, the id of a schedule, the account, or the name of a token.
    actor: str | None = None
    #: Whole, or the part before a dot: ``backup`` is ``backup.delete`` as well.
    action: str | None = None
    #: What it was done on, or the target that it is about.
    subject: str | None = None
    result: str | None = None
    since: datetime | None = None
    #: No longer.
    until: datetime | None = None


def lock_head(session: Session) -> Head:
    """The end of the chain; nobody else adds to it until the transaction ends."""
    return _head(session, select(AuditHead.seq, AuditHead.hash).with_for_update())


def head(session: Session) -> Head:
    """The end of the chain, as it is now."""
    return _head(session, select(AuditHead.seq, AuditHead.hash))


def _head(session: Session, query: Select[int, str]) -> Head:
    # Somebody may have taken it away: what is there then does not follow on this, which is told.
    found = session.execute(query).first()
    return Head(*found) if found is not None else NO_EVENT


def add(session: Session, events: Sequence[AuditEvent]) -> None:
    """Writes events as they are, in their order. The database moves the end of the chain on with each.

    Raises:
        DBAPIError: one does not follow on the one before it.
    """
    session.execute(insert(_TABLE), [{name: getattr(event, name) for name in _COLUMNS} for event in events])


def done_restores(session: Session, target: str, *, since: datetime) -> Sequence[AuditEvent]:
    """The events of restores of a target that were done since, the oldest first."""
    done = (AuditEvent.target == target, AuditEvent.action == Action.RESTORE, AuditEvent.result == Result.DONE)
    return session.scalars(select(AuditEvent).where(*done, AuditEvent.at >= since).order_by(AuditEvent.seq)).all()


def recorded_since(session: Session, moment: datetime) -> Sequence[AuditEvent]:
    """The events from a moment on, the oldest first."""
    first = select(func.min(AuditEvent.seq)).where(AuditEvent.at >= moment).scalar_subquery()
    return session.scalars(select(AuditEvent).where(AuditEvent.seq >= first).order_by(AuditEvent.seq)).all()


def get(session: Session, seq: int) -> AuditEvent | None:
    """The event of that number."""
    return session.get(AuditEvent, seq)


def newest(session: Session, wanted: Filter, *, before: int | None, limit: int) -> Sequence[AuditEvent]:
    """Events, the newest first; those before a number, where one is given."""
    query = _filtered(wanted).order_by(AuditEvent.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEvent.seq < before)
    return session.scalars(query).all()


def batch(session: Session, wanted: Filter, *, after: int, until: int) -> Sequence[AuditEvent]:
    """The next events behind a number and up to another, the oldest first; none: that were all."""
    query = _filtered(wanted).where(AuditEvent.seq > after, AuditEvent.seq <= until)
    return session.scalars(query.order_by(AuditEvent.seq).limit(_BATCH)).all()


def _filtered(wanted: Filter) -> Select[AuditEvent]:
    query = select(AuditEvent)
    if wanted.actor is not None:
        query = query.where(or_(AuditEvent.actor == wanted.actor, AuditEvent.token == wanted.actor))
    if wanted.action is not None:
        below = AuditEvent.action.startswith(f"{wanted.action}.", autoescape=True)
        query = query.where(or_(AuditEvent.action == wanted.action, below))
    if wanted.subject is not None:
        query = query.where(or_(AuditEvent.subject == wanted.subject, AuditEvent.target == wanted.subject))
    if wanted.result is not None:
        query = query.where(AuditEvent.result == wanted.result)
    if wanted.since is not None:
        query = query.where(AuditEvent.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditEvent.at < wanted.until)
    return query
