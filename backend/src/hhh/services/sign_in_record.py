"""What the audit log has of sign-ins that came to nothing: enough to see a flood, not all of it."""

from __future__ import annotations

from datetime import datetime

from hhh.core.actor import actor
from hhh.core.database import Database
from hhh.models import Action, Result
from hhh.repositories import audit as rows
from hhh.repositories.audit import Filter
from hhh.services import audit
from hhh.services.login_limits import PASSWORDS

#: Stands for every e-mail that nobody has: people type passwords into that field.
NOBODY = "(unknown)"
#: Events of one account and one result in one window; of one address there is one.
_MOST = 50


def record_trouble(database: Database, email: str | None, result: Result, *, now: datetime) -> None:
    """Records a sign-in that failed, or was refused by a limit, unless the same is recorded already.

    Args:
        database: the own one; a transaction of its own.
        email: whose account it was tried on; None: nobody's.
        result: FAILED or REFUSED.
        now: when.
    """
    subject = email or NOBODY
    wanted = Filter(action=Action.SIGN_IN, subject=subject, result=result, since=now - PASSWORDS.window)
    with database.snapshot() as session:
        told = [event.address for event in rows.newest(session, wanted, before=None, limit=_MOST)]
    if len(told) < _MOST and actor().address not in told:
        audit.record_alone(database, Action.SIGN_IN, subject, result=result)
