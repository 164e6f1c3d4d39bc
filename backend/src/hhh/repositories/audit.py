"""Rows of the audit log. There are none that change or delete an event: the database refuses that as well."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Select, Table, func, insert, or_, select, text
from sqlalchemy.orm import Session

from hhh.models import Action, AuditEvent, AuditHead, BackupLog, Result, Schedule

#: Events that are read at once where all are: a log may be larger than the memory.
BATCH = 1000
#: The triggers of the log, as migration 0007 makes them, and how to see which are there.
_RULES = {
    "sqlite": (
        "audit_events_no_update",
        "audit_events_no_delete",
        "audit_events_in_order",
        "audit_events_move_head",
        "audit_head_forwards",
        "audit_head_no_delete",
    ),
    "postgresql": ("audit_events_no_change", "audit_events_in_order", "audit_head_forwards", "audit_head_no_delete"),
}
_TRIGGERS_THERE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('audit_events', 'audit_head')",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A') "  # those that fire for everybody
    "AND tgrelid IN ('audit_events'::regclass, 'audit_head'::regclass)",
}
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
class Kept:
    """What the database has of the log."""

    events: int
    #: Rows with an end of the chain: one.
    heads: int
    #: The triggers that keep the log as it is, and are not there.
    missing_rules: tuple[str, ...]


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
    # Somebody may have taken it away, or put something else there: then nothing follows on this, which is told.
    found = session.execute(query).first()
    return Head(*found) if found is not None and isinstance(found.seq, int) else NO_EVENT


def kept(session: Session) -> Kept:
    """What the database has of the log, however it came there. It counts all events: slow where there are many."""
    there = frozenset(session.scalars(text(_TRIGGERS_THERE[dialect := session.get_bind().dialect.name])))
    return Kept(
        events=session.scalar(select(func.count()).select_from(AuditEvent)) or 0,
        heads=session.scalar(select(func.count()).select_from(AuditHead)) or 0,
        missing_rules=tuple(name for name in _RULES[dialect] if name not in there),
    )


def add(session: Session, events: Sequence[AuditEvent]) -> int:
    """Writes events as they are, in their order. The database moves the end of the chain on with each.

    Returns:
        How many it took: a trigger of somebody else's may drop some without a word.

    Raises:
        DBAPIError: one does not follow on the one before it.
    """
    written = [{name: getattr(event, name) for name in _COLUMNS} for event in events]
    return len(session.scalars(insert(_TABLE).returning(_TABLE.c.seq), written).all())


def done_restores(session: Session, target: str, *, since: datetime) -> Sequence[AuditEvent]:
    """The events of restores of a target that were done since, the oldest first."""
    done = (AuditEvent.target == target, AuditEvent.action == Action.RESTORE, AuditEvent.result == Result.DONE)
    return session.scalars(select(AuditEvent).where(*done, AuditEvent.at >= since).order_by(AuditEvent.seq)).all()


def addresses_of(
    session: Session, action: Action, subject: str, result: Result, *, since: datetime, limit: int
) -> Sequence[str | None]:
    """From where there are events of that kind since then, one address for each of them."""
    # Few are so new, and of one subject there may be very many: these are no plain columns, so that no database looks
    # for them by any index but that of the moments.
    alike = (AuditEvent.action + "" == action, AuditEvent.subject + "" == subject, AuditEvent.result == result)
    return session.scalars(select(AuditEvent.address).where(AuditEvent.at >= since, *alike).limit(limit)).all()


def recorded_since(session: Session, subject: str) -> Sequence[AuditEvent]:
    """The events from the first one about something on, the oldest first; none about it: all of them.

    Not from a moment on: clocks go back.
    """
    first = session.scalar(select(func.min(AuditEvent.seq)).where(AuditEvent.subject == subject))
    return session.scalars(select(AuditEvent).where(AuditEvent.seq >= (first or 0)).order_by(AuditEvent.seq)).all()


def get(session: Session, seq: int) -> AuditEvent | None:
    """The event of that number."""
    return session.get(AuditEvent, seq)


def hash_of(session: Session, seq: int) -> str | None:
    """The hash of the event of that number."""
    return session.scalar(select(AuditEvent.hash).where(AuditEvent.seq == seq))


def told_of(session: Session, subjects: Collection[str]) -> Sequence[tuple[str, str | None, str]]:
    """Subject, target and detail of the events that are about these, the oldest first."""
    found = select(AuditEvent.subject, AuditEvent.target, AuditEvent.detail).where(AuditEvent.subject.in_(subjects))
    return [(each.subject, each.target, each.detail) for each in session.execute(found.order_by(AuditEvent.seq))]


def files_of_backups(session: Session, ids: Collection[str]) -> dict[str, str]:
    """By id: the names of those that are backups."""
    found = select(BackupLog.id, BackupLog.backup_file).where(BackupLog.id.in_(ids))
    return {each.id: each.backup_file for each in session.execute(found)}


def plans_of_schedules(session: Session, ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """By id: the line and the target of those that are schedules."""
    found = select(Schedule.id, Schedule.cron, Schedule.target).where(Schedule.id.in_(ids))
    return {each.id: (each.cron, each.target) for each in session.execute(found)}


def newest(session: Session, wanted: Filter, *, before: int | None, limit: int) -> Sequence[AuditEvent]:
    """Events, the newest first; those before a number, where one is given."""
    query = _filtered(wanted).order_by(AuditEvent.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEvent.seq < before)
    return session.scalars(query).all()


def batch(
    session: Session, wanted: Filter, *, after: int, until: int | None = None, limit: int = BATCH
) -> Sequence[AuditEvent]:
    """The next events behind a number and up to another, the oldest first; none: that were all."""
    query = _filtered(wanted).where(AuditEvent.seq > after)
    if until is not None:
        query = query.where(AuditEvent.seq <= until)
    return session.scalars(query.order_by(AuditEvent.seq).limit(limit)).all()


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
