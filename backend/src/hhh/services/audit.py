"""The audit log: who did what, from where, and what became of it.

Each event has the hash of the one before it in its own, so that none can be changed, taken out or put in between
without that every later hash is wrong.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

from sqlalchemy.orm import Session

from hhh.core.actor import actor
from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.models import Action, AuditEvent, Result
from hhh.models.audit import Detail
from hhh.repositories import audit as rows


def record(
    session: Session, action: Action, subject: str, *, result: Result = Result.DONE, detail: Detail | None = None
) -> None:
    """Writes an event of whoever acts now (`hhh.core.actor`), in the transaction of what it tells of.

    To be called last in it: nobody else's event is written until the transaction ends.

    Args:
        session: of that transaction.
        action: what was done.
        subject: on what: a name or an id.
        result: what became of it.
        detail: what else is worth knowing; never a secret.
    """
    acting, head = actor(), rows.lock_head(session)
    event = AuditEvent(
        seq=head.seq + 1,
        at=utcnow(),
        actor_kind=acting.kind,
        actor=acting.name,
        token=acting.token,
        address=acting.address,
        action=action,
        subject=subject,
        result=result,
        request_id=acting.request_id,
        detail=json.dumps(detail or {}, sort_keys=True, ensure_ascii=False),
        previous_hash=head.hash,
    )
    event.hash = event_hash(event)
    rows.add(session, event)
    head.seq, head.hash = event.seq, event.hash


def record_alone(
    database: Database, action: Action, subject: str, *, result: Result = Result.DONE, detail: Detail | None = None
) -> None:
    """As `record`, of what changes nothing in the own database: in a transaction of its own."""
    with database.transaction() as session:
        record(session, action, subject, result=result, detail=detail)


def event_hash(event: AuditEvent) -> str:
    """SHA-256 (hexadecimal) over all that an event tells, and the hash of the one before it."""
    told = [
        event.previous_hash,
        event.seq,
        event.at.astimezone(UTC).isoformat(),
        event.actor_kind,
        event.actor,
        event.token,
        event.address,
        event.action,
        event.subject,
        event.result,
        event.request_id,
        event.detail,
    ]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()
