"""What the audit log has of sign-ins that came to nothing: enough to see a flood, not all of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hhh.core.actor import actor
from hhh.core.database import Database
from hhh.models import Action, Result
from hhh.repositories import audit as rows
from hhh.repositories import login_failures as failure_rows
from hhh.services import audit
from hhh.services.login_limits import PASSWORDS

#: Stands for every e-mail that nobody has, since people type passwords into that field; and for those of tries that a
#: limit refused, where nobody looks at whose it is.
NOBODY = "(unknown)"
#: Events of one account and one result in one window; of one address there is one.
_MOST = 50


def record_trouble(
    database: Database, email: str | None, result: Result, *, now: datetime, counted: Sequence[str] = ()
) -> None:
    """Records a sign-in that failed, or was refused by a limit, unless the same is recorded already.

    Args:
        database: the own one; a transaction of its own.
        email: whose account it was tried on; None: nobody's, or it was not looked at.
        result: FAILED or REFUSED.
        now: when.
        counted: the ids of what it was counted as. They are written where no event is: a commit takes long enough to
            tell, from outside, of which e-mails there is more to record.
    """
    subject = email or NOBODY
    with database.snapshot() as session:
        told = rows.addresses_of(session, Action.SIGN_IN, subject, result, since=now - PASSWORDS.window, limit=_MOST)
    if len(told) < _MOST and actor().address not in told:
        audit.record_alone(database, Action.SIGN_IN, subject, result=result)
    elif counted:
        with database.transaction() as session:
            failure_rows.touch(session, *counted)
