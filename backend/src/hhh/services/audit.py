"""The audit log: who did what, from where, and what became of it.

Each event has the hash of the one before it in its own, so that none can be changed, taken out or put in between
without that every later hash is wrong; and each hash is signed by the key of the installation, so that nobody who can
only write to the database makes another chain. `hhh.services.audit_chain` checks it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import event as events
from sqlalchemy.orm import Session

from hhh.core.actor import Actor, actor
from hhh.core.clock import utcnow
from hhh.core.database import SIGN, Database, Sign
from hhh.models import Action, AuditEvent, AuditHead, Result
from hhh.models.audit import Detail
from hhh.repositories import audit as rows
from hhh.services.audit_chain import event_hash, signed_message

if TYPE_CHECKING:  # which tells of its own changes here
    from hhh.services.installation import Identity

#: Where a session has the events of its transaction that are not written yet, in `Session.info`.
_PENDING = "hhh_audit_pending"
#: Characters of one text in a detail: what tools say may be long.
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class _Pending:
    """An event before it has its place in the chain."""

    #: Whoever finds out during the transaction who it is tells it here too.
    acting: Actor
    action: Action
    subject: str
    target: str | None
    result: Result
    detail: Detail


def sign_with(database: Database, identity: Identity) -> None:
    """Has what is recorded in that database signed by the key of its installation; it is read when it is needed."""

    def sign(message: bytes) -> str:
        return identity.signing_key.sign(message)

    database.sign = sign


def record(
    session: Session,
    action: Action,
    subject: str,
    *,
    target: str | None = None,
    result: Result = Result.DONE,
    detail: Detail | None = None,
) -> None:
    """Has an event of whoever acts now (`hhh.core.actor`) written in the transaction of what it tells of.

    It is written when that transaction commits, and only then, after everything else: the chain has one end, which is
    locked no longer than that, and nobody who waits for it has locked anything that its holder still wants.

    Args:
        session: of that transaction.
        action: what was done.
        subject: on what: a name or an id.
        target: the target that it is about, where it is about one.
        result: what became of it.
        detail: what else is worth knowing, as JSON; never a secret.
    """
    pending: list[_Pending] = session.info.setdefault(_PENDING, [])
    if not pending:
        events.listen(session, "before_commit", _write)
    pending.append(_Pending(actor(), action, subject, target, result, detail or {}))


def record_alone(
    database: Database,
    action: Action,
    subject: str,
    *,
    target: str | None = None,
    result: Result = Result.DONE,
    detail: Detail | None = None,
) -> None:
    """As `record`, of what changes nothing in the own database: in a transaction of its own."""
    with database.transaction() as session:
        record(session, action, subject, target=target, result=result, detail=detail)


def _write(session: Session) -> None:
    """Chains what the transaction has to tell; called before it commits."""
    if session.in_nested_transaction():  # a part of it: it goes on
        return
    pending: list[_Pending] = session.info.pop(_PENDING, [])
    if not pending:
        return
    session.flush()  # what fails of it fails before the end of the chain is locked
    head = rows.lock_head(session)
    sign: Sign | None = session.info.get(SIGN)
    rows.add(session, [_chained(each, head, sign) for each in pending])


def _chained(pending: _Pending, head: AuditHead, sign: Sign | None) -> AuditEvent:
    acting = pending.acting
    event = AuditEvent(
        seq=head.seq + 1,
        at=utcnow(),
        actor_kind=acting.kind,
        actor=_fitting(acting.name, AuditEvent.actor.type.length),
        token=acting.token and _fitting(acting.token, AuditEvent.token.type.length),
        address=acting.address and _fitting(acting.address, AuditEvent.address.type.length),
        action=pending.action,
        subject=_fitting(pending.subject, AuditEvent.subject.type.length),
        target=pending.target and _fitting(pending.target, AuditEvent.target.type.length),
        result=pending.result,
        request_id=acting.request_id,
        detail=json.dumps(_shortened(pending.detail), sort_keys=True),
        previous_hash=head.hash,
    )
    event.hash = event_hash(event)
    event.signature = sign(signed_message(event.hash)) if sign is not None else ""
    head.seq, head.hash = event.seq, event.hash
    return event


def _fitting(text: str, length: int) -> str:
    """As every database takes it and gives it back: what a client sent may be longer, or no text at all."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]


def _shortened(detail: Detail) -> Detail:
    return {
        key: f"{value[:_LONGEST_TEXT]}…" if isinstance(value, str) and len(value) > _LONGEST_TEXT else value
        for key, value in detail.items()
    }
