"""What somebody who is signed in does to their own account: password, second factor, sessions.

What a stolen session must not do takes the present password, and where there is a second factor, a code of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InUse, InvalidInput, NotFound, SessionExpired, WrongCode
from hhh.models import Action, Result, User, UserSession
from hhh.repositories import login_failures as failure_rows
from hhh.repositories import sessions as session_rows
from hhh.repositories import users as user_rows
from hhh.services import audit, auth, second_factor, users
from hhh.services.auth import Principal
from hhh.services.cursors import is_id
from hhh.services.known_places import device_token
from hhh.services.second_factor import Enrolment
from hhh.services.sign_in import confirm_password, count_code

#: A script that signs in each minute has twenty thousand.
MOST_SESSIONS = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SecondFactorState:
    """What there is of a second factor."""

    #: Since when it is asked for; None: it is not.
    since: datetime | None
    #: Whether a secret was made, confirmed or not.
    is_begun: bool
    #: How many recovery codes were not used yet.
    codes_left: int


class Account:
    """The account of whoever is signed in.

    Args:
        database: the own one; each method has transactions of its own.
        settings: for keys.
        me: whose account it is.
    """

    def __init__(self, database: Database, settings: Settings, me: Principal) -> None:
        self._database = database
        self._settings = settings
        self._me = me

    def set_password(self, present: str, new: str) -> str:
        """Sets another password, and ends all other sessions.

        Returns:
            What the browser is known by from now on (`hhh.services.known_places`).

        Raises:
            InvalidCredentials, RateLimited: as `confirm_password`.
            InvalidInput: the new one does not do.
        """
        confirm_password(self._database, self._settings, self._me, present)
        with self._database.transaction() as session:
            self._user(session, lock=True)  # whose password another has set meanwhile must not set theirs over it
            user = users.set_password(session, email=self._me.email, password=new, keep=self._me.credential_id)
        return device_token(self._settings, user, now=utcnow())

    def second_factor(self) -> SecondFactorState:
        """How far it is set up."""
        with self._database.snapshot() as session:
            user = self._user(session)
            left = second_factor.codes_left(session, user.id)
            return SecondFactorState(user.totp_since, user.sealed_totp is not None, left)

    def begin_second_factor(self, present: str) -> Enrolment:
        """Makes the secret of a second factor; another one where it was begun before.

        Raises:
            InvalidCredentials, RateLimited: as `confirm_password`.
            InUse: there is one.
        """
        confirm_password(self._database, self._settings, self._me, present)
        with self._database.transaction() as session:
            return second_factor.begin(session, self._settings, self._user(session))

    def confirm_second_factor(self, code: str, *, now: datetime | None = None) -> list[str]:
        """Turns it on, and ends all other sessions, which a password alone had begun; the recovery codes.

        Raises:
            InvalidCredentials, RateLimited: the code is wrong, or too many were.
            InUse, InvalidInput: it is on already; nothing was begun.
        """
        now = now or utcnow()

        def turn_on(session: Session, user: User) -> list[str] | None:
            codes = second_factor.confirm(session, self._settings, user, code, now=now)
            if codes is not None:
                session_rows.end_all_of(session, user.id, but=self._me.credential_id)
            return codes

        return self._with_code(code, turn_on, now)

    def remove_second_factor(self, present: str, code: str, *, now: datetime | None = None) -> None:
        """Takes it away.

        Raises:
            InvalidCredentials, RateLimited: as `confirm_password`, or the code is wrong.
            NotFound: there is none.
        """
        self._change_second_factor(present, code, second_factor.remove, now)

    def renew_recovery_codes(self, present: str, code: str, *, now: datetime | None = None) -> list[str]:
        """Other recovery codes.

        Raises:
            InvalidCredentials, RateLimited: as `confirm_password`, or the code is wrong.
            NotFound: there is no second factor.
        """
        return self._change_second_factor(present, code, second_factor.renew_codes, now)

    def sessions(self, *, now: datetime | None = None) -> Sequence[UserSession]:
        """Where one is signed in: the sessions that were seen last, `MOST_SESSIONS` of them."""
        with self._database.snapshot() as session:
            return session_rows.seen_last(session, self._me.id, now or utcnow(), limit=MOST_SESSIONS)

    def end_session(self, session_id: str) -> None:
        """Ends one of them.

        Raises:
            NotFound: none of them has that id.
        """
        with self._database.transaction() as session:
            if not is_id(session_id) or not session_rows.end_of(session, self._me.id, session_id):
                raise NotFound("No session of yours has that id", hint="it may have ended")
            audit.record(session, Action.SESSION_END, self._me.email, detail={"sessions": 1})

    def end_other_sessions(self) -> int:
        """Ends all but this one; how many."""
        with self._database.transaction() as session:
            ended = session_rows.end_all_of(session, self._me.id, but=self._me.credential_id)
            if ended:
                audit.record(session, Action.SESSION_END, self._me.email, detail={"sessions": ended})
        return ended

    def _change_second_factor(
        self, present: str, code: str, change: Callable[[Session, User], T], now: datetime | None
    ) -> T:
        when = now or utcnow()
        confirm_password(self._database, self._settings, self._me, present, now=now)

        def changed(session: Session, user: User) -> T | None:
            if user.totp_since is None:
                raise NotFound("There is no second factor")
            is_right = second_factor.accept(session, self._settings, user, code, now=when)
            return change(session, user) if is_right else None

        return self._with_code(code, changed, when)

    def _with_code(self, code: str, change: Callable[[Session, User], T | None], now: datetime) -> T:
        """Does what takes a code, which is counted; the change gives None where it was wrong."""
        counted = count_code(self._database, self._settings, self._me, code, now=now)
        try:
            with self._database.transaction() as session:
                done = change(session, self._user(session, lock=True))
                if done is not None:
                    failure_rows.forget(session, counted)
        except (InUse, InvalidInput, NotFound):  # no code was looked at
            with self._database.transaction() as session:
                failure_rows.forget(session, counted)
            raise
        if done is None:
            detail = {"what": "wrong code of who is signed in"}
            audit.record_alone(
                self._database, Action.SECOND_FACTOR, self._me.email, result=Result.FAILED, detail=detail
            )
            raise WrongCode
        return done

    def _user(self, session: Session, *, lock: bool = False) -> User:
        user = user_rows.by_email(session, self._me.email, lock=lock)
        if user is None or user.id != self._me.id:
            raise SessionExpired("The session has ended", hint="sign in again")
        auth.refuse_ended(session, self._me)
        return user
