"""Somebody's phone, in tests: the codes of a secret at any moment."""

from __future__ import annotations

from datetime import datetime

import pyotp

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.models import User
from hhh.services import second_factor


def code_at(secret: str, moment: datetime) -> str:
    """What the app shows then."""
    return pyotp.TOTP(secret).at(moment)


def with_second_factor(database: Database, settings: Settings, user: User, *, now: datetime) -> tuple[str, list[str]]:
    """Turns a second factor on, by the code of the step before `now`; its secret and the recovery codes."""
    with database.transaction() as session:
        row = session.get_one(User, user.id)
        enrolment = second_factor.begin(session, settings, row)
    with database.transaction() as session:
        row = session.get_one(User, user.id)
        before = pyotp.TOTP(enrolment.secret).at(now, counter_offset=-1)
        codes = second_factor.confirm(session, settings, row, before, now=now)
    assert codes is not None
    return enrolment.secret, codes
