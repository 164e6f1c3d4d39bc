"""Signing in: a password, and where a user has one the second factor.

Each attempt is counted as failed before anything is looked at (`hhh.services.login_limits`), and taken back when it was
none. Hashing takes long: several short transactions, and no lock is held meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from hhh.core.actor import ActorKind, actor
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import (
    InvalidCredentials,
    PasswordRequired,
    RateLimited,
    SecondFactorRequired,
    SessionExpired,
    WrongCode,
)
from hhh.core.security import verify_password
from hhh.models import Action, Result, User
from hhh.repositories import login_failures as failure_rows
from hhh.repositories import users as user_rows
from hhh.services import audit, auth, known_places, second_factor
from hhh.services.auth import Principal, SignedIn
from hhh.services.known_places import Client
from hhh.services.login_limits import CODES, PASSWORDS, Limits, Source, count_attempt
from hhh.services.second_steps import SecondSteps
from hhh.services.sign_in_record import record_trouble
from hhh.services.users import normalise_email

#: So long after a sign-in the password is not asked for again where a program signs in to do one thing.
RECENT = timedelta(minutes=15)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try, which is counted."""

    database: Database
    settings: Settings
    client: Client
    now: datetime
    #: As it was typed; normalised.
    email: str
    #: Who has that e-mail.
    user: User | None
    source: Source
    #: What is to be taken back if it does not fail.
    counted: tuple[str, ...] = ()

    def count(self, limits: Limits) -> _Attempt:
        """The same, counted once more."""
        try:
            counted = count_attempt(
                self.database, self.settings, email=self.email, source=self.source, now=self.now, limits=limits
            )
        except RateLimited:
            if self.counted:  # the password was right, and is not to be held against them: another code may be
                with self.database.transaction() as session:
                    self.forget(session)
            self.record(Result.REFUSED)
            raise
        return replace(self, counted=(*self.counted, counted))

    def record(self, result: Result) -> None:
        """Tells the log and the audit log of a try that came to nothing."""
        log.warning("sign_in_failed", address=self.client.address, result=str(result))
        whose = self.user if self.counted else None  # what a limit refuses at once is not looked at
        record_trouble(self.database, whose.email if whose else None, result, now=self.now, counted=self.counted)

    def record_wrong_code(self, verified: User) -> None:
        """Tells of each try of somebody who has the password and not the code: it may be a stolen one."""
        log.warning("wrong_code", email=verified.email, address=self.client.address)
        detail = {"what": "wrong code after the right password"}
        audit.record_alone(self.database, Action.SECOND_FACTOR, verified.email, result=Result.FAILED, detail=detail)

    def forget(self, session: Session) -> None:
        """It did not fail."""
        failure_rows.forget(session, *self.counted)


def sign_in(
    database: Database,
    settings: Settings,
    *,
    email: str,
    password: str,
    client: Client,
    code: str | None = None,
    now: datetime | None = None,
) -> SignedIn:
    """Starts a session for whoever knows the password, and has the second factor if there is one.

    Raises:
        InvalidCredentials: unknown user or wrong password, of which text and time are the same; or a wrong code.
        SecondFactorRequired: the password was right, and a code is needed as well.
        RateLimited: too many failures of this account or from this address.
    """
    attempt = _begun(database, settings, normalise_email(email), client, now or utcnow()).count(PASSWORDS)
    matches, better_hash = verify_password(password, attempt.user.password_hash if attempt.user else None)
    if attempt.user is None or not matches:
        attempt.record(Result.FAILED)
        raise _wrong()
    return _let_in(attempt, attempt.user, code, better_hash)


def finish(
    database: Database, settings: Settings, *, step: str, code: str, client: Client, now: datetime | None = None
) -> SignedIn:
    """Starts a session for whoever has typed the password on the page before, with the code of the second factor.

    Args:
        database: the own one.
        settings: for keys.
        step: of `SecondFactorRequired`.
        code: of the app, or a recovery code.
        client: who asks.
        now: when.

    Raises:
        WrongCode: another may be tried with the same step.
        SessionExpired: the step is too old, none of ours, or of a password or a second factor that the user has no
            longer; to be begun anew.
        RateLimited: as `sign_in`.
    """
    now, steps = now or utcnow(), SecondSteps(settings.secret)
    told = steps.read(step, now=now)
    with database.snapshot() as session:
        user = user_rows.get(session, told.user_id) if told else None
    if told is None or user is None or not steps.is_of(told, user):
        raise SessionExpired("That took too long", hint="sign in again")
    if not code:
        raise WrongCode
    return _let_in(_begun(database, settings, user.email, client, now).count(PASSWORDS), user, code, None)


def confirm_password(
    database: Database, settings: Settings, principal: Principal, password: str, *, now: datetime | None = None
) -> None:
    """Has whoever is signed in show that they know their password, before what a stolen session must not do.

    Counted and timed like a sign-in, but for each session by itself: what others fail at elsewhere keeps nobody from
    it. In short transactions of its own: not to be called within one.

    Raises:
        InvalidCredentials: it is another one.
        RateLimited: too many were.
        SessionExpired: they were signed out meanwhile.
    """
    source = Source(failure_rows.SESSION + principal.credential_id, is_known=True)
    counted = count_attempt(database, settings, email=principal.email, source=source, now=now or utcnow())
    with database.snapshot() as session:
        user = user_rows.get(session, principal.id)
    matches, _ = verify_password(password, user.password_hash if user else None)
    if not matches:
        log.warning("password_not_confirmed", email=principal.email)
        detail = {"what": "wrong password of who is signed in"}
        audit.record_alone(database, Action.REFUSED, principal.email, result=Result.REFUSED, detail=detail)
        raise InvalidCredentials("This is not your password")
    with database.transaction() as session:
        auth.refuse_ended(session, principal)
        failure_rows.forget(session, counted)


def confirm_unless_recent(
    database: Database,
    settings: Settings,
    principal: Principal,
    password: str | None,
    *,
    now: datetime | None = None,
) -> None:
    """As `confirm_password`; but who has signed in just before need not show their password again.

    Raises:
        PasswordRequired: they have not, and no password came.
        InvalidCredentials, RateLimited, SessionExpired: as `confirm_password`.
    """
    now = now or utcnow()
    if password is not None:
        confirm_password(database, settings, principal, password, now=now)
        return
    if principal.signed_in_at is None or now - principal.signed_in_at > RECENT:
        raise PasswordRequired
    with database.snapshot() as session:
        auth.refuse_ended(session, principal)


def count_code(database: Database, settings: Settings, principal: Principal, code: str, *, now: datetime) -> str:
    """Counts a code that whoever is signed in shows as failed; `login_failures.forget` takes it back.

    Raises:
        RateLimited: too many were wrong.
    """
    source = Source(failure_rows.SESSION + principal.credential_id, is_known=True)
    limits = CODES if second_factor.is_of_app(code) else PASSWORDS
    return count_attempt(database, settings, email=principal.email, source=source, now=now, limits=limits)


def _begun(database: Database, settings: Settings, email: str, client: Client, now: datetime) -> _Attempt:
    with database.snapshot() as session:
        # What can't be an e-mail is nobody's; PostgreSQL would refuse some of it with an error.
        user = user_rows.by_email(session, email) if email.isprintable() else None
        source = known_places.source_of(session, settings, user, client, now)
    return _Attempt(database, settings, client, now, email, user, source)


def _let_in(attempt: _Attempt, verified: User, code: str | None, better_hash: str | None) -> SignedIn:
    if verified.totp_since is not None:
        if not code:
            with attempt.database.transaction() as session:
                attempt.forget(session)
            raise SecondFactorRequired(step=SecondSteps(attempt.settings.secret).issue(verified, now=attempt.now))
        if second_factor.is_of_app(code):
            attempt = attempt.count(CODES)
    signed_in = _started(attempt, verified, code, better_hash)
    if signed_in is None and verified.totp_since is not None:
        attempt.record_wrong_code(verified)
        raise WrongCode
    if signed_in is None:
        attempt.record(Result.FAILED)
        raise _wrong()
    log.info(
        "signed_in", email=verified.email, address=attempt.client.address, session=signed_in.principal.credential_id
    )
    return signed_in


def _started(attempt: _Attempt, verified: User, code: str | None, better_hash: str | None) -> SignedIn | None:
    """The session; None: the code was wrong, or something has changed since the password was looked at."""
    settings, client, now = attempt.settings, attempt.client, attempt.now
    with attempt.database.transaction() as session:
        # Locked and read again: a password that was changed since must not be good for a session that outlives the
        # change; and of two who show the same code at once, the second waits and sees that it was used.
        user = user_rows.by_email(session, verified.email, lock=True)
        if user is None or _proof(user) != _proof(verified):
            return None
        if user.totp_since is not None and not second_factor.accept(session, settings, user, code or "", now=now):
            return None
        if better_hash:
            user.password_hash = better_hash
        signed_in = auth.start(session, settings, user, client, now)
        known_places.remember(session, user, client, now)
        attempt.forget(session)
        actor().identify(ActorKind.USER, user.email)
        audit.record(session, Action.SIGN_IN, user.email)
    return signed_in


def _proof(user: User) -> tuple[str, str, datetime | None]:
    """What has to be the same when a session begins as when the password was looked at."""
    return user.id, user.password_hash, user.totp_since


def _wrong() -> InvalidCredentials:
    return InvalidCredentials("Wrong e-mail or password")
