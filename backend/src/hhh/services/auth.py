"""Sessions: begun by a sign-in (`hhh.services.sign_in`), carried on, and ended.

A session is a family of refresh tokens: each is used once and gives the next. One that is used a second time was
copied, by whom is unknown, so that the whole family ends. Access tokens are read against the live session for every
request: when the session has ended they are dead at once.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from hhh.core.actor import ActorKind, actor
from hhh.core.clock import utcnow
from hhh.core.config import Settings
from hhh.core.errors import CsrfInvalid, SessionExpired
from hhh.core.security import hash_token, new_token
from hhh.core.text import harmless
from hhh.models import Action, RefreshToken, Role, Scope, User, UserSession
from hhh.repositories import sessions as session_rows
from hhh.services import audit
from hhh.services.known_places import Client, device_token
from hhh.services.tokens import AccessToken, AccessTokens

#: From sign-in to the next one that needs the password. A refresh does not prolong it.
SESSION_LIFETIME = timedelta(days=14)
#: What is kept of where a session was begun, and with what.
_LONGEST_ADDRESS, _LONGEST_CLIENT = 64, 254

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is behind a request, as the database has it now."""

    id: str
    email: str
    role: Role
    #: Of what they came with: of the session of who is signed in, of the token of a program.
    credential_id: str
    #: What a token may be used for; None: it is somebody who is signed in, and may do what their role may.
    scopes: frozenset[Scope] | None = None
    #: When they signed in; of a program nothing.
    signed_in_at: datetime | None = None
    #: Whether they sign in with a second factor.
    second_factor: bool = False
    #: When the session or token was seen last, as far as it is written down.
    seen_at: datetime | None = field(default=None, compare=False)

    def may(self, scope: Scope) -> bool:
        """Whether what they came with is good for that."""
        return self.scopes is None or scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session just started or carried on, with what the client needs to use it."""

    principal: Principal
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    #: Until the session ends, in seconds.
    seconds_left: int
    #: What a page has the browser keep, to be known by (`hhh.services.known_places`).
    device_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CarriedOn:
    """A session with another access token."""

    principal: Principal
    access_token: str = field(repr=False)
    #: Until the session ends, in seconds.
    seconds_left: int


def start(session: Session, settings: Settings, user: User, client: Client, now: datetime) -> SignedIn:
    """Starts a session of whoever has shown who they are; the caller has locked the user."""
    session_rows.prune(session, now)
    user_session = UserSession(
        id=str(uuid.uuid4()),
        user_id=user.id,
        created_at=now,
        expires_at=now + SESSION_LIFETIME,
        address=client.address[:_LONGEST_ADDRESS],
        client=harmless(client.agent)[:_LONGEST_CLIENT],
        last_seen_at=now,
    )
    token = new_token()
    session_rows.add(session, user_session, _refresh_token(user_session, token, now))
    return _signed_in(settings, user, user_session, token, now)


def refresh(
    session: Session,
    settings: Settings,
    token: str | None,
    *,
    expected_session: str | None = None,
    now: datetime | None = None,
) -> SignedIn:
    """Carries a session on with the next refresh token.

    Args:
        session: a transaction; it must be committed also when this raises `SessionExpired`.
        settings: for the key of access tokens.
        token: the client's refresh token.
        expected_session: the session that the request was protected for, if its access token told.
        now: when.

    Raises:
        SessionExpired: no token, an unknown or an expired one, or one that was used before: its family has ended.
        CsrfInvalid: the token is of another session than expected.
    """
    now = now or utcnow()
    found = session_rows.of_token(session, hash_token(token), lock=True) if token else None
    if token is None or found is None:
        raise _ended()
    user_session, user = found
    if expected_session not in {None, user_session.id}:
        raise CsrfInvalid
    if user_session.expires_at <= now:
        session_rows.end(session, user_session.id)
        raise _ended()
    if not session_rows.use_token(session, hash_token(token), now):
        log.warning("refresh_token_reused", email=user.email, session=user_session.id)
        session_rows.end(session, user_session.id)
        audit.record(session, Action.SESSION_END, user.email, detail={"sessions": 1, "what": "its tokens were copied"})
        raise _ended()
    following = new_token()
    session_rows.add_token(session, _refresh_token(user_session, following, now))
    return _signed_in(settings, user, user_session, following, now)


def carry_on(
    session: Session, settings: Settings, access: AccessToken, token: str | None, *, now: datetime | None = None
) -> CarriedOn:
    """Carries a session on with another access token alone; a browser may ask for several pages at once.

    Args:
        session: a transaction.
        settings: for the key of access tokens.
        access: the expired access token.
        token: the refresh token, which must not have been used; it stays good.
        now: when.

    Raises:
        SessionExpired: the session has ended, or the refresh token is not its present one.
    """
    now = now or utcnow()
    found = session_rows.of_unused_token(session, hash_token(token)) if token else None
    if found is None or found[0].id != access.session_id or found[0].expires_at <= now:
        raise _ended()
    user_session, user = found
    issued = AccessTokens(settings.secret).issue(user.id, user_session.id, now=now)
    left = int((user_session.expires_at - now).total_seconds())
    return CarriedOn(_principal(user, user_session), issued, left)


def sign_out(session: Session, *, session_id: str | None, refresh_token: str | None) -> None:
    """Ends the session of that id, and the one of that refresh token; a no-op where there is none."""
    ids = {session_id, session_of_refresh_token(session, refresh_token)} - {None}
    users = [user for each in ids if (user := session_rows.user_of(session, str(each))) is not None]
    for each in ids:
        session_rows.end(session, str(each))
    for user in users:
        actor().identify(ActorKind.USER, user.email)
        audit.record(session, Action.SIGN_OUT, user.email)


def principal(session: Session, access: AccessToken, *, now: datetime | None = None) -> Principal:
    """Who an access token stands for.

    Raises:
        SessionExpired: the token has run out, or its session has ended.
    """
    if access.expired:
        raise SessionExpired("The access token has expired", hint="POST /api/v1/auth/refresh gives another")
    found = session_rows.live(session, access.session_id, access.user_id, now or utcnow())
    if found is None:
        raise _ended()
    user_session, user = found
    return _principal(user, user_session)


def refuse_ended(session: Session, who: Principal) -> None:
    """Sees that somebody is signed in still: who waits for a turn or a lock may be signed out meanwhile.

    Raises:
        SessionExpired: their session has ended.
    """
    if session_rows.user_of(session, who.credential_id) is None:
        raise _ended()


def session_of_refresh_token(session: Session, token: str | None) -> str | None:
    """The id of the session that a refresh token, used or not, belongs to."""
    found = session_rows.of_token(session, hash_token(token)) if token else None
    return found[0].id if found else None


def _refresh_token(user_session: UserSession, token: str, now: datetime) -> RefreshToken:
    return RefreshToken(token_hash=hash_token(token), session_id=user_session.id, issued_at=now)


def _signed_in(settings: Settings, user: User, user_session: UserSession, token: str, now: datetime) -> SignedIn:
    return SignedIn(
        principal=_principal(user, user_session),
        access_token=AccessTokens(settings.secret).issue(user.id, user_session.id, now=now),
        refresh_token=token,
        seconds_left=int((user_session.expires_at - now).total_seconds()),
        device_token=device_token(settings, user, now=now),
    )


def _principal(user: User, user_session: UserSession) -> Principal:
    return Principal(
        id=user.id,
        email=user.email,
        role=Role(user.role),
        credential_id=user_session.id,
        signed_in_at=user_session.created_at,
        second_factor=user.totp_since is not None,
        seen_at=user_session.last_seen_at,
    )


def _ended() -> SessionExpired:
    return SessionExpired("The session has ended", hint="sign in again")
