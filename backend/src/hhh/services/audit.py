"""The audit log: who did what, from where, and what became of it.

Each event has the hash of the one before it in its own, so that none can be changed, taken out or put in between
without that every later hash is wrong; and each hash is signed by the key of the installation, so that nobody who can
only write to the database makes another chain. `hhh.services.audit_chain` checks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event as events
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from hhh.core.actor import Actor, actor
from hhh.core.clock import utcnow
from hhh.core.database import SIGN, Database, Sign, last_line
from hhh.core.errors import DatabaseUnavailable
from hhh.models import Action, AuditEvent, Result
from hhh.models.audit import Detail
from hhh.repositories import audit as rows
from hhh.repositories.audit import Head
from hhh.services.audit_chain import event_hash, signed_message

if TYPE_CHECKING:  # which tells of its own changes here
    from hhh.services.installation import Identity

#: Where a session has the events of its transaction that are not written yet, in `Session.info`.
_PENDING = "hhh_audit_pending"
#: Characters of one text in a detail, and items of one list: what tools say may be long, and tables may be many.
_LONGEST_TEXT = 500
_MOST_ITEMS = 100


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
    _add(session, _chained(pending, rows.lock_head(session), session.info.get(SIGN)))


def _chained(pending: Sequence[_Pending], head: Head, sign: Sign | None) -> Sequence[AuditEvent]:
    """The events, each with its place behind that end."""
    chained = []
    for each in pending:
        event = _event(each, head)
        event.hash = event_hash(event)
        event.signature = sign(signed_message(event.hash)) if sign is not None else ""
        head = Head(event.seq, event.hash)
        chained.append(event)
    return chained


def _event(pending: _Pending, head: Head) -> AuditEvent:
    acting = pending.acting
    return AuditEvent(
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
        request_id=acting.request_id and _fitting(acting.request_id, AuditEvent.request_id.type.length),
        detail=json.dumps(_fitting_detail(pending.detail), sort_keys=True),
        previous_hash=head.hash,
    )


def _add(session: Session, chained: Sequence[AuditEvent]) -> None:
    try:
        taken = rows.add(session, chained)
    except (OperationalError, InterfaceError):  # the database is away, or full
        raise
    except DBAPIError as error:
        raise _broken(last_line(error), hint="somebody has changed it: `hhh audit verify` says where") from error
    if taken != len(chained):
        raise _broken(
            "its database drops what is recorded", hint="somebody has put a trigger or a rule on audit_events: drop it"
        )


def _broken(why: str, *, hint: str) -> DatabaseUnavailable:
    told = f"The audit log can't be gone on with, and nothing is done that it does not tell of: {why}"
    return DatabaseUnavailable(told, hint=hint)


def _fitting(text: str, length: int) -> str:
    """As every database takes it and gives it back: what a client sent may be longer, or no text at all."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]


def _fitting_detail(value: object) -> Any:
    """The same of all texts in a detail; what is long is shortened, and says so."""
    if isinstance(value, str):
        return _fitting(value, _LONGEST_TEXT) + ("…" if len(value) > _LONGEST_TEXT else "")
    if isinstance(value, Mapping):
        return {_fitting(str(key), _LONGEST_TEXT): _fitting_detail(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        shown = [_fitting_detail(each) for each in value[:_MOST_ITEMS]]
        return [*shown, f"… and {len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else shown
    return value
